"""Every source of metadata gives the same rows: all of the real ones, and equal ones where two know the same model."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from duckdb import DuckDBPyConnection
from typer.testing import CliRunner

from insource.cli.main import app
from insource.hub.archive import Archive
from insource.hub.duck import connect
from insource.hub.schema import MODEL_COLUMNS
from insource.hub.snapshot import SnapshotCatalogue, shipped_snapshot
from insource.hub.sources.parquet import load_models
from insource.hub.sources.read import Read, read_file
from insource.hub.sync import HubPlace
from insource.hub.window import window_downloads
from tests.fakes.hub_listing import FakeListing, running_listing
from tests.hub_place import sync

PARQUET, OCTOBER, API = (
    "hub/hub_stats_frozen.parquet",
    "hub/models_2026-10.json.gz",
    "hub/api_model_records_2025.jsonl.gz",
)
TODAY = date(2026, 11, 25)


@pytest.fixture
def duck() -> DuckDBPyConnection:
    return connect(threads=2)


def rows_of(duck: DuckDBPyConnection, table: str = "incoming") -> dict[str, dict[str, Any]]:
    found = duck.execute(f"SELECT * FROM {table}")
    names = [str(column[0]) for column in found.description or ()]
    return {row[0]: dict(zip(names, row, strict=True)) for row in found.fetchall()}


def read(duck: DuckDBPyConnection, path: Path, tmp_path: Path) -> tuple[Read, dict[str, dict[str, Any]]]:
    report = read_file(duck, path, scratch=tmp_path)
    described = [(str(row[0]), str(row[1])) for row in duck.execute("DESCRIBE incoming").fetchall()]
    assert described == [(column.name, column.type) for column in MODEL_COLUMNS]
    return report, rows_of(duck)


def raw_parquet(path: Path) -> list[dict[str, Any]]:
    """The file itself, nothing but fetched."""
    found = connect(threads=1).execute("SELECT * FROM read_parquet(?)", [str(path)])
    names = [str(column[0]) for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pytest.mark.data
def test_all_rows_of_the_parquet(duck: DuckDBPyConnection, shared_data: Path, tmp_path: Path) -> None:
    report, rows = read(duck, shared_data / PARQUET, tmp_path)
    raw = raw_parquet(shared_data / PARQUET)
    assert (report.rows, report.refused, report.cut, report.day) == (4167, 0, 0, date(2026, 5, 20))
    assert rows.keys() == {one["id"] for one in raw}
    relations: Counter[str] = Counter()
    for one in raw:
        row, stated = rows[one["id"]], one["baseModels"]
        parents = {(stated["relation"], parent["id"]) for parent in stated["models"]} if stated else set[Any]()
        assert {(parent["relation"], parent["id"]) for parent in row["base_models"]} == parents
        relations.update(relation for relation, _ in parents)
        card = json.loads(one["cardData"] or "{}")
        licence = card.get("license")
        assert row["license"] == (",".join(licence) if isinstance(licence, list) else licence) or not licence
        named = card.get("base_model")
        assert set(row["card_base_models"] or ()) == set([named] if isinstance(named, str) else named or ())
        tensors = one["safetensors"] or {"total": None, "parameters": {}}
        assert row["parameters_stated"] == tensors["total"]
        counts: dict[str, Any] = tensors["parameters"] or {}
        by_type = {name: n for name, n in counts.items() if n is not None}
        assert (row["parameters_by_type"] or {}) == by_type
        gguf = json.loads(one["gguf"] or "{}")
        assert (row["gguf_parameters"], row["gguf_context"]) == (gguf.get("total"), gguf.get("context_length"))
        assert (row["downloads"], row["downloads_all"]) == (one["downloads"], one["downloadsAllTime"])
        assert row["tags"] == sorted(set(one["tags"]))
        assert (row["created"], row["modified"]) == (one["createdAt"], one["lastModified"])
    assert relations == {"finetune": 1401, "adapter": 20, "quantized": 49, "merge": 3731}


@pytest.mark.data
def test_all_of_the_october_records(duck: DuckDBPyConnection, shared_data: Path, tmp_path: Path) -> None:
    report, rows = read(duck, shared_data / OCTOBER, tmp_path)
    with gzip.open(shared_data / OCTOBER, "rt", encoding="utf-8") as file:
        raw: list[dict[str, Any]] = json.load(file)
    assert (report.rows, report.refused) == (len(raw), 0) == (16849, 0)
    for one in raw:
        row = rows[one["name"]]
        assert (row["license"], row["parameters_stated"]) == (one.get("license"), one["parameters_raw"])
        assert (row["created"] and row["created"].date().isoformat()) == one["release_date"]
        assert row["downloads"] == one["hf_downloads"] or (row["downloads"], one["release_date"]) == (None, None)
        assert row["downloads_all"] is None
        assert row["tags"] is None
        active = one.get("active_parameters")
        assert row["active_parameters"] == (active if active and active % 10**6 == 0 else None)
        unread = one["num_hidden_layers"] is None if "num_hidden_layers" in one else True
        assert row["context"] == (None if unread and one["context_length"] == 4096 else one["context_length"])
    assert sum(row["context"] is not None for row in rows.values()) == 12_605
    assert sum(row["active_parameters"] is not None for row in rows.values()) == 62


def test_the_shipped_snapshot_is_a_source_too(duck: DuckDBPyConnection, tmp_path: Path) -> None:
    report, rows = read(duck, shipped_snapshot(), tmp_path)
    shipped = SnapshotCatalogue()
    assert (report.source, report.day, report.rows) == ("records", shipped.as_of, len(shipped.models()))
    for model in shipped.models():
        row = rows[model.id]
        assert (row["license"], row["likes"], row["downloads"]) == (model.license, model.likes, model.downloads)
        assert (row["parameters_stated"] or 0) == model.parameters
        assert (row["context"], row["active_parameters"]) == (model.context_tokens, model.active_parameters)


@pytest.mark.data
def test_all_api_records(duck: DuckDBPyConnection, shared_data: Path, tmp_path: Path) -> None:
    report, rows = read(duck, shared_data / API, tmp_path)
    with gzip.open(shared_data / API, "rt", encoding="utf-8") as file:
        raw = [json.loads(line) for line in file]
    assert (report.rows, report.refused, len(raw)) == (411, 0, 411)
    for one in raw:
        row = rows[one["id"]]
        tagged = [tag.removeprefix("base_model:") for tag in one["tags"] if tag.startswith("base_model:")]
        typed = {tuple(tag.split(":", 1)) for tag in tagged if ":" in tag}
        assert {(parent["relation"], parent["id"]) for parent in row["base_models"]} == typed
        assert {id for _, id in typed} == {tag for tag in tagged if ":" not in tag}
        licences = sorted(tag.removeprefix("license:") for tag in one["tags"] if tag.startswith("license:"))
        assert row["license"] == ",".join(licences)
        assert len(row["files"]) == len(one["siblings"])
        said = "".join(one["siblings"])
        assert all(f"rfilename={name!r}," in said for name in row["files"])
        named = (yaml.safe_load(one["card_data"] or "") or {}).get("base_model")
        assert row["card_base_models"] == (named and sorted({named} if isinstance(named, str) else set(named)))
        assert row["gated"] == (one["gated"] or "no")
        assert row["model_type"] == ((one["config"] or {}).get("model_type") or (one["gguf"] or {}).get("architecture"))
    assert sum(row["card_base_models"] is not None for row in rows.values()) > 100


@pytest.mark.data
def test_two_sources_agree_on_the_facts_of_a_model_that_both_know(
    duck: DuckDBPyConnection, shared_data: Path, tmp_path: Path
) -> None:
    """A year apart, so only what does not move: the day of creation, and what the model is."""
    _, api = read(duck, shared_data / API, tmp_path)
    _, stats = read(duck, shared_data / PARQUET, tmp_path)
    common = api.keys() & stats.keys()
    assert len(common) == 24
    stays = (
        *("author", "created", "pipeline_tag", "library", "license", "license_name", "languages", "model_type"),
        *("parameters_stated", "parameters_by_type", "gguf_parameters", "gguf_context"),
    )
    for name in stays:
        both = [(api[id][name], stats[id][name]) for id in common if None not in (api[id][name], stats[id][name])]
        assert all(left == right for left, right in both), name
    assert all(api[id]["base_models"] == stats[id]["base_models"] for id in common)


@pytest.mark.data
def test_the_api_and_the_parquet_give_the_same_rows(
    duck: DuckDBPyConnection, shared_data: Path, tmp_path: Path
) -> None:
    load_models(duck, shared_data / PARQUET)
    stats = rows_of(duck, "models")
    with running_listing(FakeListing(models=api_models(shared_data))) as hub:
        place = HubPlace(home=tmp_path, hub_url=hub.url, today=TODAY)
        report = sync(place)
    place.archive.load(duck)
    api = rows_of(duck, "models")
    assert (report.snapshot.rows, report.refused, report.snapshot.day) == (4167, 0, TODAY)
    assert {row.pop("source") for row in stats.values()} == {"hub-stats"}
    assert {row.pop("source") for row in api.values()} == {"api"}
    assert api == stats


def api_models(shared_data: Path) -> list[dict[str, Any]]:
    """The Parquet's rows as the Hub's API writes them."""
    models: list[dict[str, Any]] = []
    for one in raw_parquet(shared_data / PARQUET):
        told: dict[str, Any] = {name: value for name, value in one.items() if value is not None}
        for name in ("createdAt", "lastModified"):
            told[name] = one[name].isoformat(timespec="milliseconds") + "Z"
        for name in ("cardData", "gguf"):
            if one[name] is not None:
                told[name] = json.loads(one[name])
        if one["safetensors"] is not None:
            stated = {name: n for name, n in one["safetensors"]["parameters"].items() if n is not None}
            told["safetensors"] = {"total": one["safetensors"]["total"], "parameters": stated}
        told.pop("baseModels", None)  # not among what a listing of the API gives
        models.append(told)
    return models


@pytest.mark.data
def test_may_and_october_are_two_windows_of_thirty_days(
    duck: DuckDBPyConnection, shared_data: Path, tmp_path: Path
) -> None:
    archive = Archive(tmp_path)
    for name in (OCTOBER, PARQUET):
        report = read_file(duck, shared_data / name, scratch=tmp_path)
        assert report.day is not None
        archive.add(duck, source=report.source, day=report.day)
    window = window_downloads(duck, archive, first=date(2026, 5, 20), last=date(2026, 10, 5))

    may = {one["id"]: one["downloads"] for one in raw_parquet(shared_data / PARQUET)}
    with gzip.open(shared_data / OCTOBER, "rt", encoding="utf-8") as file:
        october = {
            one["name"]: one["hf_downloads"] or (None if one["release_date"] is None else 0) for one in json.load(file)
        }
    both = may.keys() & october.keys()
    assert window.both == len(both) > 800
    assert (window.only_first, window.only_last) == (4167 - len(both), 16849 - len(both))
    # October states the last 30 days alone, so nothing may be subtracted.
    assert (window.differences, window.fell) == (0, 0)
    assert window.thirty_days == sum(october[id] is not None for id in both)
    found = {row[0]: row[1:] for row in duck.execute("SELECT * EXCLUDE (likes) FROM window_downloads").fetchall()}
    assert found == {id: (None, False, may[id], october[id]) for id in both}


@pytest.mark.data
def test_the_window_command_says_what_two_snapshots_can_tell(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSOURCE_HOME", str(tmp_path))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["hub", *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    for name in (PARQUET, OCTOBER):
        run("sync", "--from", str(shared_data / name))
    told = json.loads(run("window", "2026-05-20", "2026-10-05", "--most", "3", "--json"))
    october = {one["name"]: one["hf_downloads"] for one in _october(shared_data)}
    may = {one["id"]: one["downloads"] for one in raw_parquet(shared_data / PARQUET)}
    most = sorted(may.keys() & october.keys(), key=lambda id: -october[id])[:3]
    assert [one["id"] for one in told["models"]] == most
    assert [one["last_30_days_first"] for one in told["models"]] == [may[id] for id in most]
    assert (told["both"], told["differences"]) == (len(may.keys() & october.keys()), 0)
    assert most[0] in run("window", "2026-05-20", "2026-10-05")


def _october(shared_data: Path) -> list[dict[str, Any]]:
    with gzip.open(shared_data / OCTOBER, "rt", encoding="utf-8") as file:
        return json.load(file)
