"""How values look on a page. Text of strangers shows as text, whatever it holds: nothing of it turns the direction of
what follows, hides, or makes a page of a megabyte.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

MOST_CHARACTERS = 2_000
MOST_OF_A_BODY = 20_000
_PICTURES = 0x2400
"""Of the control characters: U+241B is a small ESC."""
_JOINERS = "\u200c\u200d"
"""Scripts and emoji need them, and they change nothing around them."""
_KEPT = "\n\t"


def visible(text: str, *, most: int = MOST_CHARACTERS) -> str:
    """The text with all that would act or hide replaced by what names it, and shortened. Not escaped."""
    rest = len(text) - most
    shown = "".join(character if character.isprintable() else _named(character) for character in text[:most])
    return f"{shown} … ({rest:,} more characters)" if rest > 0 else shown


def _named(character: str) -> str:
    if character in _KEPT or character in _JOINERS:
        return character
    code = ord(character)
    if code < 0x20:
        return chr(_PICTURES + code)
    kind = unicodedata.category(character)
    if kind == "Zs":
        return " "
    return "\N{REPLACEMENT CHARACTER}" if kind == "Cs" else f"⟨U+{code:04X}⟩"


def finalize(value: Any) -> Any:
    """Of every expression in a template, before it is escaped."""
    if value is None:
        return "–"
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def body(text: str) -> Markup:
    """A whole request or answer, as far as a page should hold it."""
    return escape(visible(text, most=MOST_OF_A_BODY))


def exact(value: str) -> Markup:
    """For a form's value, which comes back as it is: escaped and otherwise untouched."""
    return escape(value)


def sentence(text: str) -> str:
    """A reason that stands by itself."""
    return text[:1].upper() + text[1:]


def percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def usd(value: float | None) -> str:
    """Two digits that say something, also of a fraction of a cent."""
    if value is None:
        return "–"
    if value != 0 and abs(value) < 0.01:
        return f"${value:.6f}".rstrip("0")
    return f"${value:,.2f}"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.1f} s"


def size(value: int | None) -> str:
    if value is None:
        return "–"
    for power, unit in ((1e9, "GB"), (1e6, "MB")):
        if value >= power:
            return f"{value / power:.1f} {unit}"
    return f"{value / 1e3:.0f} kB"


def moment(value: datetime | str | None) -> Markup:
    """In UTC; the page's script writes it in the viewer's zone."""
    if value is None:
        return Markup("unknown")
    try:
        when = (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)
    except ValueError:
        return Markup("unknown")
    return Markup('<time datetime="{}">{} UTC</time>').format(when.isoformat(), when.strftime("%Y-%m-%d %H:%M"))
