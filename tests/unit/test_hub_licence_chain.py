"""Licences over the whole chain: the rules, odd lineages, and every real conflict of the shared Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import UsageError
from insource.hub.duck import connect
from insource.hub.licence_chain import chain, class_rank, effective_ranks, stated_licence
from insource.hub.licence_duties import duties
from insource.hub.licences import CLASSES, licence_class, parse_policy
from insource.hub.sources.read import read_file
from tests.hub_rows import real_models

_PARENTS = {"me": ["mid", "other"], "mid": ["root"], "other": ["me", "other"], "root": []}
_LICENCES = {"me": "apache-2.0", "mid": None, "other": "mit", "root": "llama3.1"}


def test_the_strictest_ancestor_is_in_force_and_a_cycle_ends() -> None:
    found = chain("me", _PARENTS, _LICENCES.get)
    assert [(link.id, link.steps) for link in found.links] == [("me", 0), ("mid", 1), ("other", 1), ("root", 2)]
    assert (found.strictest.license, found.strictest.licence_class) == ("llama3.1", "community")
    assert [link.id for link in found.conflicts] == ["root"]
    assert [link.id for link in found.unstated] == ["mid"]
    assert any("Built with Llama" in duty for duty in found.duties)
    assert [link.id for link in found.refusals(parse_policy("permissive,llama3.1"))] == ["mid"]


@pytest.mark.parametrize(("license", "asked", "other"), [
    ("llama2", "improve other large language models", "Built with"),
    ("llama3", "improve other large language models", 'with "Llama".'),
    ("meta-llama-3-community", 'with "Llama 3"', 'with "Llama".'),
    ("llama3.1", 'with "Llama".', "European Union"),
    ("llama3.3", "European Union", "improve other large language models"),
    ("qwen", "Built with Qwen", "improve other large language models"),
    ("tongyi-qianwen", "(Not checked against the licence's text.)", "Built with Qwen"),
    ("tongyi-qianwen-research", "Do not use it commercially", "Built with Qwen"),
    ("nvidia-nemotron-open-model-license", "Keep the vendor's licence", "Licensed by NVIDIA"),
])  # fmt: skip
def test_each_version_of_a_licence_asks_for_its_own_duties(license: str, asked: str, other: str) -> None:
    found = duties([license])
    assert all(duty.startswith(f"{license}: ") for duty in found)
    assert any(asked in duty for duty in found)
    assert not any(other in duty for duty in found)


def test_a_missing_label_is_no_conflict_yet_the_ancestors_licence_holds() -> None:
    found = chain("a", {"a": ["b"]}, {"b": "cc-by-nc-4.0"}.get)
    assert found.conflicts == ()
    assert found.strictest.license == "cc-by-nc-4.0"
    assert chain("a", {}, lambda _: None).strictest.licence_class == "unknown"


def test_a_chain_of_merges_is_followed_to_its_end() -> None:
    parents = {str(n): [str(n + 1), str(n), str(max(0, n - 3))] for n in range(20_000)}
    found = chain("0", parents, {"20000": "gemma", "0": "mit"}.get)
    assert (found.strictest.id, found.strictest.steps) == ("20000", 20_000)


@pytest.mark.parametrize(
    ("license", "expected"),
    [
        ("apache-2.0 OR cc-by-nc-4.0", "permissive"),
        ("MIT AND gemma", "community"),
        ("(mit OR gpl-3.0) AND openrail", "behavioural"),
        ("GPL-2.0 WITH Classpath-exception-2.0", "copyleft"),
        ("mit OR (", "unknown"),
        ("mit OR " + "(" * 5_000, "unknown"),
        ("apache-2.0 AND somebody-s-own", "unknown"),
    ],
)
def test_expressions(license: str, expected: str) -> None:
    assert licence_class(license) == expected


@given(
    st.lists(st.integers(-1, len(CLASSES) - 2), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40),
)
def test_all_models_at_once_give_what_one_gives(own: list[int], edges: list[tuple[int, int]]) -> None:
    edges = [(child % len(own), parent % len(own)) for child, parent in edges]
    licences = {str(n): next(_of(CLASSES[rank])) if rank >= 0 else None for n, rank in enumerate(own)}
    parents = {str(n): [str(p) for c, p in edges if c == n] for n in range(len(own))}
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    ranks = effective_ranks(np.array(own, dtype=np.int64), pairs[:, 0], pairs[:, 1])
    for n in range(len(own)):
        assert class_rank(chain(str(n), parents, licences.get).strictest.licence_class) == ranks[n]


def _of(name: str) -> Any:
    known = ("mit", "gpl-3.0", "modified-mit", "gemma", "openrail", "cc-by-nc-4.0", "proprietary")
    return (id for id in known if licence_class(id) == name)


_RESTRICTED = {"community", "behavioural", "non-commercial", "proprietary"}
_FREE = {"permissive", "copyleft", "open-model"}


def test_of_several_licences_on_one_card_the_strictest_counts(tmp_path: Path) -> None:
    """Nobody says that one may choose, so a free one beside a restricted one opens nothing."""
    file = tmp_path / "models.jsonl"
    card = {"license": ["apache-2.0", "cc-by-nc-4.0"]}
    file.write_text(json.dumps({"id": "a/both", "cardData": card, "tags": ["license:apache-2.0"]}), "utf-8")
    with connect() as connection:
        read_file(connection, file, scratch=tmp_path)
        ((license,),) = connection.execute("SELECT license FROM incoming").fetchall()
    assert licence_class(license) == "non-commercial"


@pytest.mark.data
def test_every_real_conflict_is_found(shared_data: Path) -> None:
    """Independent: plain Python over the card's JSON and the `baseModels` column, one parent after the other."""
    import duckdb

    path = str(shared_data / "hub" / "hub_stats_frozen.parquet")
    rows = duckdb.connect().execute("SELECT id, cardData, baseModels FROM read_parquet(?)", [path]).fetchall()
    label: dict[str, str | None] = {}
    declared: dict[str, list[str]] = {}
    for id, text, base in rows:
        card = json.loads(text or "{}")
        value = card.get("license")
        value = ",".join(value) if isinstance(value, list) else value
        label[id] = card["license_name"] if value in (None, "other") and card.get("license_name") else value
        declared[id] = [model["id"] for model in base["models"]] if base else []
    expected = {
        (child, parent)
        for child, parents in declared.items()
        for parent in parents
        if parent in label and licence_class(label[child]) in _FREE and licence_class(label[parent]) in _RESTRICTED
    }
    assert len(expected) > 250, "the real data holds hundreds of them"

    models = real_models(shared_data)
    found = set[tuple[str, str]]()
    beyond = 0
    stated: dict[str, str | None] = {}
    parents_of: dict[str, list[str]] = {}
    for id, license, name, bases in models.execute(
        "SELECT id, license, license_name, base_models FROM models"
    ).fetchall():
        stated[id] = stated_licence(license, name)
        parents_of[id] = [base["id"] for base in bases or []]
    for id in stated:
        conflicts = chain(id, parents_of, stated.get).conflicts
        found |= {(id, link.id) for link in conflicts if link.steps == 1}
        beyond += any(link.steps > 1 for link in conflicts)
    assert expected <= found
    stricter = {pair for pair in found - expected if licence_class(stated[pair[0]]) in _FREE}
    assert all(licence_class(stated[parent]) in {"copyleft", "open-model"} for _, parent in stricter)
    assert beyond > 0, "some conflicts are only seen beyond the declared parents"


def test_a_policy_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('allow = ["permissive", "llama3.1"]\nrefuse = ["BSL-1.0"]\n')
    policy = parse_policy(str(file))
    assert policy.allows("mit")
    assert policy.allows("llama3.1")
    assert not policy.allows("bsl-1.0")
    assert not policy.allows("gemma")
    assert str(policy) == "permissive,llama3.1,not bsl-1.0"


@pytest.mark.parametrize("text", ["allow = 3", "allow = []", "deny = ['mit']", "allow = [", "allow = ['permisive']"])
def test_a_bad_policy_file_is_refused_with_the_right_form(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        parse_policy(str(file))
    assert refused.value.next_step
    with pytest.raises(UsageError, match="can't be read"):
        parse_policy(str(tmp_path / "none.toml"))
