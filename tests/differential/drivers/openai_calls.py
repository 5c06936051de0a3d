"""The calls of OpenAI's own client for Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.differential.drivers.harness import (
    FAULTS,
    IMPATIENT_SECONDS,
    LINES,
    LONG,
    PICTURE,
    PRIVATE,
    QUESTION,
    SCHEMA,
    SOUND,
    STREAM_FAULTS,
    TOOL_SCHEMA,
    Call,
    acollected,
    base_url,
    collected,
    faulty,
    picture_url,
    plain,
    play,
    run,
    shown_headers,
)

MODEL = "gpt-4o"
TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": TOOL_SCHEMA, "strict": True}}
RESPONSES_TOOL: Any = {"type": "function", "name": "get_weather", "parameters": TOOL_SCHEMA, "strict": True}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
TEXT_FORMAT: Any = {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}


class Place(BaseModel):
    city: str
    country: str


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def with_picture(*, padding_bytes: int = 0) -> dict[str, Any]:
    picture = {"type": "image_url", "image_url": {"url": picture_url(padding_bytes=padding_bytes), "detail": "low"}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}]}


def after_tool_call() -> list[Any]:
    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    return [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "18 °C"},
    ]


def chat_calls(client: OpenAI) -> dict[str, Call]:
    chat = client.chat.completions

    def stream(**more: Any) -> list[Any]:
        return collected(chat.create(**more, stream=True))

    def stream_helper() -> list[Any]:
        with chat.stream(**asked(QUESTION), response_format=Place) as events:
            return collected({"type": event.type} for event in events)

    def raw() -> dict[str, Any]:
        got = chat.with_raw_response.create(**asked(QUESTION))
        return {"status": got.status_code, "headers": shown_headers(got.headers), "body": got.http_response.content}

    def raw_stream() -> dict[str, Any]:
        with chat.with_streaming_response.create(**asked(QUESTION), stream=True) as got:
            return {"status": got.status_code, "headers": shown_headers(got.headers), "body": got.read()}

    return {
        "chat": lambda: chat.create(**asked(QUESTION, temperature=0.2, seed=7, user="u-1")),
        "chat, raw answer": raw,
        "chat, raw stream": raw_stream,
        "chat, developer message": lambda: chat.create(
            model=MODEL, messages=[{"role": "developer", "content": "Be short."}, {"role": "user", "content": QUESTION}]
        ),
        "chat, personal data": lambda: chat.create(**asked(PRIVATE)),
        "chat, 200 kB": lambda: chat.create(**asked(LONG)),
        "chat, extra header, query and field": lambda: chat.create(
            **asked(QUESTION),
            extra_headers={"X-Trace": "a, b", "Cookie": "session=1", "x-insource-task": "capitals"},
            extra_query={"api-version": "2024-10-21", "odd": "a b/ü&c"},
            extra_body={"provider_option": {"deep": [1, 2.50, None]}},
        ),
        "chat, stream": lambda: stream(**asked(QUESTION)),
        "chat, stream with usage": lambda: stream(**asked(QUESTION, stream_options={"include_usage": True})),
        "chat, stream of events with a schema": stream_helper,
        "chat, tools": lambda: chat.create(**asked(QUESTION, tools=[TOOL], tool_choice="required")),
        "chat, tools, stream": lambda: stream(**asked(QUESTION, tools=[TOOL])),
        "chat, tool result": lambda: chat.create(model=MODEL, messages=after_tool_call(), tools=[TOOL]),
        "chat, JSON schema": lambda: chat.create(**asked(QUESTION, response_format=FORMAT)),
        "chat, JSON schema, parsed": lambda: chat.parse(**asked(QUESTION), response_format=Place).choices[0].message,
        "chat, JSON object": lambda: chat.create(**asked(QUESTION, response_format={"type": "json_object"})),
        "chat, vision": lambda: chat.create(**with_picture()),
        "chat, vision, 900 kB": lambda: chat.create(**with_picture(padding_bytes=700_000)),
        "chat, logprobs": lambda: chat.create(**asked(QUESTION, logprobs=True, top_logprobs=2)),
        "chat, logprobs, stream": lambda: stream(**asked(QUESTION, logprobs=True)),
        "chat, n": lambda: chat.create(**asked(QUESTION, n=3)),
        "chat, n, stream": lambda: stream(**asked(QUESTION, n=2)),
    }


def responses_calls(client: OpenAI) -> dict[str, Call]:
    responses = client.responses

    def ask(**more: Any) -> Any:
        asked: dict[str, Any] = {"model": MODEL, "input": QUESTION, **more}
        return responses.create(**asked)

    picture = {"type": "input_image", "image_url": picture_url(), "detail": "low"}
    seen: Any = [{"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, picture]}]
    return {
        "responses": lambda: ask(instructions="Be short.", metadata={"k": "v"}),
        "responses, stream": lambda: collected(ask(stream=True)),
        "responses, tools": lambda: ask(tools=[RESPONSES_TOOL]),
        "responses, tools, stream": lambda: collected(ask(tools=[RESPONSES_TOOL], stream=True)),
        "responses, JSON schema": lambda: ask(text=TEXT_FORMAT),
        "responses, JSON schema, parsed": lambda: responses.parse(model=MODEL, input=QUESTION, text_format=Place),
        "responses, vision": lambda: ask(input=seen),
        "responses, retrieve": lambda: responses.retrieve("resp_1", include=["message.output_text.logprobs"]),
        "responses, input items": lambda: list(responses.input_items.list("resp_1", order="asc")),
        "responses, delete": lambda: responses.delete("resp_1"),
    }


def other_calls(client: OpenAI) -> dict[str, Call]:
    def speech() -> bytes:
        with client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input=QUESTION) as got:
            return got.read()

    audio = ("speech.wav", SOUND, "audio/wav")
    transcribe: Any = client.audio.transcriptions.create
    translations: Any = client.audio.translations  # deprecated, but there
    return {
        "embeddings": lambda: client.embeddings.create(model="text-embedding-3-small", input=[QUESTION, "b"]),
        "embeddings, floats": lambda: client.embeddings.create(
            model="text-embedding-3-small", input=[1, 2, 3], encoding_format="float", dimensions=4
        ),
        "completions": lambda: client.completions.create(model="gpt-3.5-turbo-instruct", prompt=QUESTION, n=2),
        "completions, stream": lambda: collected(
            client.completions.create(model="gpt-3.5-turbo-instruct", prompt=QUESTION, stream=True)
        ),
        "models, list": lambda: list(client.models.list()),
        "models, retrieve": lambda: client.models.retrieve("ft:gpt-4o:acme::7"),
        "models, name with a slash": lambda: client.models.retrieve("acme/gpt 4o?"),
        "files, upload": lambda: client.files.create(file=("requests.jsonl", LINES), purpose="batch"),
        "files, upload of 3 MB": lambda: client.files.create(
            file=("ünicode name.jsonl", LINES * 12_000, "application/jsonl"), purpose="fine-tune"
        ),
        "files, list of two pages": lambda: list(client.files.list(purpose="batch", limit=2)),
        "files, retrieve": lambda: client.files.retrieve("file-1"),
        "files, content": lambda: client.files.content("file-1").read(),
        "files, delete": lambda: client.files.delete("file-1"),
        "batches, create": lambda: client.batches.create(
            input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h", metadata={"k": "v"}
        ),
        "batches, retrieve": lambda: client.batches.retrieve("batch_1"),
        "batches, list": lambda: list(client.batches.list(limit=5)),
        "batches, cancel": lambda: client.batches.cancel("batch_1"),
        "moderations": lambda: client.moderations.create(model="omni-moderation-latest", input=["I will hit you."]),
        "audio, transcription": lambda: transcribe(model="whisper-1", file=audio, language="en"),
        "audio, transcription, stream": lambda: collected(transcribe(model="gpt-4o", file=audio, stream=True)),
        "audio, translation": lambda: translations.create(model="whisper-1", file=audio),
        "audio, speech": speech,
        "images, generate": lambda: client.images.generate(model="gpt-image-1", prompt="a tower"),
        "images, edit": lambda: client.images.edit(
            model="gpt-image-1", prompt="a tower", image=[("a.png", PICTURE), ("b.png", PICTURE * 5000)]
        ),
    }


def async_calls() -> dict[str, Call]:
    async def answer() -> Any:
        async with AsyncOpenAI(base_url=base_url()) as client:
            return plain(await client.chat.completions.create(**asked(QUESTION, tools=[TOOL])))

    async def stream() -> list[Any]:
        async with AsyncOpenAI(base_url=base_url()) as client:
            return await acollected(await client.chat.completions.create(**asked(QUESTION), stream=True))

    async def two_streams_in_turn() -> list[Any]:
        """Read by turns over two connections of one client."""
        async with AsyncOpenAI(base_url=base_url()) as client:
            one = await client.chat.completions.create(**asked("first"), stream=True)
            two = await client.responses.create(model=MODEL, input="second", stream=True)
            return [plain(await anext(one)), plain(await anext(two)), await acollected(one), await acollected(two)]

    return {
        "async chat": lambda: run(answer()),
        "async chat, stream": lambda: run(stream()),
        "async, two streams at once": lambda: run(two_streams_in_turn()),
    }


def fault_calls(client: OpenAI) -> Iterator[tuple[str, Call]]:
    impatient = client.with_options(timeout=IMPATIENT_SECONDS, max_retries=1)
    chat, responses = impatient.chat.completions, impatient.responses

    def asks(name: str) -> Call:
        return lambda: chat.create(**asked(faulty(name)))

    def streams(name: str) -> Call:
        return lambda: collected(chat.create(**asked(faulty(name)), stream=True))

    def responds(name: str) -> Call:
        return lambda: collected(responses.create(model=MODEL, input=faulty(name), stream=True))

    yield from ((f"fault: {name}", asks(name)) for name in FAULTS)
    yield from ((f"fault: {name}, stream", streams(name)) for name in STREAM_FAULTS)
    yield from ((f"fault: {name}, responses stream", responds(name)) for name in STREAM_FAULTS)
    unknown: Any = {"cast_to": object, "body": {"a": [1, None]}, "options": {"max_retries": 0}}
    yield "fault: a path that is missing", lambda: impatient.post("/unknown/thing", **unknown)
    yield "fault: a model that is missing", lambda: impatient.models.retrieve("missing")


def main() -> None:
    client = OpenAI(base_url=base_url())
    calls = {**chat_calls(client), **responses_calls(client), **other_calls(client), **async_calls()}
    play({**calls, **dict(fault_calls(client))})


if __name__ == "__main__":
    main()
