"""What the mock answers: fixed answers in the shapes of OpenAI's API, the same for the same request."""

from __future__ import annotations

import base64
import gzip
import json
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from tests.differential.requests import Request

TEXT = "Paris is the capital of France – «déjà vu» 🗼"
CREATED = 1_790_000_000
JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: str = "200 OK"
    content_type: str = JSON_TYPE
    pieces: tuple[bytes, ...]
    """As they go out."""
    streamed: bool = False
    """In chunks, without a length."""
    headers: tuple[str, ...] = ()


def json_answer(body: Any, *, status: str = "200 OK") -> Answer:
    return Answer(status=status, pieces=(json.dumps(body).encode(),))


def error_answer(status: str, message: str) -> Answer:
    error = {"message": message, "type": "invalid_request_error", "param": "model", "code": "not_found"}
    return json_answer({"error": error}, status=status)


def event_stream(events: Iterable[bytes]) -> Answer:
    """The pieces are cut where a careless reader stumbles: the first two events come as one piece, and each event that
    holds a letter of several bytes is cut inside of it."""
    listed = list(events)
    pieces: list[bytes] = [b": the mock\n\n", b"".join(listed[:2])]
    for event in listed[2:]:
        cut = next((at + 1 for at, byte in enumerate(event) if byte >= 0xC0), 0)
        pieces += [event[:cut], event[cut:]] if cut else [event]
    return Answer(content_type=SSE_TYPE, pieces=tuple(pieces), streamed=True)


def data_event(body: Any) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def answer_to(request: Request) -> Answer:
    for method, pattern, respond in _routes():
        found = re.fullmatch(pattern, request.path) if method == request.head.method else None
        if found:
            return respond(request, *map(unquote, found.groups()))
    return error_answer("404 Not Found", f"Unknown request URL: {request.head.method} {request.path}.")


def _routes() -> Iterable[tuple[str, str, Callable[..., Answer]]]:
    # Imported here because they build on this module's `Answer`.
    from tests.differential import answers_chat, answers_responses

    return (
        ("POST", "/v1/chat/completions", answers_chat.chat),
        ("POST", "/v1/completions", answers_chat.completions),
        ("POST", "/v1/responses", answers_responses.create),
        ("GET", "/v1/responses/([^/]+)", answers_responses.retrieve),
        ("DELETE", "/v1/responses/([^/]+)", _delete_response),
        ("GET", "/v1/responses/([^/]+)/input_items", answers_responses.input_items),
        ("POST", "/v1/embeddings", _embeddings),
        ("POST", "/v1/moderations", _moderations),
        ("GET", "/v1/models", _models),
        ("GET", "/v1/models/([^/]+)", _model),
        ("POST", "/v1/files", _upload),
        ("GET", "/v1/files", _files),
        ("GET", "/v1/files/([^/]+)", lambda _, id: json_answer(_file(id))),
        ("DELETE", "/v1/files/([^/]+)", lambda _, id: json_answer({"id": id, "object": "file", "deleted": True})),
        ("GET", "/v1/files/([^/]+)/content", _content),
        ("POST", "/v1/batches", lambda request: json_answer(_batch("batch_1", **request.json))),
        ("GET", "/v1/batches", lambda _: json_answer(_listed([_batch("batch_1")]))),
        ("GET", "/v1/batches/([^/]+)", lambda _, id: json_answer(_batch(id))),
        ("POST", "/v1/batches/([^/]+)/cancel", lambda _, id: json_answer(_batch(id, status="cancelling"))),
        ("POST", "/v1/audio/transcriptions", _transcription),
        ("POST", "/v1/audio/translations", _transcription),
        ("POST", "/v1/audio/speech", _speech),
        ("POST", "/v1/images/generations", _image),
        ("POST", "/v1/images/edits", _image),
    )


def _delete_response(_: Request, id: str) -> Answer:
    return json_answer({"id": id, "object": "response", "deleted": True})


def _listed(rows: list[Any], *, more: bool = False) -> dict[str, Any]:
    ends = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"]} if rows else {}
    return {"object": "list", "data": rows, "has_more": more, **ends}


