"""Prices against OpenAI's and Anthropic's published lists, and names as gateways and clients write them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from insource.providers.prices import estimate_tokens, price_usd
from insource.wire.chat import usage_tokens

_WHEN = datetime(2026, 6, 1, tzinfo=UTC)


def _price(model: str, *, input_tokens: int = 1_000, output_tokens: int = 1_000) -> float | None:
    return price_usd(model, input_tokens=input_tokens, output_tokens=output_tokens, when=_WHEN)


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("gpt-4o-mini", 0.00015 + 0.0006),
        ("openai/gpt-4o-mini", 0.00015 + 0.0006),
        (" GPT-4o-Mini ", 0.00015 + 0.0006),
        ("gpt-4-0314", 0.03 + 0.06),
        ("gpt-4-1106-preview", 0.01 + 0.03),
        ("openrouter/openai/gpt-4o", 0.0025 + 0.01),
        ("azure/gpt-4o", 0.0025 + 0.01),
        ("claude-sonnet-4-5", 0.003 + 0.015),
        ("anthropic/claude-sonnet-4-5", 0.003 + 0.015),
    ],
)
def test_list_price_of_a_thousand_tokens_each_way(model: str, usd: float) -> None:
    assert _price(model) == pytest.approx(usd, rel=1e-9)


def test_googles_prefix_is_not_a_provider() -> None:
    assert _price("models/gemini-2.5-flash") == _price("gemini-2.5-flash")
    assert _price("gemini-2.5-flash") is not None


@pytest.mark.parametrize(
    "model", ["", "/", "no-such-model", "openai/no-such-model", "ollama/gpt-4o", "SmolLM2-135M-Instruct", "x" * 10_000]
)
def test_unknown_model_has_no_price(model: str) -> None:
    assert _price(model) is None


def test_every_model_costs_what_the_package_says() -> None:
    """Below, at and above the steps of prices that depend on the context's length, at two hours of the day."""
    models = [(provider, model) for provider in get_snapshot().providers for model in provider.models]
    asked = ((0, 0), (123, 45), (31_999, 4_000), (300_001, 7))
    compared = 0
    for provider, model in models[::5]:  # a fifth takes a second; the step moves over all providers
        if provider.find_model(model.id.lower()) is not model:
            continue  # a few are found under another model's name
        compared += 1
        for (read, written), when in product(asked, (_WHEN, _WHEN.replace(hour=18))):
            usage = Usage(input_tokens=read, output_tokens=written)
            theirs = model.calc_price(usage, provider, genai_request_timestamp=when)
            ours = price_usd(f"{provider.id}/{model.id}", input_tokens=read, output_tokens=written, when=when)
            assert ours == float(theirs.total_price), (provider.id, model.id, read)
    assert compared > 150


@given(st.integers(0, 10**5), st.integers(0, 10**5))
def test_price_is_zero_for_nothing_and_never_negative(input_tokens: int, output_tokens: int) -> None:
    price = _price("gpt-4o-mini", input_tokens=input_tokens, output_tokens=output_tokens)
    assert price is not None
    assert (price == 0) == (input_tokens == output_tokens == 0)
    assert price >= 0


@given(st.text(max_size=30))
def test_any_name_gives_a_price_or_none(model: str) -> None:
    price = _price(model)
    assert price is None or price >= 0


def test_estimate_rounds_up() -> None:
    assert [estimate_tokens(n) for n in (-1, 0, 1, 4, 5, 4_000)] == [0, 0, 1, 1, 2, 1_000]


def test_the_tables_are_not_loaded_at_import() -> None:
    code = "import sys, insource.providers.prices; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"])
        | st.sampled_from(["cache_read_input_tokens", "cache_creation_input_tokens"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([1]),
    )
)
def test_counts_of_tokens_that_are_none_are_not_priced(stated: dict[str, Any]) -> None:
    counted = usage_tokens({"usage": stated})
    if counted is not None:
        assert all(type(n) is int and n >= 0 for n in counted)
        price_usd("gpt-4o", input_tokens=counted[0], output_tokens=counted[1], when=_WHEN)
