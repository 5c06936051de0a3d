"""What a candidate's evidence has come to: bets in the ledger's order, gates certified, bounds. Pure (DESIGN §6).

New inputs and repeats of fitted inputs have ledgers of their own. A cluster of new inputs bets once, with its first
exchange; a cluster of repeats bets once a day. More evidence only adds bets at the end, so looking again is free.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from insource.core.evidence import LabelFigures, LedgerFigures, Outcome, Stratum, Terms
from insource.evals.terms import FEW, MOST_WRONG
from insource.stats.betting import (
    highest_log_capital,
    highest_log_capital_for_worse,
    loss_upper,
    outcomes_expected,
    outcomes_without_loss,
)
from insource.stats.gates import Passed, pass_gates, starting_shares
from insource.stats.intervals import clopper_pearson, clopper_pearson_lower

JUDGE_SHARE = 0.5
"""Of a candidate's alpha, for the error of a judge."""
_SHOWN = 0.05
"""Level at which a ledger is said to show that a candidate is worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """What a candidate plays for."""

    margin: float
    alpha: float
    """Its share of the task's error budget."""
    repeats_share: float = 0.0
    """Of the task's requests that repeat a fitted input."""
    errors: tuple[float, ...] = ()
    """By gate, where a judge decides: a bound on what it overlooks, at its own part of alpha. (): nobody judges."""

    def error(self, gate: int) -> float:
        return self.errors[gate] if self.errors else 0.0

    def capital(self, differences: Sequence[float], gate: int) -> float:
        """What the bet came to against what a judge's error leaves of the margin."""
        margin = self.margin - self.error(gate)
        return highest_log_capital(differences, margin) if margin > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The ledgers as they stand, and what may be served by them."""

    ledgers: tuple[LedgerFigures, ...]
    gate: float | None
    """The confidence from which requests may be answered here; None: no gate is certified."""
    serves: tuple[Stratum, ...]
    coverage: float
    whole: bool
    loss_upper: float | None
    covered: tuple[Outcome, ...]
    """What the gate (or before a certificate the first one) covers of the bets."""
    stopped: str | None
    """Why what is certified may not answer all the same, as the end of a sentence."""
    futile: bool
    """Shown to be worse by more than the margin at its tightest gate: more evidence will not help it."""

    def ledger(self, stratum: Stratum) -> LedgerFigures | None:
        return next((ledger for ledger in self.ledgers if ledger.stratum == stratum), None)


def bets(outcomes: Sequence[Outcome], stratum: Stratum) -> list[Outcome]:
    """The outcomes that count, in the ledger's order."""
    seen: set[tuple[str, int]] = set()
    kept: list[Outcome] = []
    for outcome in sorted(outcomes, key=lambda o: o.place):
        key = (outcome.cluster, outcome.day if stratum == "repeats" else 0)
        if outcome.stratum == stratum and key not in seen:
            seen.add(key)
            kept.append(outcome)
    return kept


