"""Datasets and Spaces as models are: every source gives the same rows, kept by day, and the report and the pages ask
them. No real rows of them are at hand: these are made up in the shapes of the Hub's API and of hub-stats' files."""

from __future__ import annotations

import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from insource.cli.main import app
from insource.core.ecosystem_store import SyncReport
from insource.core.errors import BadInput, DownloadFailed, UsageError
from insource.hub.duck import connect
from insource.hub.page import page_of
from insource.hub.prepared import open_prepared
from insource.hub.schema import DATASETS, MODELS, SPACES, RepoType
from insource.hub.sources import hub_api
from insource.hub.sync import HubPlace
from tests.fakes.hub_listing import FakeListing, running_listing
from tests.hub_place import hub_report, sync

TODAY = date(2026, 11, 25)
OTHERS = pytest.mark.parametrize("repo_type", [DATASETS, SPACES], ids=lambda one: one.name)


def dataset(i: int, **told: Any) -> dict[str, Any]:
    return {
        "id": f"org/set-{i:03}",
        "createdAt": f"{2023 + i % 3}-05-06T07:08:09.000Z",
        "lastModified": "2026-10-02T03:04:05.000Z",
        "likes": i,
        "downloads": 10 * i,
        "downloadsAllTime": 100 * i,
        "trendingScore": float(i % 4),
        "tags": ["license:mit", "size_categories:1K<n<10K", f"task_categories:{'robotics' if i % 2 else 'other'}"],
        "cardData": {"license": ["mit"], "language": ["en", "de"], "pretty_name": "<script>"},
        "gated": [False, "auto", "manual"][i % 3],
        "sha": f"{i:040x}",
        **told,
    }


def space(i: int, **told: Any) -> dict[str, Any]:
    return {
        "id": f"org/app-{i:03}",
        "createdAt": "2025-05-06T07:08:09.000Z",
        "lastModified": "2026-10-02T03:04:05.000Z",
        "likes": i,
        "trendingScore": 0.5,
        "tags": ["gradio", "region:us"],
        "cardData": {"license": "apache-2.0", "title": "x"},
        "sdk": "gradio",
        "models": ["maker/Small-1B", *(["maker/Other-2B"] if i % 2 else [])],
        "datasets": ["org/set-001"],
        "runtime": {"stage": "RUNNING", "hardware": {"current": "cpu-basic", "requested": "cpu-basic"}, "replicas": 1},
        "sha": f"{i:040x}",
        **told,
    }


MADE = {DATASETS: dataset, SPACES: space}


def rows_made(repo_type: RepoType, n: int = 25) -> list[dict[str, Any]]:
    return [MADE[repo_type](i) for i in range(n)]


def write_hub_stats(rows: list[dict[str, Any]], path: Path) -> Path:
    """As hub-stats does: nested values are structs, cards JSON strings, dates timestamps; with columns of no use."""
    lines = path.with_suffix(".jsonl")
    with lines.open("w") as file:
        for row in rows:
            told = {key: value for key, value in row.items() if key != "cardData"}
            if isinstance(row.get("gated"), bool):
                told["gated"] = "false"
            written = {**told, "cardData": json.dumps(row["cardData"]), "description": "a text", "_id": "0"}
            written.pop("description" if "sdk" in row else "_id")
            file.write(json.dumps(written) + "\n")
    as_stored = "* REPLACE (createdAt::TIMESTAMP AS createdAt, lastModified::TIMESTAMP AS lastModified)"
    connect(threads=1).execute(f"COPY (SELECT {as_stored} FROM read_json('{lines}')) TO '{path}' (FORMAT parquet)")
    return path


def place_of(home: Path, url: str = "") -> HubPlace:
    return HubPlace(home=home, hub_url=url, today=TODAY)


def synced(home: Path, path: Path | str, **options: Any) -> SyncReport:
    return sync(place_of(home), str(path), **options)


