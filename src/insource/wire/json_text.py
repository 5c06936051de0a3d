"""JSON bodies to bytes and back: msgspec for its speed, the standard library for the one thing that it refuses.

That is lone surrogates: JSON can spell them, UTF-8 can't, and clients and servers pass them on.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec


def encode(value: Any) -> bytes:
    """Without spaces. Numbers keep their kind (1 and 1.0 stay apart) and integers their length."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()


def decode(data: bytes | str) -> Any:
    """Raises ValueError for what is not JSON, invalid UTF-8 and nesting beyond any stack too."""
    try:
        return msgspec.json.decode(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except msgspec.DecodeError:
        try:
            return json.loads(data)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
