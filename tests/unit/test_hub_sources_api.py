"""The Hub's API as a source: the real client against a Hub that limits, fails, drops, renames and forgets."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from insource.core.ecosystem_store import SyncReport
from insource.core.errors import BadInput, DownloadFailed
from insource.hub.archive import Archive
from insource.hub.duck import connect
from insource.hub.prepared import open_prepared
from insource.hub.sources import hub_api
from insource.hub.sync import HubPlace
from tests.fakes.hub_listing import FakeListing, running_listing
from tests.hub_place import sync

TODAY, LATER = date(2026, 11, 25), date(2026, 11, 26)


def models(n: int, *, start: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "id": f"org/model-{i:04}",
            "createdAt": "2026-01-02T03:04:05.000Z",
            "downloads": i,
            "likes": 1,
            "tags": ["gguf", "base_model:org/base", "base_model:finetune:org/base", "license:mit"],
            "cardData": {"license": "mit", "language": ["en"], "text": "<script>"},
            "gated": False,
            "private": False,
        }
        for i in range(start, start + n)
    ]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client waited, without waiting."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(hub_api, "PAGE_SIZE", 10)


def synced(hub: FakeListing, home: Path, *, today: date = TODAY, limit: int | None = None) -> SyncReport:
    return sync(HubPlace(home=home, hub_url=hub.url, today=today), limit=limit)


def rows(home: Path, *, day: date | None = None) -> list[tuple[Any, ...]]:
    connection = connect(threads=1)
    HubPlace(home=home, hub_url="", today=TODAY).archive.load(connection, day=day)
    return connection.execute("FROM models ORDER BY id").fetchall()


def test_it_waits_as_the_headers_say_and_tries_again(tmp_path: Path, waits: list[float]) -> None:
    faults = {0: ["429"], 1: ["retry-after"], 2: ["503", "drop"], 3: ["drop", "drop"]}
    with running_listing(FakeListing(models=models(45), faults=faults)) as hub:
        report = synced(hub, tmp_path / "rough")
    assert report.snapshot.rows == 45
    # The client adds a second to what the server says.
    assert [seconds for seconds in waits if seconds in (8.0, 4.0)] == [8.0, 4.0]
    with running_listing(FakeListing(models=models(45))) as hub:
        synced(hub, tmp_path / "smooth")
    assert rows(tmp_path / "rough") == rows(tmp_path / "smooth")


def test_an_interrupted_sync_goes_on_and_ends_with_the_same_rows(tmp_path: Path, waits: list[float]) -> None:
    with running_listing(FakeListing(models=models(95), faults={6: ["drop"] * 6})) as hub:
        with pytest.raises(DownloadFailed, match="60 models are kept"):
            synced(hub, tmp_path / "cut")
        assert not HubPlace(home=tmp_path / "cut", hub_url="", today=TODAY).archive.snapshots()
        with (tmp_path / "cut/hub/partial/listing.jsonl").open("ab") as file:
            file.write(b'{"id": "org/half-wri')  # killed in the middle of a page's lines
        hub.requests.clear()
        report = synced(hub, tmp_path / "cut", today=LATER)
        assert hub.pages() == [60, 70, 80, 90]
        synced(hub, tmp_path / "whole")
    assert (report.snapshot.rows, report.refused) == (95, 0)
    assert report.snapshot.day == TODAY  # the day on which the listing began
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert list((tmp_path / "cut/hub/partial").iterdir()) == []


def test_a_cursor_that_the_hub_forgot_begins_again(tmp_path: Path, waits: list[float]) -> None:
    with running_listing(FakeListing(models=models(40), faults={2: ["drop"] * 6 + ["400"]})) as hub:
        with pytest.raises(DownloadFailed):
            synced(hub, tmp_path)
        hub.requests.clear()
        assert synced(hub, tmp_path).snapshot.rows == 40
        assert hub.pages() == [20, 0, 10, 20, 30]


def test_a_listing_that_shifts_under_its_pages_repeats_no_model(tmp_path: Path) -> None:
    shifted = models(10) + models(10, start=9)
    with running_listing(FakeListing(models=shifted)) as hub:
        report = synced(hub, tmp_path)
    assert (report.snapshot.rows, report.refused) == (19, 1)


def test_renamed_and_deleted_ids_are_told_apart(tmp_path: Path) -> None:
    with running_listing(FakeListing(models=models(30))) as hub:
        synced(hub, tmp_path)
        moved = {**hub.models[3], "id": "neworg/model-0003"}
        hub.models[3:5] = [moved]
        hub.renamed = {"org/model-0003": "neworg/model-0003"}
        report = synced(hub, tmp_path, today=LATER)
    assert report.renamed == {"org/model-0003": "neworg/model-0003"}
    assert report.deleted == ("org/model-0004",)
    assert (report.snapshot.rows, report.snapshot.changed) == (29, 3)  # one new, two gone
    ids = {row[0] for row in rows(tmp_path)}
    assert "neworg/model-0003" in ids
    assert ids.isdisjoint({"org/model-0003", "org/model-0004"})
    assert {"org/model-0003", "org/model-0004"} <= {row[0] for row in rows(tmp_path, day=TODAY)}


def test_a_child_of_a_model_that_was_renamed_keeps_its_parent(tmp_path: Path) -> None:
    child = {**models(1)[0], "id": "user/tune", "tags": ["base_model:org/model-0003"]}
    with running_listing(FakeListing(models=[*models(10), child])) as hub:
        synced(hub, tmp_path)
        hub.models[3] = {**hub.models[3], "id": "neworg/model-0003"}
        hub.renamed = {"org/model-0003": "neworg/model-0003"}
        synced(hub, tmp_path, today=LATER)
    connection, _ = open_prepared(Archive(tmp_path / "hub"))
    with connection:
        found = connection.execute("SELECT parent, evidence FROM edges WHERE child = 'user/tune'").fetchall()
    assert found == [("neworg/model-0003", "declared, renamed")]
    assert Archive(tmp_path / "hub").renames() == hub.renamed


def test_a_damaged_list_of_renames_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "renames.json").write_text('{"a/b": 3}')
    with pytest.raises(BadInput, match="damaged"):
        Archive(tmp_path).renames()


def test_a_part_says_nothing_of_the_rest(tmp_path: Path) -> None:
    with running_listing(FakeListing(models=models(30))) as hub:
        synced(hub, tmp_path)
        report = synced(hub, tmp_path, today=LATER, limit=15)
        assert hub.pages()[-2:] == [0, 10]
    assert (report.snapshot.whole, report.snapshot.rows, report.snapshot.changed) == (False, 15, 15)
    assert report.deleted == ()


def test_only_what_a_snapshot_keeps_is_asked_for(tmp_path: Path) -> None:
    with running_listing(FakeListing(models=models(1))) as hub:
        synced(hub, tmp_path)
    assert {"cardData", "downloadsAllTime", "safetensors", "gguf"} <= set(hub.requests[0][1]["expand"])
    assert "siblings" not in hub.requests[0][1]["expand"]


def test_hf_endpoint_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_listing(FakeListing(models=models(2))) as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)  # the client reads HF_ENDPOINT at its start
        assert hub_api.endpoint_of("") == hub.url
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", hub.url)
        place = HubPlace(home=tmp_path, hub_url="", today=TODAY)
        assert sync(place).snapshot.rows == 2


def test_a_next_page_on_another_host_is_not_followed(tmp_path: Path) -> None:
    """It would be sent the user's token."""
    with (
        running_listing(FakeListing(models=[])) as other,
        running_listing(FakeListing(models=models(30), elsewhere=other.url)) as hub,
    ):
        with pytest.raises(DownloadFailed, match="another host"):
            synced(hub, tmp_path)
        assert other.requests == []


