"""`insource hub show`: the page from a lineage, from the shipped catalogue, and through the command."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from insource.cli.main import app
from insource.core.errors import UnknownModel
from insource.hub.archive import Archive
from insource.hub.facts import format_in, is_namesake, quantization_in
from insource.hub.lineage.build import build_lineage
from insource.hub.page import page_of
from insource.hub.shipped import ShippedEcosystem
from insource.hub.snapshot import SnapshotCatalogue
from insource.workflows.ecosystem.show import page_json
from tests.hub_rows import model, real_models, world

_DAY = date(2026, 5, 20)


def test_formats_and_quantisations() -> None:
    assert format_in("a/X-8B-GGUF", ("safetensors",)) == "gguf"
    assert format_in("mlx-community/X-8B-4bit", ("safetensors", "mlx")) == "mlx"
    assert format_in("a/X-8B", ()) == ""
    assert quantization_in("a/X-8B-Q4_K_M-GGUF") == "Q4_K_M"
    assert quantization_in("a/X-8B-AWQ-4bit") == "4BIT"
    assert quantization_in("a/X-8B") == ""


def test_namesakes_are_offers_only_in_another_format() -> None:
    near = ["b/X-8B-GGUF", "c/X-8B-Instruct-GGUF", "d/X-8B", "e/X-8B-AWQ-4bit"]
    assert [id for id in near if is_namesake("a/X-8B", id)] == ["b/X-8B-GGUF", "e/X-8B-AWQ-4bit"]


def test_the_licence_chain_goes_all_the_way_up_and_round_a_cycle() -> None:
    connection = world(
        model("a/top", "a/lower", license="mit"),
        model("a/middle", "a/top", license="apache-2.0"),
        model("a/lower", "a/middle", "a/gone", license="llama3"),
        model("b/leaf", "a/lower", license="mit"),
    )
    build_lineage(connection)
    chains = {
        id: [(link.id, link.steps, link.license) for link in page_of(connection, id, as_of=_DAY).licence.links]
        for id in ("b/leaf", "a/middle", "a/gone")
    }
    assert chains == {
        "b/leaf": [
            ("b/leaf", 0, "mit"),
            ("a/lower", 1, "llama3"),
            ("a/gone", 2, None),
            ("a/middle", 2, "apache-2.0"),
            ("a/top", 3, "mit"),
        ],
        "a/middle": [
            ("a/middle", 0, "apache-2.0"),
            ("a/top", 1, "mit"),
            ("a/lower", 2, "llama3"),
            ("a/gone", 3, None),
        ],
        "a/gone": [("a/gone", 0, None)],
    }


def test_offers_are_declared_copies_and_namesakes_in_another_format() -> None:
    connection = world(
        model("a/X-8B"),
        model("b/X-8B-GGUF", downloads=5),
        model("c/X-8B-4bit", tags=["mlx", "safetensors"], downloads=9),
        model("d/X-8B", downloads=7),
        model("e/X-8B-Instruct-GGUF"),
        model("f/X-8B-Copy", "a/X-8B", kind="quantized", tags=["gguf"]),
    )
    build_lineage(connection)
    offers = [(offer.id, offer.format, offer.evidence) for offer in page_of(connection, "a/X-8B", as_of=_DAY).offers]
    assert offers == [
        ("f/X-8B-Copy", "gguf", "lineage"),
        ("c/X-8B-4bit", "mlx", "name"),
        ("b/X-8B-GGUF", "gguf", "name"),
    ]


@pytest.mark.data
def test_pages_of_real_models(shared_data: Path) -> None:
    connection = real_models(shared_data)
    build_lineage(connection)
    declared = {
        (child, parent)
        for child, parent in connection.execute(
            "SELECT id, unnest(list_transform(base_models, lambda b: b.id)) FROM models"
        ).fetchall()
        if child != parent
    }
    asked = [row[0] for row in connection.execute("SELECT id FROM models ORDER BY downloads DESC LIMIT 40").fetchall()]
    asked.append(connection.execute("SELECT id FROM models ORDER BY len(base_models) DESC LIMIT 1").fetchall()[0][0])
    edges = connection.execute("SELECT child, parent FROM edges").fetchall()
    for id in asked:
        page = page_json(page_of(connection, id.upper(), as_of=_DAY))
        chain = above = {id}
        while above := {parent for child, parent in edges if child in above} - chain:
            chain = chain | above
        assert {link["id"] for link in page["license_chain"]} == chain
        assert page["id"] == id
        assert {parent for child, parent in declared if child == id} <= {one["id"] for one in page["parents"]}
        assert page["derivatives"]["direct"] >= sum(parent == id for _, parent in declared)
        assert page["derivatives"]["transitive"] >= page["derivatives"]["direct"]
        assert json.loads(json.dumps(page)) == page
    with pytest.raises(UnknownModel, match="nobody/nothing"):
        page_of(connection, "nobody/nothing", as_of=_DAY)


@pytest.mark.data
def test_a_parent_that_the_snapshot_does_not_list_has_a_page(shared_data: Path) -> None:
    connection = real_models(shared_data)
    build_lineage(connection)
    missing = connection.execute(
        "SELECT parent FROM edges WHERE parent NOT IN (SELECT id FROM models) GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    ).fetchall()[0][0]
    page = page_of(connection, missing, as_of=_DAY)
    assert page.note
    assert page.facts.license is None
    assert page.derivatives is not None
    assert page.derivatives.direct > 0


def test_without_a_snapshot_the_shipped_catalogue_answers_and_says_what_is_missing(tmp_path: Path) -> None:
    page = ShippedEcosystem(SnapshotCatalogue(), Archive(tmp_path)).page("qwen/qwen2.5-7b-instruct")
    assert page.facts.id == "Qwen/Qwen2.5-7B-Instruct"
    assert page_json(page)["derivatives"] == {"direct": None, "transitive": None, "by_tag": None}
    assert "insource hub sync" in page.note
    with pytest.raises(UnknownModel, match="nobody/nothing"):
        ShippedEcosystem(SnapshotCatalogue(), Archive(tmp_path)).page("nobody/nothing")


def _run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["hub", *arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result


def test_the_command_without_a_snapshot(tmp_path: Path) -> None:
    file = tmp_path / "bom.json"
    told = json.loads(_run("show", "Qwen/Qwen2.5-7B-Instruct", "--json", "--bom", str(file)).stdout)
    assert told["license"] == "apache-2.0"
    assert json.loads(file.read_text())["specVersion"] == "1.7"
    assert "7.62 B parameters" in _run("show", "Qwen/Qwen2.5-7B-Instruct").stdout


@pytest.mark.data
def test_the_command_with_a_snapshot(shared_data: Path) -> None:
    _run("sync", "--from", str(shared_data / "hub" / "hub_stats_frozen.parquet"), "--quiet")
    told = json.loads(_run("show", "stabilityai/stablelm-zephyr-3b", "--json").stdout)
    assert told["id"] == "stabilityai/stablelm-zephyr-3b"
    assert told["parameters"] > 2_500_000_000
    assert "Licence chain" in _run("show", "stabilityai/stablelm-zephyr-3b").stdout
