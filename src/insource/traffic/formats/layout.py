"""Formats whose records are one call each: a table of where the fields are, and the reader that any such table makes.

A user's `--map` is such a table too. A path is `a.b.0.c`; of several the first that holds something counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from insource.core.errors import UsageError
from insource.core.values import JsonObject
from insource.traffic.formats.bodies import as_request, as_response
from insource.traffic.formats.fields import (
    count,
    first_step,
    get,
    moment,
    number,
    obj,
    seconds_between,
    structure,
    text,
)
from insource.traffic.formats.recorded import Lacking, Recorded
from insource.traffic.formats.streams import streamed

Paths = tuple[str, ...]
_FAILURES = frozenset({"failure", "failed", "error", "false", "0"})
_CENTS, _MILLISECONDS = 100, 1000
_SESSION, _TRACE = "session_id", "trace_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a format's fields are. All but `request` may be missing in a record."""

    request: Paths = ()
    """A body, messages, or a text."""
    system: Paths = ()
    """A system prompt that stands apart from the request."""
    response: Paths = ()
    parsed: bool = True
    """Whether an object for an answer may be the answer itself, parsed; else it is a body."""
    label: Paths = ()
    """What would have been the right answer."""
    correct: Paths = ()
    """Whether the answer was right."""
    model: Paths = ()
    settings: Paths = ()
    """An object of the call's parameters (temperature, tools)."""
    id: Paths = ()
    created: Paths = ()
    ended: Paths = ()
    latency_seconds: Paths = ()
    latency_ms: Paths = ()
    cost_usd: Paths = ()
    cost_cents: Paths = ()
    input_tokens: Paths = ()
    output_tokens: Paths = ()
    status: Paths = ()
    """An HTTP status, or a word such as `failure`."""
    error: Paths = ()
    """A failure's message: where it says something, the call failed."""
    endpoint: Paths = ()
    session_id: Paths = ()
    trace_id: Paths = ()
    metadata: Paths = ()
    """Objects of the user's own, taken in whole; a value that is no object is kept under its path."""


@lru_cache(maxsize=64)  # asked for every record
def tops(layout: Layout) -> frozenset[str]:
    """The keys of a record that hold a field."""
    found: set[str] = set()
    for each in fields(layout):
        paths: Paths | bool = getattr(layout, each.name)
        if isinstance(paths, tuple):
            found |= {*paths, *(path.split(".")[0].split("[")[0] for path in paths)}
    return frozenset(found)


@lru_cache(maxsize=256)
def _within(layout: Layout, keys: frozenset[str]) -> Layout:
    """The layout without the paths that no record with these keys can hold: a record holds few of them all."""
    found: dict[str, Paths] = {}
    for each in fields(layout):
        paths: Paths | bool = getattr(layout, each.name)
        if isinstance(paths, tuple):
            found[each.name] = tuple(path for path in paths if path in keys or first_step(path) in keys)
    return replace(layout, **found)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutReader:
    """The reader that a layout makes."""

    name: str
    layout: Layout
    has: tuple[Paths, ...]
    """A record is of this format when it holds one path of each."""
    lacks: Paths = ()
    """... and none of these."""
    rank: int = 0
    only: tuple[str, frozenset[str]] | None = None
    """A path, and what it may hold, whatever the case: other records of the format are no calls to a model."""
    keep_rest: bool = False
    """Whether the fields that the layout does not name are kept, under `line_fields` of the metadata."""
    next_step: str = ""
    """What to do where records have no texts."""

    @property
    def keys(self) -> frozenset[str]:
        return tops(self.layout)

    def recognises(self, record: JsonObject) -> bool:
        return all(any(_holds(record, path) for path in paths) for paths in self.has) and not any(
            _holds(record, path) for path in self.lacks
        )

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        if self.only is not None:
            kind = get(record, self.only[0])
            if kind is not None and str(kind).lower() not in self.only[1]:
                return
        yield read(self.layout, record, keep_rest=self.keep_rest, next_step=self.next_step)


def _holds(record: JsonObject, path: str) -> bool:
    return path in record or ("." in path and get(record, path) is not None)


