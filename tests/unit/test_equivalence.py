"""The gate between training and serving: what is the same passes, and every planted fault is named."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.adapt.equivalence import EXACT, Served, compare, served
from insource.adapt.lora.job import Probe
from insource.adapt.quantize.divergence import compare as compare_next
from insource.adapt.quantize.divergence import divergence
from insource.core.errors import BadInput, UpstreamError
from insource.core.ports import Call, Reply

TRAINED = [
    Probe(
        prompt=f"<user>{at}<end>", prompt_tokens=[1, at, 2], answer=f"a{at}", ended=True, logprob=-0.5, answer_tokens=3
    )
    for at in range(100)
]
SAME = [
    Served(prompt=one.prompt, prompt_tokens=one.prompt_tokens, answer=one.answer, ended=True, logprob=-0.502)
    for one in TRAINED
]


def test_what_is_served_as_trained_passes() -> None:
    found = compare(TRAINED, SAME)
    assert found.reason is None
    assert (found.same_prompts, found.same_tokens, found.same_answers) == (100, 100, 100)


def _changed(count: int, **fields: Any) -> list[Served]:
    return [replace(one, **fields) if at < count else one for at, one in enumerate(SAME)]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (_changed(1, prompt="<system>You are helpful<end><user>0<end>"), "at character 1: 'user>0<end>' was trained"),
        (_changed(1, prompt_tokens=[1, 1, 0, 2]), "tokenizers differ"),
        (_changed(2, answer="a0 a0 a0", ended=False), "does not end in 2 of 100"),
        (_changed(2, answer="hello"), "in 98 of 100 requests (98.0%); 99% are needed"),
        (_changed(100, logprob=-0.9), "differ by 0.400 nats"),
        (_changed(100, logprob=math.nan), "are not told"),
    ],
)
def test_a_fault_is_refused_with_its_reason(found: list[Served], said: str) -> None:
    assert said in str(compare(TRAINED, found).reason)


def test_one_tie_in_a_hundred_is_no_fault() -> None:
    assert compare(TRAINED, _changed(1, answer="b")).reason is None


def test_a_model_that_never_learnt_to_end_is_refused_on_both_sides() -> None:
    endless = [replace(one, ended=False) for one in TRAINED]
    found = [replace(one, ended=False) for one in SAME]
    assert "itself does not end its answer in 100 of 100" in str(compare(endless, found).reason)


def test_few_requests_say_too_little() -> None:
    assert "Only 15" in str(compare(TRAINED[:15], SAME[:15]).reason)


@given(st.lists(st.sampled_from(["same", "answer", "prompt", "tokens", "endless"]), min_size=16, max_size=60))
def test_a_file_passes_only_when_the_promise_holds(kinds: list[str]) -> None:
    changes: dict[str, dict[str, Any]] = {
        "same": {},
        "answer": {"answer": "other"},
        "prompt": {"prompt": "other"},
        "tokens": {"prompt_tokens": [9]},
        "endless": {"ended": False},
    }
    found = [replace(one, **changes[kind]) for kind, one in zip(kinds, SAME, strict=False)]
    passed = compare(TRAINED[: len(kinds)], found).reason is None
    equal = sum(kind not in ("answer", "endless") for kind in kinds)
    assert passed == ("prompt" not in kinds and "tokens" not in kinds and equal >= EXACT.least_same * len(kinds))


class _Server:
    """Answers as llama.cpp's server does, from a table of paths."""

    name = "engine:test"

    def __init__(self, answers: dict[str, Any], status: int = 200) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._answers, self._status = answers, status

    async def send(self, call: Call) -> Reply:
        self.asked.append((call.path, json.loads(call.body)))
        data = json.dumps(self._answers[call.path]).encode()

        async def chunks() -> AsyncGenerator[bytes]:
            yield data

        return Reply(status=self._status, headers=(), chunks=chunks())

    async def close(self) -> None: ...


def _answers(finish: str = "stop") -> dict[str, Any]:
    tokens = [{"logprob": -0.25}, {"logprob": -0.25}]
    choice = {"message": {"content": "a0"}, "finish_reason": finish, "logprobs": {"content": tokens}}
    return {
        "/apply-template": {"prompt": "<user>0<end>"},
        "/tokenize": {"tokens": [1, 0, 2]},
        "/v1/chat/completions": {"choices": [choice]},
    }


@pytest.mark.parametrize("finish", ["stop", "length"])
async def test_a_server_is_asked_greedily_and_with_room_to_run_on(finish: str) -> None:
    server = _Server(_answers(finish))
    request = {"messages": [{"role": "user", "content": "0"}], "stream": True, "temperature": 1}
    (found,) = await served(server, [request], TRAINED[:1])
    assert found == Served(
        prompt="<user>0<end>", prompt_tokens=[1, 0, 2], answer="a0", ended=finish == "stop", logprob=-0.5
    )
    body = dict(server.asked)["/v1/chat/completions"]
    assert "stream" not in body
    assert (body["temperature"], body["logprobs"]) == (0, True)
    assert body["max_tokens"] > TRAINED[0].answer_tokens


async def test_a_server_that_refuses_or_says_nonsense_is_an_error() -> None:
    with pytest.raises(BadInput, match="status 400"):
        await served(_Server(_answers(), status=400), [{"messages": []}], TRAINED[:1])
    with pytest.raises(UpstreamError, match="without JSON"):
        await served(_Server({"/apply-template": [1]}), [{"messages": []}], TRAINED[:1])


def _distribution(weights: Sequence[float]) -> dict[int, float]:
    return {at: math.log(weight / sum(weights)) for at, weight in enumerate(weights)}


_WEIGHTS = st.lists(st.floats(0.01, 10), min_size=6, max_size=6)


@given(_WEIGHTS, _WEIGHTS, st.integers(1, 6))
def test_the_divergence_of_the_top_never_exceeds_the_whole(one: list[float], other: list[float], top: int) -> None:
    p, q = _distribution(one), _distribution(other)
    whole = sum(math.exp(p[at]) * (p[at] - q[at]) for at in p)
    assert divergence(p, q) == pytest.approx(max(0.0, whole), abs=1e-9)
    kept_p, kept_q = (dict(sorted(d.items(), key=lambda item: -item[1])[:top]) for d in (p, q))
    assert -1e-9 <= divergence(kept_p, kept_q) <= whole + 1e-6
    assert divergence(p, p) == pytest.approx(0, abs=1e-12)


def test_figures_of_a_comparison() -> None:
    even, sure, sure_of_other = _distribution([1, 1]), _distribution([99, 1]), _distribution([1, 99])
    found = compare_next([sure, sure, even], [sure, sure_of_other, even])
    assert (found.positions, found.same_top) == (3, 2)
    assert found.mean == pytest.approx(0.98 * math.log(99) / 3)
    assert found.p99 > found.mean
