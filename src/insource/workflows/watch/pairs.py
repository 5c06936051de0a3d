"""The samples of a move, from the log alone: whatever was stopped or killed, a request counts once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from insource.core.evidence import Example
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange, Move
from insource.evals.examples import Scoring, to_example
from insource.routing.monitor import Sample
from insource.wire.chat import answer_or_calls
from insource.workflows.services import Services

MOST = 20_000
"""Samples that are looked at; older ones have said what they had to say."""
_LATE = timedelta(minutes=15)
"""An exchange is written when it ends, under the time when it began."""


@dataclass(slots=True, kw_only=True)
class Samples:
    """Those of one move, read a little at a time."""

    move: Move
    scoring: Scoring
    hosted_loss: float = 0.0
    """Mean loss of the hosted answers on the evidence: what a label without a hosted answer is set against."""
    _found: dict[str, Sample] = field(default_factory=dict[str, Sample], init=False)
    _read_until: datetime | None = field(default=None, init=False)

    def read(self, services: Services) -> None:
        """Takes up what was recorded since the last time."""
        since = self.move.changed if self._read_until is None else max(self.move.changed, self._read_until - _LATE)
        now = services.clock.now()
        new = [e for e in services.exchanges.read(ExchangeFilter(extra=True, since=since)) if self._counts(e)]
        firsts = frozenset(of for e in new if (of := e.marks.share_of or e.marks.shadow_of) is not None)
        where = ExchangeFilter(ids=firsts, since=since - _LATE)
        known = {e.id: e for e in services.exchanges.read(where)} if firsts else {}
        judged = _judged(services, self.move.task_id)
        pairs = ((e, known.get(e.marks.share_of or e.marks.shadow_of or "")) for e in new)
        for sample in (self._sample(e, first, judged) for e, first in pairs if first is not None):
            if sample is not None:
                self._found[sample.exchange_id] = sample
        labelled = services.exchanges.read(ExchangeFilter(reference_kind="label", upstream="engine:", since=since))
        for exchange in labelled:
            sample = self._labelled(exchange)
            if sample is not None:
                self._found.setdefault(sample.exchange_id, sample)
        self._read_until = now

    def since(self, moment: datetime) -> list[Sample]:
        """In their order."""
        found = sorted(self._found.values(), key=lambda s: (s.created, s.exchange_id))
        self._found = {s.exchange_id: s for s in found[-MOST:]}
        return [s for s in found[-MOST:] if s.created >= moment]

    def _counts(self, exchange: Exchange) -> bool:
        route, marks = exchange.route, exchange.marks
        mine = route is not None and (route.task_id, route.candidate_id) == (self.move.task_id, self.move.candidate_id)
        pair = marks.share_of is not None or (marks.shadow_of is not None and marks.covered is True)
        return mine and pair and exchange.is_whole

    def _sample(self, extra: Exchange, first: Exchange, judged: Mapping[str, Mapping[str, bool]]) -> Sample | None:
        """Of a request with both answers: the hosted one is the share's, or of a shadow the first one."""
        share = extra.marks.share_of is not None
        hosted, here = (extra, first) if share else (first, extra)
        answer = answer_or_calls(here.response)
        if not here.is_whole or not hosted.is_whole or answer is None:
            return None
        if first.reference is not None:
            hosted = replace(hosted, reference=first.reference, reference_kind=first.reference_kind)
        example = to_example(hosted, {**judged.get(first.id, {}), **judged.get(extra.id, {})} or None)
        if not isinstance(example, Example):
            return None
        difference = self.scoring.loss_local(answer, example) - self.scoring.loss_hosted(example)
        return Sample(exchange_id=first.id, created=first.created, difference=difference)

    def _labelled(self, exchange: Exchange) -> Sample | None:
        """Of a request that was answered here and has a label, but no hosted answer."""
        route, answer = exchange.route, answer_or_calls(exchange.response)
        mine = route is not None and (route.task_id, route.candidate_id) == (self.move.task_id, self.move.candidate_id)
        if not mine or exchange.marks.is_extra or not exchange.is_whole or answer is None:
            return None
        example = to_example(exchange)
        if not isinstance(example, Example):
            return None
        difference = self.scoring.loss_local(answer, example) - self.hosted_loss
        return Sample(exchange_id=exchange.id, created=exchange.created, difference=difference)


def _judged(services: Services, task_id: str) -> dict[str, dict[str, bool]]:
    found: dict[str, dict[str, bool]] = {}
    for judgement in services.evidence.judgements(task_id):
        found.setdefault(judgement.exchange_id, {})[judgement.answer] = judgement.right
    return found


def extras(services: Services, move: Move, mark: Literal["share_of", "anchor_of"]) -> Iterable[Exchange]:
    """Further answers of one kind to requests of the move's task since it began."""
    for exchange in services.exchanges.read(ExchangeFilter(mark=mark, since=move.changed)):
        if exchange.route is not None and exchange.route.task_id == move.task_id:
            yield exchange
