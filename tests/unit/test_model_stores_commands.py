"""`insource models list|import|export|show|remove` over the stores of other tools."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from insource.cli.main import app
from insource.cli.session import load_settings
from insource.core.errors import BadModelFile, InsourceError, StorageError, UnknownModel, UsageError
from insource.core.stored_models import StoredModel
from insource.engines.models.stores.trials import Trial, Trials
from insource.wiring import lmstudio_folders, open_models, open_services
from insource.workflows.files import export_model, model_stores, models
from insource.workflows.files.import_model import Imported, import_model
from insource.workflows.files.model_stores import Models
from tests.fakes.gguf_writer import gguf_bytes
from tests.fakes.stores import FakeOllama, hub_file, llamacpp_file, sha256, tree, write

DATA = gguf_bytes(values=2000)
OTHER = gguf_bytes(values=3000)
SHA256 = sha256(DATA)


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One model in each; the settings that name them are conftest's."""
    hub_file(tmp_path / "models", "org/ours", "ours.Q4_1.gguf", gguf_bytes(values=10))
    llamacpp_file(tmp_path / "llamacpp_cache", "org/cpp", "cpp.gguf", OTHER)
    FakeOllama(tmp_path / "ollama_models").pull("qwen3/8b", DATA)
    write(tmp_path / "lmstudio_models" / "pub" / "repo" / "m.gguf", gguf_bytes(values=500))

    async def none_runs() -> tuple[()]:
        return ()

    monkeypatch.setattr("insource.engines.servers.find_servers", none_runs)
    return tmp_path


@pytest.fixture
def opened(stores: Path) -> Models:
    return open_models(load_settings())


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False, env={"COLUMNS": "200"})


def cli_json(*arguments: str) -> Any:
    return json.loads(cli(*arguments, "--json").stdout)


def already_tried(opened: Models, sha: str, *, runs: bool = True, reason: str = "") -> None:
    opened.trials.put(sha, Trial(runs=runs, reason=reason))


def imported(named: str, opened: Models, name: str = "") -> Imported:
    return asyncio.run(import_model(named, opened, name=name))


# ------------------------------------------------------------------------------------------------------ list


def test_the_list_shows_every_store(stores: Path) -> None:
    rows = {row["ref"]: row for row in cli_json("list")}
    assert {ref: row["source"] for ref, row in rows.items()} == {
        "llamacpp:org_cpp_cpp.gguf": "llamacpp",
        "lmstudio:pub/repo/m.gguf": "lmstudio",
        "ollama:qwen3:8b": "ollama",
        "org/ours:ours.Q4_1.gguf": "hub",
    }
    row = rows["ollama:qwen3:8b"]
    assert list(row)[:6] == ["ref", "path", "sha256", "size_bytes", "source", "license"], "as it always was"
    assert (row["sha256"], row["size_bytes"], row["license"], row["kind"]) == (SHA256, len(DATA), "Apache-2.0", "model")
    assert (row["fits"], row["runs_here"], row["problem"], row["architecture"]) == (None, None, None, "llama")
    assert row["path"].endswith(f"sha256-{SHA256}")


def test_the_table_says_what_is_not_known(stores: Path) -> None:
    FakeOllama(stores / "ollama_models").manifest("registry.ollama.ai/library/bad/latest", b"[")
    write(stores / "ollama_models" / "manifests" / "stray", b"x")
    shown = cli("list")
    assert "cannot say" in shown.stdout
    assert "not tried" in shown.stdout
    assert "ollama:bad:latest: Its manifest" in shown.stderr
    assert "Skipped: " in shown.stderr
    for number in range(30):
        write(stores / "ollama_models" / "manifests" / f"stray{number}", b"x")
    said = [line for line in cli("list").stderr.splitlines() if line.startswith("Skipped: ")]
    assert (len(said), said[-1]) == (21, "Skipped: 11 more.")


def test_whether_it_fits_is_asked_for_every_model(opened: Models) -> None:
    asked: list[StoredModel] = []

    def fits(model: StoredModel) -> bool | None:
        asked.append(model)
        return {"ollama": True, "lmstudio": False}.get(model.source)

    listed = model_stores.list_models(opened, fits=fits).models
    assert {row.model.source: row.fits for row in listed} == {
        "ollama": True, "lmstudio": False, "hub": None, "llamacpp": None,
    }  # fmt: skip
    assert all(model.architecture == "llama" for model in asked), "described before it is asked about"


