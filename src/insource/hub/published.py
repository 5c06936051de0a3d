"""Scores that others published, from CSV tables of the user; none ships with insource.

Columns: `model` (a Hub id, or a name), `benchmark`, `score`, `source` (who says so), `date` (YYYY-MM-DD, or empty).
Rows are joined by id whatever its case; then by name under any owner (renamed, uploaded again, another format); then
by lineage: a quantised copy has its parent's score. How is always said. These are claims about other work under other
conditions: they are shown, order nothing, and never reach a certificate or a gate.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Literal

from insource.core.errors import BadInput
from insource.hub.names import model_key

COLUMNS = ("model", "benchmark", "score", "source", "date")
FOLDER = "evidence"
"""In the home: every `*.csv` in it is read."""
_MOST_ROWS = 100_000
_MOST_FILES = 100
_LONGEST = 160
_LARGEST_SCORE = 1e9

Joined = Literal["this model", "the same name elsewhere", "its parent, of which it is a quantised copy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    model: str
    benchmark: str
    score: float
    source: str
    day: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedScore:
    row: Row
    joined: Joined


class Published:
    """Rows, to be asked by model."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._by_id: defaultdict[str, list[Row]] = defaultdict(list)
        self._by_key: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            self._by_id[row.model.lower()].append(row)
            self._by_key[model_key(row.model.replace(" ", "-"))].append(row)

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def of(self, id: str, *, copied_from: Sequence[str] = ()) -> tuple[PublishedScore, ...]:
        """By the surest way that finds any; `copied_from`: the parents of a quantised copy."""
        ways: tuple[tuple[Joined, Iterable[Row]], ...] = (
            ("this model", self._by_id.get(id.lower(), ())),
            (
                "its parent, of which it is a quantised copy",
                [row for parent in copied_from for row in self._by_id.get(parent.lower(), ())],
            ),
            ("the same name elsewhere", self._by_key.get(model_key(id), ())),
        )
        for joined, rows in ways:
            found = tuple(PublishedScore(row=row, joined=joined) for row in rows)
            if found:
                return found
        return ()


def published_json(scores: Iterable[PublishedScore]) -> list[dict[str, object]]:
    return [
        {
            "model": one.row.model,
            "benchmark": one.row.benchmark,
            "score": one.row.score,
            "source": one.row.source,
            "date": None if one.row.day is None else one.row.day.isoformat(),
            "joined_by": one.joined,
        }
        for one in scores
    ]


def published_sentence(one: PublishedScore) -> str:
    row = one.row
    day = f", {row.day}" if row.day is not None else ""
    of = "" if one.joined == "this model" else f"; of {row.model} ({one.joined})"
    return f"{row.benchmark} {row.score:g} ({row.source}{day}{of})"


def read_published(home: Path, named: Path | None = None) -> Published:
    """The tables in the home's folder, and the file or folder that is named. Raises BadInput."""
    paths = sorted((home / FOLDER).glob("*.csv"))[:_MOST_FILES]
    if named is not None:
        paths += sorted(named.glob("*.csv"))[:_MOST_FILES] if named.is_dir() else [named]
    rows = [row for path in dict.fromkeys(paths) for row in _read(path)]
    if named is not None and not rows:
        raise _bad(named, "holds no row with a model, a benchmark and a score")
    return Published(rows)


def _read(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise _bad(path, f"has no column {missing[0]!r}")
            return [row for line in islice(table, _MOST_ROWS) if (row := _row(line)) is not None]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _bad(path, f"can't be read ({error})") from error


def _row(line: Mapping[str, str | None]) -> Row | None:
    """None: no model, no benchmark or no number in it."""
    text = {name: "".join(c for c in (line.get(name) or "").strip() if c.isprintable())[:_LONGEST] for name in COLUMNS}
    score = _number(text["score"])
    if not text["model"] or not text["benchmark"] or score is None:
        return None
    return Row(
        model=text["model"],
        benchmark=text["benchmark"],
        score=score,
        source=text["source"] or "source not stated",
        day=_day(text["date"]),
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST_SCORE else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _bad(path: Path, why: str) -> BadInput:
    return BadInput(
        f"The table of published scores {str(path)!r} {why}.",
        next_step=f"Give a CSV file with the columns {', '.join(COLUMNS)}.",
    )
