"""What pages are made of: text made harmless, figures that are kept, and the geometry of charts."""

from __future__ import annotations

import threading
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from insource.core.log_figures import DayFigures
from insource.evals.ledger import Stakes
from insource.evals.story import tell
from insource.web import plots, shown
from insource.web.kept import Kept
from tests.fakes.evidence import outcome, terms


@given(st.text(max_size=300), st.integers(1, 200))
def test_nothing_in_a_text_acts_or_hides(text: str, most: int) -> None:
    seen = shown.visible(text, most=most)
    assert all(c.isprintable() or c in "\n\t\u200c\u200d" for c in seen)
    seen.encode()
    assert len(seen) <= 10 * most + 40
    if text.isprintable() and len(text) <= most:
        assert seen == text


def test_amounts_are_written_out() -> None:
    amounts = {None: "–", 0: "$0.00", 0.00002: "$0.00002", 0.5: "$0.50", 1234.5: "$1,234.50"}
    assert {value: shown.usd(value) for value in amounts} == amounts
    assert (shown.percent(None), shown.percent(0.123)) == ("–", "12.3 %")
    assert (shown.seconds(0.25), shown.seconds(3)) == ("250 ms", "3.0 s")
    assert shown.moment("no date") == shown.moment(None) == "unknown"


def test_a_figure_is_kept_in_proportion_to_what_it_took() -> None:
    now, made = [0.0], list[int]()
    kept = Kept(lambda: now[0])

    def slow() -> int:
        now[0] += 2.0
        made.append(1)
        return len(made)

    assert (kept.get("a", slow), kept.get("a", slow)) == (1, 1)
    now[0] += 239
    assert kept.get("a", slow) == 1
    now[0] += 2
    assert kept.get("a", slow) == 2


def test_while_a_figure_is_made_the_former_one_is_shown() -> None:
    now = [0.0]
    kept = Kept(lambda: now[0])
    others: list[int] = []

    def first() -> int:
        now[0] += 1.0
        return 1

    def second() -> int:
        other = threading.Thread(target=lambda: others.append(kept.get("a", first)))
        other.start()
        other.join(10)
        others.append(kept.get("b", lambda: 7))
        return 2

    assert kept.get("a", first) == 1
    now[0] += 130
    assert kept.get("a", second) == 2
    assert others == [1, 7], "nobody waits, for this figure or another"


_DAYS = st.builds(
    lambda day, upstream, n: DayFigures(
        day=date(2026, 1, 1) + timedelta(days=day), upstream=upstream, exchanges=n, cost_usd=n / 7, private=0,
        escalated=0, failed=0,
    ),
    st.integers(0, 400),
    st.sampled_from(["", "provider:openai", "engine:head", "engine:b", "engine:c"]),
    st.integers(0, 10**7),
)  # fmt: skip


@given(st.lists(_DAYS, min_size=1, max_size=40, unique_by=lambda d: (d.day, d.upstream)))
def test_bars_stay_inside_and_are_as_high_as_their_values(figures: list[DayFigures]) -> None:
    drawn = plots.bars_by_day(figures, lambda f: f.exchanges, shown.number)
    assert len(drawn.bars) == len(figures)
    for bar in drawn.bars:
        assert -0.1 <= bar.x <= bar.x + bar.width <= plots.SIDE + 0.1
        assert -0.1 <= bar.y <= bar.y + bar.height <= plots.SIDE + 0.1
    colours = [colour for colour, _ in drawn.series]
    assert all(0 <= colour < 6 for colour in colours)


@given(st.floats(1e-9, 1e12))
def test_an_axis_ends_at_a_round_number_above(value: float) -> None:
    top = plots.round_up(value)
    assert value * (1 - 1e-6) <= top <= 2.6 * value


def test_a_story_ends_where_the_ledger_stands() -> None:
    flawless = [outcome(place, confidence=0.9 if place % 2 else 0.4) for place in range(600)]
    story = tell(terms(), flawless, Stakes(margin=0.02, alpha=0.05))
    bounds = [step.loss_upper for step in story.narrowing]
    assert bounds[-1] < 0.02 < bounds[0]
    assert story.narrowing[-1].certified
    assert story.gate is not None
    assert story.gate.loss == 0
    assert [risk.coverage for risk in story.risks] == sorted(risk.coverage for risk in story.risks)


def test_without_outcomes_there_is_no_story() -> None:
    story = tell(terms(), [], Stakes(margin=0.02, alpha=0.05))
    assert (story.narrowing, story.risks, story.gate) == ((), (), None)
