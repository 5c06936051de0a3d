"""What a candidate's model asks of whoever runs it: room and time on a machine, and terms of a licence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from insource.core.ecosystem import EffectiveLicence, Link
from insource.core.values import JsonObject
from insource.workflows.choose.shared_machine import Carried


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    model: str
    """A reference."""
    licence: EffectiveLicence | None
    """None: nobody states one."""
    refused: Link | None
    """Whose licence the policy does not allow."""
    carried: Carried | None = None
    """None: it moves nothing, so its load was not estimated."""

    @property
    def share(self) -> float:
        """Of what is certified, that may and can be answered."""
        if self.refused is not None:
            return 0.0
        return self.carried.share if self.carried is not None else 1.0

    @property
    def engine_share(self) -> float:
        """Of the engine's time, in the busiest hour."""
        return self.carried.engine_share if self.carried is not None and self.refused is None else 0.0


NOTHING_ASKED: Mapping[str, object] = {
    "requests_per_minute": None,
    "needed_per_minute": None,
    "seconds": None,
    "carried_share": None,
    "reason": "",
}
"""`machine_json` of what asks no model, or was not weighed."""


def machine_json(serving: Serving | None) -> Mapping[str, object]:
    carried = serving.carried if serving is not None else None
    if carried is None:
        return NOTHING_ASKED
    return {
        "requests_per_minute": carried.requests_per_minute,
        "needed_per_minute": carried.needed_per_minute,
        "seconds": carried.seconds,
        "carried_share": carried.share,
        "reason": carried.reason,
    }


def licence_json(serving: Serving | None) -> JsonObject | None:
    """None: no model is asked, or nobody states its licence."""
    licence = serving.licence if serving is not None else None
    if serving is None or licence is None:
        return None
    return {
        "license": licence.links[0].license,
        "effective_license": licence.strictest.license,
        "effective_license_from": licence.strictest.id,
        "refused": serving.refused.license if serving.refused is not None else None,
    }
