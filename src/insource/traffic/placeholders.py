r"""What stands for a private value on its way to a provider and back: `[PII_EMAIL_1]`. Pure.

Models change what they repeat: case, quotes, brackets, `\_`, a line break or a zero-width space in the middle, a label
in another language. The number says which value is meant; the label must not contradict it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from insource.core.scanning import Placeholders

MARK = "PII"
TEXT = "TEXT"
"""Label of what a client itself wrote in the form of a placeholder: it gets a number of its own, or an answer that
repeats it would be given somebody's address."""
_SEPARATOR = r"(?:\\+[nrt]?|[\s_\-\u00ad\u200b-\u200d\u2060\ufeff\uff3f])"
_OPEN = r"\[|［|【|%5B"
_CLOSE = r"\]|］|】|%5D"
_NUMBER = r"(?P<{}>\d{{1,7}})(?!\d)"
LONGEST = 100
"""Characters of a placeholder, however it is mangled."""


def label_of(kind: str) -> str:
    """The kind in capital letters."""
    return re.sub(r"[^A-Z]+", "_", kind.upper()).strip("_") or TEXT


def written(label: str, number: int) -> str:
    return f"[{MARK}_{label}_{number}]"


class Numbering:
    """Gives out placeholders, the same one for the same value."""

    def __init__(self, known: Placeholders) -> None:
        self._first = known.first
        self._values = list(known.values)
        self._written = {
            value: written(label, known.first + at) for at, (label, value) in enumerate(known.values)
        }  # fmt: skip

    def placeholder(self, label: str, value: str) -> str:
        found = self._written.get(value)
        if found is None:
            found = self._written[value] = written(label, self._first + len(self._values))
            self._values.append((label, value))
        return found

    @property
    def placeholders(self) -> Placeholders:
        return Placeholders(first=self._first, values=tuple(self._values))


def pattern(placeholders: Placeholders) -> re.Pattern[str]:
    """Matches whatever may be one of these. Groups `label` and `number` of a known label in any spelling, `other` and
    `its` of another label, which must be in brackets."""
    return _pattern(frozenset(label for label, _ in placeholders.values) | {TEXT})


@lru_cache(maxsize=64)
def _pattern(labels: frozenset[str]) -> re.Pattern[str]:
    some = _SEPARATOR + "{0,3}"
    known = "|".join(some.join(label.replace("_", "")) for label in sorted(labels, key=lambda each: (-len(each), each)))
    mark = some.join(MARK)
    named = rf"{mark}{some}(?P<label>{known}){some}{_NUMBER.format('number')}"
    joined = r"[^\W\d_]{1,24}(?:[_\-][^\W\d_]{1,24}){0,4}"
    foreign = rf"{MARK}[_\-](?P<other>{joined})[_\-]{_NUMBER.format('its')}"
    # A backslash goes with the bracket where both have one; else it is the user's own (`C:\\users\\[PII_NAME_1]`).
    bracketed = rf"(?P<escape>\\)?(?P<open>{_OPEN}){some}(?:{named}|{foreign}){some}(?(escape)\\\]|(?:{_CLOSE}))"
    bare = named.replace("<label>", "<bare>").replace("<number>", "<of>")
    return re.compile(f"{bracketed}|{bare}", re.IGNORECASE)


_MARKED = re.compile(rf"[Pp]{_SEPARATOR}{{0,3}}[Ii]{_SEPARATOR}{{0,3}}[Ii]")


def may_hold_any(text: str) -> bool:
    """The cheap question before the pattern."""
    return _MARKED.search(text) is not None


_UNFINISHED = re.compile(
    rf"(?:(?:\\?(?:{_OPEN})|\\|%5?){_SEPARATOR}{{0,3}})?"
    rf"(?:P{_SEPARATOR}{{0,3}}(?:I{_SEPARATOR}{{0,3}}(?:I(?:{_SEPARATOR}|\w){{0,80}}(?:\\|%5?)?)?)?)?\Z",
    re.IGNORECASE,
)
LOST = re.compile(r"\[[^\W\d_]{2,24}(?:[_\-][^\W\d_]{2,24}){1,4}[_\-](\d{1,7})\]")
"""In the form of a placeholder, but not one: a model may have translated it."""


def unfinished_at(text: str) -> int:
    """Where the end of a text that goes on may be the beginning of a placeholder; its length: nowhere."""
    found = _UNFINISHED.search(text, max(0, len(text) - LONGEST))
    return len(text) if found is None else found.start()
