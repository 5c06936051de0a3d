"""Reading fields of strangers' records: by path, whatever holds them; times, amounts and JSON however they are written.

Nothing here raises for what a field holds: what can't be read is None.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from insource.core.values import JsonObject
from insource.wire import json_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_SECONDS = 1e8
"""March 1973: a smaller number is no time of a log, but a count or a zero."""
_LARGEST = 1e15
_STEP = re.compile(r"[^.\[\]]+")
_PATHS = 1024
"""Remembered; the formats have a few hundred, a `--map` may have any."""


def get(record: Any, *paths: str) -> Any:
    """The first value that is not null: `a`, `a.b`, `a.0.b`. A key that holds the dots itself (`a.b`, as flat exports
    have it) is found too, and JSON within a text is looked into."""
    for path in paths:
        found = record.get(path) if isinstance(record, dict) else None
        if found is None and (steps := _steps(path)):
            found = _walk(record, steps)
        if found is not None:
            return found
    return None


def first_step(path: str) -> str:
    """The key of a record that a path goes through, unless the record has a key that is the path."""
    steps = _steps(path)
    return steps[0] if steps else path


@lru_cache(maxsize=_PATHS)
def _steps(path: str) -> tuple[str, ...]:
    """() for a plain key."""
    return tuple(_STEP.findall(path)) if "." in path or "[" in path else ()


def _walk(value: Any, steps: tuple[str, ...]) -> Any:
    for at, step in enumerate(steps):
        if isinstance(value, str):
            value = structure(value)
        if isinstance(value, list) and step.isdecimal():
            value = value[int(step)] if int(step) < len(value) else None
        elif isinstance(value, dict):
            if at and (rest := ".".join(steps[at:])) in value:
                return value[rest]
            value = value.get(step)
            if value is None:
                return None
        else:
            return None
    return value


def structure(value: Any) -> Any:
    """A list or an object: itself, or the one that a text spells; else None."""
    if isinstance(value, str):
        if value.lstrip()[:1] not in ("{", "["):
            return None
        try:
            value = json_text.decode(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list | dict) else None


def obj(value: Any) -> JsonObject | None:
    found = structure(value)
    return found if isinstance(found, dict) else None


def items(value: Any) -> list[Any]:
    found = structure(value)
    return found if isinstance(found, list) else []


def text(value: Any) -> str | None:
    """A text with something in it; numbers as they are written."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def number(value: Any) -> float | None:
    """An amount: not negative, and no more than a log can mean."""
    found = _float(value)
    return found if found is not None and 0 <= found < _LARGEST else None


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value.strip().removeprefix("$") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def count(value: Any) -> int | None:
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def moment(value: Any) -> datetime | None:
    """An ISO date, a mail date, or Unix time in seconds, milliseconds, microseconds or nanoseconds."""
    found = _float(value)
    if found is not None:
        return _unix(found)
    if not isinstance(value, str) or not value.strip():
        return None
    written = value.strip().removesuffix(" UTC")
    try:
        parsed = datetime.fromisoformat(written)
    except ValueError:
        try:
            parsed = parsedate_to_datetime(written)
        except (ValueError, TypeError, IndexError):
            return None
    try:
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except OverflowError:
        return None


def _unix(amount: float) -> datetime | None:
    """Told apart by size: seconds reach 1e11 in the year 5138, when milliseconds had it in 1973."""
    seconds = amount
    for _ in range(3):
        if seconds >= 1e11:
            seconds /= 1000
    try:
        return _EPOCH + timedelta(seconds=seconds) if seconds >= _EARLIEST_SECONDS else None
    except OverflowError:
        return None


def seconds_between(start: Any, end: Any) -> float | None:
    begun, ended = moment(start), moment(end)
    if begun is None or ended is None:
        return None
    return max((ended - begun).total_seconds(), 0.0)
