"""Answers as they went over the wire: one body, a body a line, or the events of a stream, in any dialect."""

from __future__ import annotations

from typing import Any

from insource.core.values import JsonObject
from insource.traffic.formats.fields import items
from insource.wire import gemini, json_text, ollama
from insource.wire.wholeness import judge

_JUDGED = ("/chat/completions", "/completions", "/responses", "/messages", "/embeddings")
_BEGINS = ("data:", "event:", ": ")


def answer_of(path: str, body: bytes) -> tuple[JsonObject | None, str | None]:
    """(the answer in the body of a success, why it is not whole)."""
    if not body.strip():
        return None, None
    chunks = _chunks(body)
    if chunks and "candidates" in chunks[0]:
        return gemini.joined(chunks), None
    if len(chunks) > 1 and "done" in chunks[0]:
        return ollama.joined(chunks), None if chunks[-1].get("done") else "its stream has no end"
    if chunks and not path.rstrip("/").endswith(_JUDGED):
        return chunks[0], None
    judged = judge(path if path.rstrip("/").endswith(_JUDGED) else "/chat/completions", 200, body)
    return judged.response, judged.flaw


def streamed(value: Any) -> tuple[JsonObject, str | None] | None:
    """The answer that a recorded stream adds up to (its text, the list of its objects, or an object around its text),
    and why it is not whole; None for what is no stream."""
    if isinstance(value, dict):
        texts = [held for held in value.values() if isinstance(held, str) and held.lstrip().startswith(_BEGINS)]
        return streamed(texts[0]) if len(texts) == 1 else None
    begins = value.lstrip()[:8] if isinstance(value, str) else ""
    if begins.startswith(_BEGINS):
        body = value.strip().encode("utf-8", "surrogatepass") + b"\n\n"
        chunks = _chunks(body)
    elif isinstance(value, list) or begins.startswith("["):
        listed = items(value)
        chunks = [item for item in listed if isinstance(item, dict)]
        if len(chunks) < len(listed):
            return None
        body = b"".join(b"data: " + json_text.encode(chunk) + b"\n\n" for chunk in chunks)
    else:
        return None
    path = next((found for chunk in chunks if (found := _path_of(chunk)) is not None), None)
    if path is None:
        return None
    response, flaw = answer_of(path, body)
    return None if response is None else (response, flaw)


def _path_of(chunk: JsonObject) -> str | None:
    """The API whose stream has such an object; None: no stream has."""
    kind, choices = str(chunk.get("type") or ""), chunk.get("choices")
    if kind == "message_start" or kind.startswith("content_block_"):
        return "/messages"
    if kind.startswith("response."):
        return "/responses"
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        if "delta" in choices[0]:
            return "/chat/completions"
        return "/completions" if "text" in choices[0] and "message" not in choices[0] else None
    return "" if "candidates" in chunk or isinstance(chunk.get("done"), bool) else None


def _chunks(body: bytes) -> list[JsonObject]:
    """The objects of an answer that is one, a list of them, one a line, or one an event."""
    text = body.decode("utf-8", "replace")
    pieces = [text] if text.lstrip()[:1] in ("{", "[") else []
    if len(text.splitlines()) > 1:
        lines = [line.removeprefix("data:").strip() for line in text.splitlines()]
        pieces = [*pieces, *[line for line in lines if line.startswith("{")]]
    found: list[JsonObject] = []
    for piece in pieces:
        value = _decoded(piece)
        found += [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, dict)]
        if piece is text and found:
            break
    return found


def _decoded(piece: str) -> Any:
    try:
        return json_text.decode(piece)
    except (ValueError, RecursionError):
        return None
