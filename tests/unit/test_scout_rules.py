"""The rules of scout on values: filters as properties, ranks by example, a diverse shortlist."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.catalogue import Ancestry, CatalogueModel
from insource.core.evidence import End, Interval
from insource.hub.activity import Activity, Group, group_copies
from insource.hub.arena import ArenaScore
from insource.hub.licences import CLASSES, LicencePolicy, licence_class, parse_policy
from insource.hub.purpose import Purpose, Purposes
from insource.hub.snapshot import SnapshotCatalogue
from insource.workflows.choose.shortlist import BANDS, Evidence, Measurement, Ranked, rank, relative_ranks, shortlist
from insource.workflows.choose.sift import FitSummary, Found, Needs, Removed, effective_licence, sift
from tests.fakes.models import model

GIB = 2**30


def needs(**changes: object) -> Needs:
    usual = {"context_tokens": 2048, "licences": parse_policy("permissive"), **changes}
    return Needs(**usual)  # pyright: ignore[reportArgumentType]


def fits_in(memory_bytes: int) -> Callable[[CatalogueModel], FitSummary]:
    """Half a byte a parameter; a model without layers is not judged."""

    def fits(item: CatalogueModel) -> FitSummary:
        needed = item.parameters // 2
        if item.layers is None:
            return FitSummary(fits=None, reason="unknown architecture", context_tokens=item.context_tokens)
        if needed > memory_bytes:
            return FitSummary(fits=False, reason="larger than the memory", needed_bytes=needed)
        return FitSummary(
            fits=True, reason="", quantization="Q4_K_M", needed_bytes=needed, context_tokens=item.context_tokens
        )

    return fits


@lru_cache(maxsize=1)
def everything() -> tuple[tuple[Group, ...], dict[str, Purpose]]:
    models = SnapshotCatalogue().models()
    purposes = Purposes(models)
    return group_copies(models), {item.id: purposes.of(item) for item in models}


def on_everything(asked: Needs, memory_bytes: int) -> tuple[list[Found], list[Removed]]:
    groups, purposes = everything()
    return sift(groups, needs=asked, purpose_of=lambda item: purposes[item.id], fits=fits_in(memory_bytes))


classes = st.sets(st.sampled_from(CLASSES), min_size=1).map(
    lambda names: LicencePolicy(classes=frozenset(names), ids=frozenset())
)
sizes = st.sampled_from([0, 1, 2, 4, 8, 16, 24, 80, 640, 10_000]).map(lambda gib: gib * GIB)


@settings(max_examples=15)
@given(policy=classes, memory=sizes, context=st.sampled_from([1, 2048, 40_000, 200_000]), images=st.booleans())
def test_nothing_passes_that_a_filter_refuses(policy: LicencePolicy, memory: int, context: int, images: bool) -> None:
    asked = needs(licences=policy, context_tokens=context, images=images)
    found, removed = on_everything(asked, memory)
    for item in found:
        assert licence_class(item.model.license) in policy.classes
        assert item.fit.fits is True
        assert item.model.parameters // 2 <= memory
        assert item.fit.context_tokens is not None
        assert item.fit.context_tokens >= context
        assert item.group.gguf_repositories
        assert item.purpose.refusal is None
        assert item.purpose.images or not images
    assert removed[0].asked == len(everything()[0])
    for before, after in pairwise(removed):
        assert after.asked == before.asked - before.removed - before.cannot_say
    assert removed[-1].asked - removed[-1].removed - removed[-1].cannot_say == len(found)


@settings(max_examples=8)
@given(policy=classes, one=sizes, other=sizes)
def test_a_larger_machine_loses_no_candidate(policy: LicencePolicy, one: int, other: int) -> None:
    asked = needs(licences=policy)
    small, large = ({item.model.id for item in on_everything(asked, size)[0]} for size in sorted((one, other)))
    assert small <= large


@settings(max_examples=8)
@given(one=classes, other=classes)
def test_a_wider_policy_loses_no_candidate(one: LicencePolicy, other: LicencePolicy) -> None:
    both = LicencePolicy(classes=one.classes | other.classes, ids=frozenset())
    narrow, wide = ({f.model.id for f in on_everything(needs(licences=p), 16 * GIB)[0]} for p in (one, both))
    assert narrow <= wide


def _sift(
    models: Sequence[CatalogueModel], asked: Needs, memory_bytes: int = 100 * GIB
) -> tuple[set[str], dict[str, Removed]]:
    found, removed = sift(group_copies(models), needs=asked, purpose_of=Purposes(models).of, fits=fits_in(memory_bytes))
    return {item.model.id for item in found}, {item.filter: item for item in removed}


def runnable(id: str, **changes: object) -> CatalogueModel:
    return model(id, **{"layers": 32, "gguf_repositories": (f"x/{id.partition('/')[2]}-GGUF",), **changes})


def test_every_filter_says_what_it_removed_and_what_would_help() -> None:
    models = [
        runnable("a/Good-8B"),
        runnable("a/Speech-8B", pipeline_tag="text-to-speech"),
        runnable("a/Secret-8B", license="cc-by-nc-4.0"),
        runnable("a/Silent-8B", license=None),
        runnable("a/Loose-8B", gguf_repositories=()),
        runnable("a/Apple-9B", gguf_repositories=(), format="mlx"),
        runnable("a/Empty", parameters=0),
        runnable("a/Packed-70B", parameters=9_000_000_000),
        runnable("a/Short-8B", context_tokens=512),
        runnable("a/Vague-8B", context_tokens=None),
        runnable("a/Strange-8B", layers=None),
        runnable("a/Huge-900B", parameters=900_000_000_000),
    ]
    found, removed = _sift(models, needs())
    assert found == {"a/Good-8B"}
    counts = {name: (item.removed, item.cannot_say) for name, item in removed.items()}
    assert counts == {
        "purpose": (1, 0), "licence": (1, 1), "languages": (0, 0), "format": (2, 0), "parameters": (0, 2),
        "context": (1, 0), "memory": (1, 2), "speed": (0, 0),
    }  # fmt: skip
    assert dict(removed["licence"].reasons) == {"non-commercial": 1, "licence not stated": 1}
    assert all("`" in item.next_step for item in removed.values())
    assert "--licenses" in removed["licence"].next_step
    converted, _ = _sift(models, needs(convertible=True))
    assert converted == {"a/Good-8B", "a/Loose-8B"}


@pytest.mark.parametrize(
    ("licences", "reason", "removed", "cannot_say"),
    [
        ({"b/Y-8B": "mit", "c/Z-8B": "apache-2.0"}, None, 0, 0),
        ({"b/Y-8B": "mit", "c/Z-8B": "llama3.1"}, "built on c/Z-8B, whose licence is community", 1, 0),
        ({"b/Y-8B": "cc-by-nc-4.0", "c/Z-8B": "llama3.1"}, "built on b/Y-8B, whose licence is non-commercial", 1, 0),
        ({"b/Y-8B": "mit"}, "built on c/Z-8B, whose licence is not stated", 0, 1),
        ({"b/Y-8B": "llama3.1"}, "built on b/Y-8B, whose licence is community", 1, 0),
    ],
)
def test_a_parent_that_the_policy_refuses_is_named(
    licences: dict[str, str], reason: str | None, removed: int, cannot_say: int
) -> None:
    """The label is permissive in all of them; cycles among the parents end."""
    item = runnable("a/X-8B")
    parents = {"a/X-8B": ["b/Y-8B"], "b/Y-8B": ["c/Z-8B"], "c/Z-8B": ["b/Y-8B"]}

    def look(ancestry: Ancestry | None) -> tuple[list[Found], Removed]:
        found, steps = sift(
            group_copies([item]),
            needs=needs(),
            purpose_of=Purposes([item]).of,
            fits=fits_in(100 * GIB),
            ancestry=ancestry,
        )
        return found, steps[1]

    found, step = look(Ancestry(parents=parents, licences={"a/X-8B": "apache-2.0", **licences}))
    assert (bool(found), step.removed, step.cannot_say) == (reason is None, removed, cannot_say)
    assert [said for said, _ in step.reasons] == ([reason] if reason else [])
    by_files = Ancestry(parents=parents, licences={"a/X-8B": "mit", **licences}, told_by_files=frozenset({"a/X-8B"}))
    _, step = look(by_files)
    marked = reason and reason.replace(", whose", " as files tell, whose")
    assert [said for said, _ in step.reasons] == ([marked] if marked else [])
    label_only, _ = look(None)
    assert [one.licence.strictest.id for one in label_only] == ["a/X-8B"]


def test_images_and_tools_are_asked_of_models_that_state_them() -> None:
    models = [
        runnable("a/Text-8B"),
        runnable("a/Eyes-8B", pipeline_tag="image-text-to-text"),
        runnable("a/Hands-8B", capabilities=("tool_use",)),
    ]
    assert _sift(models, needs(images=True))[0] == {"a/Eyes-8B"}
    found, removed = _sift(models, needs(tools=True))
    assert found == {"a/Hands-8B"}
    assert (removed["purpose"].removed, removed["purpose"].cannot_say) == (0, 2)  # not stated is not the same as can't


def test_a_model_that_states_its_languages_must_state_those_needed() -> None:
    models = [
        runnable("a/All-8B", languages=("en", "de", "fr")),
        runnable("a/English-8B", languages=("en",)),
        runnable("a/Silent-8B", languages=()),
    ]
    found, removed = _sift(models, needs(languages=("de", "fr")))
    assert found == {"a/All-8B", "a/Silent-8B"}
    assert (removed["languages"].removed, removed["languages"].cannot_say) == (1, 0)
    assert len(_sift(models, needs())[0]) == 3


def test_code_admits_specialists_in_code_and_embedding_what_makes_vectors() -> None:
    models = [
        runnable("a/X-8B"),
        runnable("a/X-Coder-8B"),
        runnable("a/X-Med-8B"),
        runnable("a/X-Embedding-8B", pipeline_tag="feature-extraction"),
        runnable("a/X-Reranker-8B", pipeline_tag="feature-extraction"),
    ]
    assert _sift(models, needs(field="code"))[0] == {"a/X-8B", "a/X-Coder-8B"}
    assert _sift(models, needs(embeddings=True))[0] == {"a/X-Embedding-8B"}


def test_specialists_come_when_asked_for() -> None:
    models = [runnable("a/X-Coder-8B"), runnable("a/X-8B")]
    assert _sift(models, needs())[0] == {"a/X-8B"}
    assert len(_sift(models, needs(specialised=True))[0]) == 2


@pytest.mark.parametrize(
    ("seconds", "carries", "removed", "cannot_say"),
    [(None, None, 0, 1), (3.0, True, 1, 0), (1.0, True, 0, 0), (1.0, False, 1, 0), (1.0, None, 0, 1)],
)
def test_latency_and_rate_are_kept(seconds: float | None, carries: bool | None, removed: int, cannot_say: int) -> None:
    item = runnable("a/X-8B")
    summary = FitSummary(fits=True, reason="", context_tokens=9999, seconds=seconds, carries_rate=carries)
    found, steps = sift(
        group_copies([item]),
        needs=needs(latency_seconds=2.0, requests_per_minute=10.0),
        purpose_of=Purposes([item]).of,
        fits=lambda _: summary,
    )
    assert (steps[-1].removed, steps[-1].cannot_say) == (removed, cannot_say)
    assert bool(found) == (removed + cannot_say == 0)


# -------------------------------------------------------------------------------------------------- ranking


def found_model(id: str, **changes: object) -> Found:
    item = runnable(id, **changes)
    purpose = Purpose(pipeline="text-generation", refusal=None, field=None, images=False, tools=False)
    return Found(
        group=Group(key=id, original=item, members=(item,)),
        purpose=purpose,
        licence=effective_licence(item, None),
        fit=fits_in(2**50)(item),
    )


def activity(**changes: object) -> Activity:
    usual = {
        "copies": 0, "gguf_repositories": (), "derivatives": 0, "recent_derivatives": 0,
        "downloads_percentile": None, "likes_percentile": None, "age_months": None, **changes,
    }  # fmt: skip
    return Activity(**usual)  # pyright: ignore[reportArgumentType]


def measured(end: End, *, low: float = 0.9, task: str = "task-1") -> Measurement:
    return Measurement(
        task_id=task,
        candidate_id="prompt-1",
        recipe="prompt",
        end=end,
        n=100,
        quality=low + 0.02,
        quality_interval=Interval(low=low, high=low + 0.04),
        coverage=1.0,
        certificate_id="cert-1" if end == "certified" else None,
    )


def ranked(evidence: dict[str, Evidence], **sizes: int) -> list[Ranked]:
    items = [found_model(id, parameters=sizes.get(id.partition("/")[2], 8 * 10**9)) for id in evidence]
    return rank(items, lambda item: evidence[item.model.id])


def test_relative_ranks_share_places_and_skip_the_unknown() -> None:
    assert relative_ranks([5.0, None, 1.0, 3.0]) == [0.0, None, 1.0, 0.5]
    assert relative_ranks([7.0, 7.0, 1.0]) == [0.25, 0.25, 1.0]
    assert relative_ranks([None, 4.0]) == [None, 0.0]
    assert relative_ranks([]) == []


def test_own_measurements_outrank_everything_said_elsewhere() -> None:
    famous = activity(
        derivatives=500, recent_derivatives=400, downloads_percentile=1.0, likes_percentile=1.0, age_months=1
    )
    order = ranked(
        {
            "a/failed": Evidence(activity=famous, this_task=(measured("not shown"),)),
            "a/famous": Evidence(activity=famous),
            "a/elsewhere": Evidence(activity=activity(), other_tasks=(measured("certified", task="task-2"),)),
            "a/good": Evidence(activity=activity(), this_task=(measured("certified", low=0.8),)),
            "a/better": Evidence(
                activity=activity(), this_task=(measured("not shown"), measured("certified", low=0.95))
            ),
            "a/open": Evidence(activity=activity(derivatives=1), this_task=(measured("unfinished"),)),
        }
    )
    assert [item.found.model.id for item in order] == [
        "a/better", "a/good", "a/elsewhere", "a/famous", "a/open", "a/failed",
    ]  # fmt: skip
    assert [item.tier for item in order] == [0, 0, 1, 2, 2, 3]
    assert [item.position for item in order] == [1, 2, 3, 4, 5, 6]


def test_the_mean_of_ranks_can_be_redone_by_hand() -> None:
    order = ranked(
        {
            "a/x": Evidence(activity=activity(derivatives=10, downloads_percentile=0.5, age_months=20)),
            "a/y": Evidence(activity=activity(derivatives=5, downloads_percentile=0.9, age_months=10)),
            "a/z": Evidence(
                activity=activity(derivatives=1, downloads_percentile=0.1),
                arena=ArenaScore(name="z", score=1200, low=None, high=None, votes=None),
            ),
        }
    )
    by_id = {item.found.model.id: item for item in order}
    assert by_id["a/x"].ranks == {"derivatives": 0, "recent_derivatives": 0.5, "downloads": 0.5, "age": 1}
    assert by_id["a/y"].ranks == {"derivatives": 0.5, "recent_derivatives": 0.5, "downloads": 0, "age": 0}
    assert by_id["a/z"].ranks == {"derivatives": 1, "recent_derivatives": 0.5, "downloads": 1, "arena": 0}
    # Of five factors that are known of any: likes is not; what is not known of one counts 0.5.
    assert [item.mean_rank for item in order] == pytest.approx([0.3, 0.5, 0.6])
    assert [item.found.model.id for item in order] == ["a/y", "a/x", "a/z"]


# ------------------------------------------------------------------------------------------------- shortlist


def _ranked_by_order(*ids_and_sizes: tuple[str, float]) -> list[Ranked]:
    items = [found_model(id, parameters=int(size * 1e9), model_type="") for id, size in ids_and_sizes]
    age = {item.model.id: float(index) for index, item in enumerate(items)}
    return rank(items, lambda item: Evidence(activity=activity(age_months=age[item.model.id])))


def test_a_shortlist_has_every_size_and_more_than_one_family() -> None:
    order = _ranked_by_order(
        *[(f"a/alpha{i}", 30) for i in range(9)],
        *[(f"b/beta{i}", 8) for i in range(9)],
        ("c/gamma", 1), ("d/delta", 31), ("e/epsilon", 2),
    )  # fmt: skip
    chosen = shortlist(order, 6)
    assert [item.band for item in chosen] == ["small", "small", "middle", "middle", "largest", "largest"]
    assert [item.found.model.id for item in chosen] == [
        "c/gamma", "e/epsilon", "b/beta0", "b/beta1", "a/alpha0", "d/delta",
    ]  # fmt: skip


def test_a_lone_family_makes_room_for_another() -> None:
    order = _ranked_by_order(*[(f"a/alpha{i}", size) for i, size in enumerate((30, 8, 1))], ("b/beta", 29))
    assert {item.family for item in shortlist(order, 3)} == {"alpha", "beta"}
    assert len(shortlist(order, 3)) == 3


def test_a_lone_family_keeps_its_only_largest() -> None:
    order = _ranked_by_order(("a/beta0", 1), ("a/beta1", 1), ("a/alpha", 1), ("a/beta2", 2))
    assert [item.found.model.id for item in shortlist(order, 3)] == ["a/beta0", "a/alpha", "a/beta2"]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefg"), st.floats(0.1, 100)), max_size=30),
    st.integers(min_value=1, max_value=12),
)
def test_a_shortlist_is_as_long_and_diverse_as_can_be(drawn: list[tuple[str, float]], rows: int) -> None:
    order = _ranked_by_order(*[(f"o/{name * 3}-{i}x", size) for i, (name, size) in enumerate(drawn)])
    chosen = shortlist(order, rows)
    assert len(chosen) == min(rows, len(order))
    assert len({item.found.model.id for item in chosen}) == len(chosen)
    if rows >= 3 and order:
        assert {item.band for item in chosen} >= {"largest"}
        possible = {item.band for item in order}
        assert len({item.band for item in chosen}) >= min(len(possible), 2)
    if rows >= 2 and len({item.family for item in order}) > 1:
        assert len({item.family for item in chosen}) > 1
    assert [BANDS.index(item.band) for item in chosen] == sorted(BANDS.index(item.band) for item in chosen)
