"""The ports of what is kept: the exchange log, what was found and decided, and the evidence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from insource.core.evidence import (
    Candidate,
    Certificate,
    Criterion,
    Evaluation,
    Event,
    Judgement,
    Place,
    TextRules,
)
from insource.core.log_figures import LogFigures
from insource.core.values import Exchange, JsonObject, Move, Pin, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFilter:
    task_id: str | None = None
    ids: frozenset[str] | None = None
    since: datetime | None = None
    upstream: str | None = None
    """The beginning of the route's upstream, as `engine:`; exchanges without a route (imported ones) never match."""
    extra: bool = False
    """Only further answers to requests that are in the log already: shadows, shares, anchors."""
    mark: Literal["shadow_of", "share_of", "anchor_of"] | None = None
    """Only further answers of this kind."""
    reference_kind: str | None = None
    """Only those with a reference of this kind of their own: `label`, `feedback`."""
    unscanned: bool = False
    """Only those whose request was not scanned for private data yet."""
    newest: int | None = None
    """Only so many of those that match the rest, the newest; still read in the order of the log."""


class ExchangeStore(Protocol):
    """The exchange log. Order is (created, id)."""

    @property
    def figures(self) -> LogFigures:
        """Sums of it and pages of it, for people."""
        ...

    def append(self, exchanges: Iterable[Exchange]) -> int:
        """Writes in one transaction; an id that is already there is left as it is. Returns how many were new."""
        ...

    def read(self, where: ExchangeFilter = ...) -> Iterator[Exchange]: ...

    def count(self) -> int: ...

    def count_before(self, moment: datetime) -> int:
        """How many exchanges are older."""
        ...

    def prune(self, before: datetime) -> int:
        """Deletes what is older and gives its space back to the disk. Returns how many were deleted."""
        ...

    def assign(self, task_of: Mapping[str, str]) -> None:
        """Replaces all assignments: exchange id -> task id."""
        ...

    def assign_more(self, task_of: Mapping[str, str]) -> None:
        """Adds assignments; an exchange that has one keeps it, one that is not in the log is passed over."""
        ...

    def assignments(self) -> dict[str, str]: ...

    def set_private_kinds(self, kinds_of: Mapping[str, tuple[str, ...]]) -> None:
        """Exchange id -> kinds that a later scan found; ids that are not in the log are passed over."""
        ...

    def set_reference(self, exchange_id: str, *, reference: str, kind: str) -> None: ...

    def set_correct(self, exchange_id: str, *, correct: bool) -> None:
        """Whether the hosted answer was right."""
        ...


class Registry(Protocol):
    """What was found, made and decided. Every `put` replaces the row with the same id."""

    def put_tasks(self, tasks: Iterable[Task]) -> None:
        """Replaces all tasks."""
        ...

    def tasks(self) -> list[Task]: ...

    def put_criterion(self, task_id: str, criterion: Criterion | None) -> None:
        """What a user chose for the task; None: it is inferred again."""
        ...

    def criteria(self) -> dict[str, Criterion]:
        """By task id, of the tasks for which a user chose one."""
        ...

    def put_candidate(self, candidate: Candidate) -> None: ...

    def candidates(self, task_id: str | None = None) -> list[Candidate]: ...

    def remove_candidates(self, ids: Iterable[str]) -> None:
        """With their evaluations; what is not there is passed over."""
        ...

    def put_move(self, move: Move, event: Event) -> None:
        """Sets the task's move, keeps the former in the history, and says what happened: in one transaction."""
        ...

    def change_move(self, former: Move, move: Move, event: Event) -> bool:
        """As `put_move`, but only while `former` is in force; False: it is not, and nothing was changed."""
        ...

    def moves(self) -> list[Move]:
        """The move in force of every task that ever had one."""
        ...

    def move_history(self, task_id: str) -> list[Move]: ...

    def put_pin(self, pin: Pin) -> None: ...

    def pins(self) -> list[Pin]: ...

    def remove_pin(self, task_id: str) -> None:
        """A task that has no pin stays as it is."""
        ...

    def put_artifact(self, data: bytes) -> str:
        """Stores bytes under their sha256 and returns it."""
        ...

    def artifact(self, sha256: str) -> bytes: ...

    def fact(self, name: str) -> str | None:
        """A single value about the store, as the privacy mode that it was begun under."""
        ...

    def put_fact(self, name: str, value: str) -> None: ...

    def put_event(self, event: Event) -> None: ...

    def put_events(self, events: Iterable[Event]) -> None:
        """In one transaction."""
        ...

    def events(
        self,
        *,
        task_id: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        newest: int | None = None,
    ) -> list[Event]:
        """In the order in which they were put; with `newest` only so many of them, the last ones."""
        ...

    def events_after(self, sequence: int, *, without: Collection[str] = ()) -> list[tuple[int, Event]]:
        """With their numbers, which grow, in the order in which they were put; but for some kinds."""
        ...

    def prune_events(self, before: datetime) -> int:
        """Deletes what is older. Returns how many were deleted."""
        ...

    def revision(self) -> int:
        """Grows with every change of tasks, candidates, moves or pins; a gateway reloads when it sees a new one."""
        ...


class EvidenceStore(Protocol):
    """What evaluations rest on, and what they came to."""

    def rules(self, task_id: str) -> TextRules | None:
        """How the task's inputs are compared; None: nothing has a place yet."""
        ...

    def put_places(self, task_id: str, rules: TextRules, places: Sequence[Place]) -> None:
        """Adds places; the rules of a task are kept from the first time."""
        ...

    def places(self, task_id: str) -> list[Place]:
        """In their order."""
        ...

    def rank(self, task_id: str, candidate_id: str) -> int:
        """The how-many-th candidate of the task whose outcomes on evidence are seen, from 1: given when first asked
        for, and never again to another."""
        ...

    def ranks(self, task_id: str) -> dict[str, int]:
        """By candidate id."""
        ...

    def completions(self, keys: Iterable[str]) -> dict[str, JsonObject]:
        """What engines answered, by the hash of model file, settings and request; keys without one are absent."""
        ...

    def put_completion(self, key: str, completion: JsonObject, *, created: datetime) -> None: ...

    def prune(self, before: datetime) -> None:
        """Deletes completions that are older."""
        ...

    def put_judgements(self, task_id: str, judgements: Iterable[Judgement]) -> None: ...

    def remove_judgements(self, task_id: str, exchange_id: str) -> None: ...

    def judgements(self, task_id: str) -> list[Judgement]:
        """In the order of their exchanges' ids."""
        ...

    def put_evaluation(self, evaluation: Evaluation) -> None: ...

    def evaluations(self, task_id: str | None = None) -> list[Evaluation]:
        """The oldest first."""
        ...

    def put_certificate(self, certificate: Certificate, bundle: bytes) -> None:
        """With its evidence bundle, whose hash is its id."""
        ...

    def certificate(self, certificate_id: str) -> Certificate | None: ...

    def certificates(self, task_id: str | None = None) -> list[Certificate]: ...

    def remove_certificates(self, ids: Iterable[str]) -> None: ...

    def bundle(self, certificate_id: str) -> bytes | None: ...
