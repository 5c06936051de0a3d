"""Values to JSON text and back: the only place of the store that knows how.

Two ways, because their needs differ. Bodies of exchanges are JSON already and come by the thousand: msgspec, with the
standard library for the one thing that it refuses (lone surrogates, which JSON can spell and UTF-8 can't). Values of
the registry are few and may hold an infinite bound (`Infinity`), which the standard library keeps and msgspec turns to
null. Either way the text is free of NUL characters and surrogates, which databases can't store.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def encode(value: Any) -> str:
    """A JSON body as text. Numbers keep their kind (1 and 1.0 stay apart) and integers their length."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def decode(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)


def to_document(value: object) -> str:
    """A frozen dataclass of `core/values.py` as text."""
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def from_document(text: str, kind: type[T]) -> T:
    """The dataclass again. Fields that a newer version added are ignored; those that it lacks get their default."""
    return msgspec.convert(json.loads(text), kind)
