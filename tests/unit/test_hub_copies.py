"""A copy is its original in another format; an altered one is never offered for it."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.altered_models import is_altered
from insource.core.catalogue import Wanted
from insource.hub.activity import group_copies
from insource.hub.copies import alters
from insource.hub.lineage.build import build_lineage
from insource.hub.page import page_of
from insource.hub.snapshot import SnapshotCatalogue
from tests.hub_rows import model, world

FORMATS = st.sampled_from(
    ["GGUF", "MLX-4bit", "AWQ", "oQ4e-mtp", "NVFP4", "i1-GGUF", "Q4_K_M-GGUF", "W4A16-G128", "EXL3"]
)
NAMES = st.sampled_from(
    ["Qwen/Qwen3-8B", "google/gemma-3-4b-it", "meta-llama/Llama-3.2-3B-Instruct", "x/Omega-27B-v1.0"]
)
OWNERS = st.sampled_from(["unsloth", "mradermacher", "someone-else"])


@given(NAMES, OWNERS, FORMATS)
def test_a_format_alters_nothing(original: str, owner: str, format: str) -> None:
    organisation, _, name = original.partition("/")
    assert not alters(original, f"{owner}/{name}-{format}")
    assert not alters(original, f"{owner}/{organisation}_{name}-{format}")


@given(
    NAMES, OWNERS, FORMATS, st.sampled_from(["abliterated", "Uncensored", "heretic", "Persona", "REAP", "Story-Writer"])
)
def test_a_word_of_its_own_does(original: str, owner: str, format: str, word: str) -> None:
    altered = f"{owner}/{original.partition('/')[2]}-{word}"
    assert alters(original, f"{altered}-{format}")
    assert not alters(altered, f"unsloth/{altered.partition('/')[2]}-{format}"), "a copy of the altered one is its copy"


@pytest.mark.parametrize(
    ("tags", "original_tags", "altered"),
    [
        (["abliterated"], [], True),
        (["Uncensored"], ["uncensored"], False),  # repeated from the original's card
        (["abliterated"], None, False),  # the original is not listed: nothing tells whose tag it is
        (["gguf"], [], False),
    ],
)
def test_tags_tell_where_the_original_lacks_them(
    tags: list[str], original_tags: list[str] | None, altered: bool
) -> None:
    assert alters("a/Big-7B", "b/Big-7B-GGUF", tags=tags, original_tags=original_tags) is altered


def test_a_page_offers_no_altered_model() -> None:
    copy = "org/Big-7B"
    with world(
        model("org/Big-7B", tags=[]),
        *(
            model(f"q/Big-7B-{end}", copy, kind="quantized", tags=["gguf"])
            for end in ("GGUF", "Uncensored-GGUF", "Tale")
        ),
        model("q/Big-7B-AWQ", copy, kind="quantized", tags=["abliterated"]),
        model("n/Big-7B-abliterated-GGUF"),
        model("n/Big-7B-MLX"),
    ) as connection:
        build_lineage(connection)
        page = page_of(connection, "org/Big-7B", as_of=date(2026, 5, 1))
    assert {offer.id for offer in page.offers} == {"q/Big-7B-GGUF", "n/Big-7B-MLX"}
    assert page.by_kind == {"altered": 3, "quantized": 1}


def test_a_namesake_that_declares_another_model_is_offered_for_that_one() -> None:
    with world(
        model("org/Big-7B", tags=[]),
        model("org/Big-7B-Instruct", "org/Big-7B", tags=[]),
        model("q/Big-7B-AWQ", "org/Big-7B-Instruct", kind="quantized", tags=[]),
        model("q/Big-7B-FP8", "else/Big-7B", kind="quantized", tags=[]),
        model("q/Big-7B-MLX", "x/Tale-9B", kind="quantized", tags=[]),
    ) as connection:
        build_lineage(connection)
        offers = {
            id: {offer.id for offer in page_of(connection, id, as_of=date(2026, 5, 1)).offers}
            for id in ("org/Big-7B", "org/Big-7B-Instruct")
        }
    assert offers == {"org/Big-7B": {"q/Big-7B-FP8"}, "org/Big-7B-Instruct": {"q/Big-7B-AWQ"}}


def test_no_group_of_the_shipped_catalogue_offers_an_altered_copy() -> None:
    selection = SnapshotCatalogue().select(Wanted(pipelines=frozenset()))
    groups = group_copies(selection.models)
    assert any(group.gguf_repositories for group in groups)
    assert not [
        repository
        for group in groups
        for repository in group.gguf_repositories
        if is_altered(repository) and not is_altered(group.original.id)
    ]
