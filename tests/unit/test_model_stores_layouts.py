"""The Hub's cache, llama.cpp's, LM Studio's folder, and files of the user's own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import BadModelFile, UsageError
from insource.core.ports import ModelStore
from insource.core.stored_models import StoredModel
from insource.engines.models.cache import ModelCache
from insource.engines.models.local import FileSource
from insource.engines.models.notes import Notes
from insource.engines.models.refs import ModelRef, parse_ref
from insource.engines.models.stores.ggufs import together
from insource.engines.models.stores.headers import Headers
from insource.engines.models.stores.hub_cache import HubCacheStore
from insource.engines.models.stores.llamacpp import LlamaCppStore
from insource.engines.models.stores.lmstudio import LMStudioStore, usual_folders
from insource.engines.models.stores.own_files import OwnFilesStore
from insource.engines.models.stores.source import StoreSource
from tests.fakes.gguf_writer import gguf_bytes
from tests.fakes.stores import hub_file, llamacpp_file, sha256, write

DATA = gguf_bytes(values=2000)
OTHER = gguf_bytes(values=3000)
PROJECTOR = gguf_bytes({"general.architecture": "clip", "general.type": "mmproj"})
ADAPTER = gguf_bytes({"general.type": "adapter", "adapter.type": "lora"})


def listed(store: ModelStore) -> dict[str, StoredModel]:
    return {model.ref: model for model in store.read().models}


def hub(tmp_path: Path) -> HubCacheStore:
    return HubCacheStore(ModelCache(tmp_path))


# ---------------------------------------------------------------------------------------------------- shards


def shard(number: int, count: int = 3, stem: str = "m-Q4_K_M") -> str:
    return f"{stem}-{number:05}-of-{count:05}.gguf"


def test_shards_are_one_model() -> None:
    names = [shard(3), "whole.gguf", shard(1), "README.md", shard(2), shard(2, 2, "dir/n")]
    first, second, third = together(names)
    assert (first.name, first.files, first.missing) == (
        "dir/n-00001-of-00002.gguf",
        ("dir/n-00002-of-00002.gguf",),
        (1,),
    )
    assert (second.name, second.files, second.missing) == (shard(1), (shard(1), shard(2), shard(3)), ())
    assert (third.name, third.files) == ("whole.gguf", ("whole.gguf",))


@given(st.lists(st.from_regex(r"[a-b]-0000[0-4]-of-0000[0-3]\.gguf", fullmatch=True), unique=True))
def test_every_gguf_is_in_just_one_group(names: list[str]) -> None:
    assert sorted(file for shards in together(names) for file in shards.files) == sorted(names)


@pytest.mark.parametrize("kind", ["hub", "lmstudio", "llamacpp"])
def test_a_sharded_model_is_listed_with_its_whole_size_and_is_not_run(tmp_path: Path, kind: str) -> None:
    for number in (1, 2, 3):
        if kind == "hub":
            hub_file(tmp_path, "org/big", shard(number), DATA + bytes(number))
        elif kind == "lmstudio":
            write(tmp_path / "org" / "big" / shard(number), DATA + bytes(number))
        else:
            llamacpp_file(tmp_path, "org/big", shard(number), DATA + bytes(number))
    store = {"hub": hub, "lmstudio": LMStudioStore, "llamacpp": LlamaCppStore}[kind](tmp_path)
    headers = Headers(tmp_path / "headers.json")
    [model] = headers.describe(store.read().models)
    assert model.ref.endswith(shard(1))
    assert (len(model.paths), model.size_bytes, model.sha256) == (3, 3 * len(DATA) + 6, None)
    assert (model.architecture, model.license) == ("llama", "apache-2.0"), "from the first shard"
    assert "split into 3 files" in (model.problem or "")
    if kind != "hub":
        source = StoreSource(kind, [store], notes=Notes(tmp_path / "notes.json"))
        with pytest.raises(BadModelFile, match="split into 3 files"):
            source.fetch(model.ref, progress=lambda done, total: None)
    model.paths[2].write_bytes(DATA[:-1])
    [cut] = headers.describe(store.read().models)
    assert "is truncated" in (cut.problem or "")
    model.paths[1].unlink()
    [model] = listed(store).values()
    assert "1 are missing (2)" in (model.problem or "")


# -------------------------------------------------------------------------------------------- the Hub's cache


def test_links_copies_and_broken_links_of_the_hub(tmp_path: Path) -> None:
    linked = hub_file(tmp_path, "org/linked", "a.gguf", DATA)
    hub_file(tmp_path, "org/copied", "sub/b.gguf", OTHER, link=False)
    broken = hub_file(tmp_path, "org/broken", "c.gguf", gguf_bytes(values=10))
    broken.resolve().unlink()
    found = listed(hub(tmp_path))
    assert (found["org/linked:a.gguf"].sha256, found["org/linked:a.gguf"].paths) == (sha256(DATA), (linked,))
    copied = found["org/copied:sub/b.gguf"]
    assert (copied.sha256, copied.size_bytes, copied.problem) == (None, len(OTHER), None), "not hashed to be listed"
    assert "is missing" in (found["org/broken:c.gguf"].problem or "")


def test_a_blob_in_the_clients_shared_store_is_inside_the_cache(tmp_path: Path) -> None:
    """huggingface_hub 2 keeps Xet files once, in <cache>/blobs/<2 hex>/<xet hash>; repositories link there."""
    pointer = hub_file(tmp_path, "org/shared", "a.gguf", DATA)
    blob = pointer.resolve()
    shared = tmp_path / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(os.path.relpath(shared, blob.parent))
    [model] = listed(hub(tmp_path)).values()
    assert (model.sha256, model.problem, model.size_bytes) == (sha256(DATA), None, len(DATA))


def test_the_revision_that_main_names_counts(tmp_path: Path) -> None:
    hub_file(tmp_path, "org/m", "a.gguf", OTHER, commit="d" * 40)
    hub_file(tmp_path, "org/m", "old.gguf", OTHER, commit="d" * 40)
    hub_file(tmp_path, "org/m", "a.gguf", DATA, commit="e" * 40)
    found = listed(hub(tmp_path))
    assert list(found) == ["org/m:a.gguf", "org/m:old.gguf"]
    assert found["org/m:a.gguf"].sha256 == sha256(DATA)


def test_a_repository_of_safetensors_is_one_entry(tmp_path: Path) -> None:
    for number in (1, 2):
        hub_file(tmp_path, "org/st", f"model-{number:05}-of-00002.safetensors", bytes(100 + number))
    hub_file(tmp_path, "org/st", "config.json", b"{}")
    hub_file(tmp_path, "org/lora", "adapter_model.safetensors", bytes(50))
    found = listed(hub(tmp_path))
    assert {ref: (m.kind, m.size_bytes, len(m.paths)) for ref, m in found.items()} == {
        "org/lora": ("adapter", 50, 1),
        "org/st": ("safetensors", 203, 2),
    }
    assert "vLLM" in (found["org/st"].problem or "")


def test_headers_tell_projectors_and_adapters_from_models(tmp_path: Path) -> None:
    hub_file(tmp_path, "org/v", "model.gguf", DATA)
    hub_file(tmp_path, "org/v", "vision.gguf", PROJECTOR)
    hub_file(tmp_path, "org/v", "lora.gguf", ADAPTER)
    models = Headers(tmp_path / "notes.json").describe(hub(tmp_path).read().models)
    assert {model.ref.rpartition(":")[2]: model.kind for model in models} == {
        "model.gguf": "model",
        "vision.gguf": "projector",
        "lora.gguf": "adapter",
    }


def test_a_header_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_file(tmp_path, "org/v", "model.gguf", DATA)
    hub_file(tmp_path, "org/v", "bad.gguf", b"GGUF")
    first = Headers(tmp_path / "notes.json").describe(hub(tmp_path).read().models)

    def never(path: Path) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr("insource.engines.models.stores.headers.check_gguf", never)
    assert Headers(tmp_path / "notes.json").describe(hub(tmp_path).read().models) == first
    (tmp_path / "notes.json").write_bytes(b"damaged")
    with pytest.raises(AssertionError, match="read again"):
        Headers(tmp_path / "notes.json").describe(hub(tmp_path).read().models)


# ------------------------------------------------------------------------------------------------- llama.cpp


def test_side_files_of_llamacpp_are_no_models(tmp_path: Path) -> None:
    llamacpp_file(tmp_path, "org/repo-GGUF", "sub/m.gguf", DATA)
    write(tmp_path / "org_repo_mmproj-m-f16.gguf", PROJECTOR)
    found = listed(LlamaCppStore(tmp_path))
    assert {ref: model.kind for ref, model in found.items()} == {
        "llamacpp:org_repo-GGUF_sub_m.gguf": "model",
        "llamacpp:org_repo_mmproj-m-f16.gguf": "projector",
    }


def test_newer_builds_keep_the_hubs_layout_in_llama_cache(tmp_path: Path) -> None:
    hub_file(tmp_path, "org/new", "sub/m.gguf", DATA)
    found = listed(LlamaCppStore(tmp_path))
    assert found["llamacpp:org/new:sub/m.gguf"].sha256 == sha256(DATA)
    source = StoreSource("llamacpp", [LlamaCppStore(tmp_path)], notes=Notes(tmp_path / "notes.json"))
    assert source.fetch("llamacpp:org/new:sub/m.gguf", progress=lambda done, total: None).sha256 == sha256(DATA)


# ------------------------------------------------------------------------------------------------- LM Studio


def test_lm_studios_folder(tmp_path: Path) -> None:
    write(tmp_path / "pub" / "repo" / "m-Q4_K_M.gguf", DATA)
    write(tmp_path / "pub" / "repo" / "mmproj-m-f16.gguf", PROJECTOR)
    for number in (1, 2):
        write(tmp_path / "mlx-community" / "Qwen3-4bit" / f"model-0000{number}-of-00002.safetensors", bytes(10))
    write(tmp_path / "mlx-community" / "Qwen3-4bit" / "config.json", b"{}")
    found = listed(LMStudioStore(tmp_path))
    assert {ref: model.kind for ref, model in found.items()} == {
        "lmstudio:mlx-community/Qwen3-4bit": "mlx",
        "lmstudio:pub/repo/m-Q4_K_M.gguf": "model",
        "lmstudio:pub/repo/mmproj-m-f16.gguf": "projector",
    }
    mlx = found["lmstudio:mlx-community/Qwen3-4bit"]
    assert (mlx.size_bytes, len(mlx.paths)) == (20, 2)
    assert "MLX" in (mlx.problem or "")


def test_lm_studios_folder_is_found_where_its_settings_say(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert usual_folders(home) == (home / ".lmstudio/models", home / ".cache/lm-studio/models")
    write(home / ".lmstudio-home-pointer", f"{tmp_path}/elsewhere\n".encode())
    write(tmp_path / "elsewhere" / "settings.json", json.dumps({"downloadsFolder": str(tmp_path / "big")}).encode())
    assert usual_folders(home)[:2] == (tmp_path / "big", tmp_path / "elsewhere/models")
    for settings in (b"", b"[" * 100_000, b'{"downloadsFolder": 3}'):
        write(tmp_path / "elsewhere" / "settings.json", settings)
        assert usual_folders(home)[0] == tmp_path / "elsewhere/models"


# ------------------------------------------------------------------------------------------------- own files


def test_a_file_of_the_users_that_went_away_is_said(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "cache")
    own = write(tmp_path / "own.gguf", DATA)
    FileSource(cache).fetch(f"file:{own}", progress=lambda done, total: None)
    [model] = listed(OwnFilesStore(cache)).values()
    assert (model.ref, model.sha256, model.problem) == (f"file:{own}", sha256(DATA), None)
    own.write_bytes(OTHER)
    [model] = listed(OwnFilesStore(cache)).values()
    assert "has changed" in (model.problem or "")
    own.unlink()
    [model] = listed(OwnFilesStore(cache)).values()
    assert "is gone" in (model.problem or "")


# ------------------------------------------------------------------------------------------------ references


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("ollama:qwen3", ModelRef(scheme="ollama", place="qwen3:latest")),
        ("lmstudio:p/r/f.gguf", ModelRef(scheme="lmstudio", place="p/r/f.gguf")),
        ("llamacpp:o_r_f.gguf", ModelRef(scheme="llamacpp", place="o_r_f.gguf")),
        ("llamacpp:o/r:sub/f.gguf", ModelRef(scheme="llamacpp", place="o/r:sub/f.gguf")),
        ("imported:qwen3-8b", ModelRef(scheme="imported", place="qwen3-8b")),
    ],
)
def test_references_into_stores(ref: str, expected: ModelRef) -> None:
    assert parse_ref(ref) == expected


@pytest.mark.parametrize(
    "ref",
    [
        "lmstudio:../x.gguf",
        "lmstudio:/etc/passwd",
        "lmstudio:a//b.gguf",
        "lmstudio:a/./b.gguf",
        "llamacpp:../x",
        "llamacpp:",
        "llamacpp:a/../b:x.gguf",
        "llamacpp:o/r:../x.gguf",
        "ollama:../../x",
        "ollama:",
        "imported:a/b",
        "imported:a--b",
        "imported:",
        "lmstudio:a\\b",
    ],
)
def test_hostile_references_into_stores(ref: str) -> None:
    with pytest.raises(UsageError):
        parse_ref(ref)
