"""What differs between a call that went directly to the mock and the same call through the gateway, in words. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from insource.wire.client import HOP_BY_HOP
from tests.differential.requests import Request

NO_ANSWER = "fault: no answer"
"""Calls whose upstream hangs up without a word: a gateway can't hang up on their behalf, so 502 stands for it."""
RESET = "fault: reset"
"""Calls whose upstream resets the connection midway: what came before must be the same, and the answer must not look
whole; but the gateway closes its own connection, so the client's words for it are those for a close."""
_ADDRESS = "ADDRESS"
_LEFT_BEHIND = HOP_BY_HOP | {"cookie"}
"""Headers that stay behind by design; those of insource's own, `x-insource-*`, too."""
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One call of a driver."""

    call: str
    outcome: dict[str, Any]
    """`value`, or `raised` with what an application sees of the exception."""
    requests: tuple[Request, ...]
    """What the mock got for it."""
    addresses: tuple[str, ...]
    """Of the mock and of the base URL, as they may appear in texts."""

    @property
    def is_fault(self) -> bool:
        return self.call.startswith("fault: ")

    @property
    def text(self) -> str:
        return _without_addresses(json.dumps(self.outcome, ensure_ascii=False), self.addresses)

    @property
    def seen(self) -> str:
        """What the client saw, in a few words."""
        value = self.outcome.get("value")
        if not isinstance(value, list):
            return next(_classes(self.outcome), "value")
        count = len(value) - (bool(value) and _is_raised(value[-1]))
        items = f"{count} item{'s' if count != 1 else ''}"
        error = next(_classes(value), None)
        return items if error is None else f"{items}, {error}" if count else error


def allowance(direct: Played, through: Played) -> str:
    """What stands for the same where it can't be; "": it is the same."""
    if direct.text == through.text:
        return ""
    if direct.call.startswith(NO_ANSWER):
        return "502 for the connection error"
    return "a close for the reset" if direct.call.startswith(RESET) else ""


def differences(direct: Played, through: Played) -> list[str]:
    """Empty: the same, or what stands for it."""
    found = _unplayed(direct)
    if direct.call.startswith(NO_ANSWER) and '"raised"' in direct.text:
        if '"raised"' not in through.text or "No answer from" not in through.text:
            found.append(f"no 502 stands for the missing answer: directly {direct.seen}, through {through.seen}")
    elif direct.call.startswith(RESET) and '"raised"' in direct.text:
        if _without_reasons(direct.outcome) != _without_reasons(through.outcome):
            found.append(_outcomes(direct, through))
    elif direct.text != through.text:
        found.append(_outcomes(direct, through))
    if len(direct.requests) != len(through.requests):
        found.append(f"{len(direct.requests)} requests directly, {len(through.requests)} through the gateway")
        return found
    for number, (one, other) in enumerate(zip(direct.requests, through.requests, strict=True), 1):
        found += [f"request {number}: {what}" for what in _requests(one, other, direct, through)]
    return found


def _unplayed(direct: Played) -> list[str]:
    """A call that fails by itself would be equal to itself and prove nothing."""
    found: list[str] = []
    if not direct.requests:
        found.append("the call sent no request")
    if not direct.is_fault and '"raised"' in direct.text:
        found.append(f"the call fails without the gateway: {direct.text[:_SHOWN]}")
    return found


def _is_raised(value: Any) -> bool:
    return isinstance(value, dict) and "raised" in value


def _classes(value: Any) -> Iterator[str]:
    """Of the exceptions in an outcome, the outermost first."""
    if _is_raised(value):
        yield str(value["raised"]["class"]).rpartition(".")[2]
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _classes(one)


def _without_reasons(value: Any) -> Any:
    """An outcome that says only where an exception came."""
    if _is_raised(value):
        return "raised"
    if isinstance(value, dict):
        return {name: _without_reasons(one) for name, one in value.items()}
    return [_without_reasons(one) for one in value] if isinstance(value, list) else value


def _outcomes(direct: Played, through: Played) -> str:
    one, other = direct.text, through.text
    at = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
    start = max(at - 40, 0)
    return (
        f"directly {direct.seen}, through {through.seen}; from character {start}: "
        f"{one[start : start + _SHOWN]!r} / {other[start : start + _SHOWN]!r}"
    )


def _requests(one: Request, other: Request, direct: Played, through: Played) -> list[str]:
    found: list[str] = []
    if one.head.method != other.head.method:
        found.append(f"method {one.head.method} / {other.head.method}")
    if one.head.target != other.head.target:
        found.append(f"path and query {one.head.target} / {other.head.target}")
    if _framing(one) != _framing(other):
        found.append(f"framing {_framing(one)} / {_framing(other)}")
    if _body(one) != _body(other):
        found.append(f"body of {len(one.body)} / {len(other.body)} bytes")
    mine, theirs = _headers(one, direct), _headers(other, through)
    if not any(name == "accept-encoding" for name, _ in mine):
        mine.append(("accept-encoding", "identity"))  # by design: without it a server may choose any
    if mine != theirs:
        found.append(_header_words(mine, theirs))
    return found


def _header_words(mine: list[tuple[str, str]], theirs: list[tuple[str, str]]) -> str:
    lost, added = Counter(mine) - Counter(theirs), Counter(theirs) - Counter(mine)
    if not lost and not added:
        return f"headers in another order: {[name for name, _ in mine]} / {[name for name, _ in theirs]}"
    return f"headers {sorted(lost)} / {sorted(added)}"


def _framing(request: Request) -> str:
    head = request.head
    if head.header("transfer-encoding") is not None:
        return "chunks"
    return "no length" if head.header("content-length") is None else "a length"


def _headers(request: Request, played: Played) -> list[tuple[str, str]]:
    """Those that must arrive, in their order; the length is compared with the body."""
    boundary = _boundary(request)
    return [
        (name, _without_addresses(value.replace(boundary, "BOUNDARY") if boundary else value, played.addresses))
        for name, value in request.head.headers
        if name not in _LEFT_BEHIND and name != "content-length" and not name.startswith("x-insource-")
    ]


def _boundary(request: Request) -> str:
    found = re.search(r'boundary="?([^";]+)', request.head.header("content-type") or "")
    return found[1] if found else ""


def _body(request: Request) -> bytes:
    boundary = _boundary(request)
    return request.body.replace(boundary.encode(), b"BOUNDARY") if boundary else request.body


def _without_addresses(text: str, addresses: tuple[str, ...]) -> str:
    for address in addresses:
        text = text.replace(address, _ADDRESS)
    return text
