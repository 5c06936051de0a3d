"""Anchors: a fixed set of past requests of a task, asked again of both sides to see which of them changed.

They are chosen once by a hash, from what the hosted model answered before the move began. What came of a round is in
the log like every exchange, so figures come from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
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

    hosted: Mapping[int, Mapping[str, str]]
    here: Mapping[int, Mapping[str, str]]

    @property
    def numbers(self) -> list[int]:
        return sorted({*self.hosted, *self.here})

    @property
    def last(self) -> datetime | None:
        return datetime.fromtimestamp(self.numbers[-1], UTC) if self.numbers else None


def rounds_of(services: Services, move: Move) -> Rounds:
    sides: dict[bool, defaultdict[int, dict[str, str]]] = {True: defaultdict(dict), False: defaultdict(dict)}
    for exchange in extras(services, move, "anchor_of"):
        of, number = exchange.marks.anchor_of, exchange.metadata.get(ROUND)
        answer = answer_or_calls(exchange.response)
        if of is None or not isinstance(number, int) or not exchange.is_whole or answer is None:
            continue
        here = exchange.route is not None and exchange.route.upstream.startswith("engine:")
        sides[here][number][of] = answer
    return Rounds(hosted=sides[False], here=sides[True])


def is_due(rounds: Rounds, now: datetime, *, every_days: float) -> bool:
    return rounds.last is None or now - rounds.last >= timedelta(days=every_days)


def compare(rounds: Rounds, anchors: Sequence[Exchange], scoring: Scoring) -> Again:
    """The last round beside the first one. Of the hosted model the log holds an answer from before; of the candidate
    the first round's is the first one, and the second round shows its noise."""
    examples = {e.id: found for e in anchors if isinstance(found := to_example(e), Example)}
    before = {id: example.hosted_text or "" for id, example in examples.items()}

    def agree(a: str, b: str, id: str) -> bool:
        return scoring.agree(a, b, examples[id])

    hosted = _side(before, [rounds.hosted[n] for n in sorted(rounds.hosted)], examples, agree=agree)
    here = [rounds.here[n] for n in sorted(rounds.here)]
    return Again(here=_side(here[0] if here else {}, here[1:], examples, agree=agree), hosted=hosted)


def _side(
    first: Mapping[str, str],
    rounds: Sequence[Mapping[str, str]],
    known: Iterable[str],
    *,
    agree: Callable[[str, str, str], bool],
) -> SideAgain:
    """A round when the move began shows the noise; without one, or without a later one, nothing can be compared."""
    if len(rounds) < 2:
        return SideAgain()
    asked = turned = returned = 0
    for id in known:
        if not (id in first and id in rounds[0] and id in rounds[-1]):
            continue
        asked += 1
        now = agree(rounds[-1][id], first[id], id)
        then = agree(rounds[0][id], first[id], id)
        turned += then and not now
        returned += now and not then
    return SideAgain(asked=asked, turned=turned, returned=returned)
