"""On what terms a candidate may answer, from what the fit part says of it alone. Pure (DESIGN §6).

Everything here is fixed before an answer on evidence is looked at: gates, novelty floor, wary labels, and how the error
budget is shared. Answers to the fit part come from cross-fitting: by a fit that did not see the text's cluster.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from insource.core.evidence import Terms, WaryLabel
from insource.evals.placing import FIT_SHARE
from insource.stats.betting import outcomes_expected
from insource.stats.gates import FIRST_SHARE
from insource.stats.intervals import clopper_pearson_lower, clopper_pearson_upper

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

COVERAGES = tuple(round(0.25 + 0.05 * step, 2) for step in range(16))
"""Of what is familiar and not wary: where the gates lie."""
_FLOOR_OF_RIGHT = 0.10
_FLOOR_OF_UNKNOWN = 0.875
"""Measured in design/2026-11-30-novelty-floor.md."""
MOST_WRONG = 0.10
"""Of the requests whose reference is a label, so many may be answered here and wrong."""
FEW = 30
"""Evidence clusters of a label below which it is judged together with the other rare ones."""
_WARY_QUANTILE = 0.05
"""Of P(y) among held-out true y: texts above it look like y. The least value instead escalates 1.2 to 2.5 times as
many (design/2026-11-30-wary-labels.md)."""
_SMOOTHING = 0.5
"""Losses added to those seen when a gate's risk is guessed: none in thirty does not promise none in a thousand."""
_DOUBT = 0.1
"""A fit part this unlikely to come from a candidate within the margin rules it out."""


def _empty() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPart:
    """What the fit part says of a candidate, one row for each cluster. All arrays (clusters,) unless said otherwise."""

    confidence: Floats
    difference: Floats
    """Loss here less the hosted loss, in [-1, 1]."""
    familiarity: Floats
    left_out: Floats = field(default_factory=_empty)
    """(texts,): scores of texts whose label the scorer never saw."""
    labels: tuple[str, ...] = ()
    label: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Index of the reference among `labels`, their number for one that is not among them; empty where the task has
    none."""
    probabilities: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """(clusters, labels)."""
    exchanges: int = 0
    """Of the fit part and what was held out of its clusters: how often inputs repeat."""

    @property
    def clusters(self) -> int:
        return len(self.confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """Terms with what they promise, or why there are none."""

    terms: Terms | None
    reason: str = ""
    outcomes_needed: int | None = None
    """Evidence clusters with which the first gate is expected to be certified."""
    hopeless: bool = False
    """The fit part rules it out; False without terms: it is too small to say."""


def set_terms(fit: FitPart, *, margin: float, alpha: float, familiarity_sha256: str | None) -> Prospect:
    """`alpha`: what the candidate may spend."""
    if not fit.clusters:
        return Prospect(terms=None, reason="Nothing was fitted on.")
    floor = _floor(fit)
    familiar = fit.familiarity >= floor
    wary = _wary_labels(fit, familiar, margin=margin, alpha=alpha)
    admitted = familiar & ~_looks_wary(fit, wary)
    thresholds, coverages = _gates(fit.confidence[admitted])
    if not thresholds:
        every = np.ones(fit.clusters, dtype=np.bool_)
        prospect = _no_prospect(fit, every, _gates(fit.confidence)[0], margin=margin)
        reason = f"Too many of its labels could be answered wrongly, on {fit.clusters} inputs of the fit part."
        return replace(prospect, reason=reason)
    expected = [
        _outcomes_needed(fit, admitted & (fit.confidence >= threshold), margin=margin, alpha=alpha * FIRST_SHARE)
        for threshold in thresholds
    ]
    first = min(range(len(expected)), key=lambda gate: (expected[gate], gate))
    if math.isinf(expected[first]):
        return _no_prospect(fit, admitted, thresholds, margin=margin)
    terms = Terms(
        thresholds=thresholds,
        coverages=coverages,
        first=first,
        new_share=min(1.0, fit.clusters / max(fit.exchanges, fit.clusters)),
        familiarity_sha256=familiarity_sha256,
        floor=floor,
        wary=wary,
        fitted=fit.exchanges,
        clusters=fit.clusters,
        promise=_promise(admitted, coverages, expected),
    )
    return Prospect(terms=terms, outcomes_needed=math.ceil(expected[first]))


def _promise(admitted: Booleans, coverages: Sequence[float], expected: Sequence[float]) -> float:
    """The share of all requests that the widest gate covers at which a certificate can be expected."""
    widest = max(coverage for coverage, needed in zip(coverages, expected, strict=True) if math.isfinite(needed))
    return float(admitted.mean()) * widest


def whole_terms() -> Terms:
    """Of a candidate that was fitted on nothing and says nothing of how sure it is: all or none."""
    return Terms(thresholds=(0.0,), coverages=(1.0,), first=0, new_share=1.0)


def _floor(fit: FitPart) -> float:
    """The higher of what 10 % of the right answers fall below and what one in eight texts of unknown labels passes."""
    right = fit.familiarity[fit.difference <= 0]
    floors = [float(np.quantile(right, _FLOOR_OF_RIGHT))] if len(right) else []
    unknown = fit.left_out[np.isfinite(fit.left_out)]
    floors += [float(np.quantile(unknown, _FLOOR_OF_UNKNOWN))] if len(unknown) else []
    return max(floors, default=-math.inf)


def _gates(confidence: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Thresholds and the coverages that they give, the tightest first; equal ones are one, and the last covers all."""
    if not len(confidence):
        return (), ()
    found: dict[float, float] = {}
    for coverage in COVERAGES[:-1]:
        threshold = float(np.quantile(confidence, 1 - coverage))
        found[threshold] = float((confidence >= threshold).mean())
    least = float(confidence.min())
    kept = {threshold: coverage for threshold, coverage in found.items() if threshold > least}
    ordered = sorted(kept.items(), reverse=True)
    return (*(t for t, _ in ordered), 0.0), (*(c for _, c in ordered), 1.0)


