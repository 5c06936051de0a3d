"""One look at a move: what the log says of it, as the pure decisions want it. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from insource.core.evidence import Candidate, Certificate, Event
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange, Move, Stage
from insource.evals.examples import Scoring
from insource.routing.monitor import Again, Novelty, Standing, change_began
from insource.workflows.prove.expiry import hosted_changed, why_expired
from insource.workflows.prove.task_log import scoring_by
from insource.workflows.services import Services
from insource.workflows.watch.anchors import Compared, Rounds, choose_anchors, compared, rounds_of
from insource.workflows.watch.pairs import Samples

ALARMS = ("reference changed", "worse in shadow")
"""Events after which the samples are counted anew: what they say was said."""
_RECENT = 2_000


@dataclass(slots=True, kw_only=True)
class Watch:
    """A move that is watched, with what was read of it before."""

    services: Services
    move: Move
    name: str
    """The task's."""
    candidate: Candidate
    scoring: Scoring
    samples: Samples
    better: float
    rounds_read: datetime | None = None
    """When the rounds of anchors were looked at last."""
    _anchors: list[Exchange] | None = field(default=None, init=False)

    def standing(self) -> Standing:
        self.samples.read(self.services)
        certificate = self.certificate()
        last = max((e.created for e in self.events(*ALARMS)), default=self.move.changed)
        return Standing(
            stage=self.move.stage,
            certified=certificate is not None
            and why_expired(self.services, certificate) is None
            and not hosted_changed(self.services, certificate),
            samples=self.samples.since(last),
            margin=self.services.settings.margin,
            better=self.better,
        )

    def certificate(self) -> Certificate | None:
        id = self.move.certificate_id
        return None if id is None else self.services.evidence.certificate(id)

    def events(self, *kinds: str) -> list[Event]:
        """Of this move in this stage; by kind, because a privacy policy may note one for every request."""
        read, task_id, since = self.services.registry.events, self.move.task_id, self.move.changed
        return [event for kind in kinds for event in read(task_id=task_id, kind=kind, since=since)]

    def anchors(self) -> Sequence[Exchange]:
        if self._anchors is None:
            self._anchors = choose_anchors(self.services, self.move, most=self.services.settings.anchors)
        return self._anchors

    def rounds(self) -> Rounds:
        return rounds_of(self.services, self.move)

    def compared(self) -> Compared:
        return compared(self.rounds(), self.anchors(), self.scoring)

    def again(self) -> Again:
        return self.compared().again()

    def novelty(self, standing: Standing) -> Novelty:
        """Before the change and since, of the latest requests."""
        began = change_began(standing, standing.watched)
        counts = {True: [0, 0], False: [0, 0]}
        for exchange in self._recent():
            side = counts[exchange.created >= began]
            side[0] += 1
            side[1] += exchange.marks.escalated
        return Novelty(
            before=counts[False][0],
            escalated_before=counts[False][1],
            since=counts[True][0],
            escalated_since=counts[True][1],
        )

    def faults(self) -> float:
        """Share of the latest requests at which the engine failed: in the shadow, or so that the provider answered."""
        shadows = [e for e in self._recent(extra=True) if e.marks.shadow_of is not None]
        served = self._recent()
        failed = sum(e.status >= 500 for e in shadows) + sum(e.marks.fallback is not None for e in served)
        return failed / max(len(shadows) + (len(served) if self.move.stage is not Stage.SHADOW else 0), 1)

    def _recent(self, *, extra: bool = False) -> list[Exchange]:
        where = ExchangeFilter(since=self.move.changed, newest=_RECENT, extra=extra)
        found = self.services.exchanges.read(where)
        mine = [e for e in found if e.route is not None and e.route.task_id == self.move.task_id]
        return [e for e in mine if e.marks.is_extra == extra]


def watch_of(services: Services, move: Move) -> Watch | None:
    """None: its candidate or its criterion is gone, so nothing can be compared."""
    names = {task.id: task.name for task in services.registry.tasks()}
    candidates = {c.id: c for c in services.registry.candidates(move.task_id)}
    candidate = candidates.get(move.candidate_id)
    scoring = None if candidate is None else scoring_by(services, candidate.criterion)
    if candidate is None or scoring is None:
        return None
    evaluation = next((e for e in services.evidence.evaluations(move.task_id) if e.id == candidate.id), None)
    covered = evaluation.covered if evaluation is not None else None
    hosted_loss = 0.0 if covered is None else 1 - covered.hosted_quality
    return Watch(
        services=services,
        move=move,
        name=names.get(move.task_id, move.task_id),
        candidate=candidate,
        scoring=scoring,
        samples=Samples(move=move, scoring=scoring, hosted_loss=hosted_loss),
        better=0.0 if covered is None or not covered.n else covered.better / covered.n,
    )


def is_old(moment: datetime, now: datetime, *, days: float) -> bool:
    return now - moment >= timedelta(days=days)
