"""Two texts beside each other in a terminal. Pure."""

from __future__ import annotations

import textwrap
from itertools import zip_longest

_LEAST = 20
_GAP = " │ "


def side_by_side(left: str, right: str, *, width: int) -> str:
    """Each in half of the width; below each other where that is too narrow to read."""
    column = (width - len(_GAP)) // 2
    if column < _LEAST:
        return f"a: {left}\n\nb: {right}"
    rows = zip_longest(["a", *_wrapped(left, column)], ["b", *_wrapped(right, column)], fillvalue="")
    return "\n".join(f"{one:<{column}}{_GAP}{other}".rstrip() for one, other in rows)


def _wrapped(text: str, column: int) -> list[str]:
    return [line for part in text.splitlines() for line in textwrap.wrap(part, column) or [""]]
