"""What a request says, in whatever dialect: its instructions, the user's texts, the tools it offers, the format it
wants.

OpenAI chat and Responses, completions, embeddings, Anthropic Messages, Gemini, Bedrock, Cohere and Ollama put the same
things in different places; here a place is known by its name, so a body that mixes dialects is read as well. Tool
results, reasoning and the assistant's own turns say nothing of what is asked and are left out. Never raises, whatever
the body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from insource.core.hashing import sha256_hex
from insource.core.values import JsonObject

_INSTRUCTIONS = ("instructions", "system", "systemInstruction", "system_instruction", "preamble")
_TURNS = (
    *("messages", "input", "contents", "chat_history", "prompt", "message", "content", "inputs", "inputText", "texts"),
    *("query", "instances", "requests"),
)
_WRAPPED = ("content", "prompt", "parts", "text")
"""Where an item without a role says its text: what a batch embeds, Vertex's instances."""
_INSTRUCTING = frozenset({"system", "developer"})
_ASKING = frozenset({"user", "human"})
_SETTINGS = ("generationConfig", "generation_config", "config", "output_config")
_OFFERS = ("tools", "functions", "toolConfig")
_FORMATS = ("response_format", "text", "format", "output_format")
_SAID = (None, "text", "input_text")
DEPTH = 8
"""Of lists and objects in a message's content; no dialect needs more than four."""
_NOT_SAID = frozenset({"tool_result", "thinking", "reasoning", "function_call_output"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    instructions: str
    """System and developer messages in order, a line break between them."""
    turns: tuple[str, ...]
    """The texts of the user's messages in order; a message without text is left out."""
    tools: tuple[str, ...]
    """Names of the offered tools, sorted."""
    format: str
    """The structure that the answer must have: a schema's name (without one, its fields), "json" for any, "" for
    text."""


def prompt_of(request: JsonObject) -> Prompt:
    named = request.keys()
    settings = [found for name in _SETTINGS if name in named and isinstance(found := request[name], dict)]
    instructions = [text for name in _INSTRUCTIONS if name in named and (text := _text(request[name]))]
    instructions += [text for place in settings for name in _INSTRUCTIONS if (text := _text(place.get(name)))]
    turns: list[str] = []
    for name in _TURNS:
        if name in named:
            for role, text in _messages(request[name]):
                if text:
                    (instructions if role in _INSTRUCTING else turns).append(text)
    return Prompt(
        instructions="\n".join(instructions),
        turns=tuple(turns),
        tools=_tools(request, settings) if settings or not named.isdisjoint(_OFFERS) else (),
        format=_format(request, settings) if settings or not named.isdisjoint(_FORMATS) else "",
    )


def asks(request: JsonObject) -> bool:
    """Whether the body of a request to a model is there, in whatever dialect; a few words about a body are not."""
    return any(request.get(name) for name in _TURNS)


def _messages(value: Any) -> Iterator[tuple[str, str]]:
    """(role, text) of what instructs and what asks, from a bare text or a list of texts and messages."""
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, str):
            yield "user", item
        elif isinstance(item, dict):
            message = cast("JsonObject", item)
            role = message.get("role") or ("user" if "parts" in message else None)
            filled: Any = message.get("variables")
            if isinstance(role, str) and (role in _INSTRUCTING or role in _ASKING):
                yield role, _text(message.get("content", message.get("parts")))
            elif role is None and isinstance(message.get("id"), str) and isinstance(filled, dict):
                yield "system", str(message["id"])  # a prompt stored at the provider, called by its id
                yield "user", _text(list(cast("JsonObject", filled).values()))
            elif role is None and message.get("type") in _SAID:
                yield "user", _text(next((message[name] for name in _WRAPPED if name in message), None))


def _text(content: Any, *, depth: int = DEPTH) -> str:
    """Of a text, a content part, or a list of them; images, files and tool results give nothing."""
    if isinstance(content, str):
        return content
    if not depth:
        return ""
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        return "\n".join(text for part in parts if (text := _text(part, depth=depth - 1)))
    if isinstance(content, dict):
        part = cast("JsonObject", content)
        if str(part.get("type")) in _NOT_SAID:
            return ""
        return _text(part.get("text", part.get("parts")), depth=depth - 1)
    return ""


# ------------------------------------------------------------------------------------------- tools and formats


def _tools(request: JsonObject, settings: list[JsonObject]) -> tuple[str, ...]:
    bedrock = request.get("toolConfig")
    places = [request, *settings, *([cast("JsonObject", bedrock)] if isinstance(bedrock, dict) else [])]
    offered = [place.get(name) for place in places for name in ("tools", "functions")]
    return tuple(sorted({name for tools in offered if isinstance(tools, list) for name in _tool_names(tools)}))


def _tool_names(tools: list[Any]) -> Iterator[str]:
    for tool in _objects(tools):
        declared = tool.get("functionDeclarations") or tool.get("function_declarations")  # Gemini lists several in one
        for one in _objects(cast("list[Any]", declared)) if isinstance(declared, list) else (tool,):
            inner = one.get("function") or one.get("toolSpec")
            named = cast("JsonObject", inner) if isinstance(inner, dict) else one
            name = named.get("name") or named.get("server_label") or named.get("type") or next(iter(named), "")
            if name:
                yield str(name)


def _objects(values: list[Any]) -> Iterator[JsonObject]:
    return (cast("JsonObject", value) for value in values if isinstance(value, dict))


def _format(request: JsonObject, settings: list[JsonObject]) -> str:
    said = request.get("text")
    asked = [request.get("response_format"), said.get("format") if isinstance(said, dict) else None]
    asked += [place.get(name) for place in (request, *settings) for name in ("format", "output_format")]
    asked += [place.get(name) for place in settings for name in ("responseSchema", "response_schema")]
    found = next((name for one in asked if (name := _format_name(one))), "")
    mime = [place.get(name) for place in settings for name in ("responseMimeType", "response_mime_type")]
    return found or ("json" if "application/json" in mime else "")


def _format_name(asked: Any) -> str:
    if asked == "json":
        return "json"
    if not isinstance(asked, dict):
        return ""
    one = cast("JsonObject", asked)
    inner = one.get("json_schema")
    named = cast("JsonObject", inner) if isinstance(inner, dict) else one
    schema = named.get("schema")
    fields = (cast("JsonObject", schema) if isinstance(schema, dict) else named).get("properties")
    name = named.get("name") or named.get("title")
    if isinstance(name, str) and name:
        return name
    if isinstance(fields, dict):
        return "fields " + sha256_hex(" ".join(sorted(map(str, cast("JsonObject", fields)))).encode())[:12]
    return "json" if str(one.get("type", "")).startswith("json") else ""
