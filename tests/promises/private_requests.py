"""Requests with private data planted in them, drawn from a seed: in every place, dialect and encoding that the scan
says it reads, of kinds that the detector knows. Some hold nothing.
"""

from __future__ import annotations

import base64
import html
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_plus

from insource.core.headers import Headers
from insource.traffic.privacy import PatternDetector
from tests.promises.requests import WORDS

FORWARDED = "x-note"
"""A header that the gateway is told to forward."""
DETECTOR = PatternDetector()


@dataclass(frozen=True, slots=True)
class Planted:
    path: str
    query: str
    headers: Headers
    body: bytes
    values: tuple[str, ...]
    """What must not be sent; () nothing private is in it."""


def prose(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words))


# ------------------------------------------------------------------------------------------------------ values


def _card(rng: random.Random) -> str:
    digits = [4, *(rng.randrange(10) for _ in range(14))]
    odd = sum(sum(divmod(2 * digit, 10)) for digit in digits[::2])
    digits.append(-(odd + sum(digits[1::2])) % 10)
    text = "".join(map(str, digits))
    return " ".join(text[at : at + 4] for at in range(0, 16, 4))


def _mail(rng: random.Random) -> str:
    name = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=9))
    return f"{name}.{rng.randrange(1000)}@{name[::-1]}-mail.org"


def _token(rng: random.Random) -> str:
    return "ghp_" + "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", k=36))


def value(rng: random.Random) -> str:
    return rng.choice((_card, _mail, _mail, _token))(rng)


# ---------------------------------------------------------------------------------------------------- encodings

Form = Callable[[str], str]
FORMS: tuple[Form, ...] = (
    lambda v: v,
    lambda v: v,
    lambda v: quote(v, safe=""),
    lambda v: html.escape(v).replace("@", "&#64;"),
    lambda v: "".join(f"\\u{ord(c):04x}" if not c.isalnum() else c for c in v),
    lambda v: base64.b64encode(f"write to {v} please".encode()).decode(),
    lambda v: v.replace("@", "＠").translate({ord("0") + n: ord("０") + n for n in range(10)}),
    lambda v: v.replace("@", " [at] ").replace(".", " [dot] "),
)


def written(rng: random.Random, v: str) -> str:
    """In a form in which the detector finds it."""
    form = rng.choice(FORMS)(v)
    return form if DETECTOR.scan(f"say {form} now") else v


# ------------------------------------------------------------------------------------------------------- places

Part = dict[str, Any]


def _turn(text: Any, role: str = "user") -> Part:
    return {"role": role, "content": text}


def _in_text(rng: random.Random, v: str) -> list[Part]:
    return [_turn(f"{prose(rng, 6)} {written(rng, v)} {prose(rng, 6)}", rng.choice(("system", "user", "assistant")))]


def _in_part(rng: random.Random, v: str) -> list[Part]:
    return [_turn([{"type": "text", "text": prose(rng, 3)}, {"type": "text", "text": f"it is {written(rng, v)}"}])]


def _over_parts(rng: random.Random, v: str) -> list[Part]:
    cut = _cut(v)
    return [_turn([{"type": "text", "text": v[:cut]}, {"type": "text", "text": v[cut:]}])]


def _over_messages(rng: random.Random, v: str) -> list[Part]:
    cut = _cut(v)
    return [_turn(f"it is {v[:cut]}"), _turn("Go on.", "assistant"), _turn(v[cut:])]


def _over_lines(rng: random.Random, v: str) -> list[Part]:
    cut = _cut(v)
    return [_turn(f"{prose(rng, 4)}\nit is {v[:cut]}\n  {v[cut:]}\n{prose(rng, 4)}")]


def _cut(v: str) -> int:
    """Where a break leaves something that tells that it goes on."""
    return v.index("@") + 4 if "@" in v else len(v) // 2


def _tool_result(rng: random.Random, v: str) -> list[Part]:
    return [{"role": "tool", "tool_call_id": "c1", "content": json.dumps({"note": "a\\b", "found": written(rng, v)})}]


def _tool_call(rng: random.Random, v: str) -> list[Part]:
    arguments = json.dumps({"to": v, "deep": json.dumps({"again": v})})
    call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": arguments}}
    return [{"role": "assistant", "content": None, "tool_calls": [call]}]


