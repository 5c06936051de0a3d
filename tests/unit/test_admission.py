"""What a candidate may answer of its task's requests, before it is asked: floor, wary labels, repeats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from insource.adapt.familiarity import FittedFamiliarity, fit_familiarity
from insource.core.errors import BadInput, StorageError
from insource.core.evidence import Example, Stratum, Terms, TextRules, WaryLabel
from insource.core.values import Move, Stage
from insource.evals.repeats import load_repeats, repeats_artifact
from insource.evals.terms import whole_terms
from insource.store.database import open_database
from insource.store.registry import SqlRegistry
from insource.workflows.serve.admission import NotAdmitted, load_admission
from tests.fakes.evidence import START, ask, candidate, example
from tests.fakes.traffic import LABELS, message

RULES = TextRules(prefix="", suffix="", drop_digits=True)
UNKNOWN = ask("§§§ 龍 §§§")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SqlRegistry]:
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    yield SqlRegistry(database)
    database.close()


@pytest.fixture(scope="module")
def fitted() -> list[Example]:
    return [example(n, text=text, reference=label) for n in range(240) for text, label in [message(n)]]


@pytest.fixture(scope="module")
def familiar(fitted: list[Example]) -> FittedFamiliarity:
    return fit_familiarity(fitted, LABELS)


def admission(registry: SqlRegistry, terms: Terms, *, serves: tuple[Stratum, ...] = ("new", "repeats")) -> NotAdmitted:
    move = Move(
        task_id="t1",
        candidate_id="head-1",
        stage=Stage.LIVE,
        gate=0.5,
        certificate_id="cert-1",
        canary_share=0.1,
        changed=START,
        reason="certified",
        serves=serves,
    )
    return load_admission(registry, candidate(terms=terms), move)


def test_without_a_fit_part_everything_is_admitted(registry: SqlRegistry) -> None:
    assert admission(registry, whole_terms())(UNKNOWN) is None


def test_what_looks_unlike_what_was_learnt_is_not_admitted(registry: SqlRegistry, familiar: FittedFamiliarity) -> None:
    sha256 = registry.put_artifact(familiar.familiarity.artifact())
    floor = sorted(each.score for each in familiar.held_out.values())[24]
    reason = admission(registry, replace(whole_terms(), familiarity_sha256=sha256, floor=floor))
    assert reason(UNKNOWN) == "it is unlike what was learnt"
    known = [message(n)[0] for n in range(1_000, 1_100)]
    assert sum(reason(ask(text)) is None for text in known) >= 75


def test_what_may_be_a_wary_label_is_not_admitted(registry: SqlRegistry, familiar: FittedFamiliarity) -> None:
    sha256 = registry.put_artifact(familiar.familiarity.artifact())
    wary = (WaryLabel(label="loan", threshold=0.5),)
    reason = admission(registry, replace(whole_terms(), familiarity_sha256=sha256, wary=wary))
    kept = {label: [0, 0] for label in LABELS}
    for n in range(1_000, 1_150):
        text, label = message(n)
        why = reason(ask(text))
        kept[label][why is None] += 1
        assert why in (None, "it may be 'loan', which is not answered here")
    assert kept["loan"][True] <= 0.1 * sum(kept["loan"])
    assert kept["card"][True] >= 0.9 * sum(kept["card"])


@pytest.mark.parametrize("serves", ["new", "repeats"])
def test_only_the_stratum_that_is_certified_is_served(
    registry: SqlRegistry, fitted: list[Example], serves: Stratum
) -> None:
    sha256 = registry.put_artifact(repeats_artifact([e.text for e in fitted], RULES))
    reason = admission(registry, replace(whole_terms(), repeats_sha256=sha256), serves=(serves,))
    repeat, new = ask(message(7)[0].upper() + " 12345"), ask(message(1_007)[0])
    assert (reason(repeat) is None, reason(new) is None) == (serves == "repeats", serves == "new")


def test_what_can_not_be_recognised_is_no_repeat(registry: SqlRegistry) -> None:
    """A candidate that may answer only repeats, and has no index of them, answers nothing."""
    assert admission(registry, whole_terms(), serves=("repeats",))(ask("anything")) is not None
    assert admission(registry, whole_terms(), serves=("new",))(ask("anything")) is None


def test_artifacts_that_are_gone_or_damaged_admit_nothing(registry: SqlRegistry) -> None:
    with pytest.raises(StorageError):
        admission(registry, replace(whole_terms(), familiarity_sha256="0" * 64))
    other = registry.put_artifact(b"{}\n")
    with pytest.raises(BadInput):
        admission(registry, replace(whole_terms(), familiarity_sha256=other))
    with pytest.raises(BadInput):
        admission(registry, replace(whole_terms(), repeats_sha256=other), serves=("new",))


def test_an_index_of_repeats_holds_no_text_and_is_the_same_for_any_order(fitted: list[Example]) -> None:
    texts = [e.text for e in fitted]
    artifact = repeats_artifact(texts, RULES)
    assert artifact == repeats_artifact(texts[::-1], RULES)
    assert not any(word.encode() in artifact for word in texts[0].split() if len(word) > 5)
    index = load_repeats(artifact)
    assert all(index.is_repeat(text) for text in texts)
    assert not any(index.is_repeat(message(n)[0]) for n in range(2_000, 2_050))
    assert not load_repeats(repeats_artifact([], RULES)).is_repeat("anything")
