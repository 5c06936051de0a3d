from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import BadModelFile
from insource.core.stored_models import StoredModel
from insource.engines.models.notes import Notes
from insource.engines.models.refs import ollama_name, parse_ref
from insource.engines.models.stores.licences import licence_of
from insource.engines.models.stores.ollama import OllamaStore
from insource.engines.models.stores.ollama_manifest import Manifest, parse
from insource.engines.models.stores.source import StoreSource
from tests.fakes.gguf_writer import gguf_bytes
from tests.fakes.stores import LIST, FakeOllama, layer, sha256

DATA = gguf_bytes(values=2000)
OTHER = gguf_bytes(values=3000)
LIBRARY = "registry.ollama.ai/library"


@pytest.fixture
def fake(tmp_path: Path) -> FakeOllama:
    return FakeOllama(tmp_path / "ollama")


def listed(fake: FakeOllama) -> dict[str, StoredModel]:
    return {model.ref: model for model in OllamaStore(fake.folder).read().models}


def test_several_tags_of_one_blob_are_several_models_of_the_same_bytes(fake: FakeOllama) -> None:
    for name in ("qwen3/8b", "qwen3/latest", "me/mine/v1", "hf.co/org/repo-GGUF/Q4_K_M"):
        full = {1: f"{LIBRARY}/{name}", 2: f"registry.ollama.ai/{name}", 3: name}[name.count("/")]
        fake.pull(full, DATA)
    found = listed(fake)
    assert list(found) == [
        "ollama:hf.co/org/repo-GGUF:Q4_K_M",
        "ollama:me/mine:v1",
        "ollama:qwen3:8b",
        "ollama:qwen3:latest",
    ]
    assert {(model.paths, model.sha256) for model in found.values()} == {
        ((fake.folder / "blobs" / f"sha256-{sha256(DATA)}",), sha256(DATA))
    }
    source = StoreSource("ollama", [OllamaStore(fake.folder)], notes=Notes(fake.folder.parent / "notes.json"))
    for ref in ("ollama:qwen3", "ollama:registry.ollama.ai/library/qwen3:latest"):
        assert source.fetch(ref, progress=lambda done, total: None).ref == "ollama:qwen3:latest"


def test_a_missing_blob_is_said_and_hides_no_other(fake: FakeOllama) -> None:
    fake.pull("gone/latest", OTHER).unlink()
    fake.pull("there/latest", DATA)
    found = listed(fake)
    assert found["ollama:there:latest"].problem is None
    gone = found["ollama:gone:latest"]
    assert (gone.paths, gone.size_bytes) == ((), 0)
    assert f"sha256-{sha256(OTHER)}" in (gone.problem or "")
    assert "is missing" in (gone.problem or "")


def test_a_blob_of_another_size_than_its_manifest_says_is_damaged(fake: FakeOllama) -> None:
    blob = fake.pull("cut/latest", DATA)
    blob.write_bytes(DATA[:-5])
    assert f"{len(DATA) - 5:,} bytes, not {len(DATA):,}" in (listed(fake)["ollama:cut:latest"].problem or "")


def test_the_older_spelling_of_a_blobs_name_is_found(fake: FakeOllama) -> None:
    blob = fake.pull("old/latest", DATA)
    blob.rename(blob.with_name(blob.name.replace("-", ":")))
    assert listed(fake)["ollama:old:latest"].problem is None


def test_what_goes_with_a_model_is_listed_beside_it(fake: FakeOllama) -> None:
    fake.pull("llava/7b", DATA, more=[fake.layer("projector", b"p" * 64)])
    fake.pull("tuned/latest", DATA, more=[fake.layer("adapter", b"a" * 64)])
    found = listed(fake)
    assert {ref: model.kind for ref, model in found.items()} == {
        "ollama:llava:7b": "model",
        "ollama:llava:7b@projector": "projector",
        "ollama:tuned:latest": "model",
        "ollama:tuned:latest@adapter": "adapter",
    }
    assert found["ollama:llava:7b"].problem is None
    assert "adapter" in (found["ollama:tuned:latest"].problem or ""), "the base alone would answer differently"
    for ref in found:
        parse_ref(ref)


