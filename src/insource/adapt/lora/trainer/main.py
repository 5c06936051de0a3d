"""The training process, `python -m insource.adapt.lora.trainer.main`: a job in, `{"progress": …}` and
`{"checkpoint": path}` on the way, a `Trained` out (see `adapt/child.py`). Started with the same job again, it goes on
from the last checkpoint.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from insource.adapt.child import Say, serve
from insource.adapt.lora.job import BUDGET_USED, Compute, Job, Progress, Trained, job_of
from insource.core.errors import BadInput
from insource.core.hashing import content_address, file_sha256
from insource.core.values import JsonObject


def main() -> int:
    return serve(_work)


def _work(document: JsonObject, say: Say) -> JsonObject:
    """A job that was done already is not done again: its result lies in the workspace. One that was cut to another
    budget is."""
    job = job_of(document)
    key, result = content_address([job_key(job), list(job.probes)]), Path(job.workspace) / "result.json"
    try:
        known = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    if isinstance(known, dict) and known.get("key") == key:
        if known["trained"]["ended"] != BUDGET_USED or known["budget_seconds"] == job.budget_seconds:
            return known["trained"]
        _start_anew(Path(job.workspace))
    try:
        trained = asdict(train(job, say))
    except FloatingPointError as error:
        raise BadInput(
            f"Training failed: {error}.", next_step="Lower the learning rate, or train in float32."
        ) from error
    partial = result.with_suffix(".partial")
    kept = {"key": key, "budget_seconds": job.budget_seconds, "trained": trained}
    partial.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    partial.replace(result)
    return trained


def _start_anew(workspace: Path) -> None:
    from insource.adapt.lora.trainer import checkpoint

    checkpoint.clear(workspace / "checkpoints")


def job_key(job: Job) -> str:
    """Of everything that the adapter depends on but the budget: what is left of it differs each time that a training
    is gone on with, and how many steps it has room for stands in the checkpoint."""
    without = ("workspace", "probes", "base", "budget_seconds")
    known = {key: value for key, value in asdict(job).items() if key not in without}
    base = Path(job.base)
    files = [base] if base.is_file() else sorted(base.glob("*.safetensors")) + sorted(base.glob("*.json"))
    return content_address([known, [[path.name, file_sha256(path)] for path in files]])


def train(job: Job, say: Say) -> Trained:
    from insource.adapt.lora.trainer.adapters import device_here, has_unsloth, with_adapter
    from insource.adapt.lora.trainer.libraries import torch

    torch.set_num_threads(job.threads)
    if device_here() == "cuda" and has_unsloth():
        import unsloth  # pyright: ignore[reportMissingImports, reportUnusedImport] # noqa: F401 - patches what follows
    base, model = with_adapter(Path(job.base), Path(job.workspace), job.settings, seed=job.seed)
    return _trained(job, say, base, model=model)


def _trained(job: Job, say: Say, base: Any, *, model: Any) -> Trained:
    from insource.adapt.lora.trainer.adapters import device_here
    from insource.adapt.lora.trainer.answers import answered
    from insource.adapt.lora.trainer.checkpoint import State
    from insource.adapt.lora.trainer.loop import Learner, Loop
    from insource.adapt.lora.trainer.plan import held_apart
    from insource.adapt.lora.trainer.precision import faster_precision
    from insource.adapt.lora.trainer.render import Renderer

    renderer = Renderer(base.tokenizer, base.end_tokens)
    rows = [renderer.row(row.request, row.answer, weight=row.weight) for row in job.rows]
    fitting = [row for row in rows if len(row.ids) <= job.settings.most_tokens]
    if not fitting:
        raise BadInput("No row is short enough to train on.", next_step="Raise `most_tokens`, or give shorter rows.")
    trained, held = held_apart(len(fitting), share=job.settings.held_share, most=job.settings.most_held, seed=job.seed)
    device = device_here()
    shape = base.model.config
    precision = job.precision or faster_precision(shape.hidden_size, shape.intermediate_size, device)
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    learner = Learner(model=model, parameters=parameters, pad=renderer.end, device=device)
    state = State(key=job_key(job), precision=precision)
    loop = Loop(
        job,
        learner,
        state,
        report=_reporting(say),
        saved=lambda folder: say("checkpoint", str(folder)),
    )
    ended = loop.run([fitting[place] for place in trained], [fitting[place] for place in held])
    adapter = Path(job.workspace) / "adapter"
    model.save_pretrained(str(adapter))
    probes = answered(learner, renderer, job.probes, most_tokens=job.most_answer_tokens) if job.probes else []
    return Trained(
        adapter=str(adapter),
        steps=state.step,
        planned_steps=state.planned_steps,
        rows=len(trained),
        held=len(held),
        too_long=len(rows) - len(fitting),
        losses=state.losses,
        held_losses=state.held_losses,
        best_epoch=_best(state.held_losses or state.losses),
        ended=ended,
        precision="bfloat16" if state.precision == "bfloat16" else "float32",
        compute=Compute(
            flops=state.flops, seconds=state.seconds, processor_seconds=state.processor_seconds, device=device
        ),
        versions=_versions(),
        probes=probes,
        seed=job.seed,
    )


def _best(losses: Sequence[float]) -> int:
    """The epoch whose values were kept, counted from 1."""
    return losses.index(min(losses)) + 1 if losses else 0


def _reporting(say: Say) -> Any:
    last = time.monotonic()

    def report(state: Any, loss: float, left: float | None) -> None:
        nonlocal last
        if time.monotonic() - last >= 0.5 or state.step >= state.planned_steps:
            last = time.monotonic()
            progress = Progress(step=state.step, steps=state.planned_steps, loss=loss, seconds_left=left)
            say("progress", asdict(progress))

    return report


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "peft", "tokenizers")}


if __name__ == "__main__":
    sys.exit(main())
