"""Whose a request is, as far as its body tells: what is shown of one tenant's traffic must not reach another's. Pure.

A tenant is everything that the body says of who asks: the fields that name an end user, the metadata, and the
instructions, which often name a customer. A field that is another in (nearly) every request tells requests apart, not
tenants, unless its name says that it is one. Where this is wrong it separates too much: then less is shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from insource.core.hashing import canonical_json, sha256_hex
from insource.core.values import JsonObject
from insource.wire.chat import content_text, messages

_FIELDS = ("user", "safety_identifier", "end_user", "user_id")
_NESTED = ("metadata", "litellm_metadata")
_NAMES = re.compile(
    r"user|tenant|customer|client|account|organi[sz]ation|org|company|workspace|team|owner|member|patient|student"
    r"|person|mail|project|kunde|mandant",
    re.IGNORECASE,
)
_MOSTLY_OTHER = 0.9
"""Distinct values per request from which on a field tells requests apart."""
_LEAST = 10
"""Requests with a field; fewer show nothing of it."""
_WITH_DIGIT = re.compile(r"\S*\d\S*")


def tenant_of(request: JsonObject, ignored: Collection[str]) -> str:
    """A hash; equal for two requests of one tenant."""
    said = {name: request[name] for name in _FIELDS if request.get(name) is not None}
    marks = {name: value for name, value in _metadata(request).items() if name not in ignored}
    return sha256_hex(canonical_json([said, marks, _instructions(request)]))


def other_than_tenants(requests: Sequence[JsonObject]) -> frozenset[str]:
    """The fields of the metadata that are numbers of requests, traces or times."""
    seen: Counter[str] = Counter()
    values: set[tuple[str, bytes]] = set()
    for request in requests:
        for name, value in _metadata(request).items():
            seen[name] += 1
            values.add((name, canonical_json(value)))
    distinct = Counter(name for name, _ in values)
    return frozenset(
        name
        for name, count in seen.items()
        if count >= _LEAST and distinct[name] >= _MOSTLY_OTHER * count and not _NAMES.search(name)
    )


def _metadata(request: JsonObject) -> Mapping[str, Any]:
    """By its path: two nested fields of one name are two."""
    found: dict[str, Any] = {}
    for place in _NESTED:
        held = request.get(place)
        if isinstance(held, dict):
            found |= {f"{place}.{name}": value for name, value in held.items()}
    return found


def _instructions(request: JsonObject) -> list[str]:
    """Dates and numbers in them change from day to day."""
    said = [content_text(m.get("content")) for m in messages(request) if m.get("role") in ("system", "developer")]
    return [" ".join(_WITH_DIGIT.sub(" ", text).split()) for text in said]
