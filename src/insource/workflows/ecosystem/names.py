"""Strangers' names for a terminal or a picture."""

from __future__ import annotations

_LONGEST_NAME = 96


def safe_name(text: str) -> str:
    """A stranger's id for a terminal or a picture: printable and not too long."""
    shown = "".join(c for c in text if c.isprintable())
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…"
