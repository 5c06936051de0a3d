"""Server-sent events in any split, and chat streams as the completions that they amount to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.values import CHAT_ENDPOINT, JsonObject
from insource.wire.sse import DONE, Event, Parser, assemble, completion_to_sse, format_event, parse
from insource.wire.wholeness import Judged, judge


def read(raw: bytes) -> Judged:
    return judge(CHAT_ENDPOINT, 200, raw)


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: a\n\n", [Event(data="a")]),
        (b"data:a\r\n\r\ndata: b\r\r", [Event(data="a"), Event(data="b")]),
        (b": ping\n\ndata: a\n: more\ndata:  b\n\n", [Event(data="a\n b")]),
        (b"event: error\ndata: x\nid: 7\nretry: 3\n\n", [Event(data="x", event="error")]),
        (b"\xef\xbb\xbfdata: bom\n\n", [Event(data="bom")]),
        (b"data\n\nevent: lonely\n\n", [Event(data="")]),
        ("data: grüße 🚀\n\n".encode(), [Event(data="grüße 🚀")]),
        (b"data: a\xff\n\ndata: b\n\n", [Event(data="a\ufffd", damaged=True), Event(data="b")]),
        (b"data: whole\n\ndata: half\n", [Event(data="whole")]),
        (b"\n\n\r\n", []),
    ],
)
def test_the_grammar(raw: bytes, events: list[Event]) -> None:
    assert parse(raw) == events


pieces = st.sampled_from(
    [
        b"data:",
        b"data: ",
        b"event: e",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b": c",
        "ü🚀".encode(),
        b"x",
        b"{}",
        b"\xff",
        b":",
    ]
)


@given(st.lists(pieces, max_size=30).map(b"".join), st.data())
def test_any_split_gives_the_same_events(raw: bytes, data: st.DataObject) -> None:
    parser, events, rest = Parser(), list[Event](), raw
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        events += parser.feed(rest[:size])
        rest = rest[size:]
    assert events == parse(raw)
    one_by_one = Parser()
    assert [event for byte in raw for event in one_by_one.feed(bytes([byte]))] == events


def chunk(delta: JsonObject, **choice: Any) -> JsonObject:
    return {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, **choice}]}


def test_text_usage_and_unknown_fields_are_assembled() -> None:
    completion = assemble(
        [
            {**chunk({"role": "assistant", "content": ""}), "usage": None, "novel": {"a": 1}},
            chunk({"content": "Hel", "reasoning": "be"}),
            chunk({"content": "lo", "reasoning": "cause"}, finish_reason=None),
            chunk({}, finish_reason="stop"),
            {"id": "c", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        ]
    )
    assert completion == {
        "id": "c",
        "object": "chat.completion",
        "novel": {"a": 1},
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "reasoning": "because"},
                "finish_reason": "stop",
            }
        ],
    }


def test_tool_calls_are_joined_by_index_in_any_order() -> None:
    completion = assemble(
        [
            chunk({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g"}}]}),
            chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}),
            chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": '{"x"'}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}, finish_reason="tool_calls"),
        ]
    )
    calls = completion["choices"][0]["message"]["tool_calls"]
    assert calls[0] == {"id": "a", "function": {"name": "f", "arguments": '{"x":1}'}}
    assert calls[1] == {"id": "b", "type": "function", "function": {"name": "g"}}
    assert completion["choices"][0]["finish_reason"] == "tool_calls"


def test_a_hostile_index_costs_no_memory() -> None:
    completion = assemble([chunk({"tool_calls": [{"index": 10**9, "id": "a"}]})])
    assert len(completion["choices"][0]["message"]["tool_calls"]) <= 1024


texts = st.text(max_size=20)
calls = st.builds(
    lambda id, name, arguments: {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
    st.text(min_size=1, max_size=5),
    st.text(min_size=1, max_size=5),
    texts,
)
spoken = st.builds(
    lambda content, tool_calls: {
        "role": "assistant",
        "content": content,
        **({"tool_calls": tool_calls} if tool_calls else {}),
    },
    st.none() | texts,
    st.lists(calls, max_size=2),
)
completions = st.builds(
    lambda said, usage: {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": n, "message": message, "logprobs": None, "finish_reason": "stop"}
            for n, message in enumerate(said)
        ],
        **({"usage": usage} if usage else {}),
    },
    st.lists(spoken, min_size=1, max_size=3),
    st.none() | st.just({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
)


@given(completions)
def test_a_completion_survives_being_streamed(completion: JsonObject) -> None:
    stream = read(b"".join(completion_to_sse(completion, include_usage="usage" in completion)))
    assert stream.response == completion
    empty = any(
        message["content"] is None and "tool_calls" not in message
        for message in (choice["message"] for choice in completion["choices"])
    )
    assert stream.flaw == ("a message has neither content nor a tool call" if empty else None)


def test_usage_is_streamed_only_when_asked_for() -> None:
    completion: JsonObject = {"id": "1", "choices": [], "usage": {"prompt_tokens": 1}}
    assert b"usage" not in b"".join(completion_to_sse(completion, include_usage=False))
    events = list(completion_to_sse(completion, include_usage=True))
    assert msgspec.json.decode(events[0].removeprefix(b"data: "))["usage"] == {"prompt_tokens": 1}
    assert events[-1] == DONE


@pytest.mark.parametrize(
    ("raw", "flaw"),
    [
        (format_event(chunk({"content": "a"})) + DONE, "its stream has no finish reason"),
        (format_event(chunk({"content": "a"}, finish_reason="stop")), None),
        (format_event(chunk({"content": "a"}, finish_reason="stop")) + DONE, None),
        (format_event(chunk({"content": "a"})), "its stream has no finish reason"),
        (format_event(chunk({"content": "a"}))[:-9], "its stream holds no event"),
        (format_event(chunk({"content": "a"})) + format_event({"error": {"message": "x"}}), "an event is an error"),
        (b"data: {broken\n\n" + DONE, "an event is not a JSON object"),
        (DONE, "its stream holds no event"),
        (b"", "its body is empty"),
    ],
)
def test_why_a_stream_is_not_whole(raw: bytes, flaw: str | None) -> None:
    assert read(raw).flaw == flaw


def test_a_long_stream_is_joined_in_linear_work() -> None:
    raw = format_event(chunk({"content": "word "})) * 20_000 + DONE
    stream = read(raw)
    assert stream.response is not None
    assert len(stream.response["choices"][0]["message"]["content"]) == 100_000
