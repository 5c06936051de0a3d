"""What snapshots state together, held to the rule in plain Python: it hangs on neither order nor parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insource.hub.archive import Archive
from insource.hub.duck import connect
from insource.hub.schema import MODEL_COLUMNS, SOURCES

DAY = date(2026, 5, 1)
COLUMNS = ("likes", "downloads", "license")
Cell = int | str | None
Row = tuple[Cell, ...]
"""Of `COLUMNS`."""


class Given(NamedTuple):
    source: str
    day: int
    whole: bool
    rows: dict[str, Row]


_NUMBER = st.none() | st.integers(0, 3)
_ROWS = st.dictionaries(st.sampled_from("abc"), st.tuples(_NUMBER, _NUMBER, st.sampled_from([None, "", "mit", "x"])))
_SNAPSHOTS = st.lists(st.builds(Given, st.sampled_from(SOURCES), st.integers(0, 3), st.booleans(), _ROWS), max_size=6)


@pytest.fixture
def duck() -> DuckDBPyConnection:
    return connect(threads=1)


def of_one_day(snapshots: Sequence[Given]) -> dict[str, Row]:
    """Of each id and column the largest that any of them states."""
    told: defaultdict[str, list[Row]] = defaultdict(list)
    for one in snapshots:
        for id, row in one.rows.items():
            told[id].append(row)
    return {id: tuple(_largest([row[c] for row in rows]) for c in range(len(COLUMNS))) for id, rows in told.items()}


def _largest(cells: Sequence[Cell]) -> Cell:
    return max((cell for cell in cells if cell is not None), key=lambda cell: (str(type(cell)), cell), default=None)


def rule(snapshots: Sequence[Given]) -> dict[str, tuple[object, ...]]:
    """Of each id its columns' newest statements, with the days of the counts and of the id."""
    statements: defaultdict[str, list[tuple[int, int, Row]]] = defaultdict(list)
    for rank, source in enumerate(SOURCES):
        own: defaultdict[str, list[tuple[int, int, Row]]] = defaultdict(list)
        for day in range(4):
            here = [one for one in snapshots if (one.source, one.day) == (source, day)]
            rows = of_one_day(here)
            if any(one.whole for one in here):
                for id in own.keys() - rows.keys():
                    del own[id]
            for id, row in rows.items():
                own[id].append((day, -rank, row))
        for id, told in own.items():
            statements[id] += told
    found: dict[str, tuple[object, ...]] = {}
    for id, told in statements.items():
        told.sort(key=lambda one: one[:2], reverse=True)
        likes, downloads, license = (
            next(((row[c], day) for day, _, row in told if row[c] is not None), (None, None)) for c in range(3)
        )
        found[id] = (*likes, *downloads, license[0], told[0][0])
    return found


def stored(duck: DuckDBPyConnection, archive: Archive, snapshots: Sequence[Given]) -> dict[str, tuple[object, ...]]:
    types = ", ".join(f"NULL::{column.type} AS {column.name}" for column in MODEL_COLUMNS)
    for number, one in enumerate(snapshots):
        duck.execute(f"CREATE OR REPLACE TEMP TABLE incoming AS SELECT {types} WHERE false")
        for id, row in one.rows.items():
            names = ", ".join(("id", "source", *COLUMNS))
            duck.execute(f"INSERT INTO incoming ({names}) VALUES (?, ?, ?, ?, ?)", [id, one.source, *row])
        day = DAY + timedelta(days=one.day)
        archive.add(duck, source=one.source, day=day, whole=one.whole, origin=f"file-{number}")
    if not snapshots:
        return {}
    archive.load(duck)
    days = "likes_day - $day, downloads, downloads_day - $day, license, of_day - $day"
    rows = duck.execute(f"SELECT id, likes, {days} FROM model_rows", {"day": DAY}).fetchall()
    return {id: tuple(row) for id, *row in rows}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_SNAPSHOTS, st.randoms(use_true_random=False))
def test_statements_add_up_the_same_in_any_order(
    duck: DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory, snapshots: list[Given], random: Random
) -> None:
    archive = Archive(tmp_path_factory.mktemp("archive"))
    assert stored(duck, archive, random.sample(snapshots, len(snapshots))) == rule(snapshots)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_SNAPSHOTS.filter(bool), st.randoms(use_true_random=False))
def test_a_file_in_parts_states_what_the_file_does(
    duck: DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory, snapshots: list[Given], random: Random
) -> None:
    parts = [
        one._replace(rows={id: row for id, row in one.rows.items() if (id in "a") == first})
        for one in snapshots
        for first in (True, False)
    ]
    archive = Archive(tmp_path_factory.mktemp("archive"))
    assert stored(duck, archive, random.sample(parts, len(parts))) == rule(snapshots)


def test_two_files_of_one_day_are_one_snapshot(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    one, other = (
        Given("api", 0, False, {"a": (1, None, "mit")}),
        Given("api", 0, False, {"a": (None, 2, ""), "b": (1, 1, None)}),
    )
    assert stored(duck, archive, [one, other]) == {"a": (1, 0, 2, 0, "mit", 0), "b": (1, 0, 1, 0, None, 0)}
    (snapshot,) = archive.snapshots()
    assert (snapshot.rows, snapshot.whole, snapshot.origin) == (2, False, "file-0, file-1")
    assert snapshot.columns == {"likes": 2, "downloads": 2, "license": 1, "source": 2}