def read(layout: Layout, record: JsonObject, *, keep_rest: bool = False, next_step: str = "") -> Recorded:
    """The call that a record tells of, where the layout says."""
    layout = _within(layout, frozenset(record))
    model = text(get(record, *layout.model))
    status, error = get(record, *layout.status), get(record, *layout.error)
    response, flaw = _answer(layout, record, model=model)
    answer = obj(get(record, *layout.response)) if response is None else None
    latency = number(get(record, *layout.latency_seconds))
    milliseconds = number(get(record, *layout.latency_ms))
    if latency is None:
        latency = None if milliseconds is None else milliseconds / _MILLISECONDS
    if latency is None and layout.ended:
        latency = seconds_between(get(record, *layout.created), get(record, *layout.ended))
    cost, cents = number(get(record, *layout.cost_usd)), number(get(record, *layout.cost_cents))
    correct = get(record, *layout.correct)
    return Recorded(
        request=_request(layout, record),
        response=response,
        endpoint=urlsplit(str(get(record, *layout.endpoint) or "")).path,
        model=model,
        id=text(get(record, *layout.id)),
        created=moment(get(record, *layout.created)) or moment(get(answer, "created", "created_at")),
        latency_seconds=latency,
        cost_usd=cost if cost is not None or cents is None else cents / _CENTS,
        input_tokens=count(get(record, *layout.input_tokens)),
        output_tokens=count(get(record, *layout.output_tokens)),
        status=_status(status, error),
        incomplete=flaw,
        reference=text(_label(get(record, *layout.label))),
        reference_correct=correct if isinstance(correct, bool) else None,
        metadata={**_metadata(layout, record, error=error, keep_rest=keep_rest), "response": answer},
        next_step=next_step,
    )


def _answer(layout: Layout, record: JsonObject, *, model: str | None) -> tuple[JsonObject | None, str | None]:
    """(the answer, why it is not whole)."""
    for path in layout.response:
        value = get(record, path)
        if (stream := streamed(value)) is not None:
            return stream
        if (response := as_response(value, model=model, parsed=layout.parsed)) is not None:
            return response, None
    return None, None


def _first(found: Iterable[JsonObject | None]) -> JsonObject | None:
    return next((one for one in found if one is not None), None)


def _request(layout: Layout, record: JsonObject) -> JsonObject | None:
    request = _first(as_request(get(record, path)) for path in layout.request)
    if request is None:
        return None
    settings = obj(get(record, *layout.settings)) or {}
    request = {**{k: v for k, v in settings.items() if v is not None}, **request}
    system = text(get(record, *layout.system))
    messages = request.get("messages")
    if system is None or not isinstance(messages, list):
        return request
    return {**request, "messages": [{"role": "system", "content": system}, *messages]}


def _label(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _status(status: Any, error: Any) -> int:
    known = count(status)
    if known is not None and 100 <= known <= 599:
        return known
    failed = str(status).lower() in _FAILURES if status is not None else False
    return 500 if failed or (error and error not in ("None", "null")) else 200


def _metadata(layout: Layout, record: JsonObject, *, error: Any, keep_rest: bool) -> JsonObject:
    found: JsonObject = {}
    for path in layout.metadata:
        value = get(record, path)
        value = value if (inner := structure(value)) is None else inner
        found |= value if isinstance(value, dict) else {} if value is None else {path: value}
    for name, paths in ((_SESSION, layout.session_id), (_TRACE, layout.trace_id)):
        if (value := text(get(record, *paths))) is not None:
            found[name] = value
    if error:
        found["error"] = error
    if keep_rest:
        known = tops(layout)
        rest = {key: value for key, value in record.items() if key not in known and value not in (None, "")}
        found |= {"line_fields": rest} if rest else {}
    return found


# ------------------------------------------------------------------------------------------------------ --map

MAPPED = ("messages", "prompt", "system", "answer", "label", "model", "id", "created", "latency_seconds", "latency_ms")
MAPPED_TOO = ("cost_usd", "input_tokens", "output_tokens", "session_id")


def mapped(pairs: Sequence[str]) -> LayoutReader:
    """The reader of `--map prompt=question,answer=reply`. Raises UsageError."""
    names = (*MAPPED, *MAPPED_TOO)
    found: dict[str, str] = {}
    for pair in (piece.strip() for given in pairs for piece in given.split(",") if piece.strip()):
        name, equals, path = (piece.strip() for piece in pair.partition("="))
        if not equals or not path or name not in names:
            raise UsageError(
                f"The map {pair!r} names no field.",
                next_step=f"Write FIELD=COLUMN, where FIELD is one of: {', '.join(names)}.",
            )
        found[name] = path
    asked = [found.pop(name) for name in ("messages", "prompt") if name in found]
    if not asked:
        raise UsageError(
            "The map does not say where the request is.",
            next_step="Add prompt=COLUMN (a text) or messages=COLUMN (a list of messages).",
        )
    answer = found.pop("answer", None)
    others: dict[str, Any] = {name: (path,) for name, path in found.items()}
    layout = Layout(request=tuple(asked), response=() if answer is None else (answer,), **others)
    return LayoutReader(name="map", layout=layout, has=(tuple(asked),), keep_rest=True)
