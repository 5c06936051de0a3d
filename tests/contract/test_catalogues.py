"""`core.ports.Catalogue`: the shipped file and the archive of synced snapshots answer alike, on the same ids."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from insource.cli.session import load_settings
from insource.core.catalogue import CatalogueModel, Selection, Wanted
from insource.core.ports import Catalogue
from insource.hub.archive import Archive
from insource.hub.archive_catalogue import ArchiveCatalogue
from insource.hub.duck import connect
from insource.hub.licence_chain import class_rank, stated_licence
from insource.hub.licences import licence_class, parse_policy
from insource.hub.lineage.build import build_lineage
from insource.hub.purpose import TEXT_PIPELINES
from insource.hub.snapshot import SnapshotCatalogue, shipped_snapshot
from insource.hub.sources.read import load_file, read_file
from insource.wiring_choose import open_catalogue
from insource.workflows.choose.sift import effective_licence
from tests.hub_rows import archived, model, real_models

TEXT = Wanted(pipelines=TEXT_PIPELINES, convertible=False)
EVERYTHING = Wanted(pipelines=TEXT_PIPELINES)


@contextmanager
def synced(path: Path, *, whole: bool = True) -> Generator[Catalogue]:
    """What a scout sees once a file was synced."""
    settings = load_settings()
    with connect() as connection:
        read = read_file(connection, path, scratch=settings.home / "hub" / "partial")
        assert read.day is not None
        Archive(settings.home / "hub").add(connection, source=read.source, day=read.day, whole=whole)
    with open_catalogue(settings) as catalogue:
        yield catalogue


@contextmanager
def shipped() -> Generator[Catalogue]:
    with open_catalogue(load_settings()) as catalogue:
        yield catalogue


@pytest.fixture(params=["shipped", "archive"])
def catalogue(request: pytest.FixtureRequest) -> Iterator[Catalogue]:
    with shipped() if request.param == "shipped" else synced(shipped_snapshot()) as opened:
        yield opened


def wanted_of(models: list[CatalogueModel]) -> set[str]:
    return {
        model.id
        for model in models
        if model.gguf_repositories and (not model.pipeline_tag or model.pipeline_tag in TEXT_PIPELINES)
    }


def test_the_day_and_every_wanted_model(catalogue: Catalogue) -> None:
    assert catalogue.as_of == date(2026, 10, 5)
    selection = catalogue.select(TEXT)
    assert selection.listed == 16_849
    assert selection.listed == len(selection.models) + sum(selection.left_out.values())
    ids = [model.id for model in selection.models]
    assert len(ids) == len(set(ids))
    assert wanted_of(list(SnapshotCatalogue().models())) <= set(ids)
    assert len(catalogue.select(EVERYTHING).models) >= len(ids)


@pytest.mark.parametrize("id", ["Qwen/Qwen3-8B", "openai/gpt-oss-20b", "meta-llama/Llama-3.1-8B-Instruct"])
def test_a_model_is_found_whatever_its_case_with_the_same_facts(catalogue: Catalogue, id: str) -> None:
    found, known = catalogue.find(f" {id.upper()} "), SnapshotCatalogue().find(id)
    assert found is not None
    assert known is not None
    names = (
        "id", "license", "downloads", "likes", "released", "layers", "attention_heads", "kv_heads", "head_width",
        "model_type", "pipeline_tag", "capabilities", "gguf_repositories", "context_tokens", "active_parameters",
    )  # fmt: skip
    assert {name: getattr(found, name) for name in names} == {name: getattr(known, name) for name in names}
    assert found.parameters == pytest.approx(known.parameters, rel=0.5)
    assert catalogue.find("nobody/nothing") is None


def test_a_part_of_the_hub_stands_beside_the_shipped_catalogue_and_a_whole_in_its_place() -> None:
    archive = archived(
        load_settings().home / "hub", model("new/Model-8B", pipeline_tag="text-generation"), day=date(2026, 10, 6)
    )
    with open_catalogue(load_settings()) as catalogue:
        assert catalogue.select(EVERYTHING).listed == 1
        assert catalogue.find("Qwen/Qwen3-8B") is None
    archive.folder.joinpath("archive.json").unlink()
    archived(archive.folder, model("new/Model-8B", pipeline_tag="text-generation"), day=date(2026, 10, 6), whole=False)
    with open_catalogue(load_settings()) as catalogue:
        assert catalogue.select(EVERYTHING).listed == 16_850
        assert {catalogue.find("new/model-8b"), catalogue.find("Qwen/Qwen3-8B")} & {None} == set()


def test_no_more_than_the_most_downloaded_are_given(tmp_path: Path) -> None:
    with connect() as connection:
        load_file(connection, shipped_snapshot(), scratch=tmp_path)
        build_lineage(connection)
        catalogue = ArchiveCatalogue(connection, as_of=date(2026, 10, 5), shipped=SnapshotCatalogue(), most=100)
        selection = catalogue.select(EVERYTHING)
        downloads = [model.downloads or 0 for model in selection.models]
    assert (len(downloads), selection.listed) == (100, 16_849)
    assert selection.ancestry is None  # the records state no parents: that is not the same as having none
    assert {model.derivatives for model in selection.models} == {None}
    assert downloads == sorted(downloads, reverse=True)
    most = sorted((m.downloads or 0 for m in SnapshotCatalogue().models() if _is_text(m)), reverse=True)
    assert downloads == most[:100]


def _is_text(model: CatalogueModel) -> bool:
    return not model.pipeline_tag or model.pipeline_tag in TEXT_PIPELINES


# ----------------------------------------------------------------------------------------- what lineage tells

_PARENT = {"created": "2026-01-01", "downloads": 900, "pipeline_tag": "text-generation"}
_ROWS: list[dict[str, Any]] = [
    {"id": "maker/New-8B", "license": "llama3.1", "parameters_stated": 8_000_000_000, **_PARENT},
    model(
        "tuner/Tuned-8B", "maker/New-8B", license="apache-2.0", parameters_stated=8_000_000_000, created="2026-05-01",
        pipeline_tag="text-generation",
    ),
    model(
        "packer/Tuned-8B-GGUF", "tuner/Tuned-8B", kind="quantized", license="apache-2.0", gguf_context=65_536,
        created="2026-05-02", downloads=5, tags=["gguf"],
    ),
    model("tuner/Tuned-8B-lora", "tuner/Tuned-8B", kind="adapter", created="2026-05-03"),
    {"id": "other/Painter", "pipeline_tag": "text-to-image", "created": "2026-05-03"},
    {"id": "other/Loose-1B", "pipeline_tag": "text-generation", "created": "2026-05-03"},
]  # fmt: skip


@pytest.fixture
def selection() -> Selection:
    settings = load_settings()
    archived(settings.home / "hub", *_ROWS, day=date(2026, 6, 1))
    with open_catalogue(settings) as catalogue:
        return catalogue.select(TEXT)


def test_lineage_tells_offers_context_and_derivatives(selection: Selection) -> None:
    [tuned] = selection.models
    assert tuned.id == "tuner/Tuned-8B"
    assert tuned.gguf_repositories == ("packer/Tuned-8B-GGUF",)
    assert tuned.context_tokens == 65_536
    assert (tuned.derivatives, tuned.recent_derivatives) == (2, 2)
    assert selection.left_out == {
        "nobody is known to offer them as GGUF": 2,
        "made for other work": 1,
        "adapters": 1,
        "copies, which stand with their original": 1,
    }


def test_the_licence_is_that_of_the_chain(selection: Selection) -> None:
    licence = effective_licence(selection.models[0], selection.ancestry)
    assert (licence.strictest.id, licence.strictest.licence_class) == ("maker/New-8B", "community")
    assert [link.id for link in licence.refusals(parse_policy("permissive"))] == ["maker/New-8B"]
    assert [link.steps for link in effective_licence(selection.models[0], None).links] == [0]


@pytest.mark.data
def test_every_label_freer_than_its_chain_is_known_to_a_scout(shared_data: Path) -> None:
    """Counted again from the file by a walk of its own."""
    rows = real_models(shared_data).execute("SELECT id, license, license_name, base_models FROM models").fetchall()
    spelt = {id.lower(): id for id, *_ in rows}
    parents = {id: [spelt.get(base["id"].lower(), base["id"]) for base in bases or ()] for id, _, _, bases in rows}
    rank = {id: class_rank(licence_class(stated_licence(license, name))) for id, license, name, _ in rows}

    def strictest(id: str) -> int:
        seen, left = {id}, [id]
        while left:
            left = [p for one in left for p in parents.get(one, ()) if p not in seen]
            seen.update(left)
        return max(rank.get(one, -1) for one in seen)

    with synced(shared_data / "hub" / "hub_stats_frozen.parquet") as catalogue:
        selection = catalogue.select(EVERYTHING)
    assert len(selection.models) > 3_500
    assert selection.ancestry is not None
    stricter = set[str]()
    for one in selection.models:
        found = class_rank(effective_licence(one, selection.ancestry).strictest.licence_class)
        assert found >= strictest(one.id)
        if -1 < rank[one.id] < strictest(one.id):
            stricter.add(one.id)
            assert effective_licence(one, selection.ancestry).conflicts
    assert len(stricter) > 200
