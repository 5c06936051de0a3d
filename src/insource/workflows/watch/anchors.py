"""Anchors: a fixed set of past requests of a task, asked again of both sides to see which of them changed.

They are chosen once by a hash, from what the hosted model answered before the move began. An anchor whose answer is not
the first one is asked again in the same round, up to `TRIES` times: a side that varies by chance gives the first answer
again, one that changed does not. What came of a round is in the log like every exchange, so figures come from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from insource.core.evidence import Example
from insource.core.hashing import sha256_hex
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange, Move
from insource.evals.examples import Scoring, to_example
from insource.routing.monitor import Again, SideAgain
from insource.wire.chat import answer_or_calls
from insource.workflows.services import Services
from insource.workflows.watch.pairs import extras

ROUND = "anchor_round"
"""In an exchange's metadata: which round it belongs to; rounds are numbered by the second in which they began."""
TRY = "anchor_try"
TRIES = 3
Answers = Sequence[str]
"""To one anchor in one round."""


def choose_anchors(services: Services, move: Move, *, most: int) -> list[Exchange]:
    """The same ones whenever they are chosen, in their order."""
    drawn: list[tuple[str, Exchange]] = []
    for exchange in services.exchanges.read(ExchangeFilter(task_id=move.task_id)):
        hosted = exchange.route is None or exchange.route.upstream.startswith("provider:")
        marks = exchange.marks
        if exchange.created >= move.changed or not hosted or marks.is_extra or marks.is_biased or not exchange.is_whole:
            continue
        if answer_or_calls(exchange.response) is None or "messages" not in exchange.request:
            continue
        drawn.append((sha256_hex(f"anchor {exchange.id}".encode()), exchange))
        if len(drawn) > 4 * most:  # no more than this is held, however long the log is
            drawn = sorted(drawn, key=lambda each: each[0])[:most]
    return [exchange for _, exchange in sorted(drawn, key=lambda each: each[0])[:most]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """All that the anchors of a move were answered, by round and anchor."""

    hosted: Mapping[int, Mapping[str, Answers]]
    here: Mapping[int, Mapping[str, Answers]]

    @property
    def numbers(self) -> list[int]:
        return sorted({*self.hosted, *self.here})

    @property
    def last(self) -> datetime | None:
        return datetime.fromtimestamp(self.numbers[-1], UTC) if self.numbers else None


def rounds_of(services: Services, move: Move) -> Rounds:
    sides: dict[bool, defaultdict[int, dict[str, list[str]]]] = {True: defaultdict(dict), False: defaultdict(dict)}
    for exchange in extras(services, move, "anchor_of"):
        of, number = exchange.marks.anchor_of, exchange.metadata.get(ROUND)
        answer = answer_or_calls(exchange.response)
        if of is None or not isinstance(number, int) or not exchange.is_whole or answer is None:
            continue
        here = exchange.route is not None and exchange.route.upstream.startswith("engine:")
        sides[here][number].setdefault(of, []).append(answer)
    return Rounds(hosted=sides[False], here=sides[True])


def is_due(rounds: Rounds, now: datetime, *, every_days: float) -> bool:
    return rounds.last is None or now - rounds.last >= timedelta(days=every_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Anchors, with all that each side answered to them. Of the hosted model the log holds a first answer, from before
    the move; of the candidate the first round's is the first one."""

    rounds: Rounds
    examples: Mapping[str, Example]
    """By the anchor's id."""
    scoring: Scoring

    def again(self) -> Again:
        """The last round beside the first one that shows the noise."""
        return Again(here=self._side(here=True), hosted=self._side(here=False))

    def unsettled(self, number: int, *, here: bool) -> frozenset[str]:
        """Anchors of a round that were not given their first answer in it."""
        answered = self._rounds(here=here).get(number, {})
        return frozenset(
            id for id in answered if id in self.examples and not self._repeats(id, self._series(id, here=here), -1)
        )

    def _side(self, *, here: bool) -> SideAgain:
        rounds = self._rounds(here=here)
        last = rounds[max(rounds)] if rounds else {}
        asked = turned = returned = 0
        for id in self.examples:
            series = self._series(id, here=here)
            if id not in last or len(series) < _COMPARED:
                continue
            asked += 1
            then, now = self._repeats(id, series, 1), self._repeats(id, series, -1)
            turned += then and not now
            returned += now and not then
        return SideAgain(asked=asked, turned=turned, returned=returned)

    def _rounds(self, *, here: bool) -> Mapping[int, Mapping[str, Answers]]:
        return self.rounds.here if here else self.rounds.hosted

    def _series(self, id: str, *, here: bool) -> list[Answers]:
        """In order, the first answer first."""
        rounds = self._rounds(here=here)
        answers = [rounds[number][id] for number in sorted(rounds) if id in rounds[number]]
        return answers if here else [(self.examples[id].hosted_text or "",), *answers]

    def _repeats(self, id: str, series: Sequence[Answers], at: int) -> bool:
        first, example = series[0][0], self.examples[id]
        return any(self.scoring.agree(answer, first, example) for answer in series[at])


_COMPARED = 3
"""Answers of a side to an anchor, or more: the first one, one that shows the noise, and one of now."""


def compared(rounds: Rounds, anchors: Sequence[Exchange], scoring: Scoring) -> Compared:
    examples = {e.id: found for e in anchors if isinstance(found := to_example(e), Example)}
    return Compared(rounds=rounds, examples=examples, scoring=scoring)
