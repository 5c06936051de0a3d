"""Fits the constants of `fit/coefficients.json` on published speeds, and says how far off they are on devices that they
were not fitted on. `python bench/fit_speed.py --write` replaces the table that ships.

The rows (tests/fit_measured.py says which) are third parties': many users, builds and drivers; what each source's
engine was is a label of its own, and engines that nobody would run today are left out of what ships. Seconds per token
are linear in the work (fit/work.py); `fit_regression.py` says how the coefficients are found. A row weighs
1/sqrt(rows on its device), because the constants are for devices that are not there.

Scoring: five folds by device. The interval's width is the 80 % quantile of the errors of a vendor's rows, each
predicted by constants that had not seen its device. Coverage is shown twice: with that width, which is 80 % over all
rows by construction, and with a width from the other folds alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from bench.fit_regression import Fitted, Prior, Question, fit
from tests.fit_measured import Measured, read_measured

from insource.fit.coefficients import labels_of
from insource.fit.speed import decode_work, prefill_work
from insource.fit.work import DecodeWork, PrefillWork, weight_bytes_read

OUT = Path(__file__).parent / "results" / "fit_speed.txt"
TABLE = Path(__file__).parents[1] / "src" / "insource" / "fit" / "coefficients.json"
Phase = Literal["decode", "prefill"]
FOLDS = 5
COVERED = 0.8
_FOREIGN = ("llamafile", "August 2025")
"""Engines that no one would run today: their factors are not shipped."""
_DIGITS = 4


def _prior(*rows: tuple[float, float, float]) -> Prior:
    guess, spread, factor = np.array(rows).T
    return Prior(guess=guess, spread=spread, factor_spread=factor)


DECODE = _prior(
    (1.2, 0.1, 0.1),  # weights: the nominal bandwidth and what comes with it
    (1.6, 0.4, 0.25),  # cache
    (2.0, 0.7, 0.45),  # arithmetic, of CPUs
    (4.0, 0.7, 0.3),  # unpacking
    (5.0, 1.0, 0.3),  # attention, of CPUs
    (200e-6, 1.0, 0.4),  # step
    (20e-6, 0.7, 0.55),  # blocks: some ten kernels of 2 to 4 microseconds
    (40e-6, 0.7, 0.3),  # expert blocks
    (20e-6, 0.7, 0.3),  # recurrent blocks
)
PREFILL = _prior(
    (1.2, 0.1, 0.1),  # weights
    (2.0, 0.7, 0.4),  # attention
    (10.0, 1.0, 0.4),  # recurrence: no matrix units
    (2.5, 0.5, 0.5),  # arithmetic
    (1.0, 0.7, 0.5),  # expert arithmetic
    (200e-6, 1.0, 0.5),  # step
    (30e-6, 0.7, 0.6),  # blocks
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    row: Measured
    question: Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    row: Measured
    error: float
    """Of the log speed: above 0 the prediction is too high."""
    fold: int
    rule_error: float
    """The same of the rule "0.7 x bandwidth over what is read"; not a number for prompts."""

    @property
    def relative(self) -> float:
        return abs(float(np.exp(self.error)) - 1)


def samples_of(rows: Sequence[Measured], phase: Phase) -> list[Sample]:
    used = [row for row in rows if (row.decode if phase == "decode" else row.prefill)]
    count = Counter(row.device for row in used)
    return [Sample(row=row, question=_question(row, phase, count[row.device] ** -0.5)) for row in used]


def _question(row: Measured, phase: Phase, weight: float) -> Question:
    work: Callable[..., DecodeWork | PrefillWork] = decode_work if phase == "decode" else prefill_work
    loads, speed = (row.decode_loads, row.decode) if phase == "decode" else (row.prefill_loads, row.prefill)
    assert speed
    amounts = np.array([work(row.spec, row.settings, load=load, part=row.part).amounts for load in loads])
    device = row.part.device
    labels = tuple(labels_of(device.backend, row.engine, device.generation))
    return Question(amounts=amounts, labels=labels, log_speed=float(np.log(speed)), weight=weight)


def cross_validate(samples: Sequence[Sample], prior: Prior) -> list[Scored]:
    scored: list[Scored] = []
    for number, fold in enumerate(folds([sample.row.device for sample in samples])):
        fitted = fit([sample.question for sample in samples if sample.row.device not in fold], prior)
        scored += [_score(sample, fitted, number) for sample in samples if sample.row.device in fold]
    return scored


def _score(sample: Sample, fitted: Fitted, fold: int) -> Scored:
    asked, row = sample.question, sample.row
    rule = 0.7 * row.part.bandwidth / weight_bytes_read(row.spec)
    return Scored(
        row=row,
        error=fitted.log_speed(asked.amounts, asked.labels) - asked.log_speed,
        fold=fold,
        rule_error=float(np.log(rule)) - asked.log_speed,
    )


def folds(devices: Sequence[str]) -> list[set[str]]:
    """Devices, the most frequent first, each into the fold that has the fewest rows."""
    made: list[set[str]] = [set() for _ in range(FOLDS)]
    size = [0] * FOLDS
    for device, count in Counter(devices).most_common():
        least = size.index(min(size))
        made[least].add(device)
        size[least] += count
    return made


def half_width(scored: Iterable[Scored]) -> float:
    errors = [abs(each.error) for each in scored]
    return float(np.quantile(errors, COVERED)) if errors else 1.0


def half_widths(scored: Sequence[Scored]) -> dict[str, float]:
    """By vendor; `other`: the widest, for devices that no row speaks for."""
    vendors = sorted({each.row.vendor for each in scored})
    widths = {vendor: half_width(each for each in scored if each.row.vendor == vendor) for vendor in vendors}
    return {**widths, "other": max(widths.values())}


def covered(scored: Sequence[Scored], everything: Sequence[Scored]) -> tuple[float, float]:
    """The share inside the interval; and with each fold's width from the others alone."""
    widths = half_widths(everything)
    inside = [abs(each.error) <= widths[each.row.vendor] for each in scored]
    elsewhere: dict[tuple[str, int], float] = {}
    apart: list[bool] = []
    for each in scored:
        key = (each.row.vendor, each.fold)
        if key not in elsewhere:
            others = [one for one in everything if one.row.vendor == key[0] and one.fold != key[1]]
            elsewhere[key] = half_width(others) if others else widths["other"]
        apart.append(abs(each.error) <= elsewhere[key])
    return float(np.mean(inside)), float(np.mean(apart))


