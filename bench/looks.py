"""How often a candidate exactly at the margin is ever certified, however often one looks.

Every run is a task that is looked at 200 times while its log grows. One candidate after the other (recipes, models,
refits) is measured; each loses exactly the margin at every gate, so that each certificate is a false one. Their
recorded outcomes go through the ledger (`insource.evals.ledger.look`) with the budget that each rank may spend. Beside
it stands what testing all outcomes anew at every look would give, by an exact binomial bound at the same budget.

A ledger keeps the highest capital that any of its looks saw, so what the last look certifies is what any look did;
the first runs are looked at 200 times in earnest to show it.

    python bench/looks.py [RUNS] > bench/results/looks.txt
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.stats import beta
from tests.fakes.evidence import outcome

from insource.core.evidence import Outcome, Terms
from insource.evals.ledger import Stakes, look
from insource.stats.betting import log_capital
from insource.workflows.prove.attempts import alpha_of

MARGIN, ALPHA = 0.02, 0.05
RECIPES, MODELS, FITS = 4, 3, 2
CANDIDATES = RECIPES * MODELS * FITS
LOOKS, EVERY = 200, 6
"""Exchanges of evidence between two looks: 1,200 in all."""
SIZE = LOOKS * EVERY
IN_EARNEST = 3
TERMS = Terms(
    thresholds=(0.75, 0.6, 0.45, 0.3, 0.15, 0.0), coverages=(0.25, 0.4, 0.55, 0.7, 0.85, 1.0), first=3, new_share=1.0
)


class Recorded:
    """Outcomes with fixed confidences; which of them are lost is drawn."""

    def __init__(self, drawn: np.random.Generator) -> None:
        confidences = drawn.random(SIZE)
        self._right = [outcome(n, confidence=float(confidences[n])) for n in range(SIZE)]
        self._wrong = [replace(each, loss_local=1.0) for each in self._right]

    def outcomes(self, lost: npt.NDArray[np.bool_]) -> list[Outcome]:
        return [self._wrong[n] if wrong else self._right[n] for n, wrong in enumerate(lost.tolist())]


def certified(outcomes: Sequence[Outcome], rank: int) -> bool:
    """Whether a gate passed; that a loss per request can stop a move even then is not counted here."""
    ledger = look(TERMS, outcomes, Stakes(margin=MARGIN, alpha=alpha_of(rank, ALPHA))).ledger("new")
    return ledger is not None and ledger.gate is not None


def tested_anew(lost: npt.NDArray[np.bool_], alpha: float) -> bool:
    """Whether an exact upper bound on the loss of all outcomes so far lies within the margin, at any look."""
    n = np.arange(EVERY, SIZE + 1, EVERY)
    errors = np.cumsum(lost)[n - 1]
    return bool((beta.ppf(1 - alpha, errors + 1, n - errors) <= MARGIN).any())


def needed(risk: float, drawn: np.random.Generator) -> int:
    """Exchanges after which the first candidate's only gate is certified, at a true risk; SIZE: not by then."""
    lost = (drawn.random(SIZE) < risk).astype(float)
    passed = np.flatnonzero(log_capital(lost, MARGIN) >= math.log(1 / alpha_of(1, ALPHA)))
    return int(passed[0]) + 1 if len(passed) else SIZE


def share(found: Sequence[bool]) -> str:
    rate = float(np.mean(found))
    error = math.sqrt(rate * (1 - rate) / len(found))
    return f"{rate:6.1%}  (± {error:.1%}, {len(found)} runs)"


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    drawn = np.random.default_rng(20)
    recorded = Recorded(drawn)
    one: list[bool] = []
    one_anew: list[bool] = []
    many: list[bool] = []
    many_anew: list[bool] = []
    started = time.process_time()
    for run in range(runs):
        lost = drawn.random((CANDIDATES, SIZE)) < MARGIN
        found = [certified(recorded.outcomes(lost[k]), k + 1) for k in range(CANDIDATES)]
        if run < IN_EARNEST:
            held = recorded.outcomes(lost[0])
            looked = any(certified(held[:n], 1) for n in range(EVERY, SIZE + 1, EVERY))
            assert looked == found[0]
        one.append(certified(recorded.outcomes(lost[0]), 1))
        many.append(any(found))
        one_anew.append(tested_anew(lost[0], ALPHA))
        many_anew.append(any(tested_anew(row, ALPHA / (RECIPES * MODELS)) for row in lost))
    say = sys.stdout.write
    say(f"Candidates that lose exactly {MARGIN:.0%} more at every gate; {LOOKS} looks, one every {EVERY} exchanges.\n")
    say(f"Error budget of a task {ALPHA:.0%}. Seed 20, {time.process_time() - started:.0f} s of one core.\n\n")
    say(f"ever certified, {CANDIDATES} candidates ({RECIPES} recipes, {MODELS} models, {FITS} fits each)\n")
    say(f"  the ledger                                          {share(many)}\n")
    say(f"  tested anew at each look, the budget over {RECIPES * MODELS} of them {share(many_anew)}\n")
    say("ever certified, the first candidate alone\n")
    say(f"  the ledger (half of the budget is its own)          {share(one)}\n")
    say(f"  tested anew at each look, the whole budget          {share(one_anew)}\n")
    say("exchanges until the first candidate is certified at its only gate, 80 % of runs within\n")
    for risk in (0.0, 0.0025, 0.005):
        say(f"  true risk {risk:.2%}  {np.quantile([needed(risk, drawn) for _ in range(2_000)], 0.8):.0f}\n")
    limit = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / runs)
    kept = float(np.mean(many)) <= limit
    say(f"\nthe ledger keeps {ALPHA:.0%} (+ 2 standard errors: {limit:.1%}): {'yes' if kept else 'NO'}\n")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
