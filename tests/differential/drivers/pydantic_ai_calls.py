"""The calls of pydantic-ai."""
# It is not installed beside this project's own packages.
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, PromptedOutput
from pydantic_ai.embeddings import Embedder
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.differential.drivers.harness import (
    FAULTS,
    IMPATIENT_SECONDS,
    LONG,
    PICTURE,
    PRIVATE,
    QUESTION,
    STREAM_FAULTS,
    Call,
    acollected,
    base_url,
    faulty,
    plain,
    play,
    run,
)


class Place(BaseModel):
    city: str
    country: str


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 °C in {city}"


def provider(**options: Any) -> Any:
    return OpenAIProvider(openai_client=AsyncOpenAI(base_url=base_url(), **options))


def shown(result: Any) -> Any:
    """The output and the messages, without the times and ids that the library gives them."""
    return {"output": plain(result.output), "messages": timeless(plain(result.all_messages())), "usage": result.usage}


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: timeless(one) for name, one in value.items() if name not in ("timestamp", "run_id", "conversation_id")
        }
    return [timeless(one) for one in value] if isinstance(value, list) else value


def calls_of(model: Any, prefix: str) -> dict[str, Call]:
    def ask(prompt: Any = QUESTION, **options: Any) -> Any:
        return shown(run(Agent(model, **options).run(prompt)))

    async def stream(**options: Any) -> Any:
        async with Agent(model, **options).run_stream(QUESTION) as answer:
            deltas = await acollected(answer.stream_text(delta=True, debounce_by=None))
            return [*deltas, timeless(plain(answer.all_messages()))]

    async def events(**options: Any) -> Any:
        async with Agent(model, **options).run_stream_events(QUESTION) as found:
            return await acollected(timeless(plain(event)) async for event in found)

    return {
        prefix: lambda: ask(instructions="Be short.", model_settings={"temperature": 0.2}),
        f"{prefix}, personal data": lambda: ask(PRIVATE),
        f"{prefix}, 200 kB": lambda: ask(LONG),
        f"{prefix}, stream": lambda: run(stream()),
        f"{prefix}, tools in two steps": lambda: ask(tools=[get_weather]),
        f"{prefix}, tools in two steps, events": lambda: run(events(tools=[get_weather])),
        f"{prefix}, schema by a tool": lambda: ask(output_type=Place),
        f"{prefix}, JSON schema": lambda: ask(output_type=NativeOutput(Place)),
        f"{prefix}, schema in the prompt": lambda: ask(output_type=PromptedOutput(Place)),
        f"{prefix}, vision": lambda: ask(["What is this?", BinaryContent(PICTURE, media_type="image/png")]),
        f"{prefix}, extra header and field": lambda: ask(
            model_settings={
                "extra_headers": {"X-Trace": "a, b"},
                "extra_body": {"provider_option": {"deep": [1, None]}},
            }
        ),
    }


def other_calls(chat: Any) -> dict[str, Call]:
    embedder = Embedder(OpenAIEmbeddingModel("text-embedding-3-small", provider=provider()))

    async def embed() -> Any:
        return (await embedder.embed_documents([QUESTION, "b"])).embeddings

    logprobs = {"openai_logprobs": True, "openai_top_logprobs": 2}
    return {
        "chat, logprobs": lambda: shown(run(Agent(chat).run(QUESTION, model_settings=logprobs))),
        "embeddings": lambda: run(embed()),
    }


def fault_calls() -> dict[str, Call]:
    impatient = provider(timeout=IMPATIENT_SECONDS, max_retries=1)
    chat, responses = OpenAIChatModel("gpt-4o", provider=impatient), OpenAIResponsesModel("gpt-4o", provider=impatient)

    def asks(name: str) -> Call:
        return lambda: shown(run(Agent(chat).run(faulty(name))))

    async def stream(model: Any, name: str) -> Any:
        async with Agent(model).run_stream(faulty(name)) as answer:
            return await acollected(answer.stream_text(delta=True, debounce_by=None))

    def streams(model: Any, name: str) -> Call:
        return lambda: run(stream(model, name))

    return {
        **{f"fault: {name}": asks(name) for name in FAULTS},
        **{f"fault: {name}, stream": streams(chat, name) for name in STREAM_FAULTS},
        **{f"fault: {name}, responses stream": streams(responses, name) for name in STREAM_FAULTS},
    }


def main() -> None:
    chat = OpenAIChatModel("gpt-4o", provider=provider())
    responses = OpenAIResponsesModel("gpt-4o", provider=provider())
    play({**calls_of(chat, "chat"), **calls_of(responses, "responses"), **other_calls(chat), **fault_calls()})


if __name__ == "__main__":
    main()
