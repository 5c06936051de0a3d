"""What a candidate may answer of its task's requests, as its certificate says: one question, before it is asked."""

from __future__ import annotations

from collections.abc import Callable

from insource.core.admission import not_admitted
from insource.core.evidence import Candidate
from insource.core.stores import Registry
from insource.core.values import JsonObject, Move
from insource.wire.chat import conversation_text

NotAdmitted = Callable[[JsonObject], "str | None"]
"""Why a request is not answered here, as the end of a sentence; None: it may be."""


def load_admission(registry: Registry, candidate: Candidate, move: Move) -> NotAdmitted:
    """Raises StorageError and BadInput for artifacts that are gone or damaged."""
    from insource.adapt.familiarity import load_familiarity  # late: without a move a gateway needs no NumPy
    from insource.evals.repeats import load_repeats

    terms = candidate.terms
    sha256 = terms.familiarity_sha256
    familiarity = None if sha256 is None else load_familiarity(registry.artifact(sha256))
    only = next((stratum for stratum in ("new", "repeats") if move.serves == (stratum,)), None)
    repeats = None
    if only is not None and terms.repeats_sha256 is not None:
        repeats = load_repeats(registry.artifact(terms.repeats_sha256))

    def reason(request: JsonObject) -> str | None:
        if only is not None:
            is_repeat = repeats is not None and repeats.is_repeat(conversation_text(request))
            if is_repeat != (only == "repeats"):
                return "only repeats of what was learnt are answered here" if only == "repeats" else "it is a repeat"
        return not_admitted(terms, None if familiarity is None else familiarity.look(request))

    return reason
