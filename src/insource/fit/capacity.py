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
    queue = _Queue(lengths, speed, target, seed=seed)
    if queue.alone_seconds > target.seconds:
        return Capacity(
            requests_per_minute=0.0,
            seconds=queue.alone_seconds,
            utilisation=0.0,
            bottleneck="latency of one request",
        )
    low, high = 0.0, queue.highest_rate
    reached = queue.alone_seconds
    at_most = queue.seconds_at(high)
    if at_most <= target.seconds:
        low, reached = high, at_most
    else:
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            seconds = queue.seconds_at(middle)
            if seconds <= target.seconds:
                low, reached = middle, seconds
            else:
                high = middle
    return Capacity(
        requests_per_minute=60 * low,
        seconds=reached,
        utilisation=queue.served(low).utilisation if low else 0.0,
        bottleneck=queue.bottleneck if low else "latency of one request",
    )


def sustains(
    lengths: Sequence[Lengths],
    speed: ServiceSpeed,
    target: LatencyTarget,
    *,
    requests_per_minute: float,
    seed: int = 20261125,
) -> bool:
    """Whether that rate lies within the capacity: one simulation instead of the search for the highest. Raises
    BadInput."""
    queue = _Queue(lengths, speed, target, seed=seed)
    rate = requests_per_minute / 60
    return (
        queue.alone_seconds <= target.seconds
        and rate <= queue.highest_rate
        and (queue.seconds_at(rate) <= target.seconds)
    )


class _Queue:
    """A task's requests before one engine. The draws are the same at every rate, so that the latency grows with it."""

    def __init__(self, lengths: Sequence[Lengths], speed: ServiceSpeed, target: LatencyTarget, *, seed: int) -> None:
        _check(lengths, speed, target)
        generator = np.random.default_rng(seed)
        self._speed, self._share = speed, target.share
        self._drawn = _drawn(lengths, generator)
        self._gaps = generator.exponential(1.0, _REQUESTS)
        self._prefill_seconds, self._decode_seconds = _work_seconds(self._drawn, speed)

    @property
    def alone_seconds(self) -> float:
        """What the target's share of requests takes when nothing else is there."""
        return float(np.quantile(_service_seconds(self._drawn, self._speed), self._share))

    @property
    def highest_rate(self) -> float:
        """Requests per second; nearer to never resting, a queue does not settle."""
        return _MOST_UTILISED / (self._prefill_seconds + self._decode_seconds)

    @property
    def bottleneck(self) -> Bottleneck:
        return "prefill" if self._prefill_seconds > self._decode_seconds else "decode"

    def served(self, rate: float) -> Served:
        return simulate(np.cumsum(self._gaps / rate), self._drawn, self._speed)

    def seconds_at(self, rate: float) -> float:
        return float(np.quantile(self.served(rate).latency_seconds[_WARM_UP:], self._share))


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
                f"A request can't have {each.prompt_tokens!r} prompt and {each.answer_tokens!r} answer tokens.",
                next_step="Leave it out.",
            )
    if not speed.step_seconds or min(speed.step_seconds) <= 0 or speed.prefill_tokens_per_second <= 0:
        raise BadInput(f"An engine's speed is not positive: {speed!r}.", next_step="Predict or measure it first.")
    if not (target.seconds > 0 and 0 < target.share < 1):
        raise BadInput(
            f"A latency target of {target.seconds!r} s for a share of {target.share!r} can't be met or missed.",
            next_step="Give seconds above 0 and a share between 0 and 1, such as 0.95.",
        )