def distinct(scored: Sequence[Scored]) -> list[Scored]:
    """Rows that repeat another's user, device, model and figures to the last digit count once."""
    kept: dict[object, Scored] = {}
    for each in scored:
        kept.setdefault((each.row.source, each.row.repeats), each)
    return list(kept.values())


# ------------------------------------------------------------------------------------------------------------- output


def table(title: str, scored: Sequence[Scored], *, rule: bool) -> list[str]:
    def line(name: str, part: Sequence[Scored]) -> str:
        relative = np.array([each.relative for each in part])
        inside, apart = covered(part, scored)
        plain = np.median([abs(np.exp(each.rule_error) - 1) for each in part])
        shown = f"{plain:>12.1%}" if rule else ""
        figures = f"{np.median(relative):>9.1%}{np.mean(relative <= 0.2):>11.1%}{inside:>10.1%}{apart:>14.1%}"
        return f"{name[:42]:<44}{len(part):>6}{figures}{shown}"

    head = f"{'':<44}{'rows':>6}{'median':>9}{'within 20%':>11}{'inside':>10}{'other folds':>14}"
    lines = [title, "", head + (f"{'0.7 x bw':>12}" if rule else "")]
    lines += [line("all", scored), line("repeats counted once", distinct(scored))]
    for by in (lambda row: row.vendor, lambda row: f"{row.source}, {row.vendor}", lambda row: row.device):
        groups: defaultdict[str, list[Scored]] = defaultdict(list)
        for each in scored:
            groups[by(each.row)].append(each)
        lines.append("")
        lines += [line(f"  {name}", groups[name]) for name in sorted(groups, key=lambda name: -len(groups[name]))]
    return [*lines, ""]


def document(samples: Mapping[Phase, Sequence[Sample]], scored: Mapping[Phase, Sequence[Scored]]) -> dict[str, Any]:
    """What ships."""
    kinds: Mapping[Phase, tuple[type[Any], Prior]] = {"decode": (DecodeWork, DECODE), "prefill": (PrefillWork, PREFILL)}
    made: dict[str, Any] = {"about": "Written by bench/fit_speed.py; read by coefficients.py."}
    for phase, (kind, prior) in kinds.items():
        fitted = fit([sample.question for sample in samples[phase]], prior)
        names = [field.name for field in fields(kind)]
        part = {"base": _named(names, fitted.base)}
        for label, factors in fitted.factors.items():
            kept = {name: value for name, value in _named(names, factors).items() if abs(value - 1) >= 0.005}
            if kept and not any(word in label for word in _FOREIGN):
                part[label] = kept
        made[phase] = part
    widths = {phase: half_widths(scored[phase]) for phase in kinds}
    made["log_error"] = {
        vendor: {phase: round(widths[phase].get(vendor, widths[phase]["other"]), 3) for phase in kinds}
        for vendor in widths["decode"]
    }
    made["fitted_on"] = {vendor: _fitted_on(samples["decode"], vendor) for vendor in widths["decode"]}
    return made


def _named(names: Sequence[str], values: Any) -> dict[str, float]:
    return {name: float(f"{value:.{_DIGITS}g}") for name, value in zip(names, values, strict=True)}


def _fitted_on(samples: Sequence[Sample], vendor: str) -> str:
    mine = [sample.row for sample in samples if vendor in ("other", sample.row.vendor)]
    kind = {"CPU": "processors", "Apple": "chips"}.get(vendor, "devices")
    maker = "" if vendor in ("CPU", "other") else f" by {vendor}"
    return f"{len(mine):,} published speeds on {len({row.device for row in mine})} {kind}{maker}"


def main() -> None:
    data = Path(os.environ.get("INSOURCE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not data.is_dir():
        print("skipped: shared data not found (set INSOURCE_DATA)")
        return
    read = read_measured(data)
    samples: dict[Phase, list[Sample]] = {"decode": samples_of(read.rows, "decode")}
    samples["prefill"] = samples_of(read.rows, "prefill")
    scored: dict[Phase, list[Scored]] = {"decode": cross_validate(samples["decode"], DECODE)}
    scored["prefill"] = cross_validate(samples["prefill"], PREFILL)
    lines = [f"{len(read.rows):,} published rows can be asked; not asked:", ""]
    lines += [f"{number:>6}  {reason}" for reason, number in Counter(read.left_out).most_common()]
    title = f"on devices that the constants were not fitted on ({FOLDS} folds by device); 80 % interval"
    lines += ["", *table(f"Decode, {title}", scored["decode"], rule=True)]
    lines += table(f"Prefill, {title}", scored["prefill"], rule=False)
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    print(text)
    OUT.write_text(text, "utf-8")
    if "--write" in sys.argv:
        TABLE.write_text(json.dumps(document(samples, scored), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