def _embeddings(request: Request) -> Answer:
    asked = request.json.get("input")
    inputs = asked if isinstance(asked, list) and asked and not isinstance(asked[0], int) else [asked]
    vectors = [[0.5, -0.25, float(at), 1e-3] for at in range(len(inputs))]
    as_text = request.json.get("encoding_format") == "base64"
    rows = [
        {
            "object": "embedding",
            "index": at,
            "embedding": base64.b64encode(struct.pack("<4f", *vector)).decode() if as_text else vector,
        }
        for at, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return json_answer({"object": "list", "data": rows, "model": "text-embedding-3-small", "usage": usage})


def _moderations(_: Request) -> Answer:
    scores = {"violence": 0.97, "hate": 0.01, "sexual": 0.0, "self-harm": 0.0}
    categories = {name: score > 0.5 for name, score in scores.items()}
    result = {"flagged": True, "categories": categories, "category_scores": scores}
    return json_answer({"id": "modr-1", "model": "omni-moderation-latest", "results": [result]})


def _one_model(id: str) -> dict[str, Any]:
    return {"id": id, "object": "model", "created": CREATED, "owned_by": "openai"}


def _models(request: Request) -> Answer:
    """Compressed where the client takes gzip."""
    body = json.dumps({"object": "list", "data": [_one_model("gpt-4o"), _one_model("ft:gpt-4o:acme::7")]}).encode()
    if "gzip" not in (request.head.header("accept-encoding") or ""):
        return Answer(pieces=(body,))
    return Answer(pieces=(gzip.compress(body, mtime=0),), headers=("Content-Encoding: gzip",))


def _model(_: Request, id: str) -> Answer:
    if id == "missing":
        return error_answer("404 Not Found", "The model 'missing' does not exist.")
    return json_answer(_one_model(id))


def _file(id: str, *, size_bytes: int = 42) -> dict[str, Any]:
    return {
        "id": id,
        "object": "file",
        "bytes": size_bytes,
        "created_at": CREATED,
        "filename": "requests.jsonl",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    }


def _upload(request: Request) -> Answer:
    return json_answer(_file("file-1", size_bytes=request.body.count(b"\n")))


def _files(request: Request) -> Answer:
    """Two pages."""
    if "after=" in request.query:
        return json_answer(_listed([_file("file-3")]))
    return json_answer(_listed([_file("file-1"), _file("file-2")], more=True))


def _content(_: Request, id: str) -> Answer:
    """300 kB that are no text."""
    data = bytes(range(256)) * 1200
    return Answer(content_type="application/octet-stream", pieces=(id.encode(), data), streamed=True)


def _batch(id: str, *, status: str = "validating", **asked: Any) -> dict[str, Any]:
    return {
        "id": id,
        "object": "batch",
        "endpoint": asked.get("endpoint", "/v1/chat/completions"),
        "errors": None,
        "input_file_id": asked.get("input_file_id", "file-1"),
        "completion_window": asked.get("completion_window", "24h"),
        "status": status,
        "output_file_id": "file-2",
        "error_file_id": None,
        "created_at": CREATED,
        "request_counts": {"total": 2, "completed": 0, "failed": 0},
        "metadata": asked.get("metadata"),
    }


def _transcription(request: Request) -> Answer:
    if b'name="stream"' in request.body:
        deltas = [{"type": "transcript.text.delta", "delta": word} for word in ("Hello", " déjà", " world")]
        end = {"type": "transcript.text.done", "text": "Hello déjà world"}
        return event_stream([*map(data_event, (*deltas, end)), DONE])
    return json_answer({"text": "Hello world", "usage": {"type": "duration", "seconds": 1}})


def _speech(_: Request) -> Answer:
    return Answer(content_type="audio/mpeg", pieces=(b"ID3\x04", b"\xff\xfb\x90\x00" * 5000), streamed=True)


def _image(_: Request) -> Answer:
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 60_000).decode()
    return json_answer({"created": CREATED, "data": [{"b64_json": picture, "revised_prompt": "a tower"}]})
