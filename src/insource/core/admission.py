"""Whether a candidate may answer a request, before its confidence is asked for. One rule for evidence and serving."""

from __future__ import annotations

from insource.core.evidence import Terms
from insource.core.values import Familiar


def not_admitted(terms: Terms, familiar: Familiar | None) -> str | None:
    """Why a request escalates whatever the candidate would say, as the end of a sentence; None: the gate decides.

    `familiar` is None only for a candidate that has no floor; where there is one, what can't be looked at is unknown.
    """
    if terms.familiarity_sha256 is None:
        return None
    if familiar is None or not familiar.score >= terms.floor:
        return "it is unlike what was learnt"
    probabilities = familiar.probabilities or {}
    for wary in terms.wary:
        if probabilities.get(wary.label, 0.0) >= wary.threshold:
            return f"it may be {wary.label!r}, which is not answered here"
    return None
