"""Fits the constants of `fit/coefficients.py` on published runs, and says how far off they are on GPUs that they were
not fitted on. `python bench/fit_speed.py --write` replaces the table that ships.

The runs (tests/fit_rows.py says which and why) are third parties': many users, builds and drivers. Seconds per token
are linear in the work (fit/work.py). The coefficients minimise a robust loss (pseudo-Huber) of the log error, under a
weak prior: first one set for all, then, with that as the prior, one set for each backend and engine. A run weighs
1/sqrt(runs on its GPU), because the constants are for GPUs that are not there. Scoring: five folds by GPU; the
interval's width comes from leaving out one GPU after the other among those fitted on.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from tests.fit_rows import Run, read_runs, unusable, unusable_prefill

from insource.fit.speed import decode_work, prefill_work
from insource.fit.work import DecodeWork, PrefillWork

OUT = Path(__file__).parent / "results" / "fit_speed.txt"
TABLE = Path(__file__).parents[1] / "src" / "insource" / "fit" / "coefficients.py"
Floats = npt.NDArray[np.float64]
FOLDS = 5
SCALE = 0.15
"""Log errors beyond it count linearly: a wrongly labelled run must not bend the rest."""
TRUST_GPUS = 4.0
"""An interval's width is that of its own backend and engine as far as more GPUs than these speak for it."""
COVERED = 0.8


