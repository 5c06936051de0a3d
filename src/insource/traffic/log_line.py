"""insource's own log line (DESIGN §8), both ways: `parse(write(x)) == x` for every exchange.

Beside the fields of DESIGN §8 a line carries what an exchange needs to come back whole, each only where it says
something: `status` (absent: 200), `cost_source` (absent beside a cost: recorded), `private_kinds`, `route`, `endpoint`
(absent: chat completions), `incomplete` and `marks`. `cost_estimated` says of older readers' lines that the tokens were
estimated, and is written for them.

Reading is generous with what strangers leave out and loses nothing of what they add:
* no `id`: one made of the line's content and of how often the same content came before it in the file, so that a
  second import of the file adds nothing, and repeated requests stay as many as they were;
* `created` as Unix seconds or milliseconds too;
* no `created`: the response's own `created` (Unix seconds), else 1970-01-01 plus the line's number in seconds. Not the
  time of the import: verdicts must repeat;
* no `reference_kind` beside a reference: `label`;
* other fields: kept in `metadata` under `line_fields`;
* a line of an older insource (it has a `route` and no `marks`) has its marks in the metadata, and a hosted cost without
  a source was a list price.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast, get_args

import msgspec

from insource.core.hashing import canonical_json, sha256_hex
from insource.core.values import (
    CHAT_ENDPOINT,
    CostSource,
    Exchange,
    JsonObject,
    Marks,
    ReferenceKind,
    Route,
)
from insource.wire import json_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_ID = 200
_NOT_IN_ID = re.compile(r"[\x00-\x1f\ud800-\udfff]")
_LEAST_MILLISECONDS = 1e11
"""A Unix time from here on is one in milliseconds: in seconds it would be the year 5138."""
_REFERENCE_KINDS = ("hosted", "label", "feedback")
_ASKED_AND_ANSWERED = frozenset({"id", "created", "request", "response", "status", "route", "endpoint"})
_MEASURED = frozenset({"latency_seconds", "cost_usd", "cost_estimated", "cost_source", "incomplete", "marks"})
_JUDGED = frozenset({"reference", "reference_kind", "reference_correct", "private_kinds"})
_FIELDS = _ASKED_AND_ANSWERED | _MEASURED | _JUDGED | {"metadata"}
_OLD_MARKS: Mapping[str, type] = {"escalated": bool, "fallback": str, "shadow_of": str}
_ONCE_METADATA: Mapping[str, type] = {"incomplete": str, **_OLD_MARKS}
"""What an older insource kept in the metadata; of another type it is somebody else's."""


class BadField(ValueError):
    """Why a line is not an exchange, as the end of a sentence."""


# --------------------------------------------------------------------------------------------------- writing


def to_line(exchange: Exchange) -> JsonObject:
    line: JsonObject = {
        "id": exchange.id,
        "created": exchange.created.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "request": exchange.request,
        "response": exchange.response,
        "latency_seconds": exchange.latency_seconds,
        "cost_usd": exchange.cost_usd,
    }
    if exchange.reference is not None or exchange.reference_kind is not None:
        line["reference"] = exchange.reference
        line["reference_kind"] = exchange.reference_kind
    if exchange.reference_correct is not None:
        line["reference_correct"] = exchange.reference_correct
    if exchange.status != 200:
        line["status"] = exchange.status
    if exchange.cost_source is not None and (exchange.cost_source != "recorded" or exchange.route is not None):
        line["cost_source"] = exchange.cost_source
    if exchange.cost_source == "estimate":
        line["cost_estimated"] = True
    if exchange.endpoint != CHAT_ENDPOINT:
        line["endpoint"] = exchange.endpoint
    if exchange.incomplete is not None:
        line["incomplete"] = exchange.incomplete
    if exchange.marks != Marks() or (exchange.route is not None and _once_metadata(exchange.metadata)):
        line["marks"] = msgspec.to_builtins(exchange.marks)
    if exchange.private_kinds is not None:
        line["private_kinds"] = list(exchange.private_kinds)
    if exchange.route is not None:
        line["route"] = msgspec.to_builtins(exchange.route)
    line["metadata"] = exchange.metadata
    return line


