"""The gate: the least confidence at which a candidate may answer, by Learn-then-Test with a fixed sequence.

Angelopoulos, Bates, Candès, Jordan & Lei, "Learn then Test" (arXiv:2110.01052, 2021; Annals of Applied Statistics,
2025); fixed-sequence testing: Bauer (1991).

Why P(risk among covered > margin) <= delta. The gates to try, and their order, come from the confidences, the clusters
and the level, never from a loss. Gates are tried from the most confident on, each by a level-delta test of "the mean
of d among covered exceeds the margin", and the first that fails ends the search. An unsafe gate is returned only if the
first unsafe one in the order passed its test, which has probability <= delta: no correction for their number is due.
Each test is valid because, given the largest confidence left out, the covered exchanges are independent draws from
"confidence above it" (order statistics), and given all confidences their losses are independent with the risk of the
covered as their mean. Threshold and bound therefore speak of *future requests that pass the gate*, not of all requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from insource.core.errors import BadInput
from insource.stats.arrays import Clusters, Floats, Integers, Numbers, check_level, checked, cluster_codes
from insource.stats.non_inferiority import upper_bound
from insource.stats.power import n_needed_binary_errors, n_needed_for_zero_loss

_GATES = 20
"""Coverage steps of at most 5 %: finer ones add little, and each is one more chance to stop early by bad luck."""
_FIRST_GATE_ERRORS = 2
"""The first gate should survive this many losses. Were it as small as zero losses allow (149 at 0.02 and 0.05), a
candidate whose risk is a quarter of the margin would fail there in every second search; with 2 (313) in every fifth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    threshold: float
    """Covered: confidence >= threshold. It lies halfway between two observed confidences, so that rounding it for
    display or storage covers nobody else; 0.0 covers all."""
    loss_upper: float
    """(1 - delta) upper bound of mean(d) among covered."""
    covered: int
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTry:
    threshold: float
    coverage: float
    covered: int
    loss_mean: float
    loss_lower: float
    """(1 - delta) lower bound: above the margin, the gate is shown to be unsafe, not merely unproven."""
    loss_upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSearch:
    gate: Gate | None
    """None: no safe threshold."""
    tried: tuple[GateTry, ...]
    """In order; the last one failed unless it covers all. Empty only without any calibration exchange."""
    margin: float
    n: int
    n_needed: int
    """Covered exchanges (clusters, where they repeat) without which even a candidate that loses nothing can't pass."""
    too_few: bool
    """Even covering all without a loss would not have passed: the verdict is "more data", not "no safe threshold"."""

    @property
    def shown_unsafe(self) -> bool:
        """Not even the most confident exchanges are safe: their risk is shown to exceed what was asked for."""
        return self.gate is None and bool(self.tried) and self.tried[0].loss_lower > self.margin


def choose_gate(
    confidences: Numbers,
    losses: Numbers,
    *,
    margin: float,
    delta: float,
    min_coverage: float,
    clusters: Clusters | None = None,
) -> GateSearch:
    """The last gate of the fixed sequence that passes; `losses` are differences d in [-1, 1], confidences in [0, 1].

    Calibration exchanges only; the data that fitted the confidence must not be among them.
    """
    check_level(delta, "delta")
    check_level(margin, "margin")
    if not 0 <= min_coverage <= 1:
        raise BadInput(f"min_coverage is {min_coverage!r}, not in [0, 1].", next_step="Set it to 0.1, say.")
    scores = checked(confidences, low=0.0, high=1.0, name="confidences")
    values = checked(losses, low=-1.0, high=1.0, name="losses")
    n = len(scores)
    if len(values) != n:
        raise BadInput(f"{n} confidences came with {len(values)} losses.", next_step="Pass both for every exchange.")
    order = np.argsort(-scores, kind="stable")
    scores, values = scores[order], values[order]
    codes = None if clusters is None else cluster_codes(clusters, n)[order]
    gate: Gate | None = None
    tried: list[GateTry] = []
    least = max(1, math.ceil(min_coverage * n - 1e-9), _first_that_can_pass(codes, n, margin=margin, delta=delta))
    for covered in covered_counts(scores, least):
        attempt = _try_gate(scores, values, codes, covered=covered, delta=delta)
        tried.append(attempt)
        if attempt.loss_upper > margin:
            break
        gate = Gate(
            threshold=attempt.threshold,
            loss_upper=attempt.loss_upper,
            covered=covered,
            coverage=attempt.coverage,
        )
    return GateSearch(
        gate=gate,
        tried=tuple(tried),
        margin=margin,
        n=n,
        n_needed=n_needed_for_zero_loss(margin, delta),
        too_few=_zero_loss_upper(codes, n, delta) > margin,
    )


def covered_counts(descending: Floats, least: int) -> tuple[int, ...]:
    """How many exchanges each gate covers: twenty even steps from `least` to all, equal confidences kept together."""
    n = len(descending)
    if n == 0:
        return ()
    steps = np.unique(np.ceil(np.linspace(min(n, least), n, _GATES)).astype(np.int64))
    with_ties = n - np.searchsorted(descending[::-1], descending[steps - 1], side="left")
    return tuple(int(count) for count in np.unique(with_ties))


def _first_that_can_pass(codes: Integers | None, n: int, *, margin: float, delta: float) -> int:
    """Exchanges below which a gate could not pass, whatever the losses; with data to spare (twice as many), those that
    survive one or two losses. A look at confidences and clusters only."""
    first = n_needed_for_zero_loss(margin, delta)
    for errors in range(1, _FIRST_GATE_ERRORS + 1):
        wanted = n_needed_binary_errors(errors, margin=margin, alpha=delta)
        if 2 * wanted <= n:
            first = wanted
    while codes is not None and first < n and _zero_loss_upper(codes, first, delta) > margin:
        first += max(1, first // 8)
    return first


def _zero_loss_upper(codes: Integers | None, covered: int, delta: float) -> float:
    return upper_bound(np.zeros(covered), clusters=None if codes is None else codes[:covered], alpha=delta).upper


def _try_gate(scores: Floats, values: Floats, codes: Integers | None, *, covered: int, delta: float) -> GateTry:
    chosen = values[:covered]
    groups = None if codes is None else codes[:covered]
    bound = upper_bound(chosen, clusters=groups, alpha=delta)
    return GateTry(
        threshold=_threshold(scores, covered),
        coverage=covered / len(scores),
        covered=covered,
        loss_mean=float(chosen.mean()),
        loss_lower=-upper_bound(-chosen, clusters=groups, alpha=delta).upper,
        loss_upper=bound.upper,
    )


def _threshold(descending: Floats, covered: int) -> float:
    if covered == len(descending):
        return 0.0
    inside, outside = float(descending[covered - 1]), float(descending[covered])
    middle = (inside + outside) / 2
    return middle if outside < middle else inside