Work = DecodeWork | PrefillWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Of one coefficient each: a first guess, its uncertainty (log), and the least that is possible. A guess of 0:
    not used."""

    mode: Floats
    spread: Floats
    least: Floats

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        return self.mode > 0


def _prior(*rows: tuple[float, float, float]) -> Prior:
    mode, spread, least = np.array(rows).T
    return Prior(mode=mode, spread=spread, least=least)


DECODE = _prior(
    (1.2, 0.1, 1.05),  # weights: no device reads faster than its nominal bandwidth
    (1.6, 0.4, 1.05),  # cache
    (0.0, 1.0, 0.0),  # arithmetic: a GPU's is hidden behind reading
    (4.0, 0.7, 0.01),  # unpacking
    (0.0, 1.0, 0.0),  # attention: likewise
    (200e-6, 1.0, 1e-6),  # step
    (20e-6, 0.7, 1e-7),  # blocks: some ten kernels of 2 to 4 microseconds
    (40e-6, 0.7, 1e-7),  # expert blocks
    (20e-6, 0.7, 1e-7),  # recurrent blocks
)
PREFILL = _prior(
    (1.2, 0.1, 1.05),  # weights
    (2.0, 0.7, 0.1),  # attention
    (10.0, 1.0, 0.1),  # recurrence: no matrix units
    (1.5, 0.5, 0.2),  # arithmetic: int8 units may beat the nominal fp16
    (1.0, 0.7, 1e-3),  # expert arithmetic
    (200e-6, 1.0, 1e-6),  # step
    (30e-6, 0.7, 1e-7),  # blocks
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    run: Run
    gpu: str
    family: str
    """Backend and engine."""
    work: Work
    seconds: float


Fitted = Mapping[str, Floats]
"""Coefficients by family; `any` is fitted on all."""


def decode_samples(runs: Sequence[Run]) -> list[Sample]:
    return [_sample(run, decode_work, run.decode) for run in runs if unusable(run) is None]


def prefill_samples(runs: Sequence[Run]) -> list[Sample]:
    usable = [run for run in runs if unusable(run) is None and unusable_prefill(run) is None]
    return [_sample(run, prefill_work, run.prefill) for run in usable]


def _sample(run: Run, work: Callable[..., Work], speed: float | None) -> Sample:
    assert run.spec is not None
    assert speed
    load = run.load if work is decode_work else run.prompt_load
    return Sample(
        run=run,
        gpu=run.gpu,
        family=f"{run.whole.device.backend}/{load.engine}",
        work=work(run.spec, run.settings, load=load, part=run.whole),
        seconds=1 / speed,
    )


def gpu_weights(samples: Sequence[Sample]) -> Floats:
    count = Counter(sample.gpu for sample in samples)
    return np.array([count[sample.gpu] ** -0.5 for sample in samples])


def fit(samples: Sequence[Sample], prior: Prior) -> Floats:
    used = prior.used
    amounts = np.array([sample.work.amounts for sample in samples])[:, used]
    seconds = np.log([sample.seconds for sample in samples])
    weights = np.sqrt(gpu_weights(samples))
    mode, spread, least = np.log(prior.mode[used]), prior.spread[used], np.log(prior.least[used])

    def residuals(logs: Floats) -> Floats:
        error = (np.log(amounts @ np.exp(logs)) - seconds) / SCALE
        robust = np.sign(error) * np.sqrt(2 * (np.sqrt(1 + error**2) - 1))
        return np.concatenate([robust * weights, (logs - mode) / spread])

    start = np.maximum(mode, least + 1e-6)
    coefficients = np.zeros(len(used))
    coefficients[used] = np.exp(least_squares(residuals, start, bounds=(least, np.full(len(mode), 30.0))).x)
    return coefficients


def fit_families(samples: Sequence[Sample], prior: Prior) -> dict[str, Floats]:
    together = fit(samples, prior)
    narrowed = Prior(mode=together, spread=prior.spread, least=prior.least)
    families = sorted({sample.family for sample in samples})
    return {"any": together} | {
        family: fit([sample for sample in samples if sample.family == family], narrowed) for family in families
    }


def log_error(sample: Sample, fitted: Fitted) -> float:
    """Of the predicted speed: above 0 it is too high."""
    chosen = fitted.get(sample.family, fitted["any"])
    return float(np.log(sample.seconds / np.dot(sample.work.amounts, chosen)))


def half_widths(samples: Sequence[Sample], prior: Prior) -> dict[str, float]:
    """Of 80 % intervals, by family, from errors on GPUs left out one after the other."""
    errors = np.empty(len(samples))
    for gpu in {sample.gpu for sample in samples}:
        fitted = fit_families([sample for sample in samples if sample.gpu != gpu], prior)
        for at, sample in enumerate(samples):
            if sample.gpu == gpu:
                errors[at] = abs(log_error(sample, fitted))
    together = _quantile(errors, gpu_weights(samples))
    widths = {"any": together}
    for family in {sample.family for sample in samples}:
        mine = [at for at, sample in enumerate(samples) if sample.family == family]
        own = _quantile(errors[mine], gpu_weights([samples[at] for at in mine]))
        gpus = len({samples[at].gpu for at in mine})
        widths[family] = (gpus * own + TRUST_GPUS * together) / (gpus + TRUST_GPUS)
    return widths


def _quantile(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][np.searchsorted(reached, COVERED)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    sample: Sample
    error: float
    """Of the log speed."""
    half_width: float

    @property
    def relative(self) -> float:
        return abs(np.exp(self.error) - 1)


def cross_validate(samples: Sequence[Sample], prior: Prior) -> list[Scored]:
    scored: list[Scored] = []
    for fold in folds(samples):
        train = [sample for sample in samples if sample.gpu not in fold]
        fitted, widths = fit_families(train, prior), half_widths(train, prior)
        scored += [
            Scored(
                sample=sample,
                error=log_error(sample, fitted),
                half_width=widths.get(sample.family, widths["any"]),
            )
            for sample in samples
            if sample.gpu in fold
        ]
    return scored


def folds(samples: Sequence[Sample]) -> list[set[str]]:
    """GPUs, the most frequent first, each into the fold that has the fewest runs."""
    made: list[set[str]] = [set() for _ in range(FOLDS)]
    size = [0] * FOLDS
    for gpu, count in Counter(sample.gpu for sample in samples).most_common():
        least = size.index(min(size))
        made[least].add(gpu)
        size[least] += count
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    runs: int
    median: float
    within_20: float
    covered: float


def score(scored: Sequence[Scored]) -> Score:
    relative = np.array([each.relative for each in scored])
    inside = [abs(each.error) <= each.half_width for each in scored]
    return Score(
        runs=len(scored),
        median=float(np.median(relative)),
        within_20=float(np.mean(relative <= 0.2)),
        covered=float(np.mean(inside)),
    )


def distinct(scored: Sequence[Scored]) -> list[Scored]:
    """Runs that repeat another's user, GPU, model and figures to the last digit count once."""
    kept: dict[object, Scored] = {}
    for each in scored:
        run = each.sample.run
        key = (run.gpu, run.row["user"]["id"], run.model, run.quantization, run.decode, run.prefill, run.depth_tokens)
        kept.setdefault(key, each)
    return list(kept.values())


