"""Sums over the log and pages of it, on every database: the same as counting exchange by exchange."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
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
    since = (START + timedelta(hours=100)).date()
    assert sum(d.exchanges for d in store.figures.days(since=since)) == sum(e.created.date() >= since for e in counted)


def _counted(store: SqlExchangeStore) -> tuple[Counter[tuple[object, ...]], Counter[tuple[object, ...]]]:
    """By hand from what is in the log now: (by day and upstream, by task), each with what matters of an exchange."""
    days, tasks, task_of = Counter[tuple[object, ...]](), Counter[tuple[object, ...]](), store.assignments()
    for each in store.read():
        if each.marks.shadow_of is None:
            days[each.created.date(), _upstream(each), "exchanges"] += 1
            days[each.created.date(), _upstream(each), "private"] += bool(each.private_kinds)
            if each.id in task_of:
                tasks[task_of[each.id], "exchanges"] += 1
                tasks[task_of[each.id], "here"] += _upstream(each).startswith("engine:")
    return +days, +tasks


def _summed(store: SqlExchangeStore) -> tuple[Counter[tuple[object, ...]], Counter[tuple[object, ...]]]:
    days, tasks = Counter[tuple[object, ...]](), Counter[tuple[object, ...]]()
    for day in store.figures.days():
        days[day.day, day.upstream, "exchanges"] = day.exchanges
        days[day.day, day.upstream, "private"] = day.private
    for id, use in store.figures.tasks().items():
        tasks[id, "exchanges"], tasks[id, "here"] = use.exchanges, use.here
    return +days, +tasks


@pytest.mark.parametrize("seed", range(4))
def test_sums_stay_right_whatever_is_written(store: SqlExchangeStore, seed: int) -> None:
    drawn, made = random.Random(seed), _exchanges(150)
    for _ in range(25):
        some = drawn.sample(made, drawn.randrange(1, 60))
        held = {each.id for each in store.read()}
        tasks = {each.id: drawn.choice("abc") for each in some if each.id in held}
        kinds = {each.id: drawn.choice(((), ("email",), ("name", "email"))) for each in some}
        match drawn.choice(("append", "append", "assign", "assign more", "scan", "prune")):
            case "append":
                store.append(some)
            case "assign":
                store.assign(tasks)
            case "assign more":
                store.assign_more(tasks)
            case "scan":
                store.set_private_kinds(kinds)
            case _:
                store.prune(START + timedelta(hours=drawn.randrange(80)))
        assert _summed(store) == _counted(store)
    store.prune(START + timedelta(days=100))
    assert store.figures.days() == []
    assert store.figures.tasks() == {}


def test_ways_are_what_counting_gives(store: SqlExchangeStore) -> None:
    made = _exchanges(200)
    store.append(made)
    store.assign({e.id: f"t{number % 3}" for number, e in enumerate(made[:150])})
    task_of = store.assignments()
    since = (START + timedelta(hours=50)).date()
    by_hand = Counter(
        (task_of.get(e.id, ""), _upstream(e)) for e in made if e.marks.shadow_of is None and e.created.date() >= since
    )
    ways = store.figures.ways(since=since)
    assert {(way.task_id, way.upstream): way.exchanges for way in ways} == by_hand
    assert sum(way.private for way in store.figures.ways()) == sum(
        bool(e.private_kinds) for e in made if e.marks.shadow_of is None
    )


def test_a_broken_cost_does_not_swallow_the_others(store: SqlExchangeStore) -> None:
    plain = _exchanges(2)
    costs = (float("inf"), 1e300, 0.25)
    store.append(
        replace(plain[0], id=f"c{number}", cost_usd=cost, route=None, marks=Marks())
        for number, cost in enumerate(costs)
    )
    assert [day.cost_usd for day in store.figures.days()] == [0.25]


def test_tasks_are_what_counting_gives(store: SqlExchangeStore) -> None:
    made = _exchanges(200)
    store.append(made)
    store.assign({e.id: f"t{number % 3}" for number, e in enumerate(made[:150])})
    counted = [e for number, e in enumerate(made[:150]) if number % 3 == 1 and e.marks.shadow_of is None]
    use = store.figures.tasks()["t1"]
    assert use.exchanges == len(counted) == sum(d.exchanges for d in store.figures.days(task_id="t1"))
    assert use.here == sum(_upstream(e).startswith("engine:") for e in counted)
    assert use.last_day == max(e.created for e in counted).date()
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
