"""The archive: changes alone are stored, and every day comes back exactly."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insource.core.errors import BadInput, StorageError, UsageError
from insource.hub.archive import Archive
from insource.hub.duck import connect
from insource.hub.schema import MODEL_COLUMNS
from insource.hub.window import window_downloads

DAY = date(2026, 5, 1)
State = dict[str, int]
"""Downloads of all time by id."""


@pytest.fixture
def duck() -> DuckDBPyConnection:
    return connect(threads=1)


def incoming(duck: DuckDBPyConnection, state: State, *, source: str = "api", **texts: str) -> None:
    """The table `incoming`: columns of `texts` as SQL, everything else NULL."""
    stated = {"id": "id", "downloads_all": "n", "downloads": "n // 10", "source": f"'{source}'", **texts}
    columns = ", ".join(f"({stated.get(c.name, 'NULL')})::{c.type} AS {c.name}" for c in MODEL_COLUMNS)
    duck.execute("CREATE OR REPLACE TEMP TABLE told (id VARCHAR, n BIGINT)")
    for id, downloads in state.items():
        duck.execute("INSERT INTO told VALUES (?, ?)", [id, downloads])
    duck.execute(f"CREATE OR REPLACE TEMP TABLE incoming AS SELECT {columns} FROM told")


def add(
    duck: DuckDBPyConnection, archive: Archive, state: State, day: int, *, source: str = "api", whole: bool = True
) -> int:
    incoming(duck, state, source=source)
    snapshot = archive.add(duck, source=source, day=DAY + timedelta(days=day), whole=whole)
    assert (archive.folder / snapshot.file).stat().st_size == snapshot.size_bytes
    return snapshot.changed


def state(duck: DuckDBPyConnection, archive: Archive, day: int, *, source: str | None = None) -> State:
    archive.load(duck, day=DAY + timedelta(days=day), source=source)
    return dict(duck.execute("SELECT id, downloads_all FROM models").fetchall())


def days(duck: DuckDBPyConnection) -> dict[str, int]:
    """When each id was last stated, in days from `DAY` on."""
    found = duck.execute("SELECT id, of_day FROM model_rows").fetchall()
    return {id: (day - DAY).days for id, day in found}


def test_only_changes_are_stored_and_each_day_comes_back(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    told: dict[int, State] = {0: {"a": 1, "b": 2, "c": 3}, 2: {"a": 1, "b": 5, "d": 4}, 5: {"a": 1, "c": 3, "d": 4}}
    assert [add(duck, archive, told[day], day) for day in told] == [3, 3, 2]
    assert [state(duck, archive, day) for day in (0, 1, 2, 4, 5, 9)] == [told[day] for day in (0, 0, 2, 2, 5, 5)]
    assert days(duck) == {"a": 5, "c": 5, "d": 5}
    state(duck, archive, 2)
    assert days(duck) == {"a": 2, "b": 2, "d": 2}


_STATES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3), min_size=1)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(4)), st.lists(_STATES, min_size=4, max_size=4), _STATES)
def test_snapshots_may_come_in_any_order_and_again(
    duck: DuckDBPyConnection,
    tmp_path_factory: pytest.TempPathFactory,
    order: list[int],
    states: list[State],
    second: State,
) -> None:
    archive = Archive(tmp_path_factory.mktemp("archive"))
    for day in order:
        add(duck, archive, states[day], day)
    add(duck, archive, second, 1)
    expected = [states[0], second, states[2], states[3]]
    assert [state(duck, archive, day) for day in range(4)] == expected
    assert [one.rows for one in archive.snapshots()] == [len(one) for one in expected]
    assert len(list(archive.folder.glob("api/*"))) == 4


def test_a_part_changes_what_it_holds_alone(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    add(duck, archive, {"a": 1, "b": 2}, 0)
    add(duck, archive, {"b": 3, "c": 4}, 1, whole=False)
    assert state(duck, archive, 1) == {"a": 1, "b": 3, "c": 4}
    assert days(duck) == {"a": 0, "b": 1, "c": 1}


def test_sources_keep_apart_and_one_day_goes_by_precedence(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    add(duck, archive, {"a": 1, "b": 1, "c": 1}, 3, source="records")
    add(duck, archive, {"a": 2, "b": 2}, 3, source="hub-stats")
    add(duck, archive, {"a": 3}, 3, source="api")
    add(duck, archive, {"b": 9, "d": 9}, 1, source="api")
    assert state(duck, archive, 3) == {"a": 3, "b": 2, "c": 1}
    assert state(duck, archive, 3, source="records") == {"a": 1, "b": 1, "c": 1}
    assert state(duck, archive, 2) == {"b": 9, "d": 9}


def test_a_row_that_states_less_hides_nothing(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    """Each column is its newest statement, and says of which day; a licence may be stated to be none."""
    archive = Archive(tmp_path)
    parents = "[{'relation': 'merge', 'id': 'x/y'}]"
    incoming(
        duck, {"a": 5, "b": 5}, source="hub-stats", base_models=parents, license="'mit'", sha="'c0ffee'", likes="7"
    )
    archive.add(duck, source="hub-stats", day=DAY)
    incoming(duck, {"a": 60}, source="records", downloads_all="NULL")
    archive.add(duck, source="records", day=DAY + timedelta(days=9))
    archive.load(duck)
    columns = "base_models, license, sha, likes, likes_day, downloads_all, downloads_all_day, downloads, downloads_day"
    (row,) = duck.execute(f"SELECT {columns} FROM model_rows WHERE id = 'a'").fetchall()
    assert row == ([{"relation": "merge", "id": "x/y"}], "mit", "c0ffee", 7, DAY, 5, DAY, 6, DAY + timedelta(days=9))
    incoming(duck, {"a": 7}, license="''")
    archive.add(duck, source="api", day=DAY + timedelta(days=3), whole=False)
    archive.load(duck)
    assert duck.execute("SELECT id, license FROM models ORDER BY id").fetchall() == [("a", ""), ("b", "mit")]


def test_a_commit_counts_only_while_nothing_newer_is_known(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for day, source, sha, modified in ((0, "api", "'c0ffee'", "2026-04-01"), (1, "records", "NULL", "2026-04-30")):
        incoming(duck, {"a": 1}, source=source, sha=sha, modified=f"TIMESTAMP '{modified}'")
        archive.add(duck, source=source, day=DAY + timedelta(days=day))
        archive.load(duck)
        assert duck.execute("SELECT sha FROM models").fetchall() == [("c0ffee" if source == "api" else None,)]


def test_downloads_between_two_days(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    add(duck, archive, {"up": 100, "down": 500, "same": 40, "old": 1}, 0)
    add(duck, archive, {"up": 160, "down": 20, "same": 40, "new": 2}, 30)
    window = window_downloads(duck, archive, first=DAY, last=DAY + timedelta(days=30))
    assert (window.both, window.only_first, window.only_last) == (3, 1, 1)
    assert (window.differences, window.fell, window.thirty_days) == (2, 1, 3)
    found = duck.execute("SELECT id, downloads, fell FROM window_downloads ORDER BY id").fetchall()
    assert found == [("down", None, True), ("same", 0, False), ("up", 60, False)]


def test_a_row_of_the_first_day_is_no_second_sighting(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    add(duck, archive, {"a": 100, "b": 5}, 0, source="hub-stats")
    add(duck, archive, {"b": 7}, 30, source="records")
    window = window_downloads(duck, archive, first=DAY, last=DAY + timedelta(days=30))
    assert (window.both, window.only_first, window.only_last) == (1, 1, 0)


def test_a_snapshot_that_could_not_be_written_leaves_everything_as_it_was(
    duck: DuckDBPyConnection, tmp_path: Path
) -> None:
    archive = Archive(tmp_path)
    add(duck, archive, {"a": 1}, 0)
    before = archive.snapshots()
    (tmp_path / "api/2026-05-02-1.parquet").mkdir()  # a file that can't be written is skipped by its number
    (tmp_path / "hub-stats").write_text("no folder")
    incoming(duck, {"a": 2}, source="hub-stats")
    with pytest.raises(StorageError, match="can't be written"):
        archive.add(duck, source="hub-stats", day=DAY)
    assert archive.snapshots() == before
    assert state(duck, archive, 9) == {"a": 1}
    assert add(duck, archive, {"a": 2}, 1) == 1


def test_a_file_that_is_not_listed_is_no_snapshot(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    """A process that was killed between the file and the list."""
    archive = Archive(tmp_path)
    add(duck, archive, {"a": 1}, 0)
    listed = (tmp_path / "archive.json").read_bytes()
    add(duck, archive, {"a": 2, "b": 2}, 1)
    (tmp_path / "archive.json").write_bytes(listed)
    assert state(duck, archive, 9) == {"a": 1}
    add(duck, archive, {"a": 3}, 1)
    assert state(duck, archive, 9) == {"a": 3}


def test_nothing_there_and_a_damaged_list_are_said(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with pytest.raises(UsageError, match="insource hub sync"):
        archive.load(duck)
    add(duck, archive, {"a": 1}, 5)
    with pytest.raises(UsageError, match="up to 2026-05-02"):
        archive.load(duck, day=DAY + timedelta(days=1))
    (tmp_path / "archive.json").write_text("[{")
    with pytest.raises(BadInput, match="damaged"):
        archive.load(duck)


def test_a_snapshot_of_an_earlier_version_lacks_a_column_and_is_read(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    add(duck, archive, {"a/one": 10}, 0)
    path = tmp_path / archive.snapshots()[0].file
    older = path.with_name("older.parquet")
    duck.execute(f"COPY (SELECT * EXCLUDE (card_base_models) FROM read_parquet('{path}')) TO '{older}'")
    older.replace(path)
    assert state(duck, archive, 0) == {"a/one": 10}
    assert duck.execute("SELECT card_base_models FROM models").fetchall() == [(None,)]
    add(duck, archive, {"a/one": 20, "b/two": 1}, 1)
    assert state(duck, archive, 1) == {"a/one": 20, "b/two": 1}
