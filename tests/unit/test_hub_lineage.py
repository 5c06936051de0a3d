"""Declared edges: what is repaired, what is kept apart, what an inferred edge may do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from insource.hub.lineage.declared import build_declared, merge_edges
from insource.hub.lineage.families import build_families, skip_intermediaries
from insource.hub.lineage.repair import CONFIDENCE
from insource.hub.lineage.trending import MOST_OF_ONE_OWNER, UNUSED_WEIGHT, trending
from tests.hub_rows import model, real_models, world


def edges(connection: Any) -> dict[tuple[str, str], tuple[str, str]]:
    rows = connection.execute("SELECT child, parent, kind, evidence FROM edges").fetchall()
    return {(child, parent): (kind, evidence) for child, parent, kind, evidence in rows}


def test_what_the_hub_resolved_and_the_card_names_is_one_edge() -> None:
    named = model("b/base-AWQ", "a/base", kind="quantized", card_base_models=["a/base", "a2/base"])
    connection = world(model("a/base"), model("a2/base"), named)
    assert build_declared(connection).stated == 2
    assert edges(connection) == {
        ("b/base-AWQ", "a/base"): ("quantized", "declared"),
        ("b/base-AWQ", "a2/base"): ("quantized", "declared"),
    }


def test_a_parent_without_a_relation_is_called_derived() -> None:
    connection = world(model("a/base"), model("b/x", "a/base", kind=None))
    build_declared(connection)
    assert {kind for kind, _ in edges(connection).values()} == {"derived"}


@pytest.mark.parametrize(
    ("written", "evidence"),
    [
        ("Org/Base-7b", "case repaired"),
        ("https://huggingface.co/org/base-7B", "address repaired"),
        ("https://huggingface.co/org/base-7B/tree/main", "address repaired"),
        ("org/base-7B@main", "address repaired"),
        (" 'org/base-7B' ", "address repaired"),
        ("huggingface.co/ORG/BASE-7B/", "case repaired"),
    ],
)
def test_a_parent_by_another_spelling_is_found(written: str, evidence: str) -> None:
    connection = world(model("org/base-7B"), model("x/child", written))
    counts = build_declared(connection)
    assert edges(connection) == {("x/child", "org/base-7B"): ("finetune", f"declared, {evidence}")}
    assert counts.unresolved == {}


def test_of_spellings_that_differ_by_case_the_exact_then_the_more_downloaded_one_is_meant() -> None:
    connection = world(
        model("org/base", downloads=5),
        model("Org/Base", downloads=9),
        model("x/1", "org/base"),
        model("x/2", "ORG/base"),
    )
    build_declared(connection)
    assert set(edges(connection)) == {("x/1", "org/base"), ("x/2", "Org/Base")}


def test_what_is_no_id_is_no_edge_and_itself_is_no_parent() -> None:
    connection = world(model("x/1", "???", "x/1", "x/gone"))
    counts = build_declared(connection)
    assert edges(connection) == {("x/1", "x/gone"): ("finetune", "declared, parent not in the snapshot")}
    assert counts.unresolved == {"no repository id": 1, "itself": 1, "not in the snapshot": 1}
    assert counts.stated == 3


def test_a_redirect_that_the_hub_followed_is_learned_from_one_card_and_used_for_another() -> None:
    connection = world(
        model("new/base"),
        model("x/1", "new/base", card_base_models=["old/base"]),
        model("x/2", card_base_models=["old/base"]),
    )
    build_declared(connection)
    assert edges(connection)["x/2", "new/base"] == ("derived", "declared, renamed")
    assert edges(connection)["x/1", "new/base"] == ("finetune", "declared")
    assert len(edges(connection)) == 2


def test_a_redirect_that_the_api_told_is_used() -> None:
    connection = world(model("new/base"), model("x/1", "old/base"))
    connection.execute("CREATE TABLE renames AS SELECT 'old/base' AS old, 'new/base' AS new")
    build_declared(connection)
    assert edges(connection) == {("x/1", "new/base"): ("finetune", "declared, renamed")}


def test_an_owner_moved_when_several_of_its_names_did_and_one_equal_name_alone_is_no_evidence() -> None:
    moved = [model("zai-org/glm-1"), model("zai-org/glm-2"), model("x/1", "THUDM/glm-1"), model("x/2", "THUDM/glm-2")]
    connection = world(*moved)
    build_declared(connection)
    assert edges(connection)["x/1", "zai-org/glm-1"] == ("finetune", "declared, owner moved")
    alone = world(model("unsloth/glm-1"), model("x/1", "THUDM/glm-1"))
    build_declared(alone)
    assert edges(alone) == {("x/1", "THUDM/glm-1"): ("finetune", "declared, parent not in the snapshot")}


def test_an_inferred_edge_never_overrides_nor_joins_a_declared_one() -> None:
    connection = world(model("a/base"), model("x/1", "a/base"), model("x/2"))
    build_declared(connection)
    connection.execute("""CREATE TABLE inferred_edges AS SELECT child, parent, 'finetune' AS kind, 'name' AS evidence,
        0.9 AS confidence, NULL::TIMESTAMP AS first_seen FROM (VALUES ('x/1', 'z/other'), ('x/2', 'a/base'),
        ('a/base', 'a/base')) AS t(child, parent)""")
    assert merge_edges(connection) == 1
    assert edges(connection) == {("x/1", "a/base"): ("finetune", "declared"), ("x/2", "a/base"): ("finetune", "name")}


def test_a_quantiser_is_known_by_what_it_does_and_can_be_passed_over() -> None:
    quantised = [model(f"quants/m{i}-GGUF", f"lab/m{i}", kind="quantized") for i in range(6)]
    connection = world(
        *(model(f"lab/m{i}") for i in range(6)),
        *quantised,
        *(model(f"lab/m{i}-4bit", f"lab/m{i}", kind="quantized") for i in range(6)),
        model("user/tune", "quants/m0-GGUF"),
    )
    build_declared(connection)
    connection.execute("CREATE TABLE lineage_counts (id VARCHAR, generation INT, family VARCHAR)")
    build_families(connection)
    assert connection.execute("SELECT owner, derived, copied FROM intermediaries").fetchall() == [("quants", 6, 6)]
    assert skip_intermediaries(connection) == 1
    found = connection.execute("SELECT parent, evidence FROM direct_edges WHERE child = 'user/tune'").fetchall()
    assert found == [("lab/m0", "declared, over quants/m0-GGUF")]


def test_a_flood_repeats_and_unused_uploads_hardly_trend() -> None:
    day = "2026-10-0{} 12:00:00"
    flood = [model(f"spam/f{i}", "a/base", created=day.format(5), downloads=10) for i in range(100)]
    used = [model(f"u{i}/tune", "b/base", created=day.format(6), downloads=10) for i in range(7)]
    unused = [model(f"v{i}/tune", "c/base", created=day.format(6), downloads=0) for i in range(7)]
    own = [model(f"d/tune{i}", "d/base", created=day.format(6), downloads=10) for i in range(3)]
    again = [model("w/same", "e/base", created=day.format(7), downloads=1), model("w/Same", "e/base", downloads=1,
             created=day.format(6))]  # fmt: skip
    bases = [model(f"{letter}/base", created="2026-01-01") for letter in "abcde"]
    silent = [model(f"y{i}/tune", "b/base", created=day.format(6)) for i in range(7)]
    later = {"id": "z/new", "created": "2026-11-30", "downloads": 5}
    connection = world(*bases, *flood, *used, *unused, *own, *again, *silent, later)
    build_declared(connection)
    trends = trending(connection, days=7)
    counted = sum(map(len, (flood, used, unused, own, again)))
    assert (str(trends.until), trends.stating, trends.listed) == ("2026-10-07", counted, counted + 5 + 7 + 1)
    found = {item.root: item for item in trends.roots}
    assert {root: round(item.per_week, 6) for root, item in found.items()} == {
        "b/base": 7.0,
        "a/base": MOST_OF_ONE_OWNER,
        "c/base": round(7 * UNUSED_WEIGHT, 6),
        "e/base": 1.0,
    }
    assert found["a/base"].published == 100
    assert next(iter(found)) == "b/base"


def names_on(card: Any) -> list[str]:
    return [card] if isinstance(card, str) else [name for name in card or [] if isinstance(name, str)]


@pytest.mark.data
def test_the_real_edges_are_the_files_own(shared_data: Path) -> None:
    connection = real_models(shared_data)
    counts = build_declared(connection)
    file = str(shared_data / "hub" / "hub_stats_frozen.parquet")
    resolved = connection.execute(f"SELECT id, baseModels FROM '{file}' WHERE baseModels IS NOT NULL").fetchall()
    pairs = {(id, m["id"], base["relation"]) for id, base in resolved for m in base["models"]}
    assert len(pairs) == 5201
    found = edges(connection)
    as_declared = {"altered": "quantized"}
    assert {(c, p, as_declared.get(k, k)) for (c, p), (k, _) in found.items()} >= {
        pair for pair in pairs if pair[0] != pair[1]
    }

    cards = connection.execute(f"SELECT id, cardData FROM '{file}' WHERE cardData IS NOT NULL").fetchall()
    named = {(id, name) for id, card in cards for name in names_on(json.loads(card).get("base_model"))}
    stated = {pair[:2] for pair in pairs} | named
    assert (len(named), counts.stated) == (5504, len(stated))
    # What only a card says: names that are known (of rows, or resolved somewhere) but for their case.
    known = {row[0] for row in connection.execute(f"SELECT id FROM '{file}'").fetchall()} | {p for _, p, _ in pairs}
    folded = {id.lower() for id in known}
    miswritten = {(id, name) for id, name in named if name not in known and name.lower() in folded}
    repaired = connection.execute("SELECT child, stated FROM repaired_edges WHERE evidence = 'declared, case repaired'")
    assert set(repaired.fetchall()) == miswritten
    assert len(miswritten) == 46
    # Every renamed one is a name that nothing has any more, of a model whose parent the Hub resolved by another name.
    renamed = connection.execute(
        "SELECT child, stated, parent FROM repaired_edges WHERE evidence = 'declared, renamed'"
    ).fetchall()
    assert len(renamed) == 135
    assert all(old.lower() not in folded and new in known for _, old, new in renamed)
    assert sum((child, new) in {pair[:2] for pair in pairs} for child, _, new in renamed) > 100
    assert {evidence for _, evidence in edges(connection).values()} <= set(CONFIDENCE)
