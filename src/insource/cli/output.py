"""The one output sink: data on stdout, talk on stderr. `print` is banned everywhere.

human: tables and sentences. json: one JSON document (or one a line) on stdout and nothing else there. quiet: data only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table


class Output:
    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self._quiet = quiet
        self._talk = Console(stderr=True, highlight=False)
        # Nobody's terminal: wide enough that a table's words stay whole.
        width = None if sys.stdout.isatty() else 160
        self._data = Console(file=sys.stdout, highlight=False, width=width)

    def say(self, sentence: str) -> None:
        """A sentence for the person who waits; stderr. The text is shown as it is, never read as markup."""
        if not self._quiet:
            self._talk.print(escape(sentence), soft_wrap=True)

    def data(self, value: Any) -> None:
        """One JSON document on stdout."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")

    def line(self, value: Any) -> None:
        """One JSON value on one line of stdout."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")

    def text(self, text: str) -> None:
        """Plain text on stdout, untouched."""
        sys.stdout.write(text + "\n")

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table on stdout. Cells are shown as they are: text from the traffic is never read as markup."""
        shown = Table(title=title, title_justify="left", header_style="bold", show_lines=False)
        for column in columns:
            # Figures line up on the right; words on the left.
            shown.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
        for row in rows:
            shown.add_row(*[escape(cell) for cell in row])
        self._data.print(shown)

    @contextmanager
    def progress(self) -> Generator[ProgressReport]:
        """Bars on stderr for as long as the block runs; one line for each thing where nobody looks at a terminal."""
        bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._talk,
            disable=self._quiet or not self._talk.is_terminal,
        )
        with bars:
            yield ProgressReport(bars, say=self.say if bars.disable else None)


class ProgressReport:
    """A `workflows.services.Progress`: one bar, or one line, for each thing that is being done."""

    def __init__(self, bars: Progress, *, say: Callable[[str], None] | None) -> None:
        self._bars = bars
        self._say = say
        self._ids: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int | None) -> None:
        if what not in self._ids:
            self._ids[what] = self._bars.add_task(escape(what), total=total)
            if self._say is not None:
                self._say(what + " …")
        self._bars.update(self._ids[what], completed=done, total=total)
