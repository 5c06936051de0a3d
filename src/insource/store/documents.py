"""Values to JSON text and back: the only place of the store that knows how.

Two ways, because their needs differ. Bodies of exchanges are JSON already and come by the thousand. Values of the
registry are few and may hold an infinite bound (`Infinity`), which the standard library keeps and msgspec turns to
null. Either way the text is free of NUL characters and surrogates, which databases can't store.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from insource.wire import json_text

T = TypeVar("T")


def encode(value: Any) -> str:
    """A JSON body as text."""
    return json_text.encode(value).decode()


def decode(text: str) -> Any:
    return json_text.decode(text)


def to_document(value: object) -> str:
    """A frozen dataclass of `core/values.py` as text."""
    return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def from_document(text: str, kind: type[T]) -> T:
    """The dataclass again. Fields that a newer version added are ignored; those that it lacks get their default."""
    return msgspec.convert(json.loads(text), kind)
