"""The AI bill of materials is valid by CycloneDX's own 1.7 schema, for odd models and for every tenth real one."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from insource.cli.main import app
from insource.cli.session import load_settings
from insource.engines.models.cache import ModelCache
from insource.engines.models.stores.hub_cache import HubCacheStore
from insource.hub.bom import ai_bom, files_of
from insource.hub.facts import facts_of
from insource.hub.licence_chain import chain, stated_licence
from insource.hub.snapshot import SnapshotCatalogue
from tests.hub_rows import real_models

_AT = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def problems() -> Any:
    """Validates a document; gives what is wrong. The schemas come with `cyclonedx-python-lib`."""
    import cyclonedx.schema
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource

    folder = Path(cyclonedx.schema.__file__).parent / "_res"
    schemas = {path.name.replace(".SNAPSHOT", ""): json.loads(path.read_text()) for path in folder.glob("*.json")}
    registry: Any = Registry()
    for name, schema in schemas.items():
        for uri in (
            schema.get("$id", name),
            f"http://cyclonedx.org/schema/{name.replace('.schema', '.SNAPSHOT.schema')}",
        ):
            registry = registry.with_resource(uri, Resource.from_contents(schema))
    validator = Draft7Validator(schemas["bom-1.7.schema.json"], registry=registry)
    return lambda document: [error.message[:300] for error in validator.iter_errors(json.loads(json.dumps(document)))]


def _bom(row: dict[str, Any], parents: dict[str, list[str]], licences: dict[str, str | None], **more: Any) -> Any:
    facts = facts_of(row)
    return ai_bom(facts, chain(facts.id, parents, licences.get), made_at=_AT, tool_version="0.1.0", **more)


def test_the_schema_is_at_work(problems: Any) -> None:
    broken = _bom({"id": "a/b"}, {}, {})
    broken["components"][0]["type"] = "no such thing"
    assert problems(broken)


def test_ancestors_licences_conflicts_and_hashes(problems: Any) -> None:
    row = {"id": "me/Llama-8B-x", "license": "apache-2.0", "sha": "0e9e39f249a16976918f6564b8830bc894c89659"}
    parents = {"me/Llama-8B-x": ["meta/Llama-8B"], "meta/Llama-8B": ["me/Llama-8B-x", "or/MIT-thing"]}
    licences: dict[str, str | None] = {
        "me/Llama-8B-x": "apache-2.0",
        "meta/Llama-8B": "llama3.1",
        "or/MIT-thing": "mit OR apache-2.0",
    }
    bom = _bom(row, parents, licences, files={"x-Q4.gguf": "AB" * 32, "x-Q8.gguf": "CD" * 32})
    assert problems(bom) == []
    component = bom["components"][0]
    assert component["purl"] == f"pkg:huggingface/me/Llama-8B-x@{row['sha']}"
    assert component["licenses"] == [{"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}]
    assert [(one["type"], one["name"], one["hashes"]) for one in component["components"]] == [
        ("file", "x-Q4.gguf", [{"alg": "SHA-256", "content": "ab" * 32}]),
        ("file", "x-Q8.gguf", [{"alg": "SHA-256", "content": "cd" * 32}]),
    ]
    assert component["externalReferences"][0]["url"] == "https://huggingface.co/me/Llama-8B-x"
    ancestors = component["pedigree"]["ancestors"]
    assert [one["name"] for one in ancestors] == ["Llama-8B", "MIT-thing"]
    assert ancestors[0]["licenses"][0]["license"]["name"] == "llama3.1"
    assert ancestors[1]["licenses"][0]["expression"] == "MIT OR Apache-2.0"
    told = [(one["name"], one["value"]) for one in component["properties"]]
    assert ("insource:effective_license", "llama3.1") in told
    assert ("insource:license_conflict", "meta/Llama-8B: llama3.1") in told


@pytest.mark.parametrize("id", ["gpt2", "a/b c\n%d", "ö/" + "x" * 300])
def test_odd_ids_and_licences_make_no_invalid_document(problems: Any, id: str) -> None:
    bom = _bom({"id": id, "license": "mit AND its-own"}, {id: [id]}, {id: "mit AND its-own"})
    assert problems(bom) == []
    assert "pedigree" not in bom["components"][0]


def test_the_same_model_at_the_same_commit_keeps_its_serial_number() -> None:
    row = {"id": "a/b", "sha": "0e9e39"}
    assert _bom(row, {}, {})["serialNumber"] == _bom(row, {}, {})["serialNumber"]
    assert _bom({**row, "sha": "f00"}, {}, {})["serialNumber"] != _bom(row, {}, {})["serialNumber"]


def test_the_hashes_of_files_on_this_machine_come_from_the_model_store(problems: Any, tmp_path: Path) -> None:
    """A real file in the Hub's layout, through the command."""
    data = b"GGUF" + bytes(60)
    sha256 = hashlib.sha256(data).hexdigest()
    repository = load_settings().model_cache / "models--bartowski--Qwen2.5-7B-Instruct-GGUF"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / sha256).write_bytes(data)
    (repository / "snapshots" / "0e9e39").mkdir(parents=True)
    (repository / "snapshots" / "0e9e39" / "Q4.gguf").symlink_to(f"../../blobs/{sha256}")
    stored = HubCacheStore(ModelCache(load_settings().model_cache)).read().models
    assert files_of("bartowski/qwen2.5-7b-instruct-gguf", stored) == {"Q4.gguf": sha256}
    assert files_of("other/Qwen2.5-7B-Instruct-GGUF", stored) == {}
    id = next(model.id for model in SnapshotCatalogue().models() if model.format == "gguf")
    renamed = repository.with_name("models--" + id.replace("/", "--"))
    repository.rename(renamed)
    out = tmp_path / "bom.json"
    result = CliRunner().invoke(app, ["hub", "show", id, "--bom", str(out)])
    assert result.exit_code == 0, result.output
    bom = json.loads(out.read_text())
    assert problems(bom) == []
    assert [one["hashes"][0]["content"] for one in bom["components"][0]["components"]] == [sha256]


@pytest.mark.data
def test_real_models_give_valid_documents(problems: Any, shared_data: Path) -> None:
    cursor = real_models(shared_data).execute("SELECT * FROM models ORDER BY id")
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    parents = {row["id"]: [base["id"] for base in row["base_models"] or ()] for row in rows}
    licences = {row["id"]: stated_licence(row["license"], row["license_name"]) for row in rows}
    for row in rows[::10]:
        assert problems(_bom(row, parents, licences)) == [], row["id"]
