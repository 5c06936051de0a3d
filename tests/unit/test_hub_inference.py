"""Inferred parents: names of copies, and the promises that hold whatever was learned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.hub.lineage.inferred import infer_edges
from insource.hub.lineage.inferred_names import Namesakes, infer_copies, older, readings
from insource.hub.lineage.inferred_pairs import FEATURES, Declared, PairTable, kind_of
from insource.hub.lineage.inferred_scores import Ranked, Worth, threshold_for, worths
from insource.hub.lineage.inferred_values import ModelFacts, model_facts

_START = datetime(2025, 1, 1, tzinfo=UTC)


def _parent(child: str, *models: ModelFacts) -> str | None:
    found = list(infer_copies([ModelFacts(id=child)], Namesakes(models)))
    return found[0].parent if found else None


def _models(*ids: str) -> Sequence[ModelFacts]:
    return [ModelFacts(id=id) for id in ids]


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("a/Qwen3-8B-GGUF", "qwen3-8b", "qwen3-8b"),
        ("a/Qwen3-8B-i1-GGUF", "qwen3-8b-i1", "qwen3-8b"),
        ("a/Qwen3-8B-Q4_K_M-GGUF", "qwen3-8b-q4_k_m", "qwen3-8b"),
        ("a/Qwen3-8B-AWQ", "qwen3-8b", "qwen3-8b"),
        ("a/Qwen3-8B-4bit", "qwen3-8b", "qwen3-8b"),
    ],
)
def test_readings_take_the_format_off_word_by_word(name: str, first: str, last: str) -> None:
    found = list(readings(name))
    assert (found[0], found[-1]) == (first, last)


def test_a_name_without_a_format_is_no_copy() -> None:
    assert list(readings("a/Qwen3-8B-Instruct")) == []
    assert list(readings("a/GGUF")) == []


@pytest.mark.parametrize(
    "child", ["mradermacher/Qwen3-8B-i1-GGUF", "bartowski/Qwen_Qwen3-8B-GGUF", "TheBloke/qwen3-8b-AWQ"]
)
def test_conventions_of_quantisers_lead_to_the_original(child: str) -> None:
    assert _parent(child, *_models("Qwen/Qwen3-8B", "Qwen/Qwen3-4B", "x/Qwen3-8B-GGUF")) == "Qwen/Qwen3-8B"


def test_among_namesakes_the_noticed_one_is_the_original_unless_spelling_or_owner_speak() -> None:
    original = ModelFacts(id="maker/Nice-7B", likes=50, downloads=9000)
    copy = ModelFacts(id="else/Nice-7B", likes=1, downloads=50)
    assert _parent("q/Nice-7B-GGUF", original, copy) == "maker/Nice-7B"
    assert _parent("q/nice-7b-GGUF", original, ModelFacts(id="else/nice-7b", likes=40, downloads=900)) == "else/nice-7b"
    own = ModelFacts(id="else/Nice-7B", likes=30, downloads=9000)
    assert _parent("else/Nice-7B-GGUF", original, own) == "else/Nice-7B"


def test_a_copy_of_nothing_known_gets_no_parent() -> None:
    assert _parent("q/Unheard-7B-GGUF", *_models("maker/Nice-7B")) is None


def test_a_copy_is_no_copy_of_a_younger_model_or_of_a_gguf() -> None:
    child = ModelFacts(id="q/Nice-7B-GGUF", created=_START)
    young = ModelFacts(id="maker/Nice-7B", created=_START + timedelta(days=30))
    packed = ModelFacts(id="other/Nice-7B", gguf=True)
    assert list(infer_copies([child], Namesakes([young, packed]))) == []


def test_facts_hold_no_declaration() -> None:
    facts = model_facts({"id": "a/b", "tags": ["base_model:x/y", "base_model:finetune:x/y", "Base_Model:z", "llama"]})
    assert facts.tags == ("llama",)
    assert facts.model_type == "llama"


def test_kinds_by_what_a_model_says_of_itself() -> None:
    assert kind_of(ModelFacts(id="a/b", library="peft")) == "adapter"
    assert kind_of(ModelFacts(id="a/b-AWQ")) == "quantized"
    assert kind_of(ModelFacts(id="a/b", gguf=True)) == "quantized"
    assert kind_of(ModelFacts(id="a/b")) == "finetune"


def test_the_threshold_is_the_lowest_that_holds_the_precision() -> None:
    scores = np.linspace(1, 0, 1000)
    hit = (scores > 0.5).astype(float)
    found = threshold_for(scores, hit, 0.9)
    kept = scores >= found
    assert hit[kept].mean() >= 0.9
    assert hit[scores >= found - 0.02].mean() < 0.9
    assert threshold_for(scores, np.zeros(1000), 0.9) == float("inf")
    assert threshold_for(np.array([]), np.array([]), 0.9) == float("inf")


def test_equal_scores_stand_or_fall_together() -> None:
    assert threshold_for(np.ones(1000), np.r_[np.ones(500), np.zeros(500)], 0.9) == float("inf")


def _family(n: int) -> tuple[list[ModelFacts], list[Declared]]:
    """Three roots; each has n children of an own name, the first half of which declare it."""
    models: list[ModelFacts] = []
    declared: list[Declared] = []
    for root, size in (("alpha", 7_000_000_000), ("beta", 3_000_000_000), ("gamma", 1_000_000_000)):
        models.append(ModelFacts(id=f"{root}/{root}", created=_START, parameters=size, model_type=root, likes=100))
        for i in range(n):
            id = f"user{i % 7}/{root}-tuned-{i}"
            models.append(ModelFacts(id=id, created=_START + timedelta(days=i + 1), parameters=size, model_type=root))
            if i < n // 2:
                declared.append(Declared(child=id, parent=f"{root}/{root}", kind="finetune"))
    return models, declared


def test_what_others_declare_is_learned_and_the_same_for_a_seed() -> None:
    models, declared = _family(80)
    edges = infer_edges(models, declared, seed=1)
    assert len(edges) > 100
    assert all(edge.parent == f"{edge.parent.split('/')[0]}/{edge.parent.split('/')[0]}" for edge in edges)
    assert all(edge.child.split("/")[1].startswith(edge.parent.split("/")[0]) for edge in edges)
    assert all(edge.kind == "finetune" and edge.evidence.startswith("learned: ") for edge in edges)
    assert edges == infer_edges(models, declared, seed=1)


def _feature(name: str, child: str, parent: str) -> float:
    models = [ModelFacts(id=child), ModelFacts(id=parent)]
    candidates, features = PairTable(models, [Declared(child="z/z", parent=parent, kind="finetune")]).look(models[0])
    return float(features[list(candidates).index(parent), FEATURES.index(name)])


@pytest.mark.parametrize(("child", "own"), [
    ("b/Alpha-7B-GGUF", 0.0), ("b/Alpha-7B-Samantha-GGUF", 1.0), ("b/Alpha-7B-abliterated-W8A16", 1.0),
    ("b/Alpha-7B-MTP-Q4_K_M-GGUF", 0.0), ("b/Alpha-7B-Samantha", 0.0),
])  # fmt: skip
def test_a_copy_with_words_of_its_own_is_told_from_one_without(child: str, own: float) -> None:
    assert _feature("copy_has_own_words", child, "a/Alpha-7B") == own


@pytest.mark.parametrize(("child", "begun"), [("b/alpha-7b-it", 8.0), ("b/New-Alpha-7B", 0.0)])
def test_what_the_childs_name_begins_with_counts_by_its_length(child: str, begun: float) -> None:
    assert _feature("name_begun", child, "a/Alpha-7B") == begun


def test_each_kind_holds_the_precision_where_all_together_hold_it_too() -> None:
    """Fine-tunes are right more often than their strength, quantisations less often."""
    random = np.random.default_rng(5)
    kinds, truth, best = dict[str, str](), dict[str, set[str]](), list[Ranked]()
    for n in range(4000):
        child, strength = f"x/{n}", float(random.random())
        kinds[child] = ("finetune", "quantized")[n % 2]
        truth[child] = {"p" if random.random() < (strength**0.2 if n % 2 == 0 else strength**1.5) else "q"}
        best.append(Ranked(child=child, parents=("p",), scores=(strength,)))

    def precision(kind: str, worth: Worth) -> float:
        kept = [one for one in best if kinds[one.child] == kind and one.strength >= worth.threshold]
        return sum("p" in truth[one.child] for one in kept) / len(kept)

    of_all, of_kinds = worths(best, truth, kinds=kinds, precision=0.9)
    assert set(of_kinds) == {"finetune", "quantized"}
    assert precision("quantized", of_all) < 0.85
    assert all(precision(kind, worth) >= 0.9 for kind, worth in of_kinds.items())
    few = {child: kind if int(child[2:]) > 150 else "adapter" for child, kind in kinds.items()}
    assert "adapter" in worths(best, truth, kinds=few, precision=0.9)[1]
    assert "adapter" not in worths(best[100:], truth, kinds=few, precision=0.9)[1]


def test_with_too_few_declared_edges_nothing_is_learned() -> None:
    models, declared = _family(10)
    assert infer_edges(models, declared, seed=1) == []


_IDS = st.builds(
    "{}/{}{}".format,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["x", "x-7b", "y-1.5b", "x-y"]),
    st.sampled_from(["", "-GGUF", "-it", "-AWQ"]),
)
_MODELS = st.builds(
    lambda id, day, likes: ModelFacts(
        id=id, created=None if day is None else _START + timedelta(days=day), likes=likes
    ),
    _IDS,
    st.none() | st.integers(0, 90),
    st.none() | st.integers(0, 1000),
)


@settings(max_examples=60)
@given(st.lists(_MODELS, max_size=12, unique_by=lambda m: m.id), st.lists(st.tuples(_IDS, _IDS), max_size=5))
def test_never_itself_never_over_a_declaration_never_a_younger_parent(
    models: list[ModelFacts], pairs: list[tuple[str, str]]
) -> None:
    declared = [Declared(child=child, parent=parent, kind="finetune") for child, parent in pairs]
    by_id = {model.id: model for model in models}
    edges = infer_edges(models, declared)
    for edge in edges:
        assert edge.child != edge.parent
        assert edge.child not in {one.child for one in declared}
        assert older(by_id[edge.parent], by_id[edge.child])
        assert 0 < edge.confidence <= 1
    assert len({edge.child for edge in edges}) == len(edges)
    table = PairTable(models, declared)
    for model in models:
        found, features = table.look(model)
        assert model.id not in found
        assert features.shape == (len(found), len(FEATURES))
        assert all(older(table.known[id].facts, model) for id in found)