def listed(home: Path, hub: FakeListing, repo_type: RepoType) -> SyncReport:
    return sync(place_of(home, hub.url), repo_type=repo_type.name)


def rows_of(home: Path, repo_type: RepoType) -> list[dict[str, Any]]:
    connection = connect(threads=1)
    place_of(home).archive.beside(repo_type).load(connection)
    found = connection.execute(f"FROM {repo_type.name} ORDER BY id")
    names = [str(column[0]) for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@OTHERS
def test_the_api_the_parquet_and_a_snapshot_of_ours_give_the_same_rows(tmp_path: Path, repo_type: RepoType) -> None:
    made = rows_made(repo_type)
    stats = synced(tmp_path / "stats", write_hub_stats(made, tmp_path / "stats.parquet"))
    with running_listing(FakeListing(models=made, repo_type=repo_type.name)) as hub:
        api = listed(tmp_path / "api", hub, repo_type)
    (ours,) = (tmp_path / "api").rglob("2026*.parquet")
    synced(tmp_path / "ours", ours)
    lines = tmp_path / "records.jsonl"
    lines.write_text("\n".join(map(json.dumps, made)))
    told = synced(tmp_path / "lines", lines, repo_type=repo_type.name)
    assert (stats.snapshot.repo_type, stats.snapshot.source) == (repo_type.name, "hub-stats")
    assert {api.snapshot.repo_type, told.snapshot.repo_type} == {repo_type.name}
    assert {report.snapshot.rows for report in (stats, api, told)} == {25}
    expected = rows_of(tmp_path / "api", repo_type)
    assert list(expected[0]) == [column.name for column in repo_type.columns]
    assert rows_of(tmp_path / "ours", repo_type) == expected
    assert rows_of(tmp_path / "lines", repo_type) == expected
    assert [row | {"source": "api"} for row in rows_of(tmp_path / "stats", repo_type)] == expected


def test_what_a_dataset_and_a_space_say(tmp_path: Path) -> None:
    synced(tmp_path, write_hub_stats([dataset(4)], tmp_path / "d.parquet"))
    synced(tmp_path, write_hub_stats([space(5)], tmp_path / "s.parquet"))
    (told,) = rows_of(tmp_path, DATASETS)
    assert (told["id"], told["author"], told["license"], told["languages"]) == (
        "org/set-004",
        "org",
        "mit",
        ["de", "en"],
    )
    assert (told["downloads"], told["downloads_all"], told["likes"], told["trending"]) == (40, 400, 4, 0.0)
    assert (told["created"].isoformat(), told["gated"]) == ("2024-05-06T07:08:09", "auto")
    assert "task_categories:other" in told["tags"]
    (app_row,) = rows_of(tmp_path, SPACES)
    assert (app_row["sdk"], app_row["stage"], app_row["hardware"]) == ("gradio", "RUNNING", "cpu-basic")
    assert (app_row["models"], app_row["datasets"]) == (["maker/Other-2B", "maker/Small-1B"], ["org/set-001"])
    assert app_row["license"] == "apache-2.0"


@OTHERS
def test_an_interrupted_listing_goes_on_after_one_of_another_type(
    tmp_path: Path, repo_type: RepoType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(hub_api, "PAGE_SIZE", 10)
    made = rows_made(repo_type)
    faults = {1: ["503"] * 12}
    with running_listing(FakeListing(models=made, repo_type=repo_type.name, faults=faults)) as hub:
        with pytest.raises(DownloadFailed, match=rf"10 {repo_type.name} are kept.*--from {repo_type.name}.parquet"):
            listed(tmp_path, hub, repo_type)
        with running_listing(FakeListing(models=[{"id": "a/b", "likes": 1}])) as other:
            assert listed(tmp_path, other, MODELS).snapshot.rows == 1
        hub.faults.clear()
        asked = len(hub.requests)
        report = listed(tmp_path, hub, repo_type)
        assert [int(query["cursor"][0]) for _, query in hub.requests[asked:]] == [10, 20]
    assert report.snapshot.rows == 25
    assert [row["id"] for row in rows_of(tmp_path, repo_type)] == [row["id"] for row in made]


@OTHERS
def test_what_vanished_is_asked_about_by_its_type(tmp_path: Path, repo_type: RepoType) -> None:
    made = rows_made(repo_type, 3)
    new_id = made[0]["id"] + "-new"
    with running_listing(FakeListing(models=made, repo_type=repo_type.name)) as hub:
        listed(tmp_path, hub, repo_type)
        hub.renamed[made[0]["id"]] = new_id
        hub.models = [made[2], {**made[0], "id": new_id}]
        place = HubPlace(home=tmp_path, hub_url=hub.url, today=date(2026, 11, 26))
        report = sync(place, repo_type=repo_type.name)
    assert report.renamed == {made[0]["id"]: new_id}
    assert report.deleted == (made[1]["id"],)


def test_a_file_of_another_type_than_asked_for_is_refused(tmp_path: Path) -> None:
    path = write_hub_stats([space(1)], tmp_path / "x.parquet")
    with pytest.raises(BadInput, match="holds spaces, not datasets"):
        synced(tmp_path / "home", path, repo_type="datasets")
    with pytest.raises(BadInput, match="holds spaces, not models"):
        hub_report(tmp_path / "home", path=path)
    found = CliRunner().invoke(app, ["hub", "sync", "--type", "apps"])
    assert isinstance(found.exception, UsageError)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of models, datasets and Spaces."""
    models = [
        {"id": "maker/Small-1B", "createdAt": "2025-01-01T00:00:00.000Z", "downloads": 5, "tags": ["x"]},
        {"id": "maker/Lonely-3B", "createdAt": "2025-01-01T00:00:00.000Z", "downloads": 5, "tags": ["x"]},
    ]
    lines = tmp_path / "models.jsonl"
    lines.write_text("\n".join(json.dumps({**one, "pipeline_tag": "text-generation"}) for one in models))
    synced(tmp_path, lines)
    synced(tmp_path, write_hub_stats(rows_made(SPACES), tmp_path / "s.parquet"))
    synced(tmp_path, write_hub_stats(rows_made(DATASETS), tmp_path / "d.parquet"))
    return tmp_path


def test_a_models_page_counts_the_spaces_that_name_it(home: Path) -> None:
    connection, day = open_prepared(place_of(home).archive)
    found = page_of(connection, "maker/small-1b", as_of=day).spaces
    assert found is not None
    assert (found.count, found.top[0], len(found.top)) == (25, ("org/app-024", 24), 10)
    lonely = page_of(connection, "maker/Lonely-3B", as_of=day).spaces
    assert lonely is not None
    assert (lonely.count, lonely.top) == (0, ())


def test_the_report_counts_datasets_and_spaces(home: Path) -> None:
    made = hub_report(home, only=("dataset_categories", "dataset_growth", "space_growth"))
    assert not made.missing
    categories, datasets, spaces = made.drawn
    # 25 sets: every second one robotics, by year of creation in turn from 2023.
    by_year = {year: [i for i in range(25) if i % 2 and 2023 + i % 3 <= year] for year in (2023, 2024, 2025)}
    assert [(row["year"], row["datasets"]) for row in categories.rows if row["category"] == "robotics"] == [
        (f"{year}-01-01", len(sets)) for year, sets in by_year.items()
    ]
    assert categories.values == {"robotics_2024": len(by_year[2024]), "robotics_2025": len(by_year[2025])}
    assert [row["datasets"] for row in datasets.rows] == [9, 17, 25]
    assert spaces.rows == ({"month": "2025-05-01", "created_in_month": 25, "spaces": 25},)


def test_snapshots_of_all_types_are_listed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSOURCE_HOME", str(home))
    found = json.loads(CliRunner().invoke(app, ["hub", "snapshots", "--json"]).stdout)
    assert {one["type"]: one["repositories"] for one in found} == {"models": 2, "datasets": 25, "spaces": 25}