def look(terms: Terms, outcomes: Sequence[Outcome], stakes: Stakes) -> Look:
    new = _Ledger.of("new", terms, bets(outcomes, "new"), stakes=stakes)
    repeats = _Ledger.of("repeats", terms, bets(outcomes, "repeats"), stakes=stakes)
    gate, serves, chosen = _served(new, repeats)
    shown = chosen or (new if new.bets or not repeats.bets else repeats)
    index = shown.gate if shown.gate is not None else terms.first
    covered = shown.covered(index)
    coverage = 0.0
    if gate is not None and chosen is not None:
        in_new, in_repeats = new.coverage(gate), repeats.coverage(gate) if repeats.bets else new.coverage(gate)
        share = stakes.repeats_share
        coverage = in_new * (1 - share) * ("new" in serves) + in_repeats * share * ("repeats" in serves)
    last = len(terms.thresholds) - 1
    return Look(
        ledgers=tuple(ledger.figures() for ledger in (new, repeats) if ledger.bets),
        gate=gate,
        serves=serves,
        coverage=coverage,
        whole=gate is not None and "new" in serves and "repeats" in serves and index == last and not terms.wary,
        loss_upper=chosen.loss_upper() if chosen is not None else None,
        covered=tuple(covered),
        stopped=None if chosen is not None else new.stopped() or repeats.stopped(),
        futile=new.futile() and (not repeats.bets or repeats.futile()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ledger:
    stratum: Stratum
    terms: Terms
    bets: Sequence[Outcome]
    alpha: float
    stakes: Stakes
    passed: Passed

    @property
    def margin(self) -> float:
        return self.stakes.margin

    @classmethod
    def of(cls, stratum: Stratum, terms: Terms, held: Sequence[Outcome], *, stakes: Stakes) -> _Ledger:
        share = terms.new_share if stratum == "new" else 1 - terms.new_share
        alpha, gates = stakes.alpha * share * (1 - JUDGE_SHARE if stakes.errors else 1), len(terms.thresholds)
        if not held or alpha <= 0:
            return cls(
                stratum=stratum,
                terms=terms,
                bets=(),
                alpha=0.0,
                stakes=stakes,
                passed=Passed(certified=(), levels=()),
            )
        first = terms.first if stratum == "new" else gates - 1
        capitals = [
            stakes.capital([o.difference for o in _covered(held, threshold)], gate)
            for gate, threshold in enumerate(terms.thresholds)
        ]
        passed = pass_gates(capitals, starting_shares(first, gates), alpha)
        return cls(stratum=stratum, terms=terms, bets=held, alpha=alpha, stakes=stakes, passed=passed)

    @property
    def gate(self) -> int | None:
        return self.passed.widest

    def covered(self, gate: int) -> list[Outcome]:
        return _covered(self.bets, self.terms.thresholds[gate])

    def coverage(self, threshold: float) -> float:
        """Of the requests, each counted as often as it came."""
        requests = sum(o.requests for o in self.bets)
        return sum(o.requests for o in _covered(self.bets, threshold)) / requests if requests else 0.0

    def loss_upper(self) -> float:
        """At the level that the gate passed at; before, at the level it has to pass."""
        if self.gate is not None:
            return self._upper(self.gate, self.passed.level_of(self.gate))
        level = self.alpha * starting_shares(self._first, len(self.terms.thresholds))[self._first]
        return self._upper(self._first, level)

    def _upper(self, gate: int, level: float) -> float:
        """With what a judge may have overlooked."""
        return min(loss_upper([o.difference for o in self.covered(gate)], level) + self.stakes.error(gate), 1.0)

    @property
    def _first(self) -> int:
        return self.terms.first if self.stratum == "new" else len(self.terms.thresholds) - 1

    def loss_per_request(self) -> float:
        covered = self.covered(self.gate if self.gate is not None else self._first)
        requests = sum(o.requests for o in covered)
        return sum(o.difference * o.requests for o in covered) / requests if requests else 0.0

    def stopped(self) -> str | None:
        """Why the certified gate may not serve; None: it may, or none is certified."""
        if self.gate is None:
            return None
        if (loss := self.loss_per_request()) > self.margin:
            return f"what comes most often is answered worst: {loss:.1%} more of the requests are wrong"
        harmed = _harmed(self.bets, self.terms.thresholds[self.gate])
        return (
            None if harmed is None else f"too many of the requests whose answer is {harmed} would be answered wrongly"
        )

    def shown_worse(self, gate: int) -> bool:
        capital = highest_log_capital_for_worse([o.difference for o in self.covered(gate)], self.margin)
        return capital >= math.log(1 / _SHOWN)

    def futile(self) -> bool:
        """At the tightest gate that has a share of the budget."""
        shares = starting_shares(self._first, len(self.terms.thresholds))
        tightest = next(gate for gate, share in enumerate(shares) if share > 0)
        return self.gate is None and self.shown_worse(tightest)

    def capital_share(self) -> float:
        """Of what the nearest gate needs, on a logarithmic scale; 1 where one is certified."""
        if self.gate is not None:
            return 1.0
        shares = starting_shares(self._first, len(self.terms.thresholds))
        return max(
            self.stakes.capital([o.difference for o in self.covered(gate)], gate) / math.log(1 / (share * self.alpha))
            for gate, share in enumerate(shares)
            if share > 0
        )

    def figures(self) -> LedgerFigures:
        shown_at = self.gate if self.gate is not None else self._first
        return LedgerFigures(
            stratum=self.stratum,
            bets=len(self.bets),
            gate=self.gate,
            loss_upper=self.loss_upper(),
            loss_per_request=self.loss_per_request(),
            shown_worse=self.shown_worse(shown_at),
            capital=self.capital_share(),
        )


def _covered(outcomes: Sequence[Outcome], threshold: float) -> list[Outcome]:
    return [o for o in outcomes if o.answered and o.admitted and o.confidence >= threshold]


def _harmed(held: Sequence[Outcome], threshold: float) -> str | None:
    """A label of which more than a tenth is shown to be answered here and wrong; labels of which there are few are
    judged together. It only ever stops a move, so it costs nothing of the error budget."""
    wrong, n = Counter[str](), Counter(o.label for o in held if o.label is not None)
    wrong.update(o.label for o in _covered(held, threshold) if o.label is not None and o.difference > 0)
    rare = sorted(label for label, count in n.items() if count < FEW)
    groups = [[label] for label in sorted(n) if n[label] >= FEW] + ([rare] if rare else [])
    for group in groups:
        lost, seen = sum(wrong[label] for label in group), sum(n[label] for label in group)
        if clopper_pearson_lower(lost, seen, alpha=_SHOWN) > MOST_WRONG:
            return repr(group[0]) if len(group) == 1 else f"one of the {len(group)} rare ones"
    return None


def _served(new: _Ledger, repeats: _Ledger) -> tuple[float | None, tuple[Stratum, ...], _Ledger | None]:
    """The gate, what it serves and the ledger that it stands on."""
    if new.gate is not None and new.stopped() is None:
        threshold = new.terms.thresholds[new.gate]
        worse = bool(repeats.bets) and repeats.shown_worse(new.gate)
        return threshold, ("new",) if worse else ("new", "repeats"), new
    if repeats.gate is not None and repeats.stopped() is None:
        return repeats.terms.thresholds[repeats.gate], ("repeats",), repeats
    return None, (), None


def bets_needed(terms: Terms, found: Look, stakes: Stakes) -> int | None:
    """How many bets on new inputs the first certificate is expected to take, going by what was covered so far; None:
    at these losses no number of them."""
    level = stakes.alpha * terms.new_share * starting_shares(terms.first, len(terms.thresholds))[terms.first]
    coverage = terms.coverages[terms.first]
    covered = found.covered
    if not covered:
        return math.ceil(outcomes_without_loss(stakes.margin, level) / coverage)
    d = np.array([o.difference for o in covered])
    needed = outcomes_expected(float(d.mean()), float(np.abs(d).mean()), margin=stakes.margin, alpha=level)
    if needed is None:
        return None
    return math.ceil(max(needed, outcomes_without_loss(stakes.margin, level)) / coverage)


def fewest_bets(terms: Terms, stakes: Stakes) -> int:
    """Bets on new inputs without which not even a flawless candidate is certified."""
    shares = starting_shares(terms.first, len(terms.thresholds))
    return min(
        math.ceil(outcomes_without_loss(stakes.margin, stakes.alpha * terms.new_share * share) / terms.coverages[gate])
        for gate, share in enumerate(shares)
        if share > 0
    )


def label_figures(outcomes: Sequence[Outcome], gate: float | None) -> tuple[LabelFigures, ...]:
    """By the reference's label; `gate` None: as if nothing were answered here but shown what would be."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.label is not None:
            groups.setdefault(outcome.label, []).append(outcome)
    return tuple(_figures_of(label, held, gate) for label, held in sorted(groups.items()))


def _figures_of(label: str, held: Sequence[Outcome], gate: float | None) -> LabelFigures:
    covered = _covered(held, 0.0 if gate is None else gate)
    right = sum(o.loss_local < 0.5 for o in covered)
    interval = clopper_pearson(right, len(covered), confidence=0.95) if covered else None
    return LabelFigures(
        label=label,
        n=len(held),
        covered=len(covered) / len(held),
        wrong=(len(covered) - right) / len(held),
        recall=right / len(covered) if covered else None,
        low=interval.low if interval else 0.0,
        high=interval.high if interval else 1.0,
    )
