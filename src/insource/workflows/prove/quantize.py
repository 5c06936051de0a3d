"""`insource quantize`: a model in fewer bits, and what that costs on a task's own requests.

Of every file: bytes, divergence of the next token (an alarm only), and on the task's requests the same answers, the
flips both ways, and a bound on the loss. Answers are kept as they come and a file is gone on with where it was cut, so
a killed run loses little. Only requests of the fit part are asked: evidence stays unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from insource.adapt.lora.rows import training_rows
from insource.adapt.quantize.convert import Converted, Importance, quantize, widen
from insource.adapt.quantize.divergence import Divergence, Position, asked, compare, positions
from insource.adapt.quantize.importance import measure_importance, read_importance
from insource.core.cores import usable_cores
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.ports import Engine
from insource.core.values import JsonObject, ModelFile, Task
from insource.evals.documents import plain
from insource.stats.intervals import clopper_pearson_upper
from insource.stats.paired import mcnemar_exact
from insource.workflows.asking import Local
from insource.workflows.prove.answers import Answerer, Budget
from insource.workflows.prove.evaluate import begin
from insource.workflows.prove.task_log import TaskLog
from insource.workflows.services import Progress, Services, engine_settings, quiet

TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
"""By default: those that need no importance matrix."""
_DIVERGENCE_REQUESTS = 8
_IMPORTANCE_REQUESTS = 128
_LEAST_APART = 16
"""Requests that an importance matrix is measured on, at least, beside those that files are compared on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """Answers of a smaller file beside those of the original."""

    n: int
    same: int
    worse: int
    """Right before and wrong now; where nobody can tell right from wrong, every answer that changed."""
    better: int

    @property
    def mcnemar_p(self) -> float:
        return mcnemar_exact(worse=self.worse, better=self.better)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quant:
    """One file."""

    type_name: str
    file: Converted
    flips: Flips
    divergence: Divergence
    loss_upper: float
    """Bound on the share of answers that were right and are wrong now, over all files of the run together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quants:
    original_bytes: int
    """Of the 16-bit file that all were made of."""
    rows: tuple[Quant, ...]
    recommended: str | None
    """The smallest whose loss on this task is bounded by the margin; None: of none it is shown."""


def recommended(rows: Sequence[Quant], *, margin: float) -> str | None:
    bounded = [row for row in rows if row.loss_upper <= margin]
    return min(bounded, key=lambda row: row.file.size_bytes).type_name if bounded else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Smaller:
    """What is to be made of a model."""

    folder: Path
    """Where the files stay."""
    types: Sequence[str] = TYPES
    requests: int = 200
    """That the files are compared on, at most."""
    importance: Path | Literal["measure"] | None = None
    """A matrix in llama.cpp's GGUF form, or one to be measured on the task's own requests; None: all columns count
    alike."""


async def quantize_model(
    services: Services, task: Task, model: ModelFile, *, wanted: Smaller, progress: Progress = quiet
) -> Quants:
    """Raises UsageError without the extra or for an unknown type, BadInput."""
    log = begin(services, task, budget=None, progress=progress).log
    examples, apart = _apart(_examples(log), wanted.requests)
    folder = _made(wanted.folder)
    wide = widen(model.path, folder / f"{model.path.stem}-F16.gguf", progress=_telling(progress, "F16"))
    importance = _importance(wide.path, apart, wanted, progress=progress)
    before = await _asked(services, log, _as_file(wide), examples=examples, progress=progress)
    rows: list[Quant] = []
    for name in wanted.types:
        target = folder / f"{model.path.stem}-{name}{'-imatrix' if importance else ''}.gguf"
        made = quantize(wide.path, target, name, importance=importance, progress=_telling(progress, name))
        after = await _asked(services, log, _as_file(made), examples=examples, progress=progress, places=before.places)
        flips = flips_of(log, examples, before=before.answers, after=after.answers)
        alpha = (1 - services.settings.confidence) / len(wanted.types)
        rows.append(
            Quant(
                type_name=name,
                file=made,
                flips=flips,
                divergence=compare(before.told, after.told),
                loss_upper=clopper_pearson_upper(flips.worse, flips.n, alpha=alpha),
            )
        )
    chosen = recommended(rows, margin=services.settings.margin)
    return Quants(original_bytes=wide.size_bytes, rows=tuple(rows), recommended=chosen)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def flips_of(log: TaskLog, examples: Sequence[Example], *, before: dict[str, str], after: dict[str, str]) -> Flips:
    """Of requests that both answered."""
    n = same = worse = better = 0
    for example in examples:
        if example.exchange_id not in before or example.exchange_id not in after:
            continue
        one, other = before[example.exchange_id], after[example.exchange_id]
        n += 1
        same += one == other
        if log.scoring is None:
            worse += one != other
            continue
        change = log.scoring.loss_local(other, example) - log.scoring.loss_local(one, example)
        worse += change > 0
        better += change < 0
    return Flips(n=n, same=same, worse=worse, better=better)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    answers: dict[str, str]
    places: Sequence[Position]
    told: Sequence[dict[int, float] | None]


def _examples(log: TaskLog) -> list[Example]:
    """One a cluster, greedily asked."""
    chosen: dict[str, Example] = {}
    for example in log.of("fit"):
        if example.teaches:
            chosen.setdefault(example.cluster, replace(example, request={**example.request, "temperature": 0}))
    if not chosen:
        raise BadInput("The task has no requests to compare on.", next_step="Run `insource import` first.")
    return list(chosen.values())


def _apart(examples: Sequence[Example], most: int) -> tuple[Sequence[Example], Sequence[Example]]:
    """(to compare on, to measure importance on): a file must not be judged by the requests that shaped it."""
    compared = min(most, max(len(examples) - _LEAST_APART, len(examples) // 2, 1))
    return examples[:compared], examples[compared : compared + _IMPORTANCE_REQUESTS]


def _importance(base: Path, examples: Sequence[Example], wanted: Smaller, *, progress: Progress) -> Importance | None:
    """Raises UsageError without the extra, BadInput."""
    if wanted.importance is None:
        return None
    if wanted.importance != "measure":
        return read_importance(wanted.importance)
    if not examples:
        raise BadInput(
            "The task has too few requests to measure what matters for it.",
            next_step="Import more of them, or leave out --importance.",
        )
    target = wanted.folder / f"{base.stem}.imatrix.gguf"
    progress("Measuring which weights matter", 0, None)
    rows = training_rows((example.request, example.reference) for example in examples)
    measure_importance(base, rows, target, threads=usable_cores())
    return read_importance(target)


async def _asked(
    services: Services,
    log: TaskLog,
    file: ModelFile,
    *,
    examples: Sequence[Example],
    progress: Progress,
    places: Sequence[Position] | None = None,
) -> _Said:
    settings = engine_settings(services)
    engine: Engine = services.make_engine(file, settings)
    await engine.start()
    try:
        answerer = Answerer(
            services=services,
            local=Local(model=file.ref, engine=engine),
            model=file.sha256,
            settings=settings,
            budget=Budget(now=services.clock.monotonic),
        )
        what = f"{log.task.name}: asking {file.path.name}"
        found = await answerer.answers(examples, progress=lambda done: progress(what, done, len(examples)))
        if places is None:
            places = await positions(engine, [e.request for e in examples[:_DIVERGENCE_REQUESTS]])
        progress(f"Comparing {file.path.name}: {log.task.name}", 0, None)
        told = [None if each is None else dict(each) for each in await asked(engine, places)]
    finally:
        await engine.stop()
    answers = {id: each.answer.text for id, each in found.items() if each.answer is not None}
    return _Said(answers=answers, places=places, told=told)


def _telling(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(f"Writing {name}", done, total)


def _as_file(made: Converted) -> ModelFile:
    return ModelFile(
        ref=f"file:{made.path}", path=made.path, sha256=made.sha256, size_bytes=made.size_bytes, source="file"
    )


def quants_json(found: Quants) -> JsonObject:
    rows = [{**plain(row), "mcnemar_p": row.flips.mcnemar_p} for row in found.rows]
    return {"original_bytes": found.original_bytes, "recommended": found.recommended, "files": rows}
