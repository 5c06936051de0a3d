"""Rates give the price list's own prices, for every model on it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from genai_prices.data_snapshot import get_snapshot

from insource.providers.prices import price_usd
from insource.workflows.serve.price_rates import PriceRates

WHEN = datetime(2026, 11, 3, 14, 30, 59, tzinfo=UTC)


def test_every_model_costs_what_the_list_says() -> None:
    rates = PriceRates(price_usd)
    models = [f"{provider.id}/{model.id}" for provider in get_snapshot().providers for model in provider.models]
    priced = 0
    for model in models[::5]:  # a fifth takes a second; the step moves over all providers
        for tokens in ((0, 0), (1, 1), (31_999, 4_000)):
            listed = price_usd(model, input_tokens=tokens[0], output_tokens=tokens[1], when=WHEN)
            found = rates(model, input_tokens=tokens[0], output_tokens=tokens[1], when=WHEN)
            assert found == (None if listed is None else pytest.approx(listed, rel=1e-9, abs=1e-15)), model
            priced += listed is not None
    assert priced > 500


def test_the_list_is_asked_once_a_minute_for_each_model() -> None:
    asked: list[str] = []

    def price(model: str, *, input_tokens: int, output_tokens: int, when: datetime) -> float | None:
        asked.append(model)
        return 1.0 * input_tokens + 2.0 * output_tokens

    rates = PriceRates(price)
    assert [rates("m", input_tokens=n, output_tokens=1, when=WHEN) for n in range(50)] == [n + 2.0 for n in range(50)]
    assert len(asked) == 3
    assert rates("m", input_tokens=40_000, output_tokens=0, when=WHEN) == 40_000
    assert len(asked) == 4