def test_no_hub_is_said_with_the_way_out(tmp_path: Path, waits: list[float]) -> None:
    place = HubPlace(home=tmp_path, hub_url="http://127.0.0.1:9", today=TODAY)
    with pytest.raises(DownloadFailed, match=r"--from models\.parquet"):
        sync(place)
    assert waits == []


@pytest.mark.parametrize("cut", [[], [100]])
def test_a_file_by_its_address_goes_on_where_it_broke(tmp_path: Path, cut: list[int]) -> None:
    connection = connect(threads=1)
    made = tmp_path / "made.parquet"
    connection.execute(
        "COPY (SELECT 'org/m' || i AS id, now()::TIMESTAMP AS createdAt, ['gguf'] AS tags FROM range(500) t(i)) "
        f"TO '{made}' (FORMAT parquet)"
    )
    data = made.read_bytes()
    with running_listing(FakeListing(models=[], files={"/d/models.parquet": data}, cut_files=list(cut))) as hub:
        place = HubPlace(home=tmp_path / "home", hub_url="", today=TODAY)
        if cut:
            with pytest.raises(DownloadFailed, match="100 bytes are kept"):
                sync(place, f"{hub.url}/d/models.parquet", day=TODAY)
        report = sync(place, f"{hub.url}/d/models.parquet", day=TODAY)
    assert (report.snapshot.rows, report.snapshot.origin) == (500, "models.parquet")
    assert [headers.get("Range") for headers in hub.headers] == ([None, "bytes=100-"] if cut else [None])
    assert all("authorization" not in {name.lower() for name in headers} for headers in hub.headers)
    assert list((place.archive.folder / "partial").iterdir()) == []
