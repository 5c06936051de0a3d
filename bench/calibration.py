"""Is a confidence what it says? Calibration error on evidence that no candidate has learnt from or was gated on.

    python bench/calibration.py [HOME]

`head` on Banking77 (ten intents), `span` on restaurant8k; with a HOME that bench/adapt_ladder.py left (`slots`), all of
its candidates, the trained one too: nothing is trained here. The error is the mean distance between confidence and
share of right answers over ten bins of equal width, weighted by their answers; its interval is a bootstrap's (95 %).

Answers in fields have two scales: the candidate's own probability of an answer, and what its gate compares, which is
one less the loss among answers at least as sure (`evals/certainty.py`). The second promises nothing of a single
answer, so beside it stands what it promises: the share that is right of all at least as sure.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from bench.adapt_data import RESULTS, data_folder, share
from bench.adapt_ladder import exchange, messages_of

from insource.cli.session import load_settings
from insource.core.evidence import Outcome
from insource.evals.certainty import Certainty, load_certainty, says_nothing
from insource.wiring import open_services
from insource.workflows.prove.adapt import Rung, Wish, adapt_task
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.services import Services

Values = npt.NDArray[np.float64]

_MOST = 0.05
_BINS = 10
_DRAWS = 2_000


def error(confidence: Values, right: Values) -> float:
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def own_confidence(certainty: Certainty, outcome: Outcome) -> float:
    """The candidate's, of what the gate compares: the curve rises, so it is the knot that has this value."""
    curve = certainty.empty if says_nothing(outcome.answer) else certainty.others
    if not curve.values or outcome.confidence < curve.values[0]:
        return 0.0
    return curve.confidences[int(np.argmin(np.abs(np.array(curve.values) - outcome.confidence)))]


def promised(outcomes: Sequence[Outcome]) -> list[str]:
    """Of the gate's scale, among empty answers and among others."""
    lines: list[str] = []
    for gate in (0.98, 0.95, 0.9):
        for name, wanted in (("empty", True), ("not empty", False)):
            inside = [o for o in outcomes if o.confidence >= gate and says_nothing(o.answer) is wanted]
            right = sum(o.loss_local == 0 for o in inside)
            lines.append(f"  at least as sure as {gate:.2f}, {name}: right {share(right, len(inside))}")
    return lines


def told(name: str, confidence: Values, right: Values) -> list[str]:
    drawn = np.random.default_rng(0)
    places = (drawn.integers(0, len(right), len(right)) for _ in range(_DRAWS))
    low, high = np.quantile([error(confidence[at], right[at]) for at in places], [0.025, 0.975])
    found = error(confidence, right)
    met = "met" if found <= _MOST else "missed"
    lines = [
        f"{name}: {len(right)} answers, {right.mean():.1%} right, mean confidence {confidence.mean():.1%}; "
        f"calibration error {found:.3f} [{low:.3f}, {high:.3f}], at most {_MOST:g} wanted: {met}"
    ]
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    for place in range(_BINS):
        inside = bins == place
        if inside.any():
            said, was = confidence[inside].mean(), right[inside].mean()
            span = f"{place / _BINS:.1f} to {(place + 1) / _BINS:.1f}"
            lines.append(f"  {span}: {inside.sum():5} answers, confidence {said:.3f}, right {was:.3f}")
    return lines


def rung_lines(services: Services, rung: Rung, task: str) -> list[str]:
    outcomes = [o for o in rung.outcomes if o.answered]
    if not outcomes or rung.trial is None:
        return []
    name = f"{rung.recipe} on {task}"
    right = np.array([float(o.loss_local == 0) for o in outcomes])
    gated = np.array([o.confidence for o in outcomes])
    candidates = {candidate.id: candidate for candidate in services.registry.candidates()}
    sha256 = candidates[rung.trial.candidate_id or ""].terms.certainty_sha256
    if sha256 is None:
        return told(name, gated, right)
    certainty = load_certainty(services.registry.artifact(sha256))
    own = np.array([own_confidence(certainty, outcome) for outcome in outcomes])
    lines = told(f"{name}, probability of an answer", own, right)
    return [*lines, *told(f"{name}, scale of the gate", gated, right), *promised(outcomes)]


async def measured(task: str, home: Path, folder: Path | None, recipes: Sequence[str]) -> list[str]:
    """Without a data folder the log is the home's own."""
    with open_services(load_settings(home=home, margin=0.05)) as services:
        if folder is not None:
            rows = messages_of(task, folder, 4000)
            services.exchanges.append(exchange(number, row, calls=False) for number, row in enumerate(rows))
            find_tasks(services)
        (found,) = services.registry.tasks()
        lines: list[str] = []
        for recipe in recipes:
            ladder = await adapt_task(services, found, wish=Wish(recipes=[recipe], terms_noticed=True))
            for rung in ladder.rungs:
                lines += rung_lines(services, rung, task)
        return lines


async def main() -> None:
    folder = data_folder()
    if folder is None:
        print("skipped: shared data not found")
        return
    with tempfile.TemporaryDirectory() as own:
        lines = await measured("banking", Path(own) / "banking", folder, ["head"])
        lines += await measured("slots", Path(own) / "slots", folder, ["span"])
    if len(sys.argv) > 1:
        lines += await measured("slots", Path(sys.argv[1]), None, ["lora"])
    text = "\n".join(lines)
    print(text)
    (RESULTS / "calibration.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
