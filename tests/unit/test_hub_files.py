"""What the Hub tells of files: the real client against a Hub that limits, drops, renames, forgets and closes, whose
hashes are of real bytes; then the edges, by the commands."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from insource.cli.main import app
from insource.core.ecosystem_store import FilesReport
from insource.core.errors import DownloadFailed, StorageError, UnknownModel, UsageError
from insource.hub.archive import Archive
from insource.hub.ask_files import ask_for_files
from insource.hub.duck import connect
from insource.hub.repo_files import FilesLog, RepoFiles, Weight
from insource.hub.sources.file_lists import ask_files
from insource.hub.sync import HubPlace
from insource.workflows.services import quiet
from tests.fakes.hub_listing import FakeListing, running_listing
from tests.hub_place import sync

TODAY, NOW = date(2026, 11, 25), datetime(2026, 11, 25, 12, tzinfo=UTC)
ORIGINAL, TUNED, OTHER = b"o" * (2 << 20), b"t" * (2 << 20), b"x" * (2 << 20)
SHAPE = {"parameters": {"BF16": 1 << 20}, "total": 1 << 20}


def repository(
    id: str, created: str, files: Mapping[str, bytes], *, shape: Any = SHAPE, **columns: Any
) -> dict[str, Any]:
    """As the API says it with `blobs=true`: hashes of what is stored apart, which git itself does not hold."""
    siblings: list[dict[str, Any]] = []
    for name, data in files.items():
        one: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
        if len(data) >= 1 << 20:
            one["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 132}
        siblings.append(one)
    return {
        "id": id,
        "createdAt": f"{created}T00:00:00.000Z",
        "lastModified": f"{created}T00:00:00.000Z",
        "sha": "a" * 40,
        "downloads": 5,
        "likes": 1,
        "tags": [],
        "siblings": siblings,
        "safetensors": shape,
        **columns,
    }


def hub_of(*repositories: dict[str, Any], configs: Mapping[str, Any] | None = None, **more: Any) -> FakeListing:
    """With configurations by their paths, which the Hub serves as files."""
    files = {f"/{path}": json.dumps(config).encode() for path, config in (configs or {}).items()}
    return FakeListing(models=list(repositories), files=files, **more)


def config_of(id: str) -> str:
    return f"{id}/resolve/{'a' * 40}/config.json"


def declares(parent: str, kind: str = "finetune") -> list[str]:
    return [f"base_model:{parent}", f"base_model:{kind}:{parent}"]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def world() -> Generator[FakeListing]:
    weights = "model.safetensors"
    adapter = {"peft": {"base_model_name_or_path": "Maker/Model", "task_type": "CAUSAL_LM"}}
    repositories = [
        repository("maker/model", "2025-01-01", {weights: ORIGINAL, "config.json": b"{}"}, downloads=900),
        repository("copier/mirror", "2025-03-01", {weights: ORIGINAL, "config.json": b"{}"}, downloads=800),
        repository("later/mirror", "2025-04-01", {weights: ORIGINAL, "README.md": b"hello"}, downloads=7),
        repository("user/tune", "2025-05-01", {weights: TUNED, "config.json": b"{}"}, downloads=70),
        repository("user/lora", "2025-05-02", {"adapter_config.json": b"{}"}, shape=None, config=adapter),
        repository("said/tune", "2025-06-01", {weights: OTHER}, tags=declares("maker/model"), downloads=3),
        repository("said/copy", "2025-07-01", {weights: OTHER}, tags=declares("maker/model", "quantized")),
        repository("gone/away", "2025-07-02", {weights: OTHER}),
        repository("old/name", "2025-07-03", {weights: OTHER}, downloads=1),
    ]
    configs = {config_of("user/tune"): {"_name_or_path": "maker/model"}, config_of("maker/model"): {}}
    with running_listing(hub_of(*repositories, configs=configs)) as hub:
        yield hub


def listed(hub: FakeListing, home: Path) -> HubPlace:
    place = HubPlace(home=home, hub_url=hub.url, today=TODAY)
    sync(place)
    hub.requests.clear()
    return place


def asked(place: HubPlace, *, model: str | None = None, limit: int = 100) -> FilesReport:
    return ask_for_files(place, model=model, limit=limit, progress=quiet)


def told(report: FilesReport) -> dict[str, tuple[str, str]]:
    return {edge.child: (edge.parent, edge.kind) for edge in report.edges}


def test_copies_and_named_parents_are_found_and_declared_ones_left_alone(world: FakeListing, tmp_path: Path) -> None:
    place = listed(world, tmp_path)
    world.models = [one for one in world.models if one["id"] not in {"gone/away", "old/name"}]
    world.models.append({**repository("new/name", "2025-07-03", {"model.safetensors": OTHER})})
    world.renamed = {"old/name": "new/name"}
    report = asked(place)
    assert told(report) == {
        "copier/mirror": ("maker/model", "derived"),
        "later/mirror": ("maker/model", "derived"),
        "user/tune": ("maker/model", "finetune"),
        "user/lora": ("maker/model", "adapter"),
        "old/name": ("said/tune", "derived"),
    }
    assert (report.gone, report.renamed) == (("gone/away",), {"old/name": "new/name"})
    assert report.left == 0
    assert Archive(tmp_path / "hub").renames() == {"old/name": "new/name"}
    assert asked(place).asked == 0


def test_the_edges_file_holds_them_beside_the_declared_ones(
    world: FakeListing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSOURCE_HOME", str(tmp_path))
    monkeypatch.setenv("INSOURCE_HUB_URL", world.url)
    out = tmp_path / "edges.parquet"
    for arguments in (["sync"], ["files", "--json"], ["edges", "--inferred", "--out", str(out), "--json"]):
        result = CliRunner().invoke(app, ["hub", *arguments])
        assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["inferred_by"]["files"] == said["by_evidence"]["inferred"] == 6
    edges = {
        child: (parent, kind, evidence) for child, parent, kind, evidence, _ in duckdb.read_parquet(str(out)).fetchall()
    }
    assert edges["said/tune"] == ("maker/model", "finetune", "declared")
    assert edges["said/copy"] == ("maker/model", "quantized", "declared")  # its bytes are those of said/tune
    assert edges["copier/mirror"] == ("maker/model", "derived", "files: all of its weights are in the parent's")
    assert edges["user/lora"] == ("maker/model", "adapter", "files: adapter_config.json names it")
    assert (tmp_path / "hub" / "file_edges.duckdb").is_file(), (
        "worked out while the Hub was asked, not by the next page"
    )
    page = json.loads(CliRunner().invoke(app, ["hub", "show", "copier/mirror", "--json"]).stdout)
    told_by_files = {link["id"]: link["told_by_files"] for link in page["license_chain"]}
    assert told_by_files == {"copier/mirror": False, "maker/model": True}
    quick = CliRunner().invoke(app, ["hub", "edges", "--inferred", "--no-learned", "--out", str(out), "--json"])
    assert json.loads(quick.stdout)["inferred_by"] == {"files": 6}
    assert len(duckdb.read_parquet(str(out)).fetchall()) == len(edges)
    shown = CliRunner().invoke(app, ["hub", "files", "later/mirror"])
    assert shown.exit_code == 0
    assert "maker/model" in shown.stdout
    assert "copier/mirror" not in shown.stdout


def test_an_interrupted_run_goes_on_and_asks_nothing_twice(
    world: FakeListing, tmp_path: Path, waits: list[float]
) -> None:
    place = listed(world, tmp_path / "cut")
    world.record_faults = {"maker/model": ["429", "drop", "503"], "user/tune": ["drop"] * 6}
    with pytest.raises(DownloadFailed, match=r"user/tune.*Answers that are kept: [1-9]"):
        asked(place)
    assert 8.0 in waits  # as the rate limit's header says, and the client's second
    before = [path for path, _ in world.requests if path.startswith("/api/models/") and "tune" not in path]
    assert before.count("/api/models/maker/model") == 4
    with (tmp_path / "cut/hub/files.jsonl").open("ab") as file:
        file.write(b'{"id":"user/tune","asked":"2026-11-')  # killed in the middle of a line
    world.requests.clear()
    report = asked(place)
    again = {path for path, _ in world.requests}
    assert again.isdisjoint(before)
    assert told(report) == told(asked(listed(world, tmp_path / "whole")))
    assert len(told(report)) == 6


def test_one_that_is_refused_stops_no_other_and_a_hub_that_refuses_all_is_said(
    world: FakeListing, tmp_path: Path
) -> None:
    place = listed(world, tmp_path)
    world.record_faults = {"maker/model": ["451"]}  # the first in line
    report = asked(place)
    assert (report.gone, report.left) == (("maker/model",), 0)
    assert told(report)["later/mirror"] == ("copier/mirror", "derived")
    place = listed(world, tmp_path / "later")
    world.record_faults = {one["id"]: ["403"] for one in world.models[3:]}  # a token that ends in the middle
    with pytest.raises(DownloadFailed, match=r"it answered 403.*kept: 3"):
        asked(place)
    world.record_faults = {}
    again = asked(place)
    assert (again.gone, again.left, len(told(again))) == ((), 0, 6)
    place = listed(world, tmp_path / "again")
    world.record_faults = {one["id"]: ["403"] for one in world.models}
    with pytest.raises(DownloadFailed, match=r"it answered 403.*kept: 0"):
        asked(place)
    world.record_faults = {}
    assert asked(place).asked == len(world.models) - 1  # the adapter's parent is in the listing


@pytest.mark.parametrize("status", ["401", "403", "451"])
def test_the_last_one_left_is_not_taken_for_gone_where_the_hub_does_not_say_so(
    world: FakeListing, tmp_path: Path, status: str
) -> None:
    place = listed(world, tmp_path)
    asked(place, model="gone/away", limit=99)
    world.models[3]["lastModified"] = "2099-01-01T00:00:00.000Z"
    place = listed(world, tmp_path)
    world.record_faults = {"user/tune": [status]}
    with pytest.raises(DownloadFailed, match=f"'user/tune': it answered {status}"):
        asked(place, model="user/tune", limit=1)
    assert asked(place, model="user/tune", limit=1).gone == ()


def test_only_so_many_are_asked_and_a_shape_is_asked_together(world: FakeListing, tmp_path: Path) -> None:
    place = listed(world, tmp_path)
    report = asked(place, limit=2)
    assert (report.asked, report.known) == (2, 2)
    assert report.left == 6


def test_one_model_is_asked_about_with_what_it_may_copy(world: FakeListing, tmp_path: Path) -> None:
    place = listed(world, tmp_path)
    report = asked(place, model="LATER/mirror", limit=3)
    assert world.requests[0] == ("/api/models/later/mirror", {"blobs": ["true"]})
    assert (report.model, told(report)["later/mirror"][0]) == ("later/mirror", "maker/model")
    with pytest.raises(UnknownModel):
        asked(place, model="no/body")


def test_asking_about_one_model_goes_on_after_it_has_answered(world: FakeListing, tmp_path: Path) -> None:
    place = listed(world, tmp_path)
    assert asked(place, model="user/tune", limit=1).asked == 1
    assert asked(place, model="user/tune", limit=2).asked == 2
    assert asked(place, model="user/tune").asked == 1  # three are older; none of the younger ones is asked
    assert asked(place, model="user/tune").asked == 0
    assert asked(place, model="said/tune").declared


def test_weights_of_unknown_formats_make_a_model_more_than_its_known_parts(world: FakeListing, tmp_path: Path) -> None:
    files = {"model.safetensors": ORIGINAL, "voice.zip": TUNED, "training/optimizer.pt": OTHER}
    world.models.append(repository("voice/pack", "2025-09-01", files))
    world.models.append(
        repository("true/copy", "2025-09-02", {k: files[k] for k in ("model.safetensors", "training/optimizer.pt")})
    )
    found = told(asked(listed(world, tmp_path)))
    assert "voice/pack" not in found
    assert found["true/copy"] == ("maker/model", "derived")


def test_a_changed_model_is_asked_again_and_its_newest_answer_holds(world: FakeListing, tmp_path: Path) -> None:
    place = listed(world, tmp_path)
    assert told(asked(place))["copier/mirror"] == ("maker/model", "derived")
    changed = repository("copier/mirror", "2025-03-01", {"model.safetensors": TUNED})
    world.models[1] = {**changed, "lastModified": "2099-01-01T00:00:00.000Z"}
    report = asked(listed(world, tmp_path))
    assert report.asked == 1
    assert "copier/mirror" not in told(report)


def test_no_snapshot_and_no_hub_are_said_with_the_way_out(
    tmp_path: Path, waits: list[float], world: FakeListing
) -> None:
    with pytest.raises(UsageError, match="insource hub sync"):
        asked(HubPlace(home=tmp_path, hub_url="", today=TODAY))
    listed(world, tmp_path)
    with pytest.raises(DownloadFailed, match="that are kept: 0"):
        asked(HubPlace(home=tmp_path, hub_url="http://127.0.0.1:9", today=TODAY))
    assert waits == []


def test_an_adapter_whose_listing_names_no_parent_is_read_itself() -> None:
    adapter = repository("a/lora", "2025-01-01", {"adapter_config.json": b"{}", "adapter_model.bin": OTHER})
    path = f"a/lora/resolve/{'a' * 40}/adapter_config.json"
    with running_listing(hub_of(adapter, configs={path: {"base_model_name_or_path": "m/base"}})) as hub:
        answer = ask_files("a/lora", hub_url=hub.url, now=NOW, begun=True)
    assert (answer.config, answer.names) == ("adapter_config.json", "m/base")
    assert [weight.sha256 for weight in answer.weights] == [hashlib.sha256(OTHER).hexdigest()]


@pytest.mark.parametrize(
    "config",
    [None, b"[1]", b"not json", b"[" * 100_000, b'{"_name_or_path": 7}', b'{"_name_or_path": "a\\u202eb"}',
     json.dumps({"_name_or_path": "x" * 5000}).encode(),
     b'{"_name_or_path": "a/b", "pad": "' + b"x" * (1 << 21) + b'"}'],
)  # fmt: skip
def test_a_strangers_config_names_nothing(config: bytes | None) -> None:
    one = repository("a/b", "2025-01-01", {"config.json": b"{}", "model.safetensors": OTHER})
    files = {} if config is None else {f"/{config_of('a/b')}": config}
    with running_listing(FakeListing(models=[one], files=files)) as hub:
        answer = ask_files("a/b", hub_url=hub.url, now=NOW, begun=True)
    assert (answer.config, answer.names, len(answer.weights)) == (None, None, 1)


@pytest.mark.parametrize(
    "siblings",
    [None, "x", [None, 3, {}, {"rfilename": 3}],
     [{"rfilename": "m.safetensors", "lfs": {"sha256": "A" * 64, "size": 5}}],
     [{"rfilename": "m.safetensors", "lfs": {"sha256": "a" * 64, "size": -5}}],
     [{"rfilename": "optimizer.pt", "lfs": {"sha256": "a" * 64, "size": 5}}],
     [{"rfilename": "data.parquet", "lfs": {"sha256": "a" * 64, "size": 5}}]],
)  # fmt: skip
def test_what_is_no_weight_is_left_out(siblings: Any) -> None:
    with running_listing(FakeListing(models=[{"id": "a/b", "siblings": siblings}])) as hub:
        assert ask_files("a/b", hub_url=hub.url, now=NOW, begun=True).weights == ()


def test_a_config_is_read_only_where_it_is_said_to_be_small() -> None:
    for size in (None, 1 << 21):
        one = repository("a/b", "2025-01-01", {"config.json": b"{}"})
        one["siblings"][0]["size"] = size
        with running_listing(hub_of(one, configs={config_of("a/b"): {"_name_or_path": "m/base"}})) as hub:
            assert ask_files("a/b", hub_url=hub.url, now=NOW, begun=True).names is None
            assert [path for path, _ in hub.requests] == ["/api/models/a/b"]


def test_of_endless_lists_the_largest_weights_and_the_config_are_kept(tmp_path: Path) -> None:
    lfs = {"sha256": "a" * 64, "size": 5}
    siblings: list[dict[str, Any]] = [{"rfilename": f"checkpoint-{i}/w.bin", "lfs": lfs} for i in range(5000)]
    siblings += [{"rfilename": "config.json", "size": 2}]
    siblings += [{"rfilename": "x" * 500 + "\ud800/model.safetensors", "lfs": {"sha256": "b" * 64, "size": 9}}]
    one = {"id": "a/b", "sha": "a" * 40, "siblings": siblings}
    with running_listing(hub_of(one, configs={config_of("a/b"): {"_name_or_path": "m/base"}})) as hub:
        answer = ask_files("a/b", hub_url=hub.url, now=NOW, begun=True)
    assert answer.names == "m/base"
    assert (answer.weights[0].sha256, len(answer.weights), answer.stored_bytes) == ("b" * 64, 2000, 25_009)
    with FilesLog(tmp_path) as log:
        log.add(answer)


def test_what_was_kept_is_read_whatever_became_of_the_file(tmp_path: Path) -> None:
    log = FilesLog(tmp_path / "[hub]*")
    weight = Weight(size_bytes=7, sha256="b" * 64)
    with connect(threads=1) as connection:
        log.load(connection)
        assert connection.execute("FROM weight_files").fetchall() == []
        with log:
            log.add(RepoFiles(id="a/b", asked=NOW, weights=(weight, weight)))
        with log.path.open("ab") as file:
            file.write(b"\xff\xfe junk\n" + b'{"id": 3}\n{"id":"c/d","asked":"2026')
        with log:
            log.add(RepoFiles(id="e/f", asked=NOW, found=False))
        log.load(connection)
        assert connection.execute("SELECT id, found FROM repo_files ORDER BY id").fetchall() == [
            ("a/b", True),
            ("e/f", False),
        ]
        assert connection.execute("FROM weight_files").fetchall() == [("a/b", "b" * 64, 7)]


def test_a_place_that_can_not_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file")
    with pytest.raises(StorageError, match="can't be saved"), FilesLog(tmp_path / "hub"):
        pass
