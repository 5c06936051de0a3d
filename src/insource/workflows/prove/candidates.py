"""`insource candidates`: what was made, what uses it, and deleting the files of what nothing uses."""

from __future__ import annotations

from dataclasses import dataclass

from insource.core.evidence import Candidate, Evaluation
from insource.core.values import Stage
from insource.store.files import StoredFile
from insource.workflows.services import Services, candidate_files


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRow:
    candidate: Candidate
    task: str
    evaluation: Evaluation | None
    size_bytes: int
    """Of its artifact and adapter, without the model."""
    stage: Stage | None
    """Of the move that uses it now."""


def list_candidates(services: Services) -> list[CandidateRow]:
    """By task, the newest fit last."""
    registry = services.registry
    names = {task.id: task.name for task in registry.tasks()}
    evaluations = {e.candidate_id: e for e in services.evidence.evaluations()}
    moves = {move.candidate_id: move.stage for move in registry.moves()}
    sizes = {file.sha256: file.size_bytes for file in candidate_files(services).all()}
    return [
        CandidateRow(
            candidate=candidate,
            task=names.get(candidate.task_id, candidate.task_id),
            evaluation=evaluations.get(candidate.id),
            size_bytes=len(registry.artifact(candidate.artifact_sha256)) + sizes.get(candidate.adapter_sha256, 0),
            stage=moves.get(candidate.id),
        )
        for candidate in sorted(registry.candidates(), key=lambda c: (c.task_id, c.terms.fitted, c.id))
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    candidates: tuple[str, ...]
    files: tuple[StoredFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def pruning(services: Services) -> Pruning:
    """What may go: trained candidates that have no certificate and that no move ever stood on, and files that no other
    candidate uses. Candidates without files take no space worth a thought, and stay."""
    registry = services.registry
    moved = {move.candidate_id for task in registry.tasks() for move in registry.move_history(task.id)}
    certified = {certificate.candidate_id for certificate in services.evidence.certificates()}
    trained = [candidate for candidate in registry.candidates() if candidate.adapter_sha256 is not None]
    gone = [candidate for candidate in trained if candidate.id not in moved | certified]
    used = {c.adapter_sha256 for c in trained if c not in gone and c.adapter_sha256 is not None}
    return Pruning(
        candidates=tuple(candidate.id for candidate in gone), files=tuple(candidate_files(services).unused(used))
    )


def prune(services: Services, found: Pruning) -> None:
    services.registry.remove_candidates(found.candidates)
    candidate_files(services).remove(found.files)