def _file(rng: random.Random, v: str) -> list[Part]:
    data = base64.b64encode(f"name,found\n{prose(rng, 5)},{v}\n".encode()).decode()
    packed = rng.choice((data, f"data:text/csv;base64,{data}"))
    return [_turn([{"type": "file", "file": {"filename": "x.csv", "file_data": packed}}])]


def _audio(rng: random.Random, v: str) -> list[Part]:
    data = base64.b64encode(f"{prose(rng, 9)} {v}".encode()).decode()
    return [_turn([{"type": "input_audio", "input_audio": {"format": "wav", "data": data}}])]


def _name(rng: random.Random, v: str) -> list[Part]:
    return [{"role": "user", "name": v, "content": prose(rng, 4)}]


TURNS = (_in_text,) * 4 + (
    _in_part,
    _over_parts,
    _over_messages,
    _over_lines,
    _tool_result,
    _tool_call,
    _file,
    _audio,
    _name,
)
ELSEWHERE: tuple[Callable[[random.Random, str], Part], ...] = (
    lambda rng, v: {"user": v},
    lambda rng, v: {"metadata": {"owner": v}},
    lambda rng, v: {"metadata": {v: "1"}},
    lambda rng, v: {"tools": [{"type": "function", "function": {"name": "f", "description": f"asks {v}"}}]},
    lambda rng, v: {"novel": {"deep": [[["x", f"say {v}"]]]}},
    lambda rng, v: {"prediction": {"type": "content", "content": v}},
)
ENDPOINTS = ("/v1/chat/completions",) * 6 + ("/v1/responses", "/v1/messages", "/v1/completions", "/v1/embeddings")


def planted(seed: int) -> Planted:
    rng = random.Random(seed)
    private = rng.random() < 0.8
    v = value(rng)
    path = rng.choice(ENDPOINTS)
    turns = [_turn(prose(rng, rng.randrange(2, 40))) for _ in range(rng.randrange(1, 4))]
    body: Part = {"model": "gpt-4o", "stream": rng.random() < 0.4, "temperature": 1.0}
    if rng.random() < 0.3:
        body["tools"] = [{"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}]
    query, headers = "", [("content-type", "application/json"), ("authorization", "Bearer sk-test")]
    where = rng.random() if private else 1.0
    if where < 0.7:
        at = rng.randrange(len(turns) + 1)
        turns[at:at] = rng.choice(TURNS)(rng, v)
    elif where < 0.85:
        body |= rng.choice(ELSEWHERE)(rng, v)
    elif where < 0.92:
        query = f"api-version=1&user={quote(v, safe='') if rng.random() < 0.7 else quote(v, safe='@')}"
    elif private:
        headers.append((FORWARDED, v))
    body[{"/v1/responses": "input", "/v1/embeddings": "input", "/v1/completions": "prompt"}.get(path, "messages")] = (
        turns if path in ("/v1/chat/completions", "/v1/messages", "/v1/responses") else json.dumps(turns)
    )
    headers += [("x-forwarded-user", v), ("cookie", f"user={v}"), ("x-insource-task", rng.choice(TASKS))]
    data = json.dumps(body, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1))).encode()
    return Planted(path, query, tuple(headers), data, (v, *_halves(v)) if private else ())


TASKS = ("live", "gate", "shadow", "canary", "dead", "none")


def _halves(v: str) -> tuple[str, ...]:
    cut = _cut(v)
    return tuple(half for half in (v[:cut].strip(), v[cut:].strip()) if len(half) >= 8)


# ------------------------------------------------------------------------------------------------ what was sent

_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")


def said(data: bytes) -> Iterator[str]:
    """All that somebody who got these bytes may read in them."""
    text = data.decode("utf-8", "replace")
    layers = [text]
    for _ in range(3):
        text = html.unescape(unquote_plus(_unescaped(text)))
        layers.append(text)
    for layer in layers:
        yield layer
        yield layer.replace("＠", "@").translate({ord("０") + n: ord("0") + n for n in range(10)})
        for found in _BASE64.findall(layer):
            yield base64.b64decode(found + "=" * (-len(found) % 4)).decode("utf-8", "replace")


def _unescaped(text: str) -> str:
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    return text.replace('\\"', '"').replace("\\\\", "\\")
