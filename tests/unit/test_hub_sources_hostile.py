"""Metadata is written by strangers: what they can't break, and what is left out or cut and counted."""

from __future__ import annotations

import builtins
import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from insource.cli.main import app
from insource.core.errors import BadInput, UsageError
from insource.hub.duck import connect
from insource.hub.sources.api_lines import slim
from insource.hub.sources.read import Read, read_file
from insource.hub.sources.rows import cleaned
from insource.hub.sync import HubPlace
from tests.hub_place import hub_report, sync


@pytest.fixture
def duck() -> DuckDBPyConnection:
    return connect(threads=1)


def read_records(duck: DuckDBPyConnection, tmp_path: Path, *records: object) -> tuple[Read, list[dict[str, Any]]]:
    path = tmp_path / "records.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(record) for record in records).encode()))
    report = read_file(duck, path, scratch=tmp_path / "scratch")
    found = duck.execute("FROM incoming ORDER BY id")
    names = [column[0] for column in found.description or ()]
    return report, [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def parquet(duck: DuckDBPyConnection, path: Path, query: str) -> Path:
    duck.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


@pytest.mark.parametrize(
    "id", ["../../etc/passwd", "org/..", "org/.hidden", "a/b/c", "org/na me", "org/\u202ename", "", 7]
)
def test_what_is_no_id_is_refused_and_counted(duck: DuckDBPyConnection, tmp_path: Path, id: object) -> None:
    report, rows = read_records(duck, tmp_path, {"id": id}, {"id": "gpt2"}, {"id": "org/name"}, [], None)
    assert [row["id"] for row in rows] == ["gpt2", "org/name"]
    assert [row["author"] for row in rows] == [None, "org"]
    assert (report.rows, report.refused) == (2, 3)


def test_long_lists_are_cut_and_unseen_characters_go(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    record = {
        "id": "org/name",
        "tags": [f"tag{i:05}" for i in range(5000)] + ["x"],
        "pipeline_tag": "text\u202e-gener\x1b[31mation",
        "cardData": {"license": "mit\n\x00", "license_name": ["no", "text"], "language": "en", "text": "x" * 100_000},
    }
    _, (row,) = read_records(duck, tmp_path, record)
    assert len(row["tags"]) == 512
    assert row["pipeline_tag"] == "text-gener[31mation"
    assert (row["license"], row["license_name"], row["languages"]) == ("mit", None, ["en"])
    _, (row,) = read_records(duck, tmp_path, {"id": "org/name", "tags": ["good", "b\x1bad", "y" * 300, ""]})
    assert row["tags"] == ["good"]


_UNSEEN = {"Cc", "Cf", "Zl", "Zp"}
_TAGS = st.one_of(
    st.none(), st.text(max_size=4), st.sampled_from(["a", "Z", "ü", "y" * 201, "b\x1b", "base_model:o/m"])
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.none(), st.lists(_TAGS, max_size=30)))
def test_a_cleaned_list_is_sorted_and_has_no_repeats(duck: DuckDBPyConnection, told: list[str | None] | None) -> None:
    query = f"SELECT {cleaned('files', 'VARCHAR[]')} FROM (SELECT ?::VARCHAR[] AS files)"
    ((found,),) = duck.execute(query, [told]).fetchall()
    seen = {tag for tag in told or () if tag and len(tag) <= 200 and not any(category(c) in _UNSEEN for c in tag)}
    assert found == (None if told is None else sorted(seen))


def test_the_same_in_parquet(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    path = parquet(
        duck,
        tmp_path / "models.parquet",
        """SELECT id, TIMESTAMP '2026-01-01' AS createdAt, list_transform(range(600), lambda x: 't' || x) AS tags,
            card AS cardData, {'total': -5, 'parameters': {'F32': NULL::BIGINT, 'miku': 3}} AS safetensors
        FROM (VALUES ('org/a', '{"license": ["mit", "apache-2.0"]}'), ('../a', '{}'), ('org/b', '{broken'),
            ('org/c', '[1]'), ('org/d', NULL)) t(id, card)""",
    )
    report = read_file(duck, path, scratch=tmp_path)
    assert (report.rows, report.refused, report.cut) == (4, 1, 4)
    rows = duck.execute(
        "SELECT id, license, len(tags), parameters_by_type, downloads FROM incoming ORDER BY id"
    ).fetchall()
    assert rows[0] == ("org/a", "apache-2.0,mit", 512, {"miku": 3}, None)
    assert [row[1] for row in rows[1:]] == ["", "", ""]  # their tags hold no licence


@pytest.mark.parametrize(
    "card",
    [
        "a: &a [x]\nb: &b [*a, *a]\nlicense: *b",
        "license: !!python/object/apply:os.system [ls]",
        "license: {a: b}",
        "[" * 5000,
        "license: mit\n\tbroken: [",
        "license: " + "x" * 300_000,
    ],
)
def test_a_card_is_read_and_never_run(duck: DuckDBPyConnection, tmp_path: Path, card: str) -> None:
    _, (row,) = read_records(duck, tmp_path, {"id": "org/name", "card_data": card, "tags": ["license:mit"]})
    assert row["license"] == "mit"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = (
    *("createdAt", "lastModified", "downloads", "downloadsAllTime", "likes", "trendingScore", "tags", "cardData"),
    *("safetensors", "gguf", "baseModels", "config", "gated", "sha", "siblings", "pipeline_tag", "library_name"),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(_NAMES), _JSON))
def test_any_values_give_a_row(duck: DuckDBPyConnection, tmp_path: Path, values: dict[str, Any]) -> None:
    report, rows = read_records(duck, tmp_path, {"id": "org/name", **values})
    assert (report.rows, report.refused, len(rows)) == (1, 0, 1)


def test_of_two_rows_with_one_id_the_newer_stays(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    old, new = ({"id": "org/a", "lastModified": f"2026-0{month}-01T00:00:00Z", "likes": month} for month in (1, 2))
    report, rows = read_records(duck, tmp_path, new, old)
    assert (report.rows, report.refused, rows[0]["likes"]) == (1, 1, 2)
    assert report.day == date(2026, 2, 1)


def test_the_source_of_a_line_keeps_no_text_of_a_card() -> None:
    line = slim({"id": "org/a", "cardData": {"license": "mit", "extra_gated_prompt": "<script>", "widget": []}})
    assert line is not None
    assert json.loads(line)["cardData"] == {"license": "mit"}


def test_a_snapshot_of_ours_from_a_stranger_is_cleaned_too(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    row = "TIMESTAMP '2026-01-01' AS created, [{'relation': 'merge', 'id': 'a/b'}] AS base_models"
    one = parquet(
        duck,
        tmp_path / "ours.parquet",
        f"""SELECT id, gone, {row}, 'm\u202eit' AS license, ['x\u001by', 'z'] AS tags, 'api' AS source
        FROM (VALUES ('org/a', false), ('../a', false), ('org/old', true)) t(id, gone)""",
    )
    report = read_file(duck, one, scratch=tmp_path)
    assert (report.rows, report.refused, report.source) == (1, 1, "api")
    assert duck.execute("SELECT id, license, tags, likes FROM incoming").fetchall() == [("org/a", "mit", ["z"], None)]
    outside = parquet(duck, tmp_path / "out.parquet", f"SELECT 'org/a' AS id, {row}, '../../x' AS source")
    with pytest.raises(BadInput, match="rows of the sources"):
        read_file(duck, outside, scratch=tmp_path)


def test_files_that_are_no_source_are_said(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1" + b"\x00" * 50)
    datasets = parquet(duck, tmp_path / "other*.parquet", "SELECT 1 AS id")
    text, cut, empty = tmp_path / "text.txt", tmp_path / "cut.jsonl.gz", tmp_path / "empty.json"
    text.write_text("hello\nworld")
    cut.write_bytes(gzip.compress(b'{"id": "a/b"}' * 1000)[:-20])
    empty.write_bytes(b"")
    broken = tmp_path / "broken.gz"
    broken.write_bytes(b"\x1f\x8b")
    for path in (broken, damaged, datasets, text, cut, empty, tmp_path / "absent.parquet"):
        with pytest.raises(BadInput):
            read_file(duck, path, scratch=tmp_path / "scratch")


def test_without_the_extra_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "duckdb":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"insource\[hub\]"):
        connect()


def test_the_commands(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"id": "org/a", "createdAt": "2026-03-04T00:00:00Z"}\n{"id": "org/b"}\nnonsense\n')
    run = CliRunner()
    empty = run.invoke(app, ["hub", "snapshots", "--json"], catch_exceptions=False)
    assert json.loads(empty.stdout) == []
    done = run.invoke(app, ["hub", "sync", "--from", str(path), "--json", "-q"], catch_exceptions=False)
    report = json.loads(done.stdout)
    assert (report["repositories"], report["refused"], report["day"], report["source"]) == (2, 1, "2026-03-04", "api")
    listed = json.loads(run.invoke(app, ["hub", "snapshots", "--json"], catch_exceptions=False).stdout)
    assert [(one["repositories"], one["origin"], one["whole"]) for one in listed] == [(2, "records.jsonl", False)]
    assert "records.jsonl" in run.invoke(app, ["hub", "snapshots"], catch_exceptions=False).stdout
    assert isinstance(run.invoke(app, ["hub", "sync", "--from", "nowhere"]).exception, BadInput)
    assert isinstance(run.invoke(app, ["hub", "sync", "--day", "soon"]).exception, UsageError)


@pytest.mark.parametrize("column", ["tags", "cardData", "sha"])
def test_a_parquet_file_with_damaged_rows_is_said_and_stores_nothing(tmp_path: Path, column: str) -> None:
    path = tmp_path / "models.parquet"
    connect(
        threads=1
    ).execute(f"""COPY (SELECT 'org/m' || i AS id, now()::TIMESTAMP AS createdAt, sha256((i + 2)::VARCHAR) AS sha,
        [sha256(i::VARCHAR)] AS tags, to_json({{'text': sha256((i + 1)::VARCHAR)}})::VARCHAR AS cardData
        FROM range(5000) t(i)) TO '{path}' (FORMAT parquet, COMPRESSION snappy)""")
    (start, size), = connect(threads=1).execute(
        f"SELECT data_page_offset, total_compressed_size FROM parquet_metadata('{path}') "
        f"WHERE path_in_schema LIKE '{column}%'"
    ).fetchall()  # fmt: skip
    data = bytearray(path.read_bytes())
    for at in range(start + 100, start + size - 100):
        data[at] ^= 0x5A
    path.write_bytes(data)
    place = HubPlace(home=tmp_path / "home", hub_url="", today=date(2026, 11, 25))
    with pytest.raises(BadInput, match="can't be read"):
        sync(place, str(path))
    with pytest.raises(BadInput, match="can't be read"):
        hub_report(tmp_path / "home", path=path)
    assert place.archive.snapshots() == ()
