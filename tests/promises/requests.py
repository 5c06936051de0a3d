"""Requests of every kind that an application may send, drawn from a seed: personal data, images, tools, long texts, and
JSON that is only just JSON.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

from insource.core.headers import Headers

PRIVATE = (
    "mail me at mara.okon@example.org",
    "my IBAN is DE89 3704 0044 0532 0130 00",
    "call +44 7700 900123 after six",
    "card 4111 1111 1111 1111, exp 12/29",
    "password: hunter2-Xy9!",
    "server 203.0.113.9 and token ghp_abcdefghijklmnopqrstuvwxyz0123456789",
)
WORDS = (
    *("please", "could", "you", "check", "the", "order", "and", "tell", "me", "when", "it", "ships", "because"),
    *("nobody", "answered", "last", "week", "thanks"),
)


def text(rng: random.Random, words: int) -> str:
    chosen = [rng.choice(WORDS) for _ in range(words)]
    if rng.random() < 0.5:
        chosen.insert(rng.randrange(len(chosen) + 1), rng.choice(PRIVATE))
    return " ".join(chosen)


def image(rng: random.Random) -> dict[str, Any]:
    data = base64.b64encode(rng.randbytes(rng.randrange(20, 3000))).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def tool(rng: random.Random) -> dict[str, Any]:
    name = f"{rng.choice(WORDS)}_{rng.randrange(100)}"
    parameters = {"type": "object", "properties": {rng.choice(WORDS): {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "description": text(rng, 8), "parameters": parameters}}


def message(rng: random.Random) -> dict[str, Any]:
    role = rng.choice(("system", "user", "assistant", "tool", "developer"))
    body: Any = text(rng, rng.randrange(1, 60))
    if rng.random() < 0.2:
        body = [{"type": "text", "text": body}, image(rng)]
    return {"role": role, "content": body, **({"tool_call_id": "call_1"} if role == "tool" else {})}


def chat(rng: random.Random) -> dict[str, Any]:
    body: dict[str, Any] = {"model": rng.choice(("gpt-4o", "gpt-5", "small", "")), "messages": []}
    body["messages"] = [message(rng) for _ in range(rng.randrange(1, 6))]
    if rng.random() < 0.3:
        body["tools"] = [tool(rng) for _ in range(rng.randrange(1, 4))]
    extras: tuple[tuple[str, Any], ...] = (
        ("temperature", rng.random()),
        ("n", rng.randrange(1, 4)),
        ("logprobs", True),
        ("stream", rng.random() < 0.5),
        ("response_format", {"type": "json_object"}),
        ("modalities", ["text", "audio"]),
        ("novel_field", {"deep": [1, None, {"x": 1e300}]}),
    )
    return body | dict(rng.sample(extras, rng.randrange(len(extras))))


def spelled(rng: random.Random, body: Any) -> bytes:
    """One of the many ways to write the same JSON."""
    separators = rng.choice(((",", ":"), (", ", ": "), (" ,\n", "\t:  ")))
    return json.dumps(body, ensure_ascii=rng.random() < 0.5, separators=separators).encode("utf-8", "surrogatepass")


def _long(rng: random.Random) -> bytes:
    return spelled(rng, {"model": "gpt-4o", "messages": [{"role": "user", "content": text(rng, 40_000)}]})


def _odd(rng: random.Random) -> bytes:
    duplicates = b'{"model":"a","model":"b","messages":[],"messages":[{"role":"user","content":"x"}]}'
    made = (
        duplicates,
        b"  \n" + spelled(rng, chat(rng)) + b"\n\n",
        spelled(rng, chat(rng))[: rng.randrange(1, 200)],
        b'{"messages": [{"role": "user", "content": "\\ud83d \\u0000 \\ud800"}], "n": 1.0}',
        rng.randbytes(rng.randrange(0, 400)),
        b"[" * rng.randrange(1, 3000),
        b"\xef\xbb\xbf" + spelled(rng, chat(rng)),
        spelled(rng, {"model": 5, "messages": "text", "stream": "yes", "tools": {}, "modalities": 7}),
        spelled(rng, [chat(rng), chat(rng)]),
    )
    return rng.choice(made)


def drawn(seed: int) -> tuple[str, Headers, bytes]:
    """(path with query, headers, body) of one request."""
    rng = random.Random(seed)
    kind = rng.random()
    make: Callable[[random.Random], bytes] = (
        _long if kind < 0.01 else _odd if kind < 0.25 else lambda r: spelled(r, chat(r))
    )
    path = rng.choice(("/v1/chat/completions",) * 6 + ("/v1/responses", "/v1/embeddings", "/v1/files/a%2Fb?x=%20"))
    headers: Headers = (
        ("content-type", rng.choice(("application/json", "application/json; charset=utf-8", "text/plain"))),
        ("authorization", "Bearer sk-test"),
        ("x-user-email", "ada@example.org"),
    )
    return path, headers, make(rng)
