"""The queue simulation against closed forms, and what must hold for every task and engine."""

from __future__ import annotations

from math import factorial, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.errors import BadInput
from insource.fit.capacity import Capacity, LatencyTarget, Lengths, ServiceSpeed, capacity, simulate, sustains

INSTANT = 1e12
"""Tokens per second of a prefill that takes no time."""


def queue(rate: float, service_tokens: np.ndarray, *, servers: int, seed: int = 5) -> np.ndarray:
    """Latencies at 1 s a token, after the warm-up."""
    generator = np.random.default_rng(seed)
    arrivals = np.cumsum(generator.exponential(1 / rate, len(service_tokens)))
    lengths = np.column_stack([np.zeros(len(service_tokens)), service_tokens])
    speed = ServiceSpeed(prefill_tokens_per_second=INSTANT, step_seconds=(1.0,) * servers)
    return simulate(arrivals, lengths, speed).latency_seconds[1000:]


def test_a_single_slot_with_random_answers_is_m_m_1() -> None:
    for load in (0.3, 0.6, 0.8):
        latency = queue(load, np.random.default_rng(1).exponential(1.0, 120_000), servers=1)
        assert latency.mean() == pytest.approx(1 / (1 - load), rel=0.06)
        assert np.quantile(latency, 0.95) == pytest.approx(log(20) / (1 - load), rel=0.06)


def test_a_single_slot_with_equal_answers_is_m_d_1() -> None:
    for load in (0.3, 0.6, 0.8):
        latency = queue(load, np.ones(120_000), servers=1)
        assert latency.mean() == pytest.approx(1 + load / (2 * (1 - load)), rel=0.04)


def test_slots_that_do_not_slow_each_other_are_m_m_c() -> None:
    for servers, offered in ((2, 1.4), (4, 3.2), (8, 6.0)):
        latency = queue(offered, np.random.default_rng(2).exponential(1.0, 120_000), servers=servers)
        blocked = offered**servers / factorial(servers) * servers / (servers - offered)
        waits = blocked / (sum(offered**k / factorial(k) for k in range(servers)) + blocked)  # Erlang C
        assert latency.mean() == pytest.approx(1 + waits / (servers - offered), rel=0.05)


def test_slots_that_share_one_engine_are_processor_sharing() -> None:
    """M/M/1 processor sharing has the mean latency of first come, first served."""
    answers = np.random.default_rng(3).exponential(1.0, 120_000)
    arrivals = np.cumsum(np.random.default_rng(4).exponential(1 / 0.7, len(answers)))
    speed = ServiceSpeed(prefill_tokens_per_second=INSTANT, step_seconds=tuple(float(n) for n in range(1, 65)))
    served = simulate(arrivals, np.column_stack([np.zeros(len(answers)), answers]), speed)
    assert served.latency_seconds[1000:].mean() == pytest.approx(1 / 0.3, rel=0.06)
    assert served.utilisation == pytest.approx(0.7, rel=0.02)


def test_prefill_stops_the_others() -> None:
    """The second prompt is read while the first answer is half made."""
    speed = ServiceSpeed(prefill_tokens_per_second=100.0, step_seconds=(0.1, 0.15))
    served = simulate(np.array([0.0, 1.5]), np.array([[100.0, 10.0], [50.0, 20.0]]), speed)
    # 1 s prompt; 0.5 s = 5 tokens; 0.5 s of the other's prompt; 5 tokens at 0.15 s; then the other 15 at 0.1 s
    assert served.latency_seconds[0] == pytest.approx(1 + 0.5 + 0.5 + 5 * 0.15)
    assert served.latency_seconds[1] == pytest.approx(0.5 + 5 * 0.15 + 15 * 0.1)


def test_the_capacity_of_m_m_1_is_found() -> None:
    """ln 20 / (mu - lambda) <= 8 s with mu = 1 a second: lambda = 0.6255 a second."""
    answers = -np.log(1 - (np.arange(2000) + 0.5) / 2000) * 1000
    found = capacity(
        [Lengths(0, max(1, round(float(tokens)))) for tokens in answers],
        ServiceSpeed(prefill_tokens_per_second=INSTANT, step_seconds=(0.001,)),
        LatencyTarget(seconds=8.0),
    )
    assert found.requests_per_minute / 60 == pytest.approx(1 - log(20) / 8, rel=0.12)
    assert found.utilisation == pytest.approx(found.requests_per_minute / 60, rel=0.06)
    assert found.seconds <= 8.0
    assert found.bottleneck == "decode"


