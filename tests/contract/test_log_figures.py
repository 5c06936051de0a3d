"""Sums over the log and pages of it, on every database: the same as counting exchange by exchange."""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import pytest

from insource.core.log_figures import IMPORTED, LogSearch, Position
from insource.core.values import Exchange, Marks, Route
from insource.store import log_figures
from insource.store.exchanges import SqlExchangeStore
from tests.fakes.evidence import START

_UPSTREAMS = (None, "provider:openai", "engine:head", "engine:a\"b'%_")


def _exchanges(n: int) -> list[Exchange]:
    drawn = random.Random(7)
    made: list[Exchange] = []
    for number in range(n):
        upstream = drawn.choice(_UPSTREAMS)
        shadow = f"e{number - 1:03}" if drawn.random() < 0.1 else None
        made.append(
            Exchange(
                id=f"e{number:03}",
                created=START + timedelta(hours=drawn.randrange(200)),
                request={"model": "m", "messages": [{"role": "user", "content": f'say "{number}" 100% \\ _'}]},
                response=None,
                status=drawn.choice((200, 200, 500)),
                cost_usd=drawn.choice((None, 0.25, 1.5)),
                latency_seconds=drawn.choice((None, 0.5, 2.0)),
                private_kinds=drawn.choice((None, (), ("email",))),
                route=None if upstream is None else Route(upstream=upstream, model="m", reason='"upstream":"engine:x'),
                marks=Marks(escalated=drawn.random() < 0.3, shadow_of=shadow),
            )
        )
    return made


def _upstream(exchange: Exchange) -> str:
    return exchange.route.upstream if exchange.route else IMPORTED


def test_days_are_what_counting_gives(store: SqlExchangeStore) -> None:
    made = _exchanges(300)
    store.append(made)
    counted = [e for e in made if e.marks.shadow_of is None]
    days = store.figures.days()
    by_hand = Counter((e.created.date(), _upstream(e)) for e in counted)
    assert {(d.day, d.upstream): d.exchanges for d in days} == by_hand
    assert sum(d.cost_usd for d in days) == sum(e.cost_usd or 0 for e in counted)
    assert sum(d.private for d in days) == sum(bool(e.private_kinds) for e in counted)
    assert sum(d.escalated for d in days) == sum(e.marks.escalated for e in counted)
    assert sum(d.failed for d in days) == sum(e.status >= 400 for e in counted)
    assert [(d.day, d.upstream) for d in days] == sorted((d.day, d.upstream) for d in days)
    since = START + timedelta(hours=100)
    assert sum(d.exchanges for d in store.figures.days(since=since)) == sum(e.created >= since for e in counted)


def test_tasks_are_what_counting_gives(store: SqlExchangeStore) -> None:
    made = _exchanges(200)
    store.append(made)
    store.assign({e.id: f"t{number % 3}" for number, e in enumerate(made[:150])})
    counted = [e for number, e in enumerate(made[:150]) if number % 3 == 1 and e.marks.shadow_of is None]
    use = store.figures.tasks()["t1"]
    assert use.exchanges == len(counted) == sum(d.exchanges for d in store.figures.days(task_id="t1"))
    assert use.here == sum(_upstream(e).startswith("engine:") for e in counted)
    assert (use.first, use.last) == (min(e.created for e in counted), max(e.created for e in counted))
    times = [e.latency_seconds for e in counted if e.latency_seconds is not None]
    assert use.latency_seconds is not None
    assert abs(use.latency_seconds - sum(times) / len(times)) < 1e-9


def test_pages_show_everything_once_the_newest_first(store: SqlExchangeStore) -> None:
    made = _exchanges(120)
    store.append(made)
    seen: list[Exchange] = []
    before: Position | None = None
    while True:
        page = store.figures.page(LogSearch(), before=before, most=17)
        seen += page.exchanges
        before = page.older
        if before is None:
            break
    assert [e.id for e in seen] == [e.id for e in sorted(made, key=lambda e: (e.created, e.id), reverse=True)]


@pytest.mark.parametrize("often", [1, 1_000], ids=["often", "seldom"])
def test_a_task_is_found_however_often_it_comes(
    store: SqlExchangeStore, monkeypatch: pytest.MonkeyPatch, often: int
) -> None:
    monkeypatch.setattr(log_figures, "_OFTEN", often)
    made = _exchanges(60)
    store.append(made)
    store.assign({e.id: f"t{number % 3}" for number, e in enumerate(made)})
    newest = sorted(made[1::3], key=lambda e: (e.created, e.id), reverse=True)
    first = store.figures.page(LogSearch(task_id="t1"), most=15)
    assert [e.id for e in first.exchanges] == [e.id for e in newest[:15]]
    assert set(first.task_of.values()) == {"t1"}
    rest = store.figures.page(LogSearch(task_id="t1"), before=first.older, most=15)
    assert [e.id for e in rest.exchanges] == [e.id for e in newest[15:]]


def test_searches_find_what_they_name(store: SqlExchangeStore) -> None:
    made = _exchanges(120)
    store.append(made)
    store.assign({"e005": "t1", "e006": "t1"})

    def found(search: LogSearch) -> set[str]:
        return {e.id for e in store.figures.page(search, most=1_000).exchanges}

    served = [e for e in made if e.marks.shadow_of is None]
    assert found(LogSearch(where="here")) == {e.id for e in served if _upstream(e).startswith("engine:")}
    assert found(LogSearch(where="hosted")) == {e.id for e in served if not _upstream(e).startswith("engine:")}
    assert found(LogSearch(where="private")) == {e.id for e in made if e.private_kinds}
    assert found(LogSearch(where="shadow")) == {e.id for e in made if e.marks.shadow_of}
    assert found(LogSearch(task_id="t1")) == {"e005", "e006"}
    assert found(LogSearch(text='say "17"')) == {"e017"}
    assert found(LogSearch(text="e017")) == {"e017"}, "an id"
    assert found(LogSearch(text="100% \\ _")) == {e.id for e in made}
    assert not found(LogSearch(text="100_"))


def test_one_and_the_newest(store: SqlExchangeStore) -> None:
    assert store.figures.newest() is None
    assert store.figures.one("e001") is None
    made = _exchanges(5)
    store.append(made)
    store.assign({"e001": "t1"})
    assert store.figures.one("e001") == (made[1], "t1")
    assert store.figures.one("e002") == (made[2], None)
    assert store.figures.newest() == max(e.created for e in made)
