"""HTTP headers as they travel: pairs in their order, with repeated ones repeated. Names compare without case."""

from __future__ import annotations

from collections.abc import Iterable

Headers = tuple[tuple[str, str], ...]
"""(name, value); both Latin-1, as HTTP/1.1 sends them."""

JSON: Headers = (("content-type", "application/json"),)
EVENT_STREAM: Headers = (("content-type", "text/event-stream"),)


def header(headers: Headers, name: str) -> str | None:
    """The first value of a header; None where it is absent."""
    wanted = name.lower()
    return next((value for found, value in headers if found.lower() == wanted), None)


def without(headers: Headers, names: Iterable[str]) -> Headers:
    """`names` in lower case."""
    left_out = frozenset(names)
    return tuple(pair for pair in headers if pair[0].lower() not in left_out)


def with_header(headers: Headers, name: str, value: str) -> Headers:
    """With this value in place of all that the header had."""
    return (*without(headers, (name.lower(),)), (name, value))
