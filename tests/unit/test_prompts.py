"""What a request says is read alike in whatever dialect it is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from insource.core.values import JsonObject
from insource.traffic.templates import view
from insource.wire.prompts import Prompt, prompt_of

SYSTEM, FIRST, SECOND = "Sort the message.", "My card is lost.", "And my loan?"
TOOLS = [{"name": "block_card"}, {"name": "find_branch"}]
FUNCTIONS = [{"type": "function", "function": tool} for tool in TOOLS]
SCHEMA: JsonObject = {"name": "sorted_mail", "schema": {"type": "object"}}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
PARTS = [{"type": "text", "text": FIRST}, IMAGE]


def turns(first: Any, *, role: str = "user", model: str = "assistant", key: str = "content") -> list[JsonObject]:
    second = [{"text": SECOND}] if key == "parts" or isinstance(first, list) else SECOND
    return [{"role": role, key: first}, {"role": model, key: "Which card?"}, {"role": role, key: second}]


@pytest.mark.parametrize(
    "body",
    [
        {
            "messages": [{"role": "system", "content": SYSTEM}, *turns(FIRST)],
            "tools": FUNCTIONS,
            "response_format": {"type": "json_schema", "json_schema": SCHEMA},
        },
        {
            "messages": [{"role": "developer", "content": SYSTEM}, *turns(PARTS)],
            "functions": TOOLS,
            "response_format": {"type": "json_schema", "json_schema": SCHEMA},
        },
        {
            "instructions": SYSTEM,
            "input": turns([{"type": "input_text", "text": FIRST}]),
            "tools": [{"type": "function", **tool} for tool in TOOLS],
            "text": {"format": {"type": "json_schema", **SCHEMA}},
        },
        {
            "system": [{"type": "text", "text": SYSTEM}],
            "messages": turns(PARTS),
            "tools": TOOLS,
            "output_config": {"format": {"type": "json_schema", **SCHEMA}},
        },
        {
            "systemInstruction": {"parts": [{"text": SYSTEM}]},
            "contents": turns([{"text": FIRST}], model="model", key="parts"),
            "tools": [{"functionDeclarations": TOOLS}],
            "response_format": {"type": "json_schema", "json_schema": SCHEMA},
        },
        {
            "system": [{"text": SYSTEM}],
            "messages": turns([{"text": FIRST}]),
            "toolConfig": {"tools": [{"toolSpec": tool} for tool in TOOLS]},
            "output_format": {"type": "json_schema", **SCHEMA},
        },
    ],
    ids=["chat", "developer", "responses", "anthropic", "gemini", "bedrock"],
)
def test_dialects_say_the_same(body: JsonObject) -> None:
    said = Prompt(instructions=SYSTEM, turns=(FIRST, SECOND), tools=("block_card", "find_branch"), format="sorted_mail")
    assert prompt_of(body) == said


@pytest.mark.parametrize("body", [{"prompt": FIRST}, {"input": FIRST}, {"prompt": [FIRST]}, {"message": FIRST}])
def test_a_bare_text_is_a_users(body: JsonObject) -> None:
    assert prompt_of(body).turns == (FIRST,)


def test_results_of_tools_and_reasoning_ask_for_nothing() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "4 rows"}
    body: JsonObject = {
        "messages": [*turns(FIRST), {"role": "user", "content": [result]}, {"role": "tool", "content": "4 rows"}],
        "input": [{"type": "function_call_output", "call_id": "c", "output": "4 rows"}],
    }
    assert prompt_of(body).turns == (FIRST, SECOND)


def test_instructions_that_only_greet_are_not_looked_at() -> None:
    shown = [view({"system": system, "input": FIRST}).text for system in ("You are a helpful assistant.", "")]
    assert shown[0] == shown[1] != view({"system": "You are a banking assistant.", "input": FIRST}).text


PLACES = [  # a name that a reader looks for, and what it may not expect there
    "instructions", "system", "systemInstruction", "messages", "input", "contents", "prompt", "message", "tools",
    "functions", "toolConfig", "response_format", "text", "format", "generationConfig", "config", "role", "content",
    "parts", "function", "json_schema", "responseSchema", "functionDeclarations", "id", "variables", "type", "name",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["user", "system", "text", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PLACES), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(PLACES), JSON, max_size=5))
@settings(max_examples=400, deadline=None)
@example({"messages": [{"role": ["user"], "content": {"type": [], "text": "x"}}]})
@example({"input": [{"id": "pmpt_1", "variables": "x"}]})
def test_any_body_can_be_read(body: JsonObject) -> None:
    seen = view(body)
    assert all(isinstance(text, str) for text in (*seen.turns, *seen.tools, seen.system, seen.text))