lengths_drawn = st.lists(st.builds(Lengths, st.integers(1, 4000), st.integers(1, 300)), min_size=1, max_size=20)


@settings(max_examples=8)
@given(lengths_drawn, st.floats(100, 5000), st.floats(0.002, 0.05))
def test_a_faster_engine_or_a_looser_target_never_carries_less(
    lengths: list[Lengths], prefill: float, step: float
) -> None:
    def found(speed_up: float, seconds: float) -> Capacity:
        steps = tuple(step * (1 + 0.3 * n) / speed_up for n in range(4))
        return capacity(
            lengths,
            ServiceSpeed(prefill_tokens_per_second=prefill * speed_up, step_seconds=steps),
            LatencyTarget(seconds=seconds),
        )

    base, faster, looser = found(1, 20), found(2, 20), found(1, 40)
    slack = 1.01 * 1.002  # of the bisection and of ties in the simulation
    assert base.requests_per_minute <= slack * faster.requests_per_minute
    assert base.requests_per_minute <= slack * looser.requests_per_minute
    assert base.seconds <= 20 or base.requests_per_minute == 0
    assert 0 <= base.utilisation <= 1


def test_a_request_that_is_too_long_alone_has_no_capacity() -> None:
    found = capacity(
        [Lengths(1000, 100)],
        ServiceSpeed(prefill_tokens_per_second=1000.0, step_seconds=(0.1,)),
        LatencyTarget(seconds=10.9),
    )
    assert found == Capacity(
        requests_per_minute=0.0, seconds=11.0, utilisation=0.0, bottleneck="latency of one request"
    )


def test_long_prompts_are_bound_by_prefill() -> None:
    found = capacity(
        [Lengths(3000, 5)],
        ServiceSpeed(prefill_tokens_per_second=1000.0, step_seconds=(0.01, 0.012)),
        LatencyTarget(seconds=30.0),
    )
    assert found.bottleneck == "prefill"
    assert 60 / 3.05 * 0.7 < found.requests_per_minute < 60 / 3


def test_the_same_seed_gives_the_same_answer() -> None:
    speed = ServiceSpeed(prefill_tokens_per_second=900.0, step_seconds=(0.01, 0.011, 0.013))
    task = [Lengths(n * 37 % 900 + 1, n * 11 % 80 + 1) for n in range(50)]
    assert capacity(task, speed, LatencyTarget(seconds=3.0)) == capacity(task, speed, LatencyTarget(seconds=3.0))


@pytest.mark.parametrize(
    ("lengths", "prefill", "steps", "seconds"),
    [
        ([], 1.0, (1.0,), 1.0),
        ([Lengths(-1, 5)], 1.0, (1.0,), 1.0),
        ([Lengths(0, 0)], 1.0, (1.0,), 1.0),
        ([Lengths(5, 5)], 0.0, (1.0,), 1.0),
        ([Lengths(5, 5)], 1.0, (), 1.0),
        ([Lengths(5, 5)], 1.0, (1.0, 0.0), 1.0),
        ([Lengths(5, 5)], 1.0, (1.0,), 0.0),
    ],
)
def test_nonsense_is_refused(lengths: list[Lengths], prefill: float, steps: tuple[float, ...], seconds: float) -> None:
    with pytest.raises(BadInput):
        capacity(
            lengths,
            ServiceSpeed(prefill_tokens_per_second=prefill, step_seconds=steps),
            LatencyTarget(seconds=seconds),
        )


@settings(max_examples=25)
@given(st.floats(0.5, 2.0), st.floats(1.0, 60.0))
def test_a_rate_is_sustained_exactly_up_to_the_capacity(share: float, seconds: float) -> None:
    lengths = [Lengths(200, 50), Lengths(1000, 300)]
    speed = ServiceSpeed(prefill_tokens_per_second=2000.0, step_seconds=(0.02, 0.024, 0.03))
    target = LatencyTarget(seconds=seconds)
    most = capacity(lengths, speed, target).requests_per_minute
    asked = max(1.0, most) * share
    if abs(asked - most) > 0.01 * max(1.0, most):  # the search stops at a thousandth of the highest rate
        assert sustains(lengths, speed, target, requests_per_minute=asked) == (asked < most)
