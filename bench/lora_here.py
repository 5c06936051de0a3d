"""LoRA on the default model on this machine: minutes, memory, share of right answers, and whether the served file is
what was trained.

    python bench/lora_here.py banking|slots [EXAMPLES] [EPOCHS] [FOLDER]      (needs the extra `adapt`)

Banking77, ten intents, 400 examples; restaurant8k, 400 examples, slots as JSON. Served by our worker: the adapter over
the default model's own four bits, and over the model widened to 16 bit, which the gate compares with the trainer. With
a FOLDER the training stays there, and a second run goes on from it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bench.adapt_data import (
    RESULTS,
    Labelled,
    Patient,
    answers,
    as_object,
    banking,
    data_folder,
    default_model,
    engine_settings,
    model_file,
    peak_gigabytes_of_children,
    restaurant,
    share,
    slot_figures,
)

from insource.adapt.asking import joint_confidence
from insource.adapt.equivalence import Equivalence, compare, served
from insource.adapt.files.gguf import read_gguf
from insource.adapt.lora.job import Hyperparameters, Job, Progress, Row, Trained
from insource.adapt.lora.run import train
from insource.adapt.lora.to_gguf import facts_of_gguf, write_adapter
from insource.adapt.quantize.convert import widen
from insource.core.cores import usable_cores
from insource.core.ports import Upstream
from insource.engines.adapters import AdaptedEngine
from insource.engines.llamacpp import LlamaCppEngine
from insource.wire.chat import answer_text

_PROBES = 100
_NAME = "task"


async def main() -> None:
    task = sys.argv[1] if len(sys.argv) > 1 else "banking"
    examples = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    folder = data_folder()
    if folder is None or find_spec("torch") is None:
        print("skipped: shared data not found" if folder is None else "skipped: the extra `adapt` is not installed")
        return
    learnt, asked = (banking if task == "banking" else restaurant)(folder)
    asked = asked[: 400 if task == "banking" else 1200]
    lines = [f"{task}: {examples} examples, {epochs} epochs, asked {len(asked)} messages that were not learnt"]
    with tempfile.TemporaryDirectory() as work:
        lines += await _run(Path(sys.argv[4] if len(sys.argv) > 4 else work), learnt[:examples], asked, epochs)
    text = "\n".join(lines)
    print(text)
    (RESULTS / f"lora_here_{task}_{examples}.txt").write_text(text + "\n", encoding="utf-8")


async def _run(work: Path, learnt: Sequence[Labelled], asked: Sequence[Labelled], epochs: int) -> list[str]:
    base, adapter = default_model(), work / "adapter.gguf"
    began = time.monotonic()
    trained = train(
        Job(
            base=str(base),
            workspace=str(work / "training"),
            rows=[Row(request=row.request, answer=row.answer) for row in learnt],
            probes=[row.request for row in asked[:_PROBES]],
            settings=Hyperparameters(epochs=epochs),
            threads=usable_cores(),
        ),
        progress=_shown,
    )
    minutes = (time.monotonic() - began) / 60
    facts = facts_of_gguf(read_gguf(base))
    write_adapter(Path(trained.adapter), adapter, facts)
    lines = _training(trained, minutes)
    lines.append(f"before: {await _figures(base, None, asked[:100])}")
    lines.append(f"served over the default model: {await _figures(base, adapter, asked)}")
    widened = widen(base, work / "f16.gguf").path
    lines.append(f"served over F16: {await _figures(widened, adapter, asked[:_PROBES])}")
    gate = await _gate(widened, adapter, asked[:_PROBES], trained)
    lines.append(
        f"gate, F16 and adapter: prompts {gate.same_prompts}, token ids {gate.same_tokens}, answers "
        f"{gate.same_answers} of {gate.probes} equal; log-probabilities differ by {gate.median_logprob_change} in the "
        f"median; {gate.reason or 'passed'}"
    )
    return lines


def _shown(progress: Progress) -> None:
    left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
    print(f"\r{progress.step}/{progress.steps} loss {progress.loss:.3f}{left}   ", end="", file=sys.stderr, flush=True)


def _training(trained: Trained, minutes: float) -> list[str]:
    compute = trained.compute
    return [
        f"minutes in all {minutes:.1f}, of training {compute.seconds / 60:.1f}, of one processor "
        f"{compute.processor_seconds / 60:.1f}; {peak_gigabytes_of_children():.1f} GB; {trained.precision}; "
        f"{compute.flops:.2e} operations",
        f"steps {trained.steps} of {trained.planned_steps}; rows {trained.rows}, held {trained.held}; held losses "
        f"{', '.join(f'{loss:.3f}' for loss in trained.held_losses)}; kept epoch {trained.best_epoch}; {trained.ended}",
    ]


async def _figures(base: Path, adapter: Path | None, asked: Sequence[Labelled]) -> str:
    adapters = {} if adapter is None else {_NAME: adapter}
    most_tokens = 96 if asked[0].answer.startswith("{") else 16
    engine = LlamaCppEngine(model_file(base), engine_settings(), adapters=adapters)
    await engine.start()
    try:
        asker: Upstream = AdaptedEngine(engine, _NAME) if adapter else engine
        found = await answers(asker, [row.request for row in asked], most_tokens=most_tokens)
    finally:
        await engine.stop()
    texts = [answer_text(completion) or "" for completion in found]
    if not asked[0].answer.startswith("{"):
        return f"right {share(sum(t.strip() == row.answer for t, row in zip(texts, asked, strict=True)), len(asked))}"
    pairs = [(as_object(text), as_object(row.answer)) for text, row in zip(texts, asked, strict=True)]
    f1, exact = slot_figures(pairs)
    sure = sorted(
        ((joint_confidence(c), one == other) for c, (one, other) in zip(found, pairs, strict=True)), reverse=True
    )
    return f"F1 {f1:.3f}, exact {share(exact, len(asked))}; covered at 2, 5 and 10 % risk {coverages(sure)}"


def coverages(sure: Sequence[tuple[float, bool]]) -> str:
    """Largest share of the surest answers with at most this share of wrong ones; empirical, not certified."""
    told: list[str] = []
    for risk in (0.02, 0.05, 0.10):
        wrong, best = 0, 0
        for n, (_, right) in enumerate(sure, start=1):
            wrong += not right
            best = n if wrong <= risk * n else best
        told.append(f"{best / len(sure):.2f}")
    return ", ".join(told)


async def _gate(base: Path, adapter: Path, asked: Sequence[Labelled], trained: Trained) -> Equivalence:
    engine = LlamaCppEngine(model_file(base), engine_settings(1), adapters={_NAME: adapter})
    await engine.start()
    try:
        requests = [row.request for row in asked]
        found = await served(Patient(AdaptedEngine(engine, _NAME)), requests, trained.probes)
    finally:
        await engine.stop()
    return compare(trained.probes, found)


if __name__ == "__main__":
    asyncio.run(main())
