"""The one output sink: data on stdout, talk on stderr. `print` is banned everywhere.

human: tables and sentences. json: one JSON document (or one a line) on stdout and nothing else there. quiet: data only.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from insource.cli.progress import ProgressReport

_ID = re.compile(r"[a-z]+-[0-9a-f]{8,16}")
"""Of a task, a candidate, a certificate."""
_LONGEST_WHOLE = 24
"""Characters of a word that must not be broken; a hash may be."""


def longest_words(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """The characters that each column must have for no word of it to be broken. Pure."""
    longest = [1] * len(columns)
    for row in ([column.lstrip(">") for column in columns], *rows):
        for at, cell in enumerate(row):
            longest[at] = max(longest[at], *(min(len(word), _LONGEST_WHOLE) for word in cell.split()), 1)
    return longest


def needed_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Of the table with its lines, in characters."""
    return sum(longest_words(columns, rows)) + 3 * len(columns) + 1


def column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """As wide as their texts where these fit; else as their longest words, and what is left goes to those with most
    text. Pure."""
    heads = [column.lstrip(">") for column in columns]
    natural = [
        max((len(line) for row in (heads, *rows) for line in row[at].splitlines()), default=1) or 1
        for at in range(len(columns))
    ]
    left = width - needed_width(columns, rows)
    if sum(natural) + 3 * len(columns) + 1 <= width:
        return natural
    widths = longest_words(columns, rows)
    for _ in range(left):  # to whichever still lacks most
        widths[max(range(len(columns)), key=lambda at: natural[at] - widths[at])] += 1
    return widths


def counted(count: int, one: str) -> str:
    """`1 exchange`, `1,204 exchanges`, `3 repositories`."""
    many = f"{one[:-1]}ies" if one.endswith("y") and one[-2:] not in ("ay", "ey") else f"{one}s"
    return f"{count:,} {one if count == 1 else many}"


class Output:
    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self._quiet = quiet
        self._talk = Console(stderr=True, highlight=False)
        # Nobody's terminal: wide enough that a table's words stay whole.
        width = None if sys.stdout.isatty() else 160
        self._data = Console(file=sys.stdout, highlight=False, width=width)

    @property
    def is_interactive(self) -> bool:
        """Somebody sits at a terminal and can be asked."""
        return not self.as_json and not self._quiet and sys.stdin.isatty() and self._talk.is_terminal

    @property
    def width(self) -> int:
        """Columns of what is shown on stdout."""
        return self._data.width

    def say(self, sentence: str) -> None:
        """A sentence for the person who waits; stderr. The text is shown as it is, never read as markup."""
        if not self._quiet:
            self._talk.print(escape(sentence), soft_wrap=True)

    def data(self, value: Any) -> None:
        """One JSON document on stdout."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")

    def line(self, value: Any) -> None:
        """One JSON value on one line of stdout, at once: whoever reads it may wait for it."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def text(self, text: str) -> None:
        """Plain text on stdout: untouched in a pipe, its lines ended between words on a terminal."""
        if sys.stdout.isatty():
            self._data.print(Text(text))
        else:
            sys.stdout.write(text + "\n")

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table on stdout, or that there is nothing to show. Cells are shown as they are: text from the traffic is
        never read as markup."""
        held = [tuple(row) for row in rows]
        if not held:
            self.text(f"{title}: none.")
            return
        if needed_width(columns, held) > self._data.width:
            self._records(title, columns, held)
            return
        widths = column_widths(columns, held, self._data.width)
        shown = Table(title=title, title_justify="left", header_style="bold", show_lines=False)
        for at, column in enumerate(columns):
            shown.add_column(
                column.lstrip(">"),
                # Figures line up on the right; words on the left.
                justify="right" if column.startswith(">") else "left",
                overflow="fold",
                width=widths[at],
                # An id that is broken over lines can't be copied.
                no_wrap=all(_ID.fullmatch(row[at]) for row in held),
            )
        for row in held:
            shown.add_row(*[escape(cell) for cell in row])
        self._data.print(shown)

    def _records(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """What is too wide for a table: each row as a block, one value a line."""
        names = [column.lstrip(">") or "is" for column in columns]
        names_width = max(len(name) for name in names) + 4
        self._data.print(Text(title))
        for row in rows:
            self._data.print(Text(row[0].replace("\n", ", ")), style="bold")
            for name, cell in zip(names[1:], row[1:], strict=True):
                if not cell:
                    continue
                block = Text(cell.replace("\n", ", "))
                lines = block.wrap(self._data, max(self._data.width - names_width, 20))
                for at, line in enumerate(lines):
                    self._data.print(Text(f"  {name if at == 0 else ''}".ljust(names_width)) + line)

    @contextmanager
    def progress(self) -> Generator[ProgressReport]:
        """Shows on stderr what runs for as long as the block does."""
        report = ProgressReport(self._talk, silent=self._quiet, say=self.say)
        with report.bars:
            yield report