def encode(line: JsonObject) -> str:
    """One line of JSON without its end; UTF-8 safe whatever the strings hold."""
    return json_text.encode(line).decode()


# --------------------------------------------------------------------------------------------------- reading


def decode(line: bytes) -> JsonObject:
    """The JSON object that a line holds; raises BadField."""
    try:
        value = msgspec.json.decode(line)
    except RecursionError:
        raise BadField("it is nested too deeply") from None
    except msgspec.DecodeError as error:
        value = _decode_rest(line, str(error))
    if not isinstance(value, dict):
        raise BadField(f"it is not a JSON object but {_kind(value)}")
    return cast("JsonObject", value)


def _decode_rest(line: bytes, reason: str) -> Any:
    """Lone surrogates are valid JSON that msgspec refuses; numbers without a finite value are refused here too."""
    try:
        return json.loads(line, parse_constant=refuse_constant, parse_float=finite)
    except (ValueError, RecursionError):
        raise BadField(f"it is not JSON: {reason}") from None


def refuse_constant(constant: str) -> Any:
    """For a parser of JSON: NaN and the infinities are none."""
    raise ValueError(constant)


def finite(digits: str) -> float:
    """For a parser of JSON: a number without a finite value is refused."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


class ContentIds:
    """Ids for records that bring none: of the content, and of how often it came before in the file."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def of(self, content: Any) -> str:
        key = bytes.fromhex(sha256_hex(canonical_json(content)))[:16]
        times = self._seen[key] = self._seen.get(key, 0) + 1
        return "line-" + (key.hex() if times == 1 else sha256_hex(key + str(times).encode())[:32])


def _as_written_today(line: JsonObject) -> JsonObject:
    """A line of an older insource in the fields of this one; others as they are."""
    route, metadata = line.get("route"), line.get("metadata")
    if not isinstance(route, dict) or "marks" in line:
        return line
    found = _once_metadata(metadata) if isinstance(metadata, dict) else {}
    if found:
        rest = {name: value for name, value in cast("JsonObject", metadata).items() if name not in found}
        marks = {name: value for name, value in found.items() if name in _OLD_MARKS}
        line = {"incomplete": found.get("incomplete"), **line, "metadata": rest, "marks": marks}
    hosted = str(cast("JsonObject", route).get("upstream")).startswith("provider:")
    if hosted and line.get("cost_usd") is not None and not line.get("cost_estimated"):
        line = {"cost_source": "list price", **line}
    return line


def _once_metadata(metadata: JsonObject) -> JsonObject:
    return {name: metadata[name] for name, kind in _ONCE_METADATA.items() if isinstance(metadata.get(name), kind)}


def parse(line: JsonObject, *, id: str, line_number: int) -> Exchange:
    """Raises BadField."""
    request = _object(line, "request")
    if request is None:
        raise BadField("it has no request" if "request" not in line else "its request is null")
    line = _as_written_today(line)
    response = _object(line, "response")
    reference = _reference(line)
    return Exchange(
        id=id,
        created=_created(line, response, line_number),
        request=request,
        response=response,
        status=_status(line),
        latency_seconds=_amount(line, "latency_seconds"),
        cost_usd=_amount(line, "cost_usd"),
        cost_source=_cost_source(line),
        reference=reference,
        reference_kind=_reference_kind(line, reference),
        reference_correct=_flag(line, "reference_correct"),
        private_kinds=_private_kinds(line),
        route=_value(line, "route", Route),
        metadata=_metadata(line),
        endpoint=_text(line, "endpoint") or CHAT_ENDPOINT,
        incomplete=_text(line, "incomplete"),
        marks=_value(line, "marks", Marks) or Marks(),
    )


