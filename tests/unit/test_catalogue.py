"""The shipped catalogue against the file it was made from, and hostile snapshots."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from bench.build_catalogue import build
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import BadInput
from insource.hub.snapshot import SnapshotCatalogue, SnapshotHeader, SnapshotRow, shipped_snapshot

HEADER = {"as_of": "2026-10-05", "source": "a test"}


def _records(shared_data: Path) -> list[dict[str, Any]]:
    with gzip.open(shared_data / "hub" / "models_2026-10.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


def _snapshot(path: Path, *lines: str | bytes, header: Any = HEADER) -> SnapshotCatalogue:
    texts = [json.dumps(header), *(line if isinstance(line, str) else line.decode("latin-1") for line in lines)]
    path.write_bytes(gzip.compress("\n".join(texts).encode("latin-1")))
    return SnapshotCatalogue(path)


@pytest.mark.data
def test_every_record_of_the_source_is_there_as_it_states(shared_data: Path) -> None:
    records = _records(shared_data)
    catalogue = SnapshotCatalogue()
    models = catalogue.models()
    assert len(records) == len(models) == 16_849
    assert SnapshotCatalogue().left_out == 0
    for record, model in zip(records, models, strict=True):
        assert (model.id, model.parameters) == (record["name"], record["parameters_raw"])
        assert model.license == record.get("license")
        assert model.downloads in (record["hf_downloads"], None)
        assert model.context_tokens in (record["context_length"], None)
        assert (None if model.released is None else model.released.isoformat()) == record["release_date"]
        assert list(model.gguf_repositories) == [source["repo"] for source in record.get("gguf_sources") or []]


@pytest.mark.data
def test_what_the_source_filled_in_is_taken_out(shared_data: Path) -> None:
    of = {record["name"]: record for record in _records(shared_data)}
    catalogue = SnapshotCatalogue()
    gated = catalogue.find("meta-llama/Llama-3.1-8B-Instruct")
    assert gated is not None
    assert of[gated.id]["context_length"] == 4096  # its default: the configuration is behind a gate
    assert gated.context_tokens is None
    assert gated.layers is None
    stated = catalogue.find("google/gemma-4-26B-A4B-it")
    assert stated is not None
    assert stated.active_parameters == 4_000_000_000
    estimated = catalogue.find("openai/gpt-oss-20b")
    assert estimated is not None
    assert of[estimated.id]["active_parameters"] == 3_529_365_271
    assert estimated.active_parameters is None
    assert estimated.format == "safetensors"  # the source says gguf of everything that it can't tell
    unlisted = catalogue.find("mlx-community/DeepSeek-R1-Distill-Llama-8B")
    assert unlisted is not None
    assert (unlisted.downloads, unlisted.likes, unlisted.released) == (None, None, None)


@pytest.mark.data
def test_the_shipped_file_is_what_the_builder_makes(shared_data: Path, tmp_path: Path) -> None:
    build(_records(shared_data), tmp_path / "built.gz")
    assert gzip.decompress((tmp_path / "built.gz").read_bytes()) == gzip.decompress(shipped_snapshot().read_bytes())
    assert shipped_snapshot().stat().st_size <= 1_000_000


def test_find_knows_no_case_and_no_strangers() -> None:
    catalogue = SnapshotCatalogue()
    found = catalogue.find(" qwen/QWEN3-8b ")
    assert found is not None
    assert (found.id, found.parameters) == ("Qwen/Qwen3-8B", 8_190_735_360)
    assert catalogue.find("Qwen/Qwen3-8") is None
    assert catalogue.as_of == date(2026, 10, 5)


def test_of_names_that_differ_in_case_the_more_downloaded_is_found(tmp_path: Path) -> None:
    few, many = SnapshotRow(id="A/x", downloads=3), SnapshotRow(id="a/X", downloads=9)
    catalogue = _snapshot(tmp_path / "s.gz", *(json.dumps(_array(row)) for row in (few, many)))
    found = catalogue.find("A/X")
    assert found is not None
    assert found.id == "a/X"
    assert len(catalogue.models()) == 2


def _array(row: SnapshotRow) -> list[Any]:
    return [getattr(row, name) for name in SnapshotRow.__struct_fields__]


def test_hostile_text_is_cut_and_cleaned(tmp_path: Path) -> None:
    row = SnapshotRow(
        id="evil/\u001b[31mname\r\n" + "x" * 10_000,
        model_type="\u0000" * 5,
        license="mit\u202e",
        capabilities=["a\u0007"] * 1000,
        released="2026-99-99",
        gguf_repositories=["r/" + "y" * 5000],
    )
    [model] = _snapshot(tmp_path / "s.gz", json.dumps(_array(row))).models()
    texts = [model.id, model.model_type, model.license or "", *model.capabilities, *model.gguf_repositories]
    assert all(text.isprintable() and len(text) <= 200 for text in texts)
    assert model.license == "mit"
    assert len(model.capabilities) <= 64
    assert model.released is None


@pytest.mark.parametrize("number", [0, -1, 2**60, None])
def test_figures_that_cannot_be_true_become_unknown(tmp_path: Path, number: int | None) -> None:
    row = SnapshotRow(id="a/b", parameters=number, context_tokens=number, layers=number, experts=number)
    [model] = _snapshot(tmp_path / "s.gz", json.dumps(_array(row))).models()
    assert (model.parameters, model.context_tokens, model.layers, model.experts) == (0, None, None, None)


def test_lines_that_are_no_model_are_left_out_and_counted(tmp_path: Path) -> None:
    bad = ['{"id": 1}', "[", '["a/b", "many"]', "[1]", '[""]', "null", '["\\ud800/x"]', "[" * 5000, b'["\xff"]']
    catalogue = _snapshot(tmp_path / "s.gz", *bad, '["good/model", 5]')
    assert [model.id for model in catalogue.models()] == ["good/model"]
    assert catalogue.left_out == len(bad)


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b""), gzip.compress(b"{}\n"), gzip.compress(b"x")])
def test_a_file_that_is_no_snapshot_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.gz").write_bytes(content)
    with pytest.raises(BadInput, match="catalogue snapshot") as caught:
        SnapshotCatalogue(tmp_path / "s.gz").models()
    assert "`catalogue`" in caught.value.next_step


def test_a_missing_or_cut_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="can't be read"):
        SnapshotCatalogue(tmp_path / "none.gz").models()
    (tmp_path / "cut.gz").write_bytes(shipped_snapshot().read_bytes()[:5000])
    with pytest.raises(BadInput, match="can't be read"):
        SnapshotCatalogue(tmp_path / "cut.gz").models()


def test_the_header_says_where_the_records_come_from() -> None:
    assert SnapshotHeader.__struct_fields__ == ("as_of", "source")
    assert "MIT" in SnapshotCatalogue().source


@given(st.lists(st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text())), max_size=25))
def test_no_line_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    path = tmp_path_factory.mktemp("s") / "s.gz"
    path.write_bytes(gzip.compress(f"{json.dumps(HEADER)}\n{json.dumps(values)}".encode()))
    catalogue = SnapshotCatalogue(path)
    assert len(catalogue.models()) + catalogue.left_out == 1
