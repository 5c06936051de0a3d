"""Which strings of a request are bytes in base64 (files, images, data URLs), and what they say where it is text. Pure.

Not here: base64 in the middle of a text (folding.py).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, urlsafe_b64decode
from typing import Any

_KEYS = frozenset({"file_data", "data", "b64_json", "encrypted_content", "image_data", "bytes"})
"""Keys of the dialects whose value is bytes."""
_DATA_URL = re.compile(r"data:[^,\s]{0,200};base64,")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_LONG_BASE64 = re.compile(r"[A-Za-z0-9+/_=\r\n-]{512,}")
_LEAST_VARIETY = 40
"""Different characters among 512 of real base64; words, UUIDs and rulers have fewer."""


def encoded_bytes(text: str, key: str | None, parent: Any) -> bytes | None:
    """The bytes that a whole string encodes; None: it is a text."""
    url = _DATA_URL.match(text)
    if url is not None:
        return _unbase64(text[url.end() :]) or b"\xff"
    if key in _KEYS and len(text) >= 8 and (key != "data" or _is_part(parent)):
        return _unbase64(text)
    if len(text) >= 512 and _LONG_BASE64.fullmatch(text) and _looks_encoded(text):
        return _unbase64(text)
    return None


def _is_part(parent: Any) -> bool:
    return isinstance(parent, dict) and any(key in parent for key in ("format", "media_type", "mime_type", "type"))


def _looks_encoded(text: str) -> bool:
    """Random characters in lines of one length."""
    lines = text.split()
    return len(set(map(len, lines[:-1]))) <= 1 and len(set(text)) >= _LEAST_VARIETY


def _unbase64(text: str) -> bytes | None:
    packed = "".join(text.split())
    if not _BASE64.fullmatch(packed):
        return None
    padded = packed.rstrip("=") + "=" * (-len(packed.rstrip("=")) % 4)
    try:
        return urlsafe_b64decode(padded) if "-" in packed or "_" in packed else b64decode(padded)
    except (binascii.Error, ValueError):
        return None


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


def as_text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text
