"""The prepared file: it says what the snapshots say, and is made anew whenever it does not."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from insource.core.errors import UsageError
from insource.hub.archive import Archive
from insource.hub.duck import connect
from insource.hub.lineage.build import build_lineage
from insource.hub.prepared import open_prepared, prepare
from insource.hub.sizes_sql import COMPARED_SQL, SIZES_SQL
from insource.hub.sources.read import read_file

pytest.importorskip("duckdb")
TABLES = (
    "models", "edges", "unresolved_parents", "lineage_counts", "families", "copies", "intermediaries", "names",
    "children", "sizes",
)  # fmt: skip
STATS = "hub/hub_stats_frozen.parquet"


def add(archive: Archive, *ids: str, day: date) -> None:
    with connect() as connection:
        connection.execute("CREATE TEMP TABLE raw AS SELECT unnest(?::VARCHAR[]) AS id", [list(ids)])
        from insource.hub.schema import MODEL_COLUMNS

        said = {"id": "id", "source": "'hub-stats'", "downloads": "7"}
        columns = ", ".join(f"{said.get(c.name, 'NULL')}::{c.type} AS {c.name}" for c in MODEL_COLUMNS)
        connection.execute(f"CREATE TEMP TABLE incoming AS SELECT {columns} FROM raw")
        archive.add(connection, source="hub-stats", day=day)


def ids(archive: Archive) -> tuple[list[str], date]:
    connection, day = open_prepared(archive)
    with connection:
        return [row[0] for row in connection.execute("SELECT id FROM models ORDER BY id").fetchall()], day


def content(connection: Any, table: str) -> list[Any]:
    return sorted(map(repr, connection.execute(f"FROM {table}").fetchall()))


@pytest.mark.data
def test_it_holds_just_what_is_worked_out_of_the_snapshots(shared_data: Path, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "hub")
    with connect() as connection:
        read = read_file(connection, shared_data / STATS, scratch=tmp_path)
        assert read.day is not None
        archive.add(connection, source=read.source, day=read.day)
    prepared, day = open_prepared(archive)
    assert day == read.day
    with connect() as connection, prepared:
        archive.load(connection)
        build_lineage(connection)
        connection.execute(f"CREATE TEMP TABLE sizes AS {SIZES_SQL}")
        connection.execute(COMPARED_SQL)
        for table in TABLES:
            assert content(prepared, table) == content(connection, table), table
        assert len(content(prepared, "sizes")) == 4167


def test_a_new_snapshot_is_seen_and_one_that_was_prepared_is_not_prepared_again(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    add(archive, "a/one", day=date(2026, 1, 1))
    assert ids(archive) == (["a/one"], date(2026, 1, 1))
    made = (tmp_path / "prepared.duckdb").stat().st_ino
    assert ids(archive) == (["a/one"], date(2026, 1, 1))
    assert (tmp_path / "prepared.duckdb").stat().st_ino == made
    add(archive, "a/one", "b/two", day=date(2026, 1, 2))
    assert ids(archive) == (["a/one", "b/two"], date(2026, 1, 2))
    assert [path.name for path in tmp_path.glob("prepared*")] == ["prepared.duckdb"]


def test_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    add(archive, "a/one", day=date(2026, 1, 1))
    ids(archive)
    for damage in (b"", b"no database", (tmp_path / "prepared.duckdb").read_bytes()[:5000]):
        (tmp_path / "prepared.duckdb").write_bytes(damage)
        assert ids(archive) == (["a/one"], date(2026, 1, 1))


def test_whoever_reads_the_old_one_is_left_alone_by_a_new_one(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    add(archive, "a/one", day=date(2026, 1, 1))
    reader, _ = open_prepared(archive)
    with reader:
        add(archive, "b/two", day=date(2026, 1, 2))
        assert ids(archive)[0] == ["b/two"]
        assert reader.execute("SELECT id FROM models").fetchall() == [("a/one",)]
        reader.execute("CREATE TEMP TABLE edges AS FROM edges")
        reader.execute("INSERT INTO edges VALUES ('x/y', 'a/one', 'finetune', 'name', 0.5, NULL)")
    other, _ = open_prepared(archive)
    with other:
        assert other.execute("SELECT count(*) FROM edges").fetchall() == [(0,)]


def test_an_interrupted_preparation_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path)
    add(archive, "a/one", day=date(2026, 1, 1))
    prepare(archive)
    before = (tmp_path / "prepared.duckdb").read_bytes()

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("insource.hub.prepared.build_lineage", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare(archive)
    assert (tmp_path / "prepared.duckdb").read_bytes() == before
    assert [path.name for path in tmp_path.glob("prepared*")] == ["prepared.duckdb"]


def test_without_a_snapshot_the_next_step_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no snapshot"):
        open_prepared(Archive(tmp_path / "not there yet"))
