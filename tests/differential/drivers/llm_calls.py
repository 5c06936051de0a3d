"""The calls of `llm`: its Python interface, and its command."""
# It is not installed beside this project's own packages.
# pyright: reportMissingImports=false

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Before its import: where it keeps its settings, and what its embedding models read.
os.environ["LLM_USER_PATH"] = str(Path.cwd() / "llm")
os.environ["OPENAI_BASE_URL"] = sys.argv[1]

import llm

from tests.differential.drivers.harness import (
    FAULTS,
    LONG,
    PICTURE,
    PRIVATE,
    QUESTION,
    SCHEMA,
    STREAM_FAULTS,
    Call,
    acollected,
    base_url,
    collected,
    faulty,
    play,
    run,
)

FOLDER = Path(os.environ["LLM_USER_PATH"])
ABILITIES = {"vision": True, "supports_schema": True, "supports_tools": True, "api_key_name": "openai"}


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 °C in {city}"


def configure() -> None:
    """Models at the base URL, as its users add them. JSON is YAML."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, dict[str, Any]] = {
        "chat": {},
        "responses": {"responses": True},
        "completion": {"completion": True},
    }
    rows = [
        {"model_id": name, "model_name": "gpt-4o", "api_base": base_url(), **ABILITIES, **kind}
        for name, kind in kinds.items()
    ]
    (FOLDER / "extra-openai-models.yaml").write_text(json.dumps(rows), "utf-8")


def shown(response: Any) -> Any:
    """The text and what the library keeps of the answer."""
    usage = response.usage()
    return {
        "text": response.text(),
        "tool calls": [[call.name, call.arguments, call.tool_call_id] for call in response.tool_calls()],
        "answer": response.response_json,
        "usage": [usage.input, usage.output, usage.details],
    }


def command(*arguments: str) -> Any:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("llm")), *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [done.stdout, done.stderr]


def calls_of(name: str) -> dict[str, Call]:
    model = llm.get_model(name)
    picture = llm.Attachment(content=PICTURE, type="image/png")

    async def answer() -> Any:
        return await llm.get_async_model(name).prompt(QUESTION).text()

    async def stream() -> Any:
        return await acollected(llm.get_async_model(name).prompt(QUESTION))

    def whole(prompt: str = QUESTION, **more: Any) -> Any:
        return shown(model.prompt(prompt, stream=False, **more))

    return {
        name: lambda: whole(system="Be short."),
        f"{name}, personal data": lambda: whole(PRIVATE),
        f"{name}, 200 kB": lambda: whole(LONG),
        f"{name}, stream": lambda: collected(model.prompt(QUESTION)),
        f"{name}, tools": lambda: whole(tools=[get_weather]),
        f"{name}, tools in two steps": lambda: collected(model.chain(QUESTION, tools=[get_weather])),
        f"{name}, JSON schema": lambda: whole(schema=SCHEMA),
        f"{name}, vision": lambda: whole(attachments=[picture]),
        f"{name}, async": lambda: run(answer()),
        f"{name}, async stream": lambda: run(stream()),
        f"{name}, by the command": lambda: command("-m", name, "--no-log", QUESTION),
    }


def other_calls() -> dict[str, Call]:
    completion, embedding = llm.get_model("completion"), llm.get_embedding_model("3-small")

    def embed(texts: Iterable[str]) -> Any:
        return [list(vector) for vector in embedding.embed_multi(texts)]

    return {
        "completions": lambda: shown(completion.prompt(QUESTION, stream=False)),
        "completions, logprobs": lambda: shown(completion.prompt(QUESTION, stream=False, logprobs=2)),
        "completions, stream": lambda: collected(completion.prompt(QUESTION)),
        "embedding": lambda: list(embedding.embed(QUESTION)),
        "embeddings": lambda: embed([QUESTION, "b"]),
        "models, list by the command": lambda: command("openai", "endpoint", base_url(), "--models"),
        "chat, by the command for any base URL": lambda: command(
            "openai", "endpoint", base_url(), QUESTION, "-m", "gpt-4o", "--key", "sk-test"
        ),
    }


def fault_calls() -> dict[str, Call]:
    chat, responses = llm.get_model("chat"), llm.get_model("responses")
    # It has no time-out of its own below ten minutes, so a stall is left out.
    faults = [name for name in FAULTS if name != "stall"]
    stream_faults = [name for name in STREAM_FAULTS if name != "stall midway"]

    def asks(name: str) -> Call:
        return lambda: shown(chat.prompt(faulty(name), stream=False))

    def streams(model: Any, name: str) -> Call:
        return lambda: collected(model.prompt(faulty(name)))

    return {
        **{f"fault: {name}": asks(name) for name in faults},
        **{f"fault: {name}, stream": streams(chat, name) for name in stream_faults},
        **{f"fault: {name}, responses stream": streams(responses, name) for name in stream_faults},
    }


def main() -> None:
    configure()
    play({**calls_of("chat"), **calls_of("responses"), **other_calls(), **fault_calls()})


if __name__ == "__main__":
    main()
