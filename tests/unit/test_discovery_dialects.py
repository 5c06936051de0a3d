"""Requests of every API are read as one: the jobs come apart whatever body they are written in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.values import Exchange, JsonObject
from insource.traffic.discovery import DiscoveryInput, discover
from insource.traffic.matcher import compile_matchers, declared_task
from insource.wire.prompts import prompt_of

JOBS = [
    "Sort the message of a customer into one of: card, loan, fraud.",
    "Write a headline for the article, in at most eight words.",
    "List the names of all people in the text.",
]
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
BODIES: dict[str, Callable[[str, str], JsonObject]] = {
    "Responses": lambda told, text: {"instructions": told, "input": text},
    "Responses, items": lambda told, text: {
        "input": [
            {"type": "message", "role": "developer", "content": told},
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Well."}]},
            {"role": "user", "content": [{"type": "input_text", "text": text}]},
        ]
    },
    "Gemini": lambda told, text: {
        "systemInstruction": {"parts": [{"text": told}]},
        "contents": [{"parts": [{"text": text}]}],
    },
    "Gemini, SDK": lambda told, text: {"contents": text, "config": {"system_instruction": told}},
    "Anthropic": lambda told, text: {"system": told, "messages": [{"role": "user", "content": text}]},
    "Bedrock": lambda told, text: {
        "system": [{"text": told}],
        "messages": [{"role": "user", "content": [{"text": text}]}],
    },
    "Titan": lambda told, text: {"inputText": f"{told}\n\n{text}"},
    "Vertex": lambda told, text: {"instances": [{"prompt": f"{told}\n{text}"}]},
    "Ollama": lambda told, text: {"system": told, "prompt": text},
    "completions": lambda told, text: {"prompt": f"{told}\n\n{text}"},
    "completions, list": lambda told, text: {"prompt": [f"{told}\n\n{text}"]},
    "Cohere": lambda told, text: {"preamble": told, "message": text},
    "text generation inference": lambda told, text: {"inputs": f"{told}\n{text}"},
    "embeddings": lambda told, text: {"input": [f"{told} {text}"]},
    "embeddings, Gemini": lambda told, text: {"requests": [{"content": {"parts": [{"text": f"{told} {text}"}]}}]},
    "reranking": lambda told, text: {"query": f"{told} {text}", "documents": ["one", "two"]},
}  # fmt: skip


def words(rng: Random) -> str:
    return " ".join(f"w{chr(97 + rng.randrange(26))}{chr(97 + rng.randrange(26))}" for _ in range(rng.randint(5, 20)))


def ids_of(items: list[DiscoveryInput], *, jobs: int) -> Counter[tuple[str, int]]:
    found = discover(items)
    return Counter((found.task_of[item.id], n % jobs) for n, item in enumerate(items))


@pytest.mark.parametrize("dialect", BODIES)
def test_jobs_come_apart_in_every_dialect(dialect: str) -> None:
    rng = Random(dialect)
    items = [DiscoveryInput(id=f"{n:03}", request=BODIES[dialect](JOBS[n % 3], words(rng))) for n in range(90)]
    found = discover(items)
    assert len(found.tasks) == 3
    match = compile_matchers(found.tasks)
    for n in range(3):
        assert match(BODIES[dialect](JOBS[n], words(rng)), None) == found.task_of[f"{n:03}"]


def test_a_job_is_one_task_whatever_dialect_its_requests_are_written_in() -> None:
    rng = Random(1)
    write = [BODIES[name] for name in ("Responses", "Responses, items", "Gemini", "Anthropic", "Bedrock", "Cohere")]
    items = [DiscoveryInput(id=f"{n:03}", request=rng.choice(write)(JOBS[n % 3], words(rng))) for n in range(150)]
    assert sorted(ids_of(items, jobs=3).values()) == [50, 50, 50]


def test_a_prompt_stored_at_the_provider_is_a_declared_task() -> None:
    rng = Random(2)
    requests = [{"prompt": {"id": f"pmpt_68a{n % 2}", "variables": {"text": words(rng)}}} for n in range(40)]
    items = [
        DiscoveryInput(id=f"{n:03}", request=request, declared=declared_task(request))
        for n, request in enumerate(requests)
    ]
    assert sorted(ids_of(items, jobs=2).values()) == [20, 20]


@pytest.mark.parametrize("size", [3, 60])
def test_what_asks_for_vectors_is_no_task_of_those_who_ask_for_answers(size: int) -> None:
    rng = Random(3)
    chats = [
        Exchange(id=f"c{n}", created=MOMENT, request={"messages": [{"role": "user", "content": words(rng)}]})
        for n in range(60)
    ]
    vectors = [
        Exchange(id=f"e{n}", created=MOMENT, request={"input": words(rng)}, endpoint="/v1/embeddings")
        for n in range(size)
    ]
    found = discover([DiscoveryInput.of(exchange) for exchange in (*chats, *vectors)])
    assert [task.name.split(":")[0] for task in found.tasks] in (
        ["Free text", "Embeddings"],
        ["Embeddings", "Free text"],
    )
    again = discover(
        [DiscoveryInput.of(one) for one in (*chats, *vectors)], existing=found.tasks, assigned=found.task_of
    )
    assert again.task_of == found.task_of
    mixed = dict.fromkeys(found.task_of, found.task_of["c0"])
    apart = discover([DiscoveryInput.of(one) for one in (*chats, *vectors)], existing=found.tasks[:1], assigned=mixed)
    assert apart.task_of["c0"] != apart.task_of["e0"]


@pytest.mark.parametrize(
    ("endpoint", "response"),
    [
        (
            "/v1/responses",
            {
                "object": "response",
                "output": [{"type": "message", "content": [{"type": "output_text", "text": "card"}]}],
            },
        ),
        ("/v1/messages", {"type": "message", "content": [{"type": "text", "text": "card"}]}),
        ("/v1beta/models/g:generateContent", {"candidates": [{"content": {"parts": [{"text": "card"}]}}]}),
        ("/v1/completions", {"choices": [{"text": "card"}]}),
        ("/v1/chat/completions", {"choices": [{"message": {"content": "card"}}]}),
    ],
)
def test_the_answer_is_read_in_every_dialect(endpoint: str, response: JsonObject) -> None:
    exchange = Exchange(id="a", created=MOMENT, request={"input": "?"}, response=response, endpoint=endpoint)
    assert DiscoveryInput.of(exchange).answer == "card"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "parts", "prompt", "type", "id", "variables"]), inner
        )
    ),
    max_leaves=12,
)
PLACES = ["messages", "input", "contents", "prompt", "content", "instances", "requests", "query", "system", "tools"]


@given(st.dictionaries(st.sampled_from(PLACES), JSON))
def test_any_body_can_be_read(body: JsonObject) -> None:
    said = prompt_of(body)
    assert all(said.turns)
    assert declared_task(body) is None or isinstance(declared_task(body), str)