def test_a_reference_of_a_store_works_in_show_and_not_in_remove(stores: Path) -> None:
    before = tree(stores / "ollama_models")
    facts = cli_json("show", "ollama:qwen3:8b", "--verify")
    assert (facts["sha256"], facts["architecture"], facts["verified"]) == (SHA256, "llama", True)
    with pytest.raises(UsageError, match="another tool"):
        cli("remove", "ollama:qwen3:8b")
    with pytest.raises(UnknownModel, match="There is no model"):
        cli("show", "lmstudio:pub/repo/none.gguf")
    assert tree(stores / "ollama_models") == before


def test_a_hash_that_is_not_in_a_name_is_computed_once(opened: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    first = models.find("llamacpp:org_cpp_cpp.gguf", cache=opened.cache, sources=opened.sources)
    assert first.sha256 == sha256(OTHER)

    def no_more(path: Path) -> str:
        raise AssertionError(f"{path} was hashed again")

    monkeypatch.setattr("insource.engines.models.stores.source.file_sha256", no_more)
    assert models.find(first.ref, cache=opened.cache, sources=open_models(load_settings()).sources) == first
    assert not any(row["source"] == "file" for row in cli_json("list")), "it is not taken for a file of the user's own"


# ---------------------------------------------------------------------------------------------------- import


def test_an_import_is_a_link_that_outlives_the_other_tools_name(opened: Models, stores: Path) -> None:
    blob = FakeOllama(stores / "ollama_models").pull("qwen3/8b", DATA)
    already_tried(opened, SHA256)
    before = len(list((stores / "ollama_models").rglob("*")))
    done = imported("ollama:qwen3:8b", opened)
    assert (done.file.ref, done.linked, done.file.sha256) == ("imported:qwen3-8b", True, SHA256)
    assert done.file.path.resolve().samefile(blob), "not a byte was copied"
    assert len(list((stores / "ollama_models").rglob("*"))) == before
    assert imported("ollama:qwen3:8b", opened) == done
    imported("ollama:qwen3:8b", opened, name="twice")
    assert models.remove("imported:twice", cache=opened.cache).freed_bytes == 0, "Ollama has it still"
    assert blob.read_bytes() == DATA
    blob.unlink()
    found = models.find("imported:qwen3-8b", cache=opened.cache)
    assert (found.path.read_bytes(), found.source, found.license) == (DATA, "imported", "Apache-2.0")
    assert {row["ref"]: row["source"] for row in cli_json("list")}["imported:qwen3-8b"] == "imported"
    assert models.remove("imported:qwen3-8b", cache=opened.cache).freed_bytes == len(DATA)
    with pytest.raises(UnknownModel, match="no import"):
        models.pull("imported:qwen3-8b", opened.sources, cache=opened.cache)


def test_where_no_link_is_possible_the_file_is_used_where_it_lies(
    opened: Models, stores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = stores / "lmstudio_models/pub/repo/m.gguf"
    said = cli("import", "lmstudio:pub/repo/m.gguf")
    assert "Invalid cross-device link" in said.stderr
    done = imported("lmstudio:pub/repo/m.gguf", opened)
    assert (done.file.ref, done.linked, done.file.path) == (f"file:{path}", False, path)
    assert not list(opened.cache.folder.glob("models--imported--*")), "nothing half-made is left"
    path.unlink()
    assert {row["ref"]: row["problem"] for row in cli_json("list")}[
        f"file:{path}"
    ] == f"{str(path)!r} is gone, or the disk that it lay on."


def test_a_path_is_imported_too_and_names_do_not_collide(opened: Models, stores: Path) -> None:
    own, other = write(stores / "a" / "my model.gguf", DATA), write(stores / "b" / "my model.gguf", OTHER)
    assert imported(str(own), opened).file.ref == "imported:my-model"
    with pytest.raises(UsageError, match="another file already"):
        imported(str(other), opened)
    assert imported(str(other), opened, name="second").file.sha256 == sha256(OTHER)
    for name in ("../x", "a/b", "a--b", "-"):
        with pytest.raises(UsageError):
            imported(str(other), opened, name=name)
    with pytest.raises(UsageError, match="our own store"):
        imported("org/ours:ours.Q4_1.gguf", opened)


def test_bytes_that_are_not_what_their_name_says_are_refused(opened: Models, stores: Path) -> None:
    blob = stores / "ollama_models" / "blobs" / f"sha256-{SHA256}"
    blob.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    with pytest.raises(BadModelFile, match="it is damaged"):
        imported("ollama:qwen3:8b", opened)
    assert not list(opened.cache.folder.glob("models--imported--*"))


def test_what_only_ollama_can_load_is_refused_with_the_way_to_use_it(opened: Models) -> None:
    already_tried(opened, SHA256, runs=False, reason="wrong number of tensors; expected 2131, got 720")
    with pytest.raises(BadModelFile, match="expected 2131, got 720") as caught:
        imported("ollama:qwen3:8b", opened)
    assert "INSOURCE_ENGINE_URL=http://127.0.0.1:11434" in caught.value.next_step
    row = {row["ref"]: row for row in cli_json("list")}["ollama:qwen3:8b"]
    assert (row["runs_here"], row["runs_here_reason"]) == (False, "wrong number of tensors; expected 2131, got 720")


def test_a_trial_counts_for_the_engine_that_made_it(tmp_path: Path) -> None:
    notes = tmp_path / "trials.json"
    Trials(notes, engine="engine 1").put(SHA256, Trial(runs=False, reason="x"))
    assert Trials(notes, engine="engine 1").of(SHA256) == Trial(runs=False, reason="x")
    assert Trials(notes, engine="engine 2").of(SHA256) is None
    notes.write_bytes(b"damaged")
    assert Trials(notes, engine="engine 1").of(SHA256) is None


@pytest.mark.parametrize("named", ["x" * 5000, "a/b/c", "", "ollama:../x", "/etc/hosts", "lmstudio:none.gguf"])
def test_what_can_not_be_imported_is_said(opened: Models, named: str) -> None:
    with pytest.raises(InsourceError):
        imported(named, opened)


# ---------------------------------------------------------------------------------------------------- export


def test_a_modelfile_for_ollama(stores: Path, tmp_path: Path) -> None:
    out = tmp_path / "my exports"
    out.mkdir()
    done = cli_json("export", "org/ours:ours.Q4_1.gguf", "--to", "ollama", "--out", str(out))
    target = out / "ours.Q4_1.Modelfile"
    blob = (tmp_path / "models").rglob("blobs/*")
    assert target.read_text().splitlines()[1:] == [f"FROM {next(iter(blob))}", "PARAMETER num_ctx 512"]
    assert done["command"] == ["ollama", "create", "ours.q4_1", "-f", str(target)]
    with pytest.raises(StorageError, match="already; it was not touched"):
        cli("export", "org/ours:ours.Q4_1.gguf", "--to", "ollama", "--out", str(out))
    shown = cli("export", "org/ours:ours.Q4_1.gguf", "--to", "ollama", "--out", str(out / "second"))
    assert shlex.join(["ollama", "create", "ours.q4_1", "-f", str(out / "second")]) in shown.stderr


def test_ollama_is_run_only_when_asked(stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tmp_path / "ran"
    program = write(
        tmp_path / "bin" / "ollama",
        f"#!{sys.executable}\nimport sys\nopen({str(ran)!r}, 'w').write(' '.join(sys.argv[1:]))\n".encode(),
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    cli("export", "org/ours:ours.Q4_1.gguf", "--to", "ollama", "--out", str(tmp_path / "one"))
    assert not ran.exists()
    cli("export", "org/ours:ours.Q4_1.gguf", "--to", "ollama", "--out", str(tmp_path / "two"), "--run")
    assert ran.read_text() == f"create ours.q4_1 -f {tmp_path}/two"
    program.write_text(f"#!{sys.executable}\nraise SystemExit(3)\n")
    with pytest.raises(InsourceError, match="status 3"):
        cli("export", "org/ours:ours.Q4_1.gguf", "--to", "ollama", "--out", str(tmp_path / "three"), "--run")
    program.unlink()
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(UsageError, match="no command 'ollama'"):
        export_model.run(["ollama", "create"])


def test_lm_studio_finds_what_is_placed_for_it(stores: Path, opened: Models) -> None:
    folder = stores / "lmstudio_models"
    kept = tree(folder)
    for ref, place in (
        ("org/ours:ours.Q4_1.gguf", "org/ours/ours.Q4_1.gguf"),
        ("ollama:qwen3:8b", "insource/qwen3-8b/qwen3-8b.gguf"),
        ("llamacpp:org_cpp_cpp.gguf", "insource/org_cpp_cpp/org_cpp_cpp.gguf"),
    ):
        done = cli_json("export", ref, "--to", "lmstudio")
        assert (done["exported"], done["how"]) == (str(folder / place), "hard link")
        assert cli_json("export", ref, "--to", "lmstudio")["how"] == "there already"
        listed = {row["ref"]: row["problem"] for row in cli_json("list")}
        assert listed[f"lmstudio:{place}"] is None
    after = tree(folder)
    assert {name: after[name] for name in ("pub/repo/m.gguf", "pub/repo")} == {
        name: kept[name] for name in ("pub/repo/m.gguf", "pub/repo")
    }


def test_nothing_is_overwritten_and_no_link_is_followed_out(stores: Path) -> None:
    folder = stores / "lmstudio_models"
    theirs = write(folder / "org/ours/ours.Q4_1.gguf", b"theirs")
    with pytest.raises(StorageError, match="not touched"):
        cli("export", "org/ours:ours.Q4_1.gguf", "--to", "lmstudio", "--copy")
    assert theirs.read_bytes() == b"theirs"
    (stores / "away").mkdir()
    (folder / "insource").symlink_to(stores / "away")
    with pytest.raises(StorageError, match="outside"):
        cli("export", "ollama:qwen3:8b", "--to", "lmstudio")
    assert [path for path in (stores / "away").rglob("*") if path.is_file()] == []
    with pytest.raises(UsageError, match="LM Studio keeps no models"):
        export_model.existing([stores / "none"])


def test_a_copy_is_made_only_when_asked_for(stores: Path, opened: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise OSError(1, "Operation not permitted")

    file = models.find("ollama:qwen3:8b", cache=opened.cache, sources=opened.sources)
    monkeypatch.setattr(Path, "hardlink_to", refuse)
    linked = export_model.to_folder(file, stores / "linked", copy=False)
    assert (linked.how, linked.path.is_symlink()) == ("symbolic link", True)
    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(StorageError, match="takes no link") as caught:
        export_model.to_folder(file, stores / "out", copy=False)
    assert f"{len(DATA):,} bytes" in caught.value.next_step
    done = export_model.to_folder(file, stores / "out", copy=True)
    assert (done.how, done.path.read_bytes(), done.path.is_symlink()) == ("copy", DATA, False)
    assert sorted(path.name for path in (stores / "out").iterdir()) == ["qwen3-8b.gguf", "qwen3-8b.gguf.json"]
    said = json.loads((stores / "out" / "qwen3-8b.gguf.json").read_text())
    assert (said["ref"], said["sha256"], said["license"]) == ("ollama:qwen3:8b", SHA256, "Apache-2.0")


@pytest.mark.parametrize(
    "name", ["..gguf", "...gguf", "-rf.gguf", "a b;rm -rf $HOME.gguf", "x" * 300, "\u202egguf.exe"]
)
def test_hostile_names_stay_one_plain_name(stores: Path, opened: Models, name: str, tmp_path: Path) -> None:
    own = write(tmp_path / "own" / name[:250], DATA)
    file = models.pull(f"file:{own}", opened.sources, cache=opened.cache)
    for place in (
        export_model.to_folder(file, tmp_path / "out", copy=False).path,
        export_model.to_lmstudio(file, tmp_path / "lm", copy=False).path,
        export_model.to_ollama(file, tmp_path / "out", context_tokens=4096).path,
    ):
        assert place.resolve().is_relative_to(tmp_path)
        assert place.name.isprintable()
        assert not place.name.startswith((".", "-"))


def test_a_path_that_no_modelfile_can_hold_is_refused(opened: Models, tmp_path: Path) -> None:
    own = write(tmp_path / 'a"\nPARAMETER x' / "m.gguf", DATA)
    file = models.pull(f"file:{own}", opened.sources, cache=opened.cache)
    with pytest.raises(UsageError, match="Modelfile"):
        export_model.to_ollama(file, tmp_path / "out", context_tokens=4096)


# -------------------------------------------------------------------------------------------------- settings


def test_where_the_other_tools_keep_their_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OLLAMA_MODELS", "LLAMACPP_CACHE", "LMSTUDIO_MODELS"):
        monkeypatch.delenv(f"INSOURCE_{name}")
    for name in ("OLLAMA_MODELS", "LLAMA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    settings = load_settings()
    assert settings.ollama_folders == (tmp_path / ".ollama/models", Path("/usr/share/ollama/.ollama/models"))
    assert settings.llamacpp_folder == tmp_path / ".cache/llama.cpp"
    assert lmstudio_folders(settings)[0] == tmp_path / ".lmstudio/models"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert settings.llamacpp_folder == tmp_path / "xdg/llama.cpp"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert settings.llamacpp_folder == tmp_path / "Library/Caches/llama.cpp"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "AppData"))
    assert settings.llamacpp_folder == tmp_path / "AppData/llama.cpp"
    monkeypatch.setenv("OLLAMA_MODELS", "/theirs")
    monkeypatch.setenv("LLAMA_CACHE", "/cache")
    assert (settings.ollama_folders, settings.llamacpp_folder) == ((Path("/theirs"),), Path("/cache"))
    ours = load_settings(ollama_models="/ours", llamacpp_cache="/ours", lmstudio_models="/ours")
    assert {*ours.ollama_folders, ours.llamacpp_folder, *lmstudio_folders(ours)} == {Path("/ours")}


def test_every_command_finds_models_of_other_tools(stores: Path) -> None:
    with open_services(load_settings()) as services:
        for ref in ("ollama:qwen3:8b", "lmstudio:pub/repo/m.gguf", "llamacpp:org_cpp_cpp.gguf"):
            assert services.find_model(ref).ref == ref
