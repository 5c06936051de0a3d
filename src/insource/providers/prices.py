"""What a request to a hosted model costs, from the offline snapshot that genai-prices ships (no network, ever).

Not here: budgets, and costs that a provider itself reported, which always win over a computed price.
"""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from insource.core.values import JsonObject
from insource.wire import chat

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

_LONGEST_NAME = 200
"""Model names come from clients; no model of the snapshot has a longer one."""
_BYTES_PER_TOKEN = 4
_ASKED = ("messages", "tools", "functions", "input", "instructions", "system", "prompt")
"""Where the dialects put what costs tokens."""


def estimate_tokens(text_bytes: int) -> int:
    """An estimate for records without token counts: UTF-8 bytes / 4, rounded up.

    The usual rule of thumb for English text and BPE vocabularies of 50,000 to 200,000 tokens; digits, code and other
    scripts take more tokens. Whoever uses it marks the cost as estimated.
    """
    return -(-max(text_bytes, 0) // _BYTES_PER_TOKEN)


def estimated_tokens(request: JsonObject, response: JsonObject | None, reference: str | None) -> tuple[int, int] | None:
    """(input, output) of a request and its answer, or of what stands for it; None where nothing was answered.

    Keys and roles of the messages stand for the tokens that the chat format adds. Pictures and sound are not counted.
    """
    asked = [request.get(key) for key in _ASKED]
    out = _text_bytes(reference if response is None else _answered(response))
    return (estimate_tokens(_text_bytes(asked)), estimate_tokens(out)) if out else None


def _answered(response: JsonObject) -> list[Any]:
    """What was said, without what only frames it."""
    choices: list[Any] = response.get("choices") or []
    said: list[Any] = [response.get("output"), response.get("content")]
    for choice in choices if isinstance(response.get("choices"), list) else []:
        message = choice.get("message") if isinstance(choice, dict) else None
        message = message if isinstance(message, dict) else {}
        said += [message.get(key) for key in ("content", "tool_calls", "function_call", "refusal")]
        said.append(choice.get("text") if isinstance(choice, dict) else None)
    return said


def _text_bytes(value: Any) -> int:
    texts = chat.strings(value)
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts if ";base64," not in text)


def price_usd(model: str, *, input_tokens: int, output_tokens: int, when: datetime) -> float | None:
    """The list price of one request at the time `when` (timezone-aware), or None for a model without a known price.

    Input tokens are all prompt tokens; the discount on cached ones is not applied, so this is an upper bound. One
    request, because some models cost more per token above a context length: never pass the sum of many. A provider
    prefix (`openai/`, `azure/`, `openrouter/openai/`) chooses that provider's price; an unknown one such as `ollama/`
    has none.
    """
    name = model.strip().lower()
    found = _find(name)
    if found is None:
        return None
    rates = _rates(name, _condition(found[1], when))
    if input_tokens > rates.most_input_tokens:
        return float(_list_price(found, input_tokens, output_tokens, when=when))
    return float(rates.base + rates.input_token * input_tokens + rates.output_token * output_tokens)


class _Rates(NamedTuple):
    """Exact, in US dollars."""

    base: Decimal
    input_token: Decimal
    output_token: Decimal
    most_input_tokens: float
    """Beyond them a token has another price."""


def _condition(info: ModelInfo, when: datetime) -> int:
    """Which of a model's prices holds at that time; the package's own rule is asked only where there are several."""
    if not isinstance(info.prices, list) or len(info.prices) < 2:
        return 0
    holds = info.get_prices(when)
    return next(at for at, condition in enumerate(info.prices) if condition.prices is holds)


@lru_cache(maxsize=1024)
def _rates(model: str, at: int) -> _Rates:
    """What each token costs, drawn from the package's prices: asking it takes 50 microseconds."""
    from genai_prices.types import ModelInfo, TieredPrices

    found = _find(model)
    assert found is not None  # who asks has found it
    provider, info = found
    prices = info.prices[at].prices if isinstance(info.prices, list) else info.prices
    tiers = [tier for price in vars(prices).values() if isinstance(price, TieredPrices) for tier in price.tiers]
    alone = provider, ModelInfo(id=info.id, match=info.match, prices=prices)
    base, one_in, one_out = (_list_price(alone, *tokens) for tokens in ((0, 0), (1, 0), (0, 1)))
    most = min((tier.start for tier in tiers), default=math.inf)
    return _Rates(base, one_in - base, one_out - base, most_input_tokens=most)


def _list_price(
    found: tuple[Provider, ModelInfo], input_tokens: int, output_tokens: int, *, when: datetime | None = None
) -> Decimal:
    from genai_prices import Usage

    provider, info = found
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    return info.calc_price(usage, provider, genai_request_timestamp=when).total_price


@lru_cache(maxsize=1024)  # bounded, unlike the package's own memory of names that it did not find
def _find(model: str) -> tuple[Provider, ModelInfo] | None:
    if not model or len(model) > _LONGEST_NAME:
        return None
    # Imported late: 1.6 MB of tables take 0.2 s, which `insource --help` must not pay.
    from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

    providers = get_snapshot().providers
    prefix, slash, rest = model.partition("/")
    if slash and prefix == "models":  # Google's own form, `models/gemini-…`
        prefix, slash, model = "", "", rest
    if slash:
        provider = find_provider_by_id(providers, prefix)
        model = rest
    else:
        provider = next((p for p in providers if p.model_match and p.model_match.is_match(model)), None)
    info = provider.find_model(model, all_providers=providers) if provider else None
    return (provider, info) if provider and info else None
