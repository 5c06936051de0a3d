"""What a request to a hosted model costs, from the offline snapshot that genai-prices ships (no network, ever).

Not here: budgets, and costs that a provider itself reported, which always win over a computed price.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from insource.core.values import JsonObject
from insource.wire import chat

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_LONGEST_NAME = 200
"""Model names come from clients; no model of the snapshot has a longer one."""
_BYTES_PER_TOKEN = 4
_PER = 1_000_000
"""Tokens that prices are stated for."""
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
    priced = _find(model.strip().lower())
    return None if priced is None else float(priced.total_usd(input_tokens, output_tokens, when))


class _Priced:
    """A model with its prices. The package takes 0.2 ms for a request, so what it takes for a request and for a token
    is asked once, wherever these do not depend on the context's length."""

    def __init__(self, provider: Provider, info: ModelInfo) -> None:
        self._provider, self._info = provider, info
        self._known: list[tuple[ModelPrice, _Rates | None]] = []
        """A few: a model's price changes with its date, or with the hour."""

    def total_usd(self, input_tokens: int, output_tokens: int, when: datetime) -> Decimal:
        rates = self._rates(when)
        if rates is None:
            return self._asked(input_tokens, output_tokens, when)
        return rates.request_usd + input_tokens * rates.input_usd + output_tokens * rates.output_usd

    def _rates(self, when: datetime) -> _Rates | None:
        """None: they depend on the number of tokens."""
        price = self._info.get_prices(when)
        for known, rates in self._known:
            if known is price:
                return rates
        rates = None if _is_tiered(price) else self._asked_rates(when)
        self._known.append((price, rates))
        return rates

    def _asked_rates(self, when: datetime) -> _Rates:
        request_usd = self._asked(0, 0, when)
        return _Rates(
            request_usd=request_usd,
            input_usd=(self._asked(_PER, 0, when) - request_usd) / _PER,
            output_usd=(self._asked(0, _PER, when) - request_usd) / _PER,
        )

    def _asked(self, input_tokens: int, output_tokens: int, when: datetime) -> Decimal:
        from genai_prices import Usage

        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        return self._info.calc_price(usage, self._provider, genai_request_timestamp=when).total_price


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    request_usd: Decimal
    input_usd: Decimal
    """Of one token."""
    output_usd: Decimal


def _is_tiered(price: ModelPrice) -> bool:
    return not all(value is None or isinstance(value, Decimal) for value in vars(price).values())


@lru_cache(maxsize=1024)  # bounded, unlike the package's own memory of names that it did not find
def _find(model: str) -> _Priced | None:
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
    return _Priced(provider, info) if provider and info else None
