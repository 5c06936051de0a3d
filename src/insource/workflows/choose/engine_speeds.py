"""What the engine's own exchanges say about how fast it is here: the running correction of predicted speed.

Derived from the log each time, so there is nothing to keep in step with it. Only exchanges that were alone count: what
ran beside others was slower for a reason that the correction must not learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from insource.core.architecture import ModelSpec
from insource.core.hardware import Machine
from insource.core.stores import ExchangeFilter, ExchangeStore
from insource.core.values import Exchange
from insource.fit.calibration import Correction, update
from insource.fit.memory import predict_memory
from insource.fit.speed import Corrections, predict_speed
from insource.fit.values import RunSettings
from insource.fit.work import Load

_NEWEST = 500
"""Exchanges that are read: more than the correction remembers (`fit/calibration.py`)."""
_FEWEST_TOKENS = 8
"""A shorter answer measures the start of the step, not the step."""
_FEWEST_PROMPT_TOKENS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One exchange that the local engine answered alone, as llama.cpp timed it."""

    model: str
    depth_tokens: int
    """In the middle of the answer."""
    decode_tokens_per_second: float | None
    prompt_tokens: int
    prefill_tokens_per_second: float | None


def observed(exchanges: Iterable[Exchange]) -> list[Observed]:
    """In the order of the log. Pure."""
    timed = [exchange for exchange in exchanges if exchange.latency_seconds is not None]
    return [found for found in map(_observe, _alone(timed)) if found is not None]


def corrections(
    exchanges: ExchangeStore,
    *,
    spec_of: Callable[[str], ModelSpec | None],
    family: str,
    machine: Machine,
    run: RunSettings,
) -> Corrections:
    """For models of one architecture. `spec_of` gives the spec of a model by the name in its route; None: gone."""
    decode, prefill = Correction(), Correction()
    specs: dict[str, ModelSpec | None] = {}
    for item in observed(exchanges.read(ExchangeFilter(upstream="engine:llamacpp", newest=_NEWEST))):
        if item.model not in specs:
            specs[item.model] = spec_of(item.model)
        spec = specs[item.model]
        if spec is None or spec.architecture.name != family:
            continue
        memory = predict_memory(spec, machine, run)
        at_depth = predict_speed(spec, machine, run, memory=memory, load=Load(depth_tokens=item.depth_tokens))
        at_prompt = predict_speed(spec, machine, run, memory=memory, load=Load(depth_tokens=item.prompt_tokens))
        if at_depth is not None and item.decode_tokens_per_second is not None:
            decode = update(decode, item.decode_tokens_per_second, at_depth.decode_tokens_per_second.mid)
        if at_prompt is not None and item.prefill_tokens_per_second is not None:
            prefill = update(prefill, item.prefill_tokens_per_second, at_prompt.prefill_tokens_per_second.mid)
    return Corrections(decode=decode, prefill=prefill)


def _alone(exchanges: Sequence[Exchange]) -> list[Exchange]:
    """Those during which no other one was being answered."""
    spans = sorted((_span(exchange), number) for number, exchange in enumerate(exchanges))
    overlapping: set[int] = set()
    latest_end, latest = datetime.min.replace(tzinfo=UTC), -1
    for (start, end), number in spans:
        if start < latest_end:
            overlapping |= {number, latest}
        if end > latest_end:
            latest_end, latest = end, number
    return [exchange for number, exchange in enumerate(exchanges) if number not in overlapping]


def _span(exchange: Exchange) -> tuple[datetime, datetime]:
    return exchange.created, exchange.created + timedelta(seconds=exchange.latency_seconds or 0.0)


def _observe(exchange: Exchange) -> Observed | None:
    """llama.cpp's `timings`; None for an answer that has none (a stream's are not recorded) or is too short."""
    timings = (exchange.response or {}).get("timings")
    if not isinstance(timings, dict) or exchange.route is None:
        return None
    cached, prompt, answer = (_number(timings.get(key)) for key in ("cache_n", "prompt_n", "predicted_n"))
    decode = _number(timings.get("predicted_per_second")) if answer >= _FEWEST_TOKENS else 0.0
    prefill = _number(timings.get("prompt_per_second")) if prompt >= _FEWEST_PROMPT_TOKENS and not cached else 0.0
    if decode <= 0 and prefill <= 0:
        return None
    return Observed(
        model=exchange.route.model,
        depth_tokens=int(cached + prompt + answer / 2),
        decode_tokens_per_second=decode or None,
        prompt_tokens=int(prompt),
        prefill_tokens_per_second=prefill or None,
    )


def _number(value: object) -> float:
    """0 for whatever is not a finite, positive number: the log may hold anything."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12
    return float(value) if good and isinstance(value, int | float) else 0.0
