"""Edges that files tell, and who is worth asking: held to rules written down again in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insource.core.ecosystem import Edge
from insource.hub.lineage.build import build_lineage
from insource.hub.lineage.files_to_ask import find_files_to_ask, next_to_ask, to_ask_about
from insource.hub.lineage.inferred import infer_edges
from insource.hub.lineage.inferred_files import edges_from_files
from insource.hub.lineage.inferred_pairs import Declared
from insource.hub.lineage.inferred_values import WANTED_PRECISION, facts_of
from insource.hub.repo_files import ADAPTER_CONFIG, MODEL_CONFIG, FilesLog
from tests.hub_rows import model, real_models, world

_MIB = 1 << 20
_DAY = datetime.fromisoformat("2025-01-01")


def on(day: int) -> datetime:
    return _DAY + timedelta(days=day)


def known(
    *rows: dict[str, Any],
    weights: Mapping[str, Mapping[str, int]] | None = None,
    configs: Mapping[str, tuple[str, str]] | None = None,
) -> Any:
    """Models with their lineage and what was asked of their files: bytes by hash; the config and what it names."""
    connection = world(*rows)
    connection.execute(
        "CREATE TABLE repo_files (id VARCHAR, asked TIMESTAMP, config VARCHAR, names VARCHAR, stored_bytes BIGINT)"
    )
    connection.execute("CREATE TABLE weight_files (id VARCHAR, sha256 VARCHAR, size_bytes BIGINT)")
    for id in {**(configs or {}), **(weights or {})}:
        config, names = (configs or {}).get(id, (None, None))
        connection.execute("INSERT INTO repo_files VALUES (?, ?, ?, ?, 0)", [id, on(999), config, names])
    for id, files in (weights or {}).items():
        for sha256, size_bytes in files.items():
            connection.execute("INSERT INTO weight_files VALUES (?, ?, ?)", [id, sha256, size_bytes])
    build_lineage(connection)
    return connection


def found(connection: Any) -> Sequence[Edge]:
    return edges_from_files(connection, precision=WANTED_PRECISION)


def parents(connection: Any) -> dict[str, str]:
    return {edge.child: edge.parent for edge in found(connection)}


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, dict[str, int]]]:
    """A few models by day of creation, some of which declare another; files drawn from a few that they share."""
    count = draw(st.integers(2, 7))
    days = draw(st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=count, max_size=count))
    sizes = {sha: draw(st.sampled_from([1, _MIB, 200 * _MIB])) for sha in "abcd"}
    rows: list[dict[str, Any]] = []
    weights: dict[str, dict[str, int]] = {}
    for place, day in enumerate(days):
        declared = draw(st.one_of(st.none(), st.integers(0, count - 1)))
        above = () if declared is None else (f"o/m{declared}",)
        rows.append(model(f"o/m{place}", *above, created=None if day is None else on(day)))
        weights[f"o/m{place}"] = {sha: sizes[sha] for sha in draw(st.sets(st.sampled_from("abcd")))}
    return rows, weights


@given(worlds())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_the_parent_of_a_copy_is_the_oldest_model_that_has_all_of_it(
    drawn: tuple[list[dict[str, Any]], dict[str, dict[str, int]]],
) -> None:
    rows, weights = drawn
    declared = {row["id"]: {base["id"] for base in row["base_models"]} - {row["id"]} for row in rows}
    expected: dict[str, str] = {}
    for child in rows:
        mine = weights[child["id"]]
        if declared[child["id"]] or child["created"] is None or sum(mine.values()) < _MIB:
            continue
        older = [
            (one["created"], one["id"])
            for one in rows
            if one["created"] is not None
            and one["created"] < child["created"]
            and child["id"] not in declared[one["id"]]
            and sum(size for sha, size in mine.items() if sha in weights[one["id"]]) >= 0.99 * sum(mine.values())
        ]
        if older:
            expected[child["id"]] = min(older)[1]
    assert parents(known(*rows, weights=weights)) == expected


def test_a_shared_part_is_no_copy() -> None:
    weights = {"a/base": {"vae": 300 * _MIB, "unet": 900 * _MIB}, "u/tune": {"vae": 300 * _MIB, "other": 900 * _MIB}}
    assert parents(known(model("a/base", created=on(0)), model("u/tune", created=on(9)), weights=weights)) == {}


def test_half_of_the_bytes_is_no_copy_and_the_oldest_holder_need_not_have_the_rest() -> None:
    weights = {"a/tower": {"big": 2 * _MIB}, "b/whole": {"big": 2 * _MIB, "rest": _MIB}}
    weights["u/copy"] = weights["b/whole"]
    rows = [model(id, created=on(day)) for day, id in enumerate(weights)]
    assert parents(known(*rows, weights=weights)) == {"u/copy": "b/whole"}


def test_an_original_is_found_among_many_copies() -> None:
    copies = [model(f"u/copy{i:03}", created=on(i + 1)) for i in range(200)]
    weights = {"a/base": {"w": _MIB}} | {row["id"]: {"w": _MIB} for row in copies}
    edges = parents(known(model("a/base", created=on(0)), *copies, weights=weights))
    assert edges == {row["id"]: "a/base" for row in copies}


@pytest.mark.parametrize(
    ("written", "parent"),
    [
        ("a/base", "a/base"),
        ("A/Base", "a/base"),
        ("https://huggingface.co/a/base/tree/main", "a/base"),
        ("~/.cache/huggingface/hub/models--a--base/snapshots/0123abc", "a/base"),
        ("old-gpt", "old-gpt"),
        ("b/unlisted", "b/unlisted"),
        ("a/before", "a/base"),
        ("u/tune", None),
        ("a/younger", None),
        ("/workspace/output", None),
        ("./results", None),
        ("output/checkpoint-100", None),
        ("output/model", None),
        ("", None),
        ("models--", None),
    ],
)
def test_what_a_config_names_counts_where_it_is_a_known_model(written: str, parent: str | None) -> None:
    connection = known(
        model("a/base", created=on(0)),
        model("old-gpt", created=on(0), author=None),
        model("a/younger", created=on(50)),
        model("c/child", "b/unlisted"),
        model("d/child", "b/unlisted"),
        model("c/card", "output/model"),  # one card that names a folder
        model("c/other", "output/model"),
        model("u/tune", created=on(9)),
        configs={"u/tune": (MODEL_CONFIG, written)},
    )
    connection.execute("CREATE TABLE renames AS SELECT 'a/before' AS old, 'a/base' AS new")
    assert parents(connection).get("u/tune") == parent


def test_kinds_follow_the_file_and_the_model() -> None:
    connection = known(
        model("a/base"),
        model("u/lora", config_base_model="a/base", library="peft"),
        model("u/tune"),
        model("u/base-GGUF"),
        model("u/mix", tags=["mergekit"]),
        configs=dict.fromkeys(("u/tune", "u/base-GGUF", "u/mix"), (MODEL_CONFIG, "a/base")),
    )
    assert {edge.child: (edge.kind, edge.evidence) for edge in found(connection)} == {
        "u/lora": ("adapter", "files: adapter_config.json names it"),
        "u/tune": ("finetune", "files: config.json names it"),
        "u/base-GGUF": ("quantized", "files: config.json names it"),
    }


@pytest.mark.parametrize(("right", "wrong", "confidence"), [(0, 0, 0.9), (40, 0, 0.98), (18, 2, 0.9), (17, 3, None)])
def test_a_config_counts_as_often_as_it_is_right_where_others_declare(
    right: int, wrong: int, confidence: float | None
) -> None:
    declared = [model(f"d/r{i}", "a/base", config_base_model="a/base") for i in range(right)]
    declared += [model(f"d/w{i}", "a/other", config_base_model="a/base") for i in range(wrong)]
    edges = found(known(model("a/base"), model("a/other"), *declared, model("u/lora", config_base_model="a/base")))
    assert [edge.confidence for edge in edges] == ([] if confidence is None else [confidence])
    # Merges tell nothing: their configuration names one of several parents.
    merges = [model(f"d/m{i}", "a/base", "a/other", kind="merge", config_base_model="a/base") for i in range(90)]
    again = found(
        known(model("a/base"), model("a/other"), *merges, *declared, model("u/l", config_base_model="a/base"))
    )
    assert [edge.confidence for edge in again] == [edge.confidence for edge in edges]
    # The two files are counted apart.
    connection = known(
        model("a/base"), model("a/other"), *declared, model("u/t"), configs={"u/t": (MODEL_CONFIG, "a/base")}
    )
    assert [edge.confidence for edge in found(connection)] == [0.9]


def test_bytes_come_before_names_and_both_before_what_is_learned() -> None:
    weights = {"a/tune": {"w": _MIB}, "u/Model-GGUF": {"w": _MIB}}
    connection = known(
        model("a/base", created=on(0)),
        model("a/tune", "a/base", created=on(1)),
        model("a/Model", created=on(1)),
        model("u/Model-GGUF", created=on(2)),
        weights=weights,
        configs={"u/Model-GGUF": (MODEL_CONFIG, "a/base")},
    )
    edges = found(connection)
    assert [(edge.child, edge.parent, edge.kind) for edge in edges] == [("u/Model-GGUF", "a/tune", "derived")]
    declared = [Declared(child="a/tune", parent="a/base", kind="finetune")]
    merged = infer_edges(facts_of(connection), declared, from_files=edges)
    assert [edge.parent for edge in merged if edge.child == "u/Model-GGUF"] == ["a/tune"]
    stated = [*declared, Declared(child="U/model-gguf", parent="a/base", kind="quantized")]
    assert not [e for e in infer_edges(facts_of(connection), stated, from_files=edges) if e.child == "u/Model-GGUF"]


def test_a_model_that_its_own_child_is_copied_from_gets_no_circle() -> None:
    weights = {"a/x": {"w": _MIB}, "b/y": {"w": _MIB}}
    connection = known(
        model("a/x", "b/y", created=on(0)), model("b/y", created=on(1)), weights=weights,
        configs={"b/y": (ADAPTER_CONFIG, "a/x")},
    )  # fmt: skip
    assert found(connection) == []


def test_inferred_edges_make_no_circle() -> None:
    weights = {"b/y": {"w": _MIB}, "a/x": {"w": _MIB}}
    rows = [model("b/y", created=on(0)), model("a/x", created=on(0) + timedelta(hours=1)), model("c/z", created=on(0))]
    configs = {"b/y": (MODEL_CONFIG, "c/z"), "c/z": (MODEL_CONFIG, "a/x")}
    assert parents(known(*rows, weights=weights, configs=configs)) == {"a/x": "b/y"}
    configs = {"b/y": (MODEL_CONFIG, "c/z"), "c/z": (MODEL_CONFIG, "b/y"), "a/x": (MODEL_CONFIG, "c/z")}
    assert parents(known(*rows, configs=configs)) == {"a/x": "c/z"}


def test_an_original_is_found_behind_many_that_share_its_largest_part() -> None:
    others = [model(f"o/pipe{i:02}", created=on(i)) for i in range(30)]
    weights = {row["id"]: {"encoder": 9 * _MIB, f"own{row['id']}": _MIB} for row in others}
    weights |= {"a/base": {"encoder": 9 * _MIB, "unet": _MIB}, "u/copy": {"encoder": 9 * _MIB, "unet": _MIB}}
    connection = known(*others, model("a/base", created=on(50)), model("u/copy", created=on(60)), weights=weights)
    assert parents(connection) == {"u/copy": "a/base"}


def asks(*rows: dict[str, Any], configs: Mapping[str, tuple[str, str]] | None = None) -> Any:
    connection = known(*rows, configs=configs)
    find_files_to_ask(connection)
    return connection


def shaped(id: str, day: int, *above: str, size: int = 7, **columns: Any) -> dict[str, Any]:
    return model(id, *above, created=on(day), modified=on(day), parameters_by_type={"BF16": size}, **columns)


def test_orphans_are_asked_by_use_with_their_possible_originals() -> None:
    connection = asks(
        shaped("a/base", 0, downloads=5),
        shaped("said/tune", 1, "a/base", downloads=900),
        shaped("u/copy", 2, downloads=50),
        shaped("said/late", 3, "a/base", downloads=900),  # younger than any orphan of its shape: copied by none
        shaped("b/alone", 0, size=9, downloads=70),
        shaped("said/other", 0, "b/alone", size=11, downloads=900),
        model("c/unshaped", downloads=1),
    )
    order = next_to_ask(connection, limit=99)
    assert order == ["b/alone", "a/base", "said/tune", "u/copy", "c/unshaped"]
    assert next_to_ask(connection, limit=2) == order[:2]
    assert to_ask_about(connection, "u/copy", limit=99) == ["u/copy", "a/base", "said/tune"]
    assert to_ask_about(connection, "c/unshaped", limit=99) == ["c/unshaped"]


def test_shapes_of_equal_use_are_not_mixed() -> None:
    rows = [shaped(f"a/{size}-{day}", day, size=size, downloads=3) for day in range(4) for size in (7, 9)]
    order = [id.split("-")[0] for id in next_to_ask(asks(*rows), limit=99)]
    assert order in (["a/7"] * 4 + ["a/9"] * 4, ["a/9"] * 4 + ["a/7"] * 4)


@pytest.mark.data
def test_what_asking_would_take_for_the_real_rows(shared_data: Path, tmp_path: Path) -> None:
    """The figures of docs/lineage.md."""
    connection = real_models(shared_data)
    build_lineage(connection)
    FilesLog(tmp_path).load(connection)
    asked = find_files_to_ask(connection)
    rows = connection.execute("SELECT id, created, parameters_by_type FROM models").fetchall()
    children = {child for (child,) in connection.execute("SELECT child FROM edges").fetchall()}
    by_shape: dict[tuple[tuple[str, int], ...], list[tuple[datetime, str]]] = {}
    for id, created, by_type in rows:
        if by_type:
            by_shape.setdefault(tuple(sorted(by_type.items())), []).append((created, id))
    orphans = {id for id, _, _ in rows if id not in children}
    alike = [id for one in by_shape.values() for created, id in one if id in orphans and created > min(one)[0]]
    assert (len(orphans), len(alike), asked) == (1517, 852, 2069)
    assert orphans <= set(next_to_ask(connection, limit=9999))


def test_of_a_large_family_the_most_used_and_the_oldest_are_asked() -> None:
    family = [shaped(f"d/t{i:03}", i, "x/base", downloads=i) for i in range(300)]
    connection = asks(*family, shaped("u/copy", 400, downloads=1))
    asked = set(next_to_ask(connection, limit=999))
    assert asked == {"u/copy", *(f"d/t{i:03}" for i in (*range(16), *range(284, 300)))}


def test_who_answered_is_asked_again_only_after_a_change() -> None:
    rows = (shaped("a/base", 0), shaped("u/copy", 1), shaped("u/new", 2000))
    connection = asks(*rows, configs={row["id"]: (MODEL_CONFIG, "") for row in rows})
    assert next_to_ask(connection, limit=9) == ["u/new"]
