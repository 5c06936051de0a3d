"""Prices at the speed of requests: the price list is asked once a minute for each model, not for each exchange.

A look-up in the list costs 70 µs, a tenth of the gateway's whole work. Below the list's lowest tier a price is a rate a
token, so three look-ups give all others; above it every exchange is looked up.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from insource.workflows.serve.record_exchange import Price

_ONE_RATE_TOKENS = 32_000
"""No model of the list has another rate below this many input tokens (a test walks the list)."""
_PROBE_TOKENS = 10_000


class PriceRates:
    """Gives what `price` gives. A minute is fine enough for the off-peak hours of some models."""

    def __init__(self, price: Price) -> None:
        self._price = price

        @lru_cache(maxsize=256)  # model names come from clients, so their number is bounded here
        def rates(model: str, minute: datetime) -> tuple[float, float, float] | None:
            base = price(model, input_tokens=0, output_tokens=0, when=minute)
            asked = price(model, input_tokens=_PROBE_TOKENS, output_tokens=0, when=minute)
            answered = price(model, input_tokens=0, output_tokens=_PROBE_TOKENS, when=minute)
            if base is None or asked is None or answered is None:
                return None
            return base, (asked - base) / _PROBE_TOKENS, (answered - base) / _PROBE_TOKENS

        self._rates = rates

    def __call__(self, model: str, *, input_tokens: int, output_tokens: int, when: datetime) -> float | None:
        if input_tokens >= _ONE_RATE_TOKENS:
            return self._price(model, input_tokens=input_tokens, output_tokens=output_tokens, when=when)
        rates = self._rates(model, when.replace(second=0, microsecond=0))
        return None if rates is None else rates[0] + rates[1] * input_tokens + rates[2] * output_tokens
