"""One suite over every store of model files: what is listed works, nothing hostile is opened, nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from insource.core.errors import BadModelFile, UnknownModel
from insource.core.ports import ModelStore
from insource.core.stored_models import StoredModel
from insource.engines.models.cache import ModelCache
from insource.engines.models.notes import Notes
from insource.engines.models.stores.headers import Headers
from insource.engines.models.stores.hub_cache import HubCacheStore
from insource.engines.models.stores.llamacpp import LlamaCppStore
from insource.engines.models.stores.lmstudio import LMStudioStore
from insource.engines.models.stores.ollama import OllamaStore
from insource.engines.models.stores.source import StoreSource
from insource.workflows.files import models
from tests.fakes.gguf_writer import gguf_bytes
from tests.fakes.stores import LIST, FakeOllama, hub_file, layer, llamacpp_file, sha256, tree, write

DATA = gguf_bytes(values=2000)
OTHER = gguf_bytes(values=3000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """One kind of store. Its `make` puts in a good model, `link` an entry that is a link to a place."""

    open: Callable[[Path], ModelStore]
    make: Callable[[Path, bytes], None]
    link: Callable[[Path, Path], None]
    ref: str


def _ollama_link(folder: Path, target: Path) -> None:
    fake = FakeOllama(folder)
    digest = "d" * 64
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    (folder / "blobs" / f"sha256-{digest}").symlink_to(target)
    size = target.stat().st_size if target.is_file() else 1
    manifest = fake.manifest_of([layer("model", f"sha256:{digest}", size)])
    fake.manifest("registry.ollama.ai/library/linked/latest", manifest)


def _link_at(name: str) -> Callable[[Path, Path], None]:
    def link(folder: Path, target: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    return link


def _make_hub(folder: Path, data: bytes) -> None:
    hub_file(folder, "org/tiny", "tiny.Q4_1.gguf", data)


def _make_llamacpp(folder: Path, data: bytes) -> None:
    llamacpp_file(folder, "org/tiny", "tiny.Q4_1.gguf", data)


def _make_ollama(folder: Path, data: bytes) -> None:
    FakeOllama(folder).pull("tiny/latest", data)


def _make_lmstudio(folder: Path, data: bytes) -> None:
    write(folder / "org" / "tiny" / "tiny.Q4_1.gguf", data)


SNAPSHOT = f"models--org--linked/snapshots/{'c' * 40}"
RIGS = {
    "hub": Rig(
        open=lambda folder: HubCacheStore(ModelCache(folder)),
        make=_make_hub,
        link=_link_at(f"{SNAPSHOT}/linked.gguf"),
        ref="org/tiny:tiny.Q4_1.gguf",
    ),
    "llamacpp": Rig(
        open=LlamaCppStore, make=_make_llamacpp, link=_link_at("linked.gguf"), ref="llamacpp:org_tiny_tiny.Q4_1.gguf"
    ),
    "ollama": Rig(open=OllamaStore, make=_make_ollama, link=_ollama_link, ref="ollama:tiny:latest"),
    "lmstudio": Rig(
        open=LMStudioStore,
        make=_make_lmstudio,
        link=_link_at("org/linked/linked.gguf"),
        ref="lmstudio:org/tiny/tiny.Q4_1.gguf",
    ),
}


@pytest.fixture(params=list(RIGS))
def rig(request: pytest.FixtureRequest) -> Rig:
    return RIGS[request.param]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def described(store: ModelStore, tmp_path: Path) -> dict[str, StoredModel]:
    return {model.ref: model for model in Headers(tmp_path / "notes.json").describe(store.read().models)}


def test_a_model_is_listed_with_what_is_known_of_it(rig: Rig, folder: Path, tmp_path: Path) -> None:
    rig.make(folder, DATA)
    store = rig.open(folder)
    assert (store.folder, store.read().skipped) == (folder, ())
    [model] = described(store, tmp_path).values()
    assert (model.ref, model.size_bytes, model.problem) == (rig.ref, len(DATA), None)
    assert (model.kind, model.architecture, model.source) == ("model", "llama", store.name)
    assert (model.license or "").lower() == "apache-2.0"
    [path] = model.paths
    assert path.read_bytes() == DATA
    assert model.sha256 in (None, sha256(DATA))
    assert (model.sha256 is not None) == (store.name in ("hub", "ollama")), "those two name their blobs by it"


def test_its_reference_works_where_a_model_is_named(rig: Rig, folder: Path, tmp_path: Path) -> None:
    rig.make(folder, DATA)
    store = rig.open(folder)
    cache = ModelCache(folder if store.name == "hub" else tmp_path / "cache")
    source = StoreSource("ollama" if store.name == "hub" else store.name, [store], notes=Notes(tmp_path / "used.json"))
    details = models.show(rig.ref, cache=cache, sources={source.scheme: source}, verify=True)
    assert (details.file.ref, details.file.sha256, details.file.source) == (rig.ref, sha256(DATA), store.name)
    assert details.file.path.read_bytes() == DATA
    assert models.pull(rig.ref, {source.scheme: source}, cache=cache).path == details.file.path


def test_a_store_that_is_not_there_is_empty(rig: Rig, folder: Path) -> None:
    listing = rig.open(folder).read()
    assert (listing.models, listing.skipped) == ((), ())
    assert not folder.exists()


@pytest.mark.parametrize(
    "data", [b"", b"<!doctype html>", DATA[:-1], b"GGUF" + b"\xff" * 40], ids=["empty", "html", "cut", "junk"]
)
def test_what_is_no_whole_gguf_carries_its_problem(rig: Rig, folder: Path, tmp_path: Path, data: bytes) -> None:
    rig.make(folder, data)
    [model] = described(rig.open(folder), tmp_path).values()
    assert model.ref == rig.ref
    assert model.problem is not None
    assert "model file" in model.problem


def outside_file(tmp_path: Path) -> Path:
    return write(tmp_path / "outside" / "secret.gguf", OTHER)


def outside_folder(tmp_path: Path) -> Path:
    return outside_file(tmp_path).parent


def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "store" / "pipe")
    return tmp_path / "store" / "pipe"


def device(tmp_path: Path) -> Path:
    return Path("/dev/zero")


def nowhere(tmp_path: Path) -> Path:
    return tmp_path / "store" / "gone"


@pytest.mark.parametrize("target", [outside_file, outside_folder, pipe, device, nowhere])
def test_a_link_to_where_it_should_not_lead_hides_nothing(
    rig: Rig, folder: Path, tmp_path: Path, target: Callable[[Path], Path]
) -> None:
    rig.make(folder, DATA)
    rig.link(folder, target(tmp_path))
    listing = rig.open(folder).read()
    found = described(rig.open(folder), tmp_path)
    assert found.pop(rig.ref).problem is None
    [bad] = found.values()
    assert bad.problem is not None
    assert "linked" in bad.ref
    says: dict[object, str] = {pipe: "not a regular file", nowhere: "missing"}
    assert says.get(target, "outside the store") in bad.problem
    assert listing.skipped == ()


def test_a_folder_that_leads_outside_or_into_itself_is_not_followed(rig: Rig, folder: Path, tmp_path: Path) -> None:
    rig.make(folder, DATA)
    outside_file(tmp_path)
    for below in {path.parent for path in folder.rglob("*") if path.is_file()} | {folder}:
        (below / "away.gguf").symlink_to(tmp_path / "outside")
        (below / "round").symlink_to(folder)
    found = described(rig.open(folder), tmp_path)
    assert found[rig.ref].problem is None
    assert all(str(tmp_path / "outside") not in str(path) for model in found.values() for path in model.paths)


def test_an_unreadable_folder_is_said_and_hides_no_other(
    rig: Rig, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.make(folder, DATA)
    places = {"hub": "models--org--closed/snapshots", "ollama": "manifests/registry.ollama.ai/closed",
              "lmstudio": "closed", "llamacpp": "models--org--closed/snapshots"}  # fmt: skip
    closed = folder / places[rig.open(folder).name]
    closed.mkdir(parents=True)
    real = Path.iterdir

    def guarded(self: Path):  # type: ignore[no-untyped-def]
        if self == closed:
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "iterdir", guarded)
    listing = rig.open(folder).read()
    assert [model.ref for model in listing.models] == [rig.ref]
    [said] = listing.skipped
    assert str(closed) in said
    assert "Permission denied" in said


def test_an_unreadable_file_carries_its_problem(
    rig: Rig, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.make(folder, DATA)
    real = Path.open

    def guarded(self: Path, *args: object, **options: object):  # type: ignore[no-untyped-def]
        if self.is_file() and self.stat().st_size == len(DATA):
            raise PermissionError(13, "Permission denied")
        return real(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", guarded)
    [model] = described(rig.open(folder), tmp_path).values()
    assert "Permission denied" in (model.problem or "")


@contextmanager
def powerless() -> Generator[None]:
    """As a user whom permissions bind: tests may run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_whatever_permissions_forbid_hides_nothing_else(rig: Rig) -> None:
    """Every file and folder of a store closed in turn, for real; then two models of three, or all, are still there."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "store"
        Path(place).chmod(0o755)
        rig.make(folder, DATA)
        rig.link(folder, nowhere(Path(place)))
        whole = [model.ref for model in rig.open(folder).read().models]
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                continue
            mode = path.stat().st_mode
            path.chmod(0)
            with powerless():
                listing = rig.open(folder).read()
                found = Headers(Path(place) / "notes.json").describe(listing.models)
            path.chmod(mode)
            hidden = set(whole) - {model.ref for model in found}
            assert not hidden or any("Permission denied" in said for said in listing.skipped), path
            good = [model for model in found if model.ref == rig.ref and model.problem is None]
            said = [*listing.skipped, *(model.problem or "" for model in found)]
            assert good or any("ermission" in sentence for sentence in said), path


def test_an_unknown_reference_names_the_place(rig: Rig, folder: Path, tmp_path: Path) -> None:
    store = rig.open(folder)
    scheme = "ollama" if store.name == "hub" else store.name
    source = StoreSource(scheme, [store], notes=Notes(tmp_path / "used.json"))
    with pytest.raises(UnknownModel) as caught:
        source.fetch(rig.ref, progress=lambda done, total: None)
    assert str(folder) in caught.value.message
    rig.make(folder, b"no gguf")
    with pytest.raises(BadModelFile):
        source.fetch(rig.ref, progress=lambda done, total: None)


def test_nothing_outside_is_opened_and_nothing_inside_is_written(rig: Rig, folder: Path, tmp_path: Path) -> None:
    """Every open and every listing of a whole process, as the interpreter's own audit hook sees them."""
    rig.make(folder, DATA)
    fill_with_traps(folder, tmp_path, rig)
    before, outside, notes = tree(folder), tree(tmp_path / "outside"), tmp_path / "notes"
    command = [sys.executable, "-m", "tests.fakes.audited_store", rig.open(folder).name, str(folder), str(notes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    said = json.loads(done.stdout)
    assert rig.ref in said["refs"]
    opened = [(os.path.realpath(place), flags) for _, place, flags in said["opened"]]
    assert any(place.startswith(f"{folder}/") for place, _ in opened), "the hook saw nothing at all"
    ours = (f"{folder}/", f"{notes}/")
    assert [place for place, _ in opened if place != str(folder) and not place.startswith(ours)] == []
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    assert [place for place, flags in opened if flags & writing and not place.startswith(f"{notes}/")] == []
    assert (tree(folder), tree(tmp_path / "outside")) == (before, outside)


def fill_with_traps(folder: Path, tmp_path: Path, rig: Rig) -> None:
    """What a hostile or broken store may hold, at every level of it."""
    secret = outside_file(tmp_path)
    rig.link(folder, secret)
    levels = sorted({path.parent for path in folder.rglob("*") if path.is_file() and not path.is_symlink()} | {folder})
    for number, below in enumerate(levels):
        (below / f"link{number}.gguf").symlink_to(secret)
        (below / f"up{number}.gguf").symlink_to(
            Path("..") / ".." / ".." / ".." / ".." / ".." / "outside" / "secret.gguf"
        )
        (below / f"away{number}").symlink_to(secret.parent)
        (below / f"root{number}").symlink_to("/")
        (below / f"self{number}").symlink_to(below)
        (below / f"device{number}.gguf").symlink_to("/dev/zero")
        os.mkfifo(below / f"pipe{number}.gguf")
        (below / f"folder{number}.gguf").mkdir()
        write(below / f"a{number}" / "b" / "c" / "d" / "e" / "f" / "g" / "h" / "i" / "deep.gguf", DATA)
        write(below / f"x\n\x1b[31m{number}.gguf", DATA)
    (folder / "models--..--secret").mkdir()
    (folder / "models--a--b--..").mkdir()
    (folder / "models--org--away").symlink_to(secret.parent)
    if isinstance(rig.open(folder), OllamaStore):
        ollama_traps(FakeOllama(folder), secret)


def ollama_traps(fake: FakeOllama, secret: Path) -> None:
    up = f"../../../{secret.parent.name}/{secret.name}"
    digests = ["", up, str(secret), *(f"sha256{mark}" for mark in (f":{up}", f"-{up}", ":" + "0" * 63, ":" + "g" * 64))]
    library = "registry.ollama.ai/library"
    for number, digest in enumerate([*digests, f"sha256:{'a' * 64}/{up}", f"sha256:{'a' * 64}\n"]):
        for part in ("model", "projector", "license", "tensor"):
            fake.manifest(f"{library}/digest{number}/{part}", fake.manifest_of([layer(part, digest, 10)]))
        child = {"digest": digest, "runner": "ollama"}
        fake.manifest(f"{library}/list{number}/latest", {"mediaType": LIST, "manifests": [child]})
    away = fake.folder / "manifests" / library / "away" / "latest"
    away.parent.mkdir()
    away.symlink_to(secret)
    for name in (f"{library}/..x/latest", f"{library}/deep/er/latest", "registry.ollama.ai/short", "top"):
        fake.manifest(name, fake.manifest_of([]))
