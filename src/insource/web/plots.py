"""The geometry of the charts, in a square of 1,000 by 1,000 that the page stretches; templates draw it. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from insource.core.log_figures import IMPORTED, DayFigures

SIDE = 1000
_COLOURS = 6
_HOSTED = 0
"""Colour of what a hosted service answered; the others are for this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    series: int
    """Of the colours."""
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    bars: tuple[Bar, ...]
    series: tuple[tuple[int, str], ...]
    """(colour, name)."""
    top: str
    first: str
    last: str
    summary: str


def upstream_name(upstream: str) -> str:
    return "hosted (imported)" if upstream == IMPORTED else upstream


def bars_by_day(
    figures: Sequence[DayFigures], value: Callable[[DayFigures], float], show: Callable[[float], str]
) -> Bars:
    """A bar a day, its parts by upstream, those of hosted services lowest."""
    upstreams = sorted({each.upstream for each in figures}, key=lambda name: (name.startswith("engine:"), name))
    colour = {name: _colour(place, name, upstreams) for place, name in enumerate(upstreams)}
    totals: defaultdict[object, float] = defaultdict(float)
    for each in figures:
        totals[each.day] += value(each)
    first, last = min(each.day for each in figures), max(each.day for each in figures)
    top = round_up(max(totals.values()))
    step = SIDE / ((last - first).days + 1)
    reached: defaultdict[object, float] = defaultdict(float)
    bars: list[Bar] = []
    for each in sorted(figures, key=lambda f: (f.day, upstreams.index(f.upstream))):
        height = SIDE * value(each) / top
        reached[each.day] += height
        said = f"{each.day.isoformat()}, {upstream_name(each.upstream)}: {show(value(each))}"
        x = (each.day - first) / timedelta(days=1) * step
        bars.append(
            Bar(
                x=round(x + 0.08 * step, 2),
                y=round(SIDE - reached[each.day], 2),
                width=round(0.84 * step, 2),
                height=round(height, 2),
                series=colour[each.upstream],
                title=said,
            )
        )
    total = sum(totals.values())
    return Bars(
        bars=tuple(bars),
        series=tuple((colour[name], upstream_name(name)) for name in upstreams),
        top=show(top),
        first=first.isoformat(),
        last=last.isoformat(),
        summary=f"{show(total)} from {first.isoformat()} to {last.isoformat()}.",
    )


def _colour(place: int, name: str, upstreams: Sequence[str]) -> int:
    """Hosted ones take the quiet colour first, then the later ones; those here begin with the strong one."""
    if not name.startswith("engine:"):
        return _HOSTED if place == 0 else max(_COLOURS - place, 2)
    own = [each for each in upstreams if each.startswith("engine:")].index(name)
    return 1 + own % (_COLOURS - 1)


def round_up(value: float) -> float:
    """To 1, 2, 2.5 or 5 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * (1 - 1e-9))


# --------------------------------------------------------------------------------------------- curves and intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Of an axis: values between its ends lie inside of the drawing."""

    low: float
    high: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(SIDE * min(max(share, 0.0), 1.0), 2)

    def up(self, value: float) -> float:
        return round(SIDE - self.at(value), 2)


def polyline(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    """For `points` of an SVG."""
    return " ".join(f"{x.at(a)},{y.up(b)}" for a, b in points)