def valid_id(value: Any) -> str:
    """Raises BadField."""
    number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18
    text = str(value) if number else value
    if not isinstance(text, str):
        raise BadField(f"its id is {_kind(value)}, not a text")
    if not 0 < len(text) <= _LONGEST_ID:
        raise BadField(f"its id has {len(text):,} characters; 1 to {_LONGEST_ID} are allowed")
    if _NOT_IN_ID.search(text):
        raise BadField("its id holds control characters")
    return text


def _created(line: JsonObject, response: JsonObject | None, line_number: int) -> datetime:
    value = line.get("created")
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) >= _LEAST_MILLISECONDS:
            return _from_unix(value / 1000)
        if value is not None:
            return _from_unix(value)
        stated = (response or {}).get("created")
        if isinstance(stated, int | float) and not isinstance(stated, bool) and stated > 0:
            return _from_unix(stated)
    except (ValueError, OverflowError):
        raise BadField(
            f"its created {_short(value)} is not a time (ISO 8601, or seconds or milliseconds since 1970)"
        ) from None
    return _EPOCH + timedelta(seconds=line_number)


def _from_unix(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(value)
    return _EPOCH + timedelta(seconds=value)


def _reference(line: JsonObject) -> str | None:
    value = line.get("reference")
    return value if value is None or isinstance(value, str) else encode(value)


def _reference_kind(line: JsonObject, reference: str | None) -> ReferenceKind | None:
    kind = line.get("reference_kind", None if reference is None else "label")
    if kind is None or kind in _REFERENCE_KINDS:
        return kind
    raise BadField(f"its reference_kind is {_short(kind)}, not hosted, label or feedback")


def _status(line: JsonObject) -> int:
    value = line.get("status")
    if value is None:
        return 200
    if isinstance(value, bool) or not isinstance(value, int) or not 100 <= value <= 599:
        raise BadField(f"its status is {_short(value)}, not an HTTP status")
    return value


def _amount(line: JsonObject, name: str) -> float | None:
    value = line.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise BadField(f"its {name} is {_short(value)}, not an amount")
    return float(value)


def _flag(line: JsonObject, name: str) -> bool | None:
    value = line.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise BadField(f"its {name} is {_short(value)}, not true or false")


def _private_kinds(line: JsonObject) -> tuple[str, ...] | None:
    value = line.get("private_kinds")
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(kind, str) for kind in value):
        return tuple(value)
    raise BadField(f"its private_kinds is {_kind(value)}, not a list of texts")


T = TypeVar("T")


def _value(line: JsonObject, name: str, kind: type[T]) -> T | None:
    """A value of insource's own; None where it is absent."""
    value = line.get(name)
    if value is None:
        return None
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadField(f"its {name} can't be read ({error})") from None


def _text(line: JsonObject, name: str) -> str | None:
    value = line.get(name)
    if value is None or isinstance(value, str):
        return value
    raise BadField(f"its {name} is {_kind(value)}, not a text")


def _cost_source(line: JsonObject) -> CostSource | None:
    """A line with a cost and no source states what was paid."""
    if line.get("cost_usd") is None:
        return None
    stated = line.get("cost_source", "estimate" if _flag(line, "cost_estimated") else "recorded")
    if stated not in get_args(CostSource):
        raise BadField(f"its cost_source is {_short(stated)}, not one of {', '.join(get_args(CostSource))}")
    return cast("CostSource", stated)


def _object(line: JsonObject, name: str) -> JsonObject | None:
    value = line.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise BadField(f"its {name} is {_kind(value)}, not an object")


def _metadata(line: JsonObject) -> JsonObject:
    metadata = _object(line, "metadata") or {}
    others = {name: value for name, value in line.items() if name not in _FIELDS}
    if not others:
        return metadata
    name = "line_fields"
    while name in metadata:
        name += "_"
    return {**metadata, name: others}


def _kind(value: Any) -> str:
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "true or false"),
        (str, "a text"),
        (list, "a list"),
        (dict, "an object"),
    )
    return next((words for kind, words in kinds if isinstance(value, kind)), "null" if value is None else "a number")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
