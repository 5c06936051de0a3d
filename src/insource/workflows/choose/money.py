"""What a log's hosted calls cost a month, what the machine costs that would answer instead, and when that pays. Pure.

A month is a twelfth of a year. A month's figure is scaled from the period that the log covers, from its first to its
last exchange, however unevenly they lie in it: the period is shown beside it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from math import isfinite

from insource.core.errors import UsageError
from insource.core.values import Exchange
from insource.providers.prices import estimated_tokens
from insource.wire.chat import usage_tokens

DAYS_A_MONTH = 365.25 / 12
HOURS_A_MONTH = 24 * DAYS_A_MONTH
_LEAST_DAYS = 1.0
"""A shorter log is an hour of the day or a burst of tests: scaled to a month it says nothing."""
_FIRST_YEAR = 2020
"""An earlier time was made up by the reader of a log that states none (traffic/log_line.py)."""


# ------------------------------------------------------------------------------------------------ hosted calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Of one task's exchanges in the log, in US dollars."""

    exchanges: int = 0
    total_usd: float = 0.0
    estimated_usd: float = 0.0
    """Part of the total: list prices, or assumed ones, because the log states no cost."""
    unpriced: int = 0
    """Hosted exchanges whose cost nobody knows; they count as free."""
    answered_here: int = 0
    """They cost nothing any more."""

    def after(self, coverage: float) -> float:
        """What the same exchanges cost when this share of them is answered here; some of them may be already."""
        hosted = self.exchanges - self.answered_here
        if coverage <= 0 or hosted <= 0:
            return self.total_usd
        return min(self.total_usd, self.total_usd * self.exchanges / hosted * (1 - coverage))


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumedPrice:
    """What a hosted model is taken to cost, in US dollars per million tokens."""

    model: str
    """A name, or a pattern as `gpt-4.1*`."""
    input_usd: float
    output_usd: float

    def applies(self, model: str) -> bool:
        return fnmatchcase(model.casefold(), self.model.casefold())


_PRICE = re.compile(r"(?P<model>.+)=(?P<input>[^=/,]+)[/,](?P<output>[^=/,]+)")


def parse_price(text: str) -> AssumedPrice:
    """`MODEL=IN/OUT`. Raises UsageError."""
    found = _PRICE.fullmatch(text.strip())
    try:
        given = [float(found[name]) for name in ("input", "output")] if found else []
    except ValueError:
        given = []
    if found is None or not given or not all(isfinite(usd) and usd >= 0 for usd in given):
        raise UsageError(
            f"{text!r} is not a price.",
            next_step="Write MODEL=IN/OUT in USD per million tokens, as `gpt-4.1=2/8`; MODEL may hold `*`.",
        )
    return AssumedPrice(model=found["model"].strip(), input_usd=given[0], output_usd=given[1])


def assumed(exchange: Exchange, prices: Sequence[AssumedPrice]) -> Exchange:
    """At the first price that applies to its model; else as it is."""
    model = exchange.request.get("model") or (exchange.response or {}).get("model")
    if not prices or not isinstance(model, str) or _is_local(exchange):
        return exchange
    price = next((each for each in prices if each.applies(model)), None)
    counted = usage_tokens(exchange.response)
    tokens = counted or estimated_tokens(exchange.request, exchange.response, exchange.reference)
    if price is None or tokens is None:
        return exchange
    cost_usd = (tokens[0] * price.input_usd + tokens[1] * price.output_usd) / 1e6
    return replace(exchange, cost_usd=cost_usd, cost_source="estimate" if counted is None else "list price")


def bill_of(exchanges: Iterable[Exchange]) -> Bill:
    count, total, estimated, unpriced, local = 0, 0.0, 0.0, 0, 0
    for exchange in exchanges:
        count += 1
        total += exchange.cost_usd or 0.0
        estimated += (exchange.cost_usd or 0.0) if exchange.cost_source != "recorded" else 0.0
        unpriced += exchange.cost_usd is None and not _is_failed(exchange)
        local += _is_local(exchange)
    return Bill(exchanges=count, total_usd=total, estimated_usd=estimated, unpriced=unpriced, answered_here=local)


def _is_local(exchange: Exchange) -> bool:
    return exchange.route is not None and exchange.route.upstream.startswith("engine:")


def _is_failed(exchange: Exchange) -> bool:
    return exchange.response is None and exchange.status != 200


# ------------------------------------------------------------------------------------------------------ period


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """What the log covers."""

    first: datetime
    last: datetime
    timed_share: float = 1.0
    """Of the exchanges; the others state no time, and no month's figure holds them."""

    @property
    def days(self) -> float:
        return (self.last - self.first).total_seconds() / 86_400

    def a_month(self, amount: float) -> float | None:
        """Of an amount in the whole log; None: the period is too short to say."""
        if self.days < _LEAST_DAYS:
            return None
        return amount * self.timed_share * DAYS_A_MONTH / self.days


def period_of(times: Sequence[datetime]) -> Period | None:
    """None: no exchange states a time."""
    timed = [time for time in times if time.year >= _FIRST_YEAR]
    if not timed:
        return None
    return Period(first=min(timed), last=max(timed), timed_share=len(timed) / len(times))


def busiest_per_minute(times: Iterable[datetime]) -> float | None:
    """Requests a minute in the busiest hour; None: no exchange states a time. A mean over nights would be carried by
    machines that fail at noon."""
    hours = Counter(int(time.timestamp() // 3600) for time in times if time.year >= _FIRST_YEAR)
    return max(hours.values()) / 60 if hours else None


# ----------------------------------------------------------------------------------------------------- machine


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCost:
    """What the machine costs that answers; None: not set."""

    usd_per_month: float | None = None
    """Rent, or its price spread over its life."""
    watts: float | None = None
    """On average, day and night."""
    usd_per_kwh: float | None = None

    @property
    def power_usd_per_month(self) -> float | None:
        if self.watts is None or self.usd_per_kwh is None:
            return None
        return self.watts / 1000 * HOURS_A_MONTH * self.usd_per_kwh

    @property
    def total_usd_per_month(self) -> float | None:
        """None: nothing is known of it."""
        known = [usd for usd in (self.usd_per_month, self.power_usd_per_month) if usd is not None]
        return sum(known) if known else None


def break_even(saving_usd: float, cost_usd: float) -> float | None:
    """The share of today's traffic at which the saving pays for the machine: above 1 there is too little of it. None:
    nothing is saved, so no traffic pays."""
    return cost_usd / saving_usd if saving_usd > 0 else None
