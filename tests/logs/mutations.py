"""Logs as accidents leave them: cut, damaged, fields lost, renamed or of another type, lines swapped and doubled."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

_ODD: tuple[Any, ...] = (
    *(None, "", [], {}, 0, -1, 1e308, True, "text", [None], [[]], {"": None}, "\ud800", "[1", "{}", "x" * 5000),
    *({"role": "user"}, [{"role": "assistant"}], {"messages": []}, {"choices": [None]}, {"content": [1]}),
)
_NAMES = ("request", "response", "messages", "content", "role", "id", "choices", "input", "output", "custom_id", "body")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three accidents."""
    for _ in range(rng.randint(1, 3)):
        change = rng.choice((_flip, _cut, _drop, _double, _swap_lines, _field, _field, _field, _field))
        data = change(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] if rng.random() < 0.7 else data[at:]


def _drop(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randint(1, 200) :]


def _double(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    return b"\n".join([*lines[:at], lines[at], *lines[at:]])


def _swap_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def _field(data: bytes, rng: random.Random) -> bytes:
    """A field of the JSON in it: lost, renamed, or with another value, in one record or in all alike."""
    try:
        text = data.decode()
        documents = [json.loads(text)] if text.lstrip()[:1] == "[" or "\n {" in text else None
        documents = documents or [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError):
        return _flip(data, rng)
    if not documents:
        return data
    spot = _spot(rng.choice(documents), rng)
    change = rng.choice((_lose, _rename, _replace, _replace))
    seed = rng.random()
    for document in documents if rng.random() < 0.6 else documents[:1]:
        _at(document, spot, change, random.Random(seed))
    ensure = rng.random() < 0.5
    return "\n".join(json.dumps(each, ensure_ascii=ensure) for each in documents).encode("utf-8", "replace")


def _spot(value: Any, rng: random.Random) -> list[Any]:
    """The path to some field."""
    path: list[Any] = []
    while isinstance(value, dict | list) and value and (not path or rng.random() < 0.75):
        key: Any = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        path.append(key)
        value = value[key]
    return path


def _at(value: Any, path: list[Any], change: Callable[[Any, Any, random.Random], None], rng: random.Random) -> None:
    for step in path[:-1]:
        in_list = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if in_list or (isinstance(value, dict) and step in value):
            value = value[step]
        else:
            return
    if path and isinstance(value, dict | list):
        change(value, path[-1], rng)


def _lose(value: Any, key: Any, rng: random.Random) -> None:
    if isinstance(value, dict):
        value.pop(key, None)
    elif isinstance(key, int) and key < len(value):
        del value[key]


def _rename(value: Any, key: Any, rng: random.Random) -> None:
    if isinstance(value, dict) and key in value:
        value[rng.choice(_NAMES)] = value.pop(key)


def _replace(value: Any, key: Any, rng: random.Random) -> None:
    new = rng.choice(_ODD)
    if isinstance(value, dict) or (isinstance(key, int) and key < len(value)):
        value[key] = new