# ------------------------------------------------------------------------------------------------------------- output


def table(title: str, scored: Sequence[Scored]) -> list[str]:
    def line(name: str, part: Sequence[Scored]) -> str:
        found = score(part)
        return f"{name:<36}{found.runs:>6}{found.median:>14.1%}{found.within_20:>12.1%}{found.covered:>16.1%}"

    lines = [title, "", f"{'':<36}{'runs':>6}{'median error':>14}{'within 20 %':>12}{'in the interval':>16}"]
    lines += [line("all", scored), line("repeats counted once", distinct(scored))]
    for by in ("family", "gpu"):
        groups: defaultdict[str, list[Scored]] = defaultdict(list)
        for each in scored:
            groups[getattr(each.sample, by)].append(each)
        lines.append("")
        lines += [line(f"  {name}", groups[name]) for name in sorted(groups, key=lambda name: -len(groups[name]))]
    return [*lines, ""]


def reasons(runs: Sequence[Run]) -> list[str]:
    count = Counter(unusable(run) or "usable" for run in runs)
    return [f"{number:>6}  {reason}" for reason, number in count.most_common()]


def coefficient_source(decode: Sequence[Sample], prefill: Sequence[Sample]) -> str:
    """The lines of the shipped table."""
    of = {True: (fit_families(decode, DECODE), half_widths(decode, DECODE))}
    of[False] = (fit_families(prefill, PREFILL), half_widths(prefill, PREFILL))
    lines: list[str] = []
    for family in sorted(of[True][0]):
        mine = [sample for sample in decode if family in ("any", sample.family)]
        gpus = len({sample.gpu for sample in mine})
        kinds = "kinds of GPU" if gpus > 1 else "kind of GPU"
        lines.append(f'    "{family}": Coefficients(')
        for name, kind, (fitted, _) in (("decode", DecodeWork, of[True]), ("prefill", PrefillWork, of[False])):
            values = fitted.get(family, fitted["any"])
            items = [f"{field.name}={value:.4g}" for field, value in zip(fields(kind), values, strict=True)]
            lines += [
                f"        {name}={kind.__name__}(",
                f"            {', '.join(items[:4])},",
                f"            {', '.join(items[4:])},",
                "        ),",
            ]
        for name, (_, widths) in (("decode", of[True]), ("prefill", of[False])):
            lines.append(f"        {name}_log_error={widths.get(family, widths['any']):.3f},")
        lines.append(f'        fitted_on="{len(mine)} published runs on {gpus} {kinds}",')
        lines.append("    ),")
    return "\n".join(lines)


def main() -> None:
    data = Path(os.environ.get("INSOURCE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not data.is_dir():
        print("skipped: shared data not found (set INSOURCE_DATA)")
        return
    runs = read_runs(data)
    decode, prefill = decode_samples(runs), prefill_samples(runs)
    lines = [
        "Published runs, distinct by id, by whether and why not their speed can be asked for",
        "",
        *reasons(runs),
        "",
    ]
    title = "on GPUs that the constants were not fitted on (5 folds by GPU); 80 % interval"
    lines += table(f"Decode, {title}", cross_validate(decode, DECODE))
    lines += table(f"Prefill, {title}", cross_validate(prefill, PREFILL))
    source = coefficient_source(decode, prefill)
    lines += ["The constants, fitted on all (seconds, or seconds over seconds at best)", "", source]
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    print(text)
    OUT.write_text(text, "utf-8")
    if "--write" in sys.argv:
        old = TABLE.read_text("utf-8")
        pattern = r"(_GPU: Mapping\[str, Coefficients\] = \{\n).*?(\n\}  # fmt: skip)"
        TABLE.write_text(re.sub(pattern, lambda m: m.group(1) + source + m.group(2), old, flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    main()
