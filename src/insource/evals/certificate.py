"""Certificates: an evaluation's bound with the hashes of everything it rests on. Pure; `verify` derives it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC
from typing import Any

import insource
from insource.core.hashing import canonical_json, content_address, sha256_hex
from insource.core.values import Candidate, Certificate, Evaluation, Example, JsonObject, Outcome, Task
from insource.evals.comparison import covered
from insource.evals.splits import part_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a certificate rests on. `examples` are those of the outcomes, from the log."""

    task: Task
    candidate: Candidate
    evaluation: Evaluation
    outcomes: Sequence[Outcome]
    examples: Sequence[Example]
    scorer: str
    min_coverage: float


def plain(value: Any) -> Any:
    """A dataclass as JSON values: enums and paths as text, times as ISO 8601 in UTC, tuples as lists."""
    if hasattr(value, "__dataclass_fields__"):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "isoformat"):
        return value.astimezone(UTC).isoformat()
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def hashes_of(evidence: Evidence) -> JsonObject:
    """name -> content address. An example's hash leaves out nothing that its losses depend on."""
    evaluation, candidate = evidence.evaluation, evidence.candidate
    outcomes = sorted(evidence.outcomes, key=lambda o: o.exchange_id)
    examples = sorted(evidence.examples, key=lambda e: e.exchange_id)
    ids = [(e.exchange_id, e.input_sha256, part_of(e.input_sha256)) for e in examples]
    settings = {
        "margin": evaluation.margin,
        "confidence": evaluation.confidence,
        "alpha_used": evaluation.alpha_used,
        "min_coverage": evidence.min_coverage,
    }
    return {
        "task": content_address(plain({"id": evidence.task.id, "output": evidence.task.output})),
        "candidate": content_address(plain(candidate)),
        "model_file": f"sha256:{candidate.model_sha256}" if candidate.model_sha256 else None,
        "artifact": f"sha256:{candidate.artifact_sha256}",
        "split": content_address(ids),
        "references": content_address(
            [
                (e.exchange_id, e.cluster, e.reference, e.reference_kind, e.hosted_text, e.hosted_correct)
                for e in examples
            ]
        ),
        "outcomes": content_address(plain(outcomes)),
        "scorer": content_address(evidence.scorer),
        "settings": content_address(settings),
        "version": content_address(insource.__version__),
    }


def certify(evidence: Evidence) -> Certificate:
    """The certificate of an evaluation that found a gate."""
    evaluation = evidence.evaluation
    if evaluation.gate is None or evaluation.loss_upper is None:
        raise ValueError("an evaluation without a gate certifies nothing")
    test = [o for o in evidence.outcomes if o.part == "test"]
    kept = covered(test, evaluation.gate)
    certificate = Certificate(
        id="",
        created=evaluation.created,
        task_id=evidence.task.id,
        candidate_id=evidence.candidate.id,
        n_calibration=sum(o.part == "calibration" for o in evidence.outcomes),
        n_test=len(test),
        margin=evaluation.margin,
        confidence=evaluation.confidence,
        coverage=evaluation.coverage,
        gate=evaluation.gate,
        loss_upper=evaluation.loss_upper,
        quality=1 - sum(o.loss_local for o in kept) / len(kept) if kept else 0.0,
        hashes=hashes_of(evidence),
    )
    return replace(certificate, id=certificate_id(certificate))


def certificate_id(certificate: Certificate) -> str:
    fields = plain(certificate)
    del fields["id"]
    return "cert-" + sha256_hex(canonical_json(fields))[:16]