def test_newer_versions_manifests_are_blobs_and_may_be_lists(fake: FakeOllama) -> None:
    gguf = {**fake.manifest_of([fake.layer("model", DATA)]), "runner": "ollama", "format": "gguf"}
    mlx = {**fake.manifest_of([fake.layer("tensor", b"t" * 99)]), "runner": "mlx", "format": "safetensors"}
    fake.pull_v2(f"{LIBRARY}/plain/latest", gguf)
    fake.pull_v2(f"{LIBRARY}/inline/latest", {"mediaType": LIST, "manifests": [mlx, gguf]})
    child = fake.blob(json.dumps(gguf).encode())
    by_digest = {"mediaType": gguf["mediaType"], "digest": child.name.replace("-", ":"), "runner": "ollama"}
    fake.pull_v2(f"{LIBRARY}/digest/latest", {"mediaType": LIST, "manifests": [by_digest]})
    fake.pull_v2(f"{LIBRARY}/mlx/latest", {"mediaType": LIST, "manifests": [mlx]})
    fake.pull_v2(f"{LIBRARY}/tensors/latest", mlx)
    fake.pull("plain/latest", OTHER)
    found = listed(fake)
    for name in ("plain", "inline", "digest"):
        assert (found[f"ollama:{name}:latest"].sha256, found[f"ollama:{name}:latest"].problem) == (sha256(DATA), None)
    assert "other runners only" in (found["ollama:mlx:latest"].problem or "")
    assert found["ollama:tensors:latest"].kind == "safetensors"
    assert "GGUF" in (found["ollama:tensors:latest"].problem or "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a valid Ollama manifest"),
        (b"not json", "not a valid Ollama manifest"),
        (b"[" * 100_000, "not a valid Ollama manifest"),
        (b'{"layers": 3}', "not a valid Ollama manifest"),
        (b'{"pad": "' + b"x" * (5 << 20) + b'"}', "too long"),
        (b"{}", "names no weights"),
        (b'{"layers": null}', "names no weights"),
        (b'{"mediaType": "' + LIST.encode() + b'", "manifests": null}', "other runners only"),
        (json.dumps({"layers": [layer("model", "sha256:../../../etc/passwd", 1)]}).encode(), "not a sha256 digest"),
        (json.dumps({"layers": [layer("model", "/etc/passwd", 1)]}).encode(), "not a sha256 digest"),
    ],
    ids=["empty", "text", "deep", "type", "huge", "nothing", "null", "list", "up", "absolute"],
)
def test_a_bad_manifest_is_an_entry_with_its_problem(fake: FakeOllama, content: bytes, says: str) -> None:
    fake.manifest(f"{LIBRARY}/bad/latest", content)
    fake.pull("good/latest", DATA)
    found = listed(fake)
    assert found["ollama:good:latest"].problem is None
    assert says in (found["ollama:bad:latest"].problem or "")
    source = StoreSource("ollama", [OllamaStore(fake.folder)], notes=Notes(fake.folder.parent / "notes.json"))
    with pytest.raises(BadModelFile, match="can't be used"):
        source.fetch("ollama:bad", progress=lambda done, total: None)


@pytest.mark.parametrize(
    "name",
    [
        "top",
        "registry.ollama.ai/three/levels",
        f"{LIBRARY}/m/five/levels",
        f"{LIBRARY}/..x/latest",
        f"{LIBRARY}/m/.hidden",
        f"{LIBRARY}/m/a b",
        "registry.ollama.ai/na.me/m/latest",
        f"{LIBRARY}/m\x1b[31m/latest",
        f"{LIBRARY}/m/@projector",
        f"{LIBRARY}/m/x@projector",
    ],
)
def test_what_is_named_as_no_manifest_is_skipped_with_a_sentence(fake: FakeOllama, name: str) -> None:
    fake.manifest(name, fake.manifest_of([fake.layer("model", DATA)]))
    fake.pull("good/latest", DATA)
    listing = OllamaStore(fake.folder).read()
    assert [model.ref for model in listing.models] == ["ollama:good:latest"]
    [said] = listing.skipped
    assert said.isprintable()


def test_the_finders_own_files_are_passed_over_in_silence(fake: FakeOllama) -> None:
    fake.manifest(f"{LIBRARY}/.DS_Store", b"x")
    assert OllamaStore(fake.folder).read().skipped == ()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("qwen3", "qwen3:latest"),
        ("qwen3:8b", "qwen3:8b"),
        ("library/qwen3:8b", "qwen3:8b"),
        ("registry.ollama.ai/library/qwen3", "qwen3:latest"),
        ("me/mine", "me/mine:latest"),
        ("hf.co/org/repo:Q4_K_M", "hf.co/org/repo:Q4_K_M"),
        ("localhost:5000/org/repo:x", "localhost:5000/org/repo:x"),
        ("../x", None),
        ("/etc/passwd", None),
        ("a/b/c/d", None),
        ("", None),
        ("a:b:c", None),
        ("a b", None),
        ("-x", None),
    ],
)
def test_names_are_read_as_ollama_reads_them(text: str, name: str | None) -> None:
    assert ollama_name(text) == name


@given(st.text(max_size=80))
def test_a_canonical_name_names_itself(text: str) -> None:
    name = ollama_name(text)
    if name is not None:
        assert ollama_name(name) == name
        assert ".." not in name.split("/")


KEYS = st.sampled_from(["layers", "manifests", "digest", "mediaType", "size", "runner"])
JSON = st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner))


@given(st.binary(max_size=300) | JSON.map(msgspec.json.encode))
def test_any_bytes_are_a_manifest_or_none(data: bytes) -> None:
    found = parse(data)
    assert found is None or isinstance(found.chosen(), Manifest | None)


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("\n\n     Apache License\n     Version 2.0, January 2004\n", "Apache-2.0"),
        ("MIT License\n\nCopyright (c) Microsoft", "MIT"),
        ("LLAMA 3.2 COMMUNITY LICENSE AGREEMENT\nLlama 3.2 Version", "llama3.2"),
        ("Gemma Terms of Use \n\nLast modified", "gemma"),
        ("Apache License for our own purposes", "Apache License for our own purposes"),
        ("Some Licence of Ours\x1b[31m\nmore", "Some Licence of Ours[31m"),
        ("", None),
        ("\n \n", None),
    ],
)
def test_a_licence_is_named_only_when_its_beginning_leaves_no_doubt(text: str, licence: str | None) -> None:
    assert licence_of(text) == licence


def test_the_licence_layer_counts_before_the_header(fake: FakeOllama) -> None:
    fake.pull("a/latest", DATA, licence="MIT License\n\nCopyright")
    assert listed(fake)["ollama:a:latest"].license == "MIT"
