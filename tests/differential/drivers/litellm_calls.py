"""The calls of litellm."""
# It is not installed beside this project's own packages.
# pyright: reportMissingImports=false

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Iterable
from typing import Any

# Before its import: else it fetches a table of prices.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

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
)

litellm.suppress_debug_info = True
MODEL = "openai/gpt-4o"
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": TOOL_SCHEMA}}
RESPONSES_TOOL = {"type": "function", "name": "get_weather", "parameters": TOOL_SCHEMA}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}


def there() -> dict[str, Any]:
    return {"api_base": base_url(), "api_key": "sk-test"}


def chat(content: Any = QUESTION, **more: Any) -> Any:
    return litellm.completion(model=MODEL, messages=[{"role": "user", "content": content}], **there(), **more)


def responses(**more: Any) -> Any:
    return litellm.responses(**{"model": MODEL, "input": QUESTION, **there(), **more})


def shown(chunks: Iterable[Any]) -> list[Any]:
    return collected(map(without_inventions, chunks))


def without_inventions(chunk: Any) -> Any:
    """Without the time that litellm gives each chunk, and the id that it gives one that came without."""
    found = plain(chunk)
    found.pop("created", None)
    if len(found.get("id") or "") > len("chatcmpl-") + 30:
        found["id"] = "made up"
    return found


def chat_calls() -> dict[str, Call]:
    picture = {"type": "image_url", "image_url": {"url": picture_url(), "detail": "low"}}
    messages = [{"role": "user", "content": QUESTION}]

    async def answer() -> Any:
        return plain(await litellm.acompletion(model=MODEL, messages=messages, **there()))

    async def stream() -> Any:
        chunks: AsyncIterator[Any] = await litellm.acompletion(model=MODEL, messages=messages, stream=True, **there())
        return await acollected(without_inventions(chunk) async for chunk in chunks)

    return {
        "chat": lambda: chat(temperature=0.2, seed=7),
        "chat, personal data": lambda: chat(PRIVATE),
        "chat, 200 kB": lambda: chat(LONG),
        "chat, stream": lambda: shown(chat(stream=True)),
        "chat, stream with usage": lambda: shown(chat(stream=True, stream_options={"include_usage": True})),
        "chat, tools": lambda: chat(tools=[TOOL]),
        "chat, tools, stream": lambda: shown(chat(tools=[TOOL], stream=True)),
        "chat, JSON schema": lambda: chat(response_format=FORMAT),
        "chat, vision": lambda: chat([{"type": "text", "text": "What is this?"}, picture]),
        "chat, logprobs": lambda: chat(logprobs=True, top_logprobs=2),
        "chat, n": lambda: chat(n=3),
        "chat, extra header and field": lambda: chat(
            extra_headers={"X-Trace": "a, b"}, extra_body={"provider_option": {"deep": [1, 2.50, None]}}
        ),
        "chat, async": lambda: run(answer()),
        "chat, async stream": lambda: run(stream()),
    }


def picture() -> io.BytesIO:
    found = io.BytesIO(PICTURE)
    found.name = "a.png"
    return found


def other_calls() -> dict[str, Call]:
    audio = ("speech.wav", SOUND, "audio/wav")
    file = ("requests.jsonl", LINES)
    batch = {"completion_window": "24h", "endpoint": "/v1/chat/completions", "input_file_id": "file-1"}
    embed, transcribe = litellm.embedding, litellm.transcription
    return {
        "responses": lambda: responses(instructions="Be short."),
        "responses, stream": lambda: collected(responses(stream=True)),
        "responses, tools": lambda: responses(tools=[RESPONSES_TOOL]),
        "responses, retrieve": lambda: litellm.get_responses("resp_1", custom_llm_provider="openai", **there()),
        "responses, delete": lambda: litellm.delete_responses("resp_1", custom_llm_provider="openai", **there()),
        "embeddings": lambda: embed(model="openai/text-embedding-3-small", input=[QUESTION, "b"], **there()),
        "completions": lambda: litellm.text_completion(
            model="text-completion-openai/gpt-3.5-turbo-instruct", prompt=QUESTION, **there()
        ),
        "completions, stream": lambda: shown(
            litellm.text_completion(
                model="text-completion-openai/gpt-3.5-turbo-instruct", prompt=QUESTION, stream=True, **there()
            )
        ),
        "moderations": lambda: litellm.moderation(input="I will hit you.", model="omni-moderation-latest", **there()),
        "files, upload": lambda: litellm.create_file(
            file=file, purpose="batch", custom_llm_provider="openai", **there()
        ),
        "files, retrieve": lambda: litellm.file_retrieve("file-1", custom_llm_provider="openai", **there()),
        "files, list": lambda: litellm.file_list(custom_llm_provider="openai", purpose="batch", **there()),
        "files, content": lambda: litellm.file_content("file-1", custom_llm_provider="openai", **there()).content,
        "files, delete": lambda: litellm.file_delete("file-1", custom_llm_provider="openai", **there()),
        "batches, create": lambda: litellm.create_batch(**batch, custom_llm_provider="openai", **there()),
        "batches, retrieve": lambda: litellm.retrieve_batch("batch_1", custom_llm_provider="openai", **there()),
        "batches, cancel": lambda: litellm.cancel_batch("batch_1", custom_llm_provider="openai", **there()),
        "audio, transcription": lambda: transcribe(model="openai/whisper-1", file=audio, **there()),
        "audio, speech": lambda: litellm.speech(model="openai/tts-1", voice="alloy", input=QUESTION, **there()).content,
        "images, generate": lambda: litellm.image_generation(model="openai/gpt-image-1", prompt="a tower", **there()),
        "images, edit": lambda: litellm.image_edit(
            model="openai/gpt-image-1", prompt="a tower", image=[picture()], **there()
        ),
    }


def fault_calls() -> dict[str, Call]:
    limits = {"timeout": IMPATIENT_SECONDS, "max_retries": 1}

    def asks(name: str) -> Call:
        return lambda: chat(faulty(name), **limits)

    def streams(name: str) -> Call:
        return lambda: shown(chat(faulty(name), stream=True, **limits))

    def responds(name: str) -> Call:
        return lambda: collected(responses(input=faulty(name), stream=True, **limits))

    return {
        **{f"fault: {name}": asks(name) for name in FAULTS},
        **{f"fault: {name}, stream": streams(name) for name in STREAM_FAULTS},
        **{f"fault: {name}, responses stream": responds(name) for name in STREAM_FAULTS},
    }


if __name__ == "__main__":
    play({**chat_calls(), **other_calls(), **fault_calls()})
