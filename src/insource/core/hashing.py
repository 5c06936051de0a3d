"""Content addresses. The algorithm's name is part of every hash that leaves a process."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_INPUT_KEYS = ("messages", "tools", "functions", "tool_choice", "response_format")
"""What determines the right answer. Not `model`, `temperature`, `stream` or `user`: a repeat is a repeat."""


def canonical_json(value: Any) -> bytes:
    """The same bytes for equal values, whatever the key order (RFC 8785 in spirit: sorted keys, no spaces, UTF-8).

    Lone surrogates, which a JSON body from outside may spell, are hashed as they are instead of failing.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content_address(value: Any) -> str:
    """`sha256:<hex>` of a JSON value."""
    return "sha256:" + sha256_hex(canonical_json(value))


def input_sha256(request: dict[str, Any]) -> str:
    """Of what is asked in a chat request."""
    return sha256_hex(canonical_json({key: request[key] for key in _INPUT_KEYS if key in request}))


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unit_interval(*parts: str) -> float:
    """A number in [0, 1) that depends on the parts alone: for splits and canaries that any process can repeat."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
