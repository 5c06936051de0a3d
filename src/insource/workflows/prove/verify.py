"""Deriving a certificate again from what it rests on, and saying exactly what differs.

The log, the stored outcomes, the artifact and the model file on disk are read anew; nothing stored is believed that can
be computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from insource.core.errors import InsourceError, UsageError
from insource.core.hashing import file_sha256, sha256_hex
from insource.core.ports import ExchangeFilter
from insource.core.values import Candidate, Certificate, Evaluation, Example, Outcome, Task
from insource.evals.certificate import Evidence, certificate_id, certify, hashes_of
from insource.evals.comparison import covered, figures, search_gate
from insource.evals.examples import hosted_loss, loss_of, to_example
from insource.evals.scorers import choose_scorer
from insource.evals.splits import part_of
from insource.workflows.services import Services

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    certificate_id: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """Everything a certificate names, as it is now."""

    certificate: Certificate
    evaluation: Evaluation
    candidate: Candidate
    task: Task
    outcomes: Sequence[Outcome]
    examples: dict[str, Example]


def verify(services: Services, certificate_id: str) -> VerifyReport:
    """Raises UsageError for an unknown id; everything else that is wrong is a check that fails."""
    found = services.registry.certificate(certificate_id)
    if found is None:
        raise UsageError(
            f"There is no certificate {certificate_id!r}.", next_step="`insource plan` lists the certificates."
        )
    certificate, evaluation_id = found
    evaluation = next((e for e in services.registry.evaluations() if e.id == evaluation_id), None)
    candidate = next((c for c in services.registry.candidates() if c.id == certificate.candidate_id), None)
    task = next((t for t in services.registry.tasks() if t.id == certificate.task_id), None)
    if evaluation is None or candidate is None or task is None:
        named = (("evaluation", evaluation), ("candidate", candidate), ("task", task))
        gone = " and ".join(name for name, value in named if value is None)
        return VerifyReport(
            certificate_id=certificate_id, checks=(Check(name="stored", ok=False, detail=f"The {gone} is gone."),)
        )
    outcomes = services.registry.outcomes(evaluation_id)
    ids = frozenset(o.exchange_id for o in outcomes)
    read = [to_example(e) for e in services.exchanges.read(ExchangeFilter(ids=ids))]
    case = _Case(
        certificate=certificate,
        evaluation=evaluation,
        candidate=candidate,
        task=task,
        outcomes=outcomes,
        examples={e.exchange_id: e for e in read if isinstance(e, Example)},
    )
    checks = (
        _identity(case),
        _split(case),
        _scores(services, case),
        *_bounds(services, case),
        *_hashes(services, case),
        *_files(services, case),
    )
    return VerifyReport(certificate_id=certificate_id, checks=checks)


def _check(name: str, wrong: Sequence[str], fine: str) -> Check:
    shown = "; ".join(wrong[:_SHOWN]) + (f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else "")
    return Check(name=name, ok=not wrong, detail=shown if wrong else fine)


def _identity(case: _Case) -> Check:
    derived = certificate_id(case.certificate)
    wrong = [] if derived == case.certificate.id else [f"its fields give {derived}, not {case.certificate.id}"]
    return _check("certificate", wrong, "its id is the hash of its fields")


def _split(case: _Case) -> Check:
    wrong: list[str] = []
    for outcome in case.outcomes:
        example = case.examples.get(outcome.exchange_id)
        if example is None:
            wrong.append(f"exchange {outcome.exchange_id!r} is not in the log, or no longer usable")
        elif part_of(example.input_sha256) != outcome.part:
            wrong.append(f"{outcome.exchange_id!r} belongs to {part_of(example.input_sha256)}, not {outcome.part}")
    return _check("split", wrong, f"{len(case.outcomes)} exchanges are in the log and in their part")


def _scores(services: Services, case: _Case) -> Check:
    scorer = services.scorers[choose_scorer(case.task.output)]
    wrong: list[str] = []
    for outcome in case.outcomes:
        example = case.examples.get(outcome.exchange_id)
        if example is None:
            continue
        local = loss_of(outcome.answer, example, scorer=scorer, output=case.task.output)
        hosted = hosted_loss(example, scorer=scorer, output=case.task.output)
        if not math.isclose(local, outcome.loss_local) or not math.isclose(hosted, outcome.loss_hosted):
            wrong.append(
                f"{outcome.exchange_id!r} scores {local:g} and hosted {hosted:g}, "
                f"not {outcome.loss_local:g} and {outcome.loss_hosted:g}"
            )
    return _check("scores", wrong, f"{len(case.outcomes)} answers score the same against the log's references")


def _bounds(services: Services, case: _Case) -> Iterator[Check]:
    certificate, evaluation = case.certificate, case.evaluation
    calibration = [o for o in case.outcomes if o.part == "calibration"]
    search = search_gate(
        calibration,
        margin=certificate.margin,
        delta=evaluation.alpha_used,
        min_coverage=services.settings.min_coverage,
    )
    gate = search.gate
    if gate is None:
        yield Check(name="gate", ok=False, detail="the calibration part gives no safe threshold")
        return
    yield _compare("gate", gate.threshold, certificate.gate, evaluation.gate)
    yield _compare("loss_upper", gate.loss_upper, certificate.loss_upper, evaluation.loss_upper)
    within = gate.loss_upper <= certificate.margin
    yield Check(name="margin", ok=within, detail=f"bound {gate.loss_upper:.4f}, margin {certificate.margin:.4f}")
    test = [o for o in case.outcomes if o.part == "test"]
    kept = covered(test, gate.threshold)
    yield _compare("coverage", len(kept) / len(test) if test else gate.coverage, certificate.coverage)
    audit = figures(kept, margin=certificate.margin, alpha=evaluation.alpha_used, confidence=certificate.confidence)
    yield Check(
        name="audit",
        ok=audit == evaluation.covered and (audit is None or audit.difference_interval.low <= certificate.margin),
        detail="the test part gives the figures shown"
        if audit == evaluation.covered
        else f"the test part gives {audit}, not {evaluation.covered}",
    )


def _compare(name: str, derived: float, *stored: float | None) -> Check:
    wrong = [
        f"derived {derived:.9g}, stored {value if value is None else format(value, '.9g')}"
        for value in stored
        if value is None or not math.isclose(derived, value, rel_tol=1e-9, abs_tol=1e-12)
    ]
    return _check(name, wrong, f"{derived:.9g}")


def _hashes(services: Services, case: _Case) -> Iterator[Check]:
    evidence = Evidence(
        task=case.task,
        candidate=case.candidate,
        evaluation=case.evaluation,
        outcomes=case.outcomes,
        examples=list(case.examples.values()),
        scorer=choose_scorer(case.task.output),
        min_coverage=services.settings.min_coverage,
    )
    stored = case.certificate.hashes
    derived = hashes_of(evidence)
    for name in sorted({*derived, *stored}):
        same = derived.get(name) == stored.get(name)
        detail = str(stored.get(name)) if same else f"derived {derived.get(name)}, certified {stored.get(name)}"
        yield Check(name=f"hash of {name}", ok=same, detail=detail)
    if case.evaluation.gate is not None and case.evaluation.loss_upper is not None:
        again = certify(replace(evidence, evaluation=replace(case.evaluation, certificate_id=None)))
        same = again == case.certificate
        detail = "the same evidence gives the same certificate" if same else f"the evidence as it is gives {again.id}"
        yield Check(name="derived again", ok=same, detail=detail)


def _files(services: Services, case: _Case) -> Iterator[Check]:
    wanted = case.candidate.artifact_sha256
    try:
        found = sha256_hex(services.registry.artifact(wanted))
        yield _file("artifact", found, wanted)
    except (InsourceError, KeyError) as error:
        yield Check(name="artifact", ok=False, detail=f"the artifact can't be read: {error}")
    if case.candidate.model_ref is None:
        return
    try:
        file = services.find_model(case.candidate.model_ref)
        yield _file("model file", file_sha256(file.path), case.candidate.model_sha256 or "")
    except (InsourceError, OSError) as error:
        yield Check(name="model file", ok=False, detail=f"the model file can't be read: {error}")


def _file(name: str, found: str, wanted: str) -> Check:
    same = found == wanted
    return Check(name=name, ok=same, detail=f"sha256:{found}" if same else f"sha256:{found}, not sha256:{wanted}")
