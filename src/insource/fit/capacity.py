"""How many requests a minute an engine sustains for a task's own lengths within a latency target. Pure, seeded.

A queue is simulated: requests arrive at random (Poisson) with lengths drawn from the task's, wait for one of the
engine's slots in order, have their prompt read, during which nobody is served, and are then decoded together with the
others, each slower the more there are. That is llama.cpp's and vLLM's continuous batching, on the pessimistic side:
they mix prompt batches with decode steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Literal

import numpy as np
import numpy.typing as npt

from insource.core.errors import BadInput

Bottleneck = Literal["prefill", "decode", "latency of one request"]
_REQUESTS = 3000
"""Simulated for every rate tried: the 95 % quantile is then known to some 5 % where the queue settles at all."""
_WARM_UP = 300
_MOST_UTILISED = 0.95
"""Of the rate at which the engine would never rest: nearer, a queue does not settle within a working day."""
_HALVINGS = 10
"""Of the rate: to a thousandth of the highest."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of one request, in tokens."""

    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpeed:
    """Of an engine with as many slots as `step_seconds` has items, at the task's usual depth."""

    prefill_tokens_per_second: float
    step_seconds: tuple[float, ...]
    """Of one decode step (a token for each) with 1, 2, ... sequences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTarget:
    seconds: float
    """From a request's arrival to the last token of its answer."""
    share: float = 0.95
    """Of requests that must meet it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    requests_per_minute: float
    """0: even a request alone misses the target too often."""
    seconds: float
    """What the target's share of requests stays within at that rate."""
    utilisation: float
    """Share of the time in which the engine works at that rate."""
    bottleneck: Bottleneck
    """What takes most of the working time; or that waiting is not the problem."""


def capacity(
    lengths: Sequence[Lengths], speed: ServiceSpeed, target: LatencyTarget, *, seed: int = 20261125
) -> Capacity:
    """The highest rate whose simulated latency meets the target. Raises BadInput for lengths or speeds that mean
    nothing."""
    _check(lengths, speed, target)
    generator = np.random.default_rng(seed)
    drawn = _drawn(lengths, generator)
    gaps = generator.exponential(1.0, _REQUESTS)  # the same at every rate, so that the latency grows with it
    alone = _service_seconds(drawn, speed)
    prefill, decode = _work_seconds(drawn, speed)
    least = float(np.quantile(alone, target.share))
    if least > target.seconds:
        return Capacity(requests_per_minute=0.0, seconds=least, utilisation=0.0, bottleneck="latency of one request")

    def seconds_at(rate: float) -> float:
        served = simulate(np.cumsum(gaps / rate), drawn, speed)
        return float(np.quantile(served.latency_seconds[_WARM_UP:], target.share))

    low, high = 0.0, _MOST_UTILISED / (prefill + decode)
    reached = least
    at_most = seconds_at(high)
    if at_most <= target.seconds:
        low, reached = high, at_most
    else:
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            seconds = seconds_at(middle)
            if seconds <= target.seconds:
                low, reached = middle, seconds
            else:
                high = middle
    if low == 0.0:
        return Capacity(requests_per_minute=0.0, seconds=least, utilisation=0.0, bottleneck="latency of one request")
    served = simulate(np.cumsum(gaps / low), drawn, speed)
    return Capacity(
        requests_per_minute=60 * low,
        seconds=reached,
        utilisation=served.utilisation,
        bottleneck="prefill" if prefill > decode else "decode",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    latency_seconds: npt.NDArray[np.float64]
    """By request, in order of arrival: waiting and service."""
    utilisation: float


def simulate(arrivals: npt.NDArray[np.float64], lengths: npt.NDArray[np.float64], speed: ServiceSpeed) -> Served:
    """`arrivals` in seconds, ascending; `lengths`: a row of prompt and answer tokens for each."""
    slots, prefill = len(speed.step_seconds), speed.prefill_tokens_per_second
    done = np.zeros(len(arrivals))
    at = [float(x) for x in arrivals]
    reading = [float(x) / prefill for x in lengths[:, 0]]
    answers = [float(x) for x in lengths[:, 1]]
    now = progress = busy = 0.0
    """`progress`: tokens made by each sequence that has been decoded since the start; a request ends when it has grown
    by the length of its answer."""
    ends: list[tuple[float, int]] = []
    following = 0
    while following < len(at) or ends:
        if not ends and at[following] > now:
            now = at[following]
        if following < len(at) and at[following] <= now and len(ends) < slots:
            now += reading[following]
            busy += reading[following]
            heappush(ends, (progress + answers[following], following))
            following += 1
            continue
        step = speed.step_seconds[len(ends) - 1]
        finish = now + (ends[0][0] - progress) * step
        if following < len(at) and len(ends) < slots and at[following] < finish:
            progress += (at[following] - now) / step
            busy += at[following] - now
            now = at[following]
            continue
        busy += finish - now
        now = finish
        progress, ended = heappop(ends)
        done[ended] = now
    return Served(latency_seconds=done - arrivals, utilisation=busy / max(now - at[0], 1e-12) if at else 0.0)


def _drawn(lengths: Sequence[Lengths], generator: np.random.Generator) -> npt.NDArray[np.float64]:
    rows = np.array([(each.prompt_tokens, each.answer_tokens) for each in lengths], dtype=np.float64)
    return rows[generator.integers(0, len(rows), _REQUESTS)]


def _service_seconds(drawn: npt.NDArray[np.float64], speed: ServiceSpeed) -> npt.NDArray[np.float64]:
    """Of a request that is alone."""
    return drawn[:, 0] / speed.prefill_tokens_per_second + drawn[:, 1] * speed.step_seconds[0]


def _work_seconds(drawn: npt.NDArray[np.float64], speed: ServiceSpeed) -> tuple[float, float]:
    """Mean seconds of the engine that a request takes of prefill and of decode, at the best of its concurrencies."""
    shared = min(step / count for count, step in enumerate(speed.step_seconds, start=1))
    return float(drawn[:, 0].mean()) / speed.prefill_tokens_per_second, float(drawn[:, 1].mean()) * shared


def _check(lengths: Sequence[Lengths], speed: ServiceSpeed, target: LatencyTarget) -> None:
    if not lengths:
        raise BadInput(
            "Capacity needs a task's request lengths, and there are none.", next_step="Import its log first."
        )
    for each in lengths:
        if each.prompt_tokens < 0 or each.answer_tokens < 0 or each.prompt_tokens + each.answer_tokens == 0:
            raise BadInput(
                f"A request of {each.prompt_tokens!r} prompt and {each.answer_tokens!r} answer tokens is none.",
                next_step="Leave it out.",
            )
    if not speed.step_seconds or min(speed.step_seconds) <= 0 or speed.prefill_tokens_per_second <= 0:
        raise BadInput(f"An engine's speed is not positive: {speed!r}.", next_step="Predict or measure it first.")
    if not (target.seconds > 0 and 0 < target.share < 1):
        raise BadInput(
            f"A latency target of {target.seconds!r} s for a share of {target.share!r} can't be met or missed.",
            next_step="Give seconds above 0 and a share between 0 and 1, such as 0.95.",
        )
