"""Scores of a model arena from a CSV table that the user names; none ships with insource.

Columns are read by name: `model` and a score (`arena_score`, `score`, `rating` or `elo`); `95_pct_ci` as `+4/-5`,
`votes` and `license` where there are any. Names are joined by their key (`hub/names.py`), so "Gemma-3-27B-it" is
`google/gemma-3-27b-it` and "Meta-Llama-3.1-405B-Instruct-bf16" is `meta-llama/Llama-3.1-405B-Instruct`. A score is
people's preference in chats; it says nothing about a task, and stays a factor of its own.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from insource.core.errors import BadInput
from insource.hub.names import model_key

_SCORES = ("arena_score", "score", "rating", "elo")
_MOST_ROWS = 100_000
_INTERVAL = re.compile(r"\+\s*(\d+(?:\.\d+)?)\s*/\s*-\s*(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaScore:
    name: str
    """As the table writes it."""
    score: float
    low: float | None
    high: float | None
    """The ends of its 95 % interval."""
    votes: int | None


def read_arena(path: Path) -> dict[str, ArenaScore]:
    """By key; of several rows with one key the highest score. Rows without a number are left out. Raises BadInput."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            score = next((name for name in _SCORES if name in columns), None)
            if score is None or "model" not in columns:
                raise _bad(path, f"has no columns `model` and `{_SCORES[0]}`")
            return _by_key(islice(rows, _MOST_ROWS), score)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _bad(path, f"can't be read ({error})") from error


def _bad(path: Path, why: str) -> BadInput:
    return BadInput(
        f"The arena table {str(path)!r} {why}.", next_step="Give a CSV file with the columns model and arena_score."
    )


def _by_key(rows: Iterable[Mapping[str, str | None]], column: str) -> dict[str, ArenaScore]:
    found: dict[str, ArenaScore] = {}
    for row in rows:
        name, score = (row.get("model") or "").strip(), _number(row.get(column))
        if not name or score is None:
            continue
        interval = _INTERVAL.search(row.get("95_pct_ci") or "")
        votes = _number(row.get("votes"))
        key = model_key(name.replace(" ", "-"))
        if key not in found or found[key].score < score:
            found[key] = ArenaScore(
                name="".join(c for c in name if c.isprintable())[:120],
                score=score,
                low=score - float(interval[2]) if interval else None,
                high=score + float(interval[1]) if interval else None,
                votes=None if votes is None else int(votes),
            )
    return found


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None
