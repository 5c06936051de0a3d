"""What a scout says of one model in a plan: what it is called, what it takes here, and under which licence. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf

from insource.core.values import JsonObject
from insource.fit.values import Estimate
from insource.workflows.choose.scout import ScoutReport, key_of_model
from insource.workflows.choose.shortlist import Ranked, shortlist

ROWS = 3
"""Models named for a task: one small, one middle, one of the largest that fit."""


_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model that nobody measured on the task yet."""

    id: str
    ref: str
    """As `insource models pull` takes it."""
    parameters: int
    active_parameters: int
    quantization: str
    needed_bytes: int
    """On the machine, with cache and buffers."""
    decode_tokens_per_second: Estimate | None
    """None: not known before the machine's bandwidth is measured."""
    long_request_seconds: float | None
    license: str | None
    """In force over the chain, as far as that is known."""
    unknown: tuple[str, ...]
    """What of its speed could not be determined."""


def offers_of(
    report: ScoutReport,
    *,
    tried: Collection[str] = (),
    more_than_parameters: int = 0,
    within_seconds: float = inf,
    rows: int = ROWS,
) -> tuple[Offer, ...]:
    """The shortlist without what was measured on this task, is among `tried` (references), is no larger than what was
    far off, or is known to take longer for a long request; the cheapest to serve first."""
    known = {key_of_model(ref) for ref in tried}
    open_ones = [
        item
        for item in report.ranked
        if not item.evidence.this_task
        and item.found.group.key not in known
        and item.found.model.parameters > more_than_parameters
        and (item.found.fit.seconds is None or item.found.fit.seconds <= within_seconds)
    ]
    offers = [offer for item in shortlist(open_ones, rows) if (offer := _offer(item)) is not None]
    return tuple(sorted(offers, key=lambda offer: (offer.needed_bytes, offer.id)))


def nothing_offered(report: ScoutReport) -> str:
    """Why there is no offer, as a sentence."""
    task = "" if report.task is None else f" {report.task.id}"
    if report.ranked:
        return "No larger open model that fits here and answers in time is left to measure."
    return f"No open model that is known fits here; `insource scout{task}` says what to give up."


def _offer(item: Ranked) -> Offer | None:
    """None: nobody is known to offer a file of it."""
    fit, model, repositories = item.found.fit, item.found.model, item.found.group.gguf_repositories
    if not repositories or fit.quantization is None or fit.needed_bytes is None:
        return None
    return Offer(
        id=model.id,
        ref=f"{repositories[0]}:{fit.quantization}",
        parameters=model.parameters,
        active_parameters=fit.active_parameters or model.active_parameters or model.parameters,
        quantization=fit.quantization,
        needed_bytes=fit.needed_bytes,
        decode_tokens_per_second=fit.decode,
        long_request_seconds=fit.seconds,
        license=item.found.licence.strictest.license,
        unknown=fit.unknown,
    )


def offer_line(offer: Offer) -> str:
    """Name, memory, speed and licence."""
    speed = offer.decode_tokens_per_second
    said = "speed unknown" if speed is None else f"{speed.mid:,.3g} tokens/s"
    size = f"{offer.needed_bytes / _GIB:.1f} GiB"
    return f"{offer.id} {offer.quantization} ({size}, {said}, {offer.license or 'licence not stated'})"


def offers_json(offers: Sequence[Offer]) -> list[JsonObject]:
    return [
        {
            "id": offer.id,
            "ref": offer.ref,
            "parameters": offer.parameters,
            "active_parameters": offer.active_parameters,
            "quantization": offer.quantization,
            "needed_bytes": offer.needed_bytes,
            "decode_tokens_per_second": _estimate(offer.decode_tokens_per_second),
            "long_request_seconds": offer.long_request_seconds,
            "license": offer.license,
            "unknown": list(offer.unknown),
        }
        for offer in offers
    ]


def _estimate(value: Estimate | None) -> JsonObject | None:
    return None if value is None else {"low": value.low, "mid": value.mid, "high": value.high}
