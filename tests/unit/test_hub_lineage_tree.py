"""Trees of descendants: what is shown, what is folded, and that a stranger's name stays text."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from insource.cli.main import app
from insource.core.ecosystem import TreeNode
from insource.core.errors import StorageError, UnknownModel
from insource.hub.lineage.build import build_lineage
from insource.hub.lineage.export import export_edges
from insource.hub.lineage.tree import tree_of
from insource.web.tree_page import tree_html
from insource.web.tree_svg import tree_svg
from tests.hub_rows import model, world

_HOSTILE = "evil/<script>alert(1)</script>&\"'\x1b[31m"


def lineage(*rows: dict[str, Any]) -> Any:
    connection = world(*rows)
    build_lineage(connection)
    return connection


def node(id: str, *children: TreeNode, **columns: Any) -> TreeNode:
    given: dict[str, Any] = {"kind": "merge", "downloads": 1, "direct": 0, "transitive": 0, **columns}
    return TreeNode(id=id, **given, children=children)


def test_many_children_are_folded_by_kind_and_led_by_those_most_built_upon() -> None:
    many = [model(f"u/t{i}", "a/base", downloads=i) for i in range(200)]
    more = [model(f"q/q{i}", "a/base", kind="quantized", downloads=5000) for i in range(100)]
    root = tree_of(lineage(model("a/base"), *many, *more, model("z/z", "u/t3")), "A/Base", depth=1, most=3)
    assert (root.id, root.direct, root.transitive) == ("a/base", 300, 301)
    assert [child.id for child in root.children] == ["u/t3", "q/q0", "q/q1"]
    assert dict(root.folded) == {"finetune": 199, "quantized": 98}
    assert root.children[0].folded == (("", 1),)


def test_a_merge_has_its_children_at_its_first_place_only_and_a_cycle_ends() -> None:
    connection = lineage(
        model("a/base", "d/last"),
        model("b/x", "a/base"),
        model("b/y", "a/base"),
        model("c/merge", "b/x", "b/y", kind="merge"),
        model("d/last", "c/merge"),
    )
    root = tree_of(connection, "a/base", depth=50)
    x, y = root.children
    assert [n.shown_above for n in (x.children[0], y.children[0])] == [False, True]
    assert y.children[0].children == ()
    last = x.children[0].children[0]
    assert (last.id, last.children[0].id, last.children[0].shown_above) == ("d/last", "a/base", True)


def test_a_model_nobody_knows_is_said_and_a_parent_that_is_not_listed_has_a_tree() -> None:
    connection = lineage(model("x/1", "gone/base"))
    assert [child.id for child in tree_of(connection, "gone/base").children] == ["x/1"]
    with pytest.raises(UnknownModel, match="'no/such'"):
        tree_of(connection, "no/such")


def test_a_tree_passes_over_a_quantisers_copies() -> None:
    copies = [model(f"quants/m{i}", f"lab/m{i}", kind="quantized") for i in range(6)]
    connection = lineage(*(model(f"lab/m{i}") for i in range(6)), *copies, model("user/tune", "quants/m0"))
    assert [n.id for n in tree_of(connection, "lab/m0").children] == ["quants/m0"]
    assert {n.id for n in tree_of(connection, "lab/m0", direct=True).children} == {"quants/m0", "user/tune"}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags = set[str]()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_and_the_picture_show_a_hostile_name_as_text_and_ask_for_nothing() -> None:
    root = node(_HOSTILE, node(_HOSTILE, kind="<b>", folded=(("<i>", 3),)), direct=1, transitive=1)
    page = _Tags()
    page.feed(tree_html(root, note="<u>"))
    assert not page.tags & {"script", "b", "i", "u", "img", "iframe"}
    assert any("<script>alert(1)</script>" in text for text in page.texts)
    picture = ET.fromstring(tree_svg(root))
    assert {tag.tag.partition("}")[2] for tag in picture.iter()} == {
        "svg",
        "rect",
        "text",
        "circle",
        "g",
        "title",
        "path",
    }
    assert "\x1b" not in tree_html(root, note="") + tree_svg(root)


def test_a_chain_of_two_thousand_levels_is_drawn() -> None:
    root = node("x/end")
    for level in range(2000):
        root = node(f"x/{level}", root, direct=1)
    page = _Tags()
    page.feed(tree_html(root, note=""))
    assert any("x/end" in text for text in page.texts)
    assert "x/end" in tree_svg(root)


def test_edges_are_exported_with_their_evidence(tmp_path: Path) -> None:
    out = tmp_path / "it's edges.parquet"
    assert export_edges(lineage(model("a/base"), model("x/1", "A/base")), out) == 1
    rows = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(out)])
    assert [column[0] for column in rows.description or ()] == ["child", "parent", "kind", "evidence", "confidence"]
    assert rows.fetchall() == [("x/1", "a/base", "finetune", "declared, case repaired", 0.98)]
    with pytest.raises(StorageError) as said:
        export_edges(lineage(model("a/base")), tmp_path / "no" / "folder.parquet")
    assert "hub edges --out" in said.value.next_step


@pytest.mark.data
@pytest.mark.slow
def test_the_commands_on_the_real_file(shared_data: Path, tmp_path: Path) -> None:
    file = str(shared_data / "hub" / "hub_stats_frozen.parquet")
    page, picture, out = tmp_path / "t.html", tmp_path / "t.svg", tmp_path / "e.parquet"

    def run(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["hub", *arguments, "--from", file, "--json"], catch_exceptions=False)
        assert done.exit_code == 0
        return json.loads(done.stdout)

    tree = run("tree", "meta-llama/llama-3.1-8b", "--html", str(page), "--svg", str(picture))
    assert tree["id"] == "meta-llama/Llama-3.1-8B"
    assert tree["transitive"] == 356
    assert "meta-llama/Llama-3.1-8B-Instruct" in page.read_text(encoding="utf-8")
    ET.fromstring(picture.read_text(encoding="utf-8"))
    deep = run("tree", "meta-llama/llama-3.1-8b", "--depth", "1000", "--most", "500")
    assert deep["folded"] == []
    trends = run("trending", "--days", "365")
    assert trends["roots"][0]["root"] == "meta-llama/Llama-3.1-8B"
    assert run("edges", "--out", str(out))["edges"] == 5511
    both = run("edges", "--out", str(out), "--inferred", "--no-learned")
    assert both["edges"] == 5511 + both["by_evidence"]["inferred"]