def _outcomes_needed(fit: FitPart, covered: Booleans, *, margin: float, alpha: float) -> float:
    """Evidence clusters until the gate is certified, if the fit part tells the truth; inf: never."""
    d = fit.difference[covered]
    if not len(d):
        return math.inf
    mean = (float(d.sum()) + _SMOOTHING) / (len(d) + 1)
    spread = (float(np.abs(d).sum()) + _SMOOTHING) / (len(d) + 1)
    needed = outcomes_expected(mean, spread, margin=margin, alpha=alpha)
    return math.inf if needed is None else needed / float(covered.mean())


def _no_prospect(fit: FitPart, admitted: Booleans, thresholds: Sequence[float], *, margin: float) -> Prospect:
    """Hopeless, or merely too small a fit part to tell."""
    best, least = 1.0, 1.0
    for threshold in thresholds:
        d = fit.difference[admitted & (fit.confidence >= threshold)]
        if len(d):
            best = min(best, float(d.mean()))
            net = max(0, round(float(d.sum())))
            least = min(least, clopper_pearson_lower(net, len(d), alpha=_DOUBT))
    said = f"{best:.1%} more wrong than the reference at its best gate, on {fit.clusters} inputs of the fit part"
    hopeless = least > margin
    return Prospect(terms=None, hopeless=hopeless, reason=f"{said}{'' if hopeless else ': too few to set a gate by'}.")


# --------------------------------------------------------------------------------------------------- wary labels


def _wary_labels(fit: FitPart, familiar: Booleans, *, margin: float, alpha: float) -> tuple[WaryLabel, ...]:
    """Labels of which more than a tenth could be answered here and wrong, at the gate expected to come first."""
    if not fit.labels:
        return ()
    thresholds, _ = _gates(fit.confidence[familiar])
    if not thresholds:
        return ()
    expected = [
        _outcomes_needed(fit, familiar & (fit.confidence >= threshold), margin=margin, alpha=alpha * FIRST_SHARE)
        for threshold in thresholds
    ]
    first = min(range(len(expected)), key=lambda gate: (expected[gate], gate))
    wrong = familiar & (fit.confidence >= thresholds[first]) & (fit.difference > 0)
    counts = np.bincount(fit.label, minlength=len(fit.labels) + 1)
    rare = counts * (1 - FIT_SHARE) / FIT_SHARE < FEW
    groups = [np.array([label]) for label in np.flatnonzero(~rare)]
    if rare.any():
        groups.append(np.flatnonzero(rare))
    found: list[WaryLabel] = []
    for group in groups:
        members = np.isin(fit.label, group)
        if not _shown_safe(int((wrong & members).sum()), int(members.sum())):
            known = [int(label) for label in group if counts[label] and label < len(fit.labels)]
            found.extend(_wary(fit, label) for label in known)
    return tuple(found)


def _shown_safe(wrong: int, n: int) -> bool:
    return n > 0 and clopper_pearson_upper(wrong, n, alpha=0.05) <= MOST_WRONG


def _wary(fit: FitPart, label: int) -> WaryLabel:
    of_it = np.sort(fit.probabilities[fit.label == label, label])
    return WaryLabel(label=fit.labels[label], threshold=float(of_it[int(_WARY_QUANTILE * len(of_it))]))


def _looks_wary(fit: FitPart, wary: Sequence[WaryLabel]) -> Booleans:
    looks = np.zeros(fit.clusters, dtype=np.bool_)
    for each in wary:
        looks |= fit.probabilities[:, fit.labels.index(each.label)] >= each.threshold
    return looks
