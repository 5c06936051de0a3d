"""Which candidate a move takes: pure, so no fake is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from insource.core.evidence import Candidate, Evaluation, Verdict
from insource.workflows.prove.move import choose_target

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def _candidate(id: str, recipe: str) -> Candidate:
    return Candidate(
        id=id, task_id="t", recipe=recipe, artifact_sha256="0", model_ref=None, model_sha256=None, settings=None
    )


def _evaluation(candidate_id: str, *, day: int, certificate_id: str | None) -> Evaluation:
    return Evaluation(
        id=f"e-{candidate_id}-{day}",
        task_id="t",
        candidate_id=candidate_id,
        created=DAY + timedelta(days=day),
        verdict=Verdict.MOVE if certificate_id else Verdict.KEEP,
        reason="",
        margin=0.02,
        confidence=0.95,
        alpha_used=0.05,
        gate=0.5 if certificate_id else None,
        coverage=0.9,
        loss_upper=0.01,
        covered=None,
        overall=None,
        self_agreement=None,
        certificate_id=certificate_id,
    )


CANDIDATES = [_candidate("head-1", "head"), _candidate("head-2", "head"), _candidate("prompt-1", "prompt")]


def test_without_a_wish_the_latest_certificate_decides() -> None:
    evaluations = [
        _evaluation("head-1", day=1, certificate_id="c1"),
        _evaluation("head-2", day=2, certificate_id="c2"),
        _evaluation("prompt-1", day=3, certificate_id=None),
    ]
    target = choose_target(CANDIDATES, evaluations, None)
    assert target is not None
    assert target.candidate.id == "head-2"


def test_without_a_certificate_nothing_is_chosen_unasked() -> None:
    assert choose_target(CANDIDATES, [_evaluation("head-1", day=1, certificate_id=None)], None) is None


def test_a_wish_names_a_candidate_or_a_recipe_and_a_certificate_counts_before_a_later_date() -> None:
    evaluations = [
        _evaluation("head-1", day=1, certificate_id="c1"),
        _evaluation("head-2", day=2, certificate_id=None),
    ]
    by_recipe = choose_target(CANDIDATES, evaluations, "head")
    by_id = choose_target(CANDIDATES, evaluations, "head-2")
    assert by_recipe is not None
    assert by_recipe.candidate.id == "head-1"
    assert by_id is not None
    assert by_id.candidate.id == "head-2"


def test_a_candidate_never_evaluated_can_be_named_but_brings_no_evidence() -> None:
    target = choose_target(CANDIDATES, [], "prompt")
    assert target is not None
    assert target.evaluation is None
    assert choose_target(CANDIDATES, [], "lora") is None
