"""The calls of langchain-openai."""
# It is not installed beside this project's own packages.
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

from tests.differential.drivers.harness import (
    FAULTS,
    IMPATIENT_SECONDS,
    LONG,
    PRIVATE,
    QUESTION,
    SCHEMA,
    STREAM_FAULTS,
    Call,
    acollected,
    base_url,
    collected,
    faulty,
    picture_url,
    play,
    run,
)

PLACE = {"title": "Place", "description": "A place.", **SCHEMA}


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 °C in {city}"


def model(**more: Any) -> Any:
    return ChatOpenAI(model="gpt-4o", base_url=base_url(), **more)


def shown(message: Any) -> Any:
    """Without the ids that LangChain makes up for a run."""
    found = message.model_dump(mode="json")
    found.pop("id", None)
    return found


def calls_of(chat: Any, prefix: str) -> dict[str, Call]:
    """Of one of the two APIs that a chat model can speak."""
    seen = HumanMessage(
        content=[{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": picture_url()}}]
    )
    tool_call = {"name": "get_weather", "args": {"city": "Paris"}, "id": "call_1"}
    history = [
        HumanMessage(QUESTION),
        AIMessage(content="", tool_calls=[tool_call]),
        ToolMessage("18 °C", tool_call_id="call_1"),
    ]

    async def answer() -> Any:
        return shown(await chat.ainvoke(QUESTION))

    async def stream() -> Any:
        return await acollected(shown(chunk) async for chunk in chat.astream(QUESTION))

    return {
        prefix: lambda: shown(chat.invoke([SystemMessage("Be short."), HumanMessage(QUESTION)])),
        f"{prefix}, personal data": lambda: shown(chat.invoke(PRIVATE)),
        f"{prefix}, 200 kB": lambda: shown(chat.invoke(LONG)),
        f"{prefix}, stream": lambda: collected(map(shown, chat.stream(QUESTION))),
        f"{prefix}, tools": lambda: shown(chat.bind_tools([get_weather]).invoke(QUESTION)),
        f"{prefix}, tools, stream": lambda: collected(map(shown, chat.bind_tools([get_weather]).stream(QUESTION))),
        f"{prefix}, tool result": lambda: shown(chat.bind_tools([get_weather]).invoke(history)),
        f"{prefix}, JSON schema": lambda: chat.with_structured_output(PLACE).invoke(QUESTION),
        f"{prefix}, schema by a function": lambda: chat.with_structured_output(PLACE, method="function_calling").invoke(
            QUESTION
        ),
        f"{prefix}, vision": lambda: shown(chat.invoke([seen])),
        f"{prefix}, async": lambda: run(answer()),
        f"{prefix}, async stream": lambda: run(stream()),
    }


def other_calls() -> dict[str, Call]:
    completions = OpenAI(model="gpt-3.5-turbo-instruct", base_url=base_url())
    # Otherwise it fetches a tokenizer's table.
    embeddings = OpenAIEmbeddings(model="text-embedding-3-small", base_url=base_url(), check_embedding_ctx_length=False)

    def several() -> Any:
        found = model(n=2).generate([[HumanMessage(QUESTION)]])
        return [shown(one.message) for one in found.generations[0]]

    return {
        "chat, logprobs": lambda: shown(model(logprobs=True, top_logprobs=2).invoke(QUESTION)),
        "chat, n": several,
        "chat, stream with usage": lambda: collected(map(shown, model().stream(QUESTION, stream_usage=True))),
        "chat, one after the other": lambda: [
            shown(one) for one in model().batch([QUESTION, "b"], config={"max_concurrency": 1})
        ],
        "embeddings of documents": lambda: embeddings.embed_documents([QUESTION, "b"]),
        "embeddings of a query": lambda: embeddings.embed_query(QUESTION),
        "completions": lambda: completions.invoke(QUESTION),
        "completions, stream": lambda: collected(completions.stream(QUESTION)),
    }


def fault_calls() -> dict[str, Call]:
    chat = model(timeout=IMPATIENT_SECONDS, max_retries=1)
    responses = model(timeout=IMPATIENT_SECONDS, max_retries=1, use_responses_api=True)

    def asks(name: str) -> Call:
        return lambda: shown(chat.invoke(faulty(name)))

    def streams(name: str) -> Call:
        return lambda: collected(map(shown, chat.stream(faulty(name))))

    def responds(name: str) -> Call:
        return lambda: collected(map(shown, responses.stream(faulty(name))))

    return {
        **{f"fault: {name}": asks(name) for name in FAULTS},
        **{f"fault: {name}, stream": streams(name) for name in STREAM_FAULTS},
        **{f"fault: {name}, responses stream": responds(name) for name in STREAM_FAULTS},
    }


def main() -> None:
    chat, responses = calls_of(model(), "chat"), calls_of(model(use_responses_api=True), "responses")
    play({**chat, **responses, **other_calls(), **fault_calls()})


if __name__ == "__main__":
    main()
