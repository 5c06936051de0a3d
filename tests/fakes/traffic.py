"""Traffic of an invented help desk: every message is worded anew, so that each is a cluster of its own."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from insource.core.fakes import json_reply
from insource.core.ports import Call, Reply
from insource.core.values import Exchange, JsonObject
from insource.wire.chat import completion, user_text
from tests.fakes.evidence import START

WORDS = {
    "card": ["card", "chip", "plastic", "contactless", "wallet"],
    "loan": ["loan", "mortgage", "credit", "lender", "borrowing"],
    "transfer": ["transfer", "wire", "remittance", "payee", "iban"],
}
LABELS = tuple(WORDS)
SYSTEM: JsonObject = {"role": "system", "content": "Sort the message of a customer: card, loan or transfer."}
_SYLLABLES = (
    "ba", "de", "fi", "go", "lu", "mer", "nat", "pol", "quis", "ra", "ste", "tor", "un", "vel", "wex", "yo", "zan",
    "kri", "phe", "dro",
)  # fmt: skip


def message(number: int, *, labels: Sequence[str] = LABELS) -> tuple[str, str]:
    """A text and its label: two telling words among ten that mean nothing."""
    drawn = random.Random(f"message {number}")
    label = drawn.choice(labels)
    noise = ["".join(drawn.choices(_SYLLABLES, k=drawn.randint(2, 4))) for _ in range(10)]
    for word in drawn.sample(WORDS[label], 2):
        noise.insert(drawn.randint(0, len(noise)), word)
    return " ".join(noise), label


def exchange(number: int, *, text: str | None = None, label: str | None = None, **changes: Any) -> Exchange:
    said, right = message(number)
    right = right if label is None else label
    fields: JsonObject = {
        "id": f"x{number:05}",
        "created": START + timedelta(minutes=number),
        "request": {
            "model": "gpt-4",
            "messages": [SYSTEM, {"role": "user", "content": said if text is None else text}],
        },
        "response": completion(id="c", created=0, model="gpt-4", text=right),
        "reference": right,
        "reference_kind": "label",
        "private_kinds": (),
        "cost_usd": 0.5,
        "cost_source": "recorded",
    }
    return Exchange(**{**fields, **changes})


def exchanges(size: int, *, start: int = 0, **changes: Any) -> list[Exchange]:
    return [exchange(number, **changes) for number in range(start, start + size)]


def label_of(text: str) -> str:
    """What the message is about; "card" where it says nothing."""
    words = set(text.split())
    return next((label for label, telling in WORDS.items() if words & set(telling)), LABELS[0])


def reply(text: str, *, logprob: float = -0.1) -> Reply:
    choice = {
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": {"content": [{"token": text, "logprob": logprob}]},
    }
    return json_reply({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}})


def engine_that(says: Callable[[str], str]) -> Callable[[Call], Reply]:
    """Answers with what `says` makes of the user's text; surer of some texts than of others."""

    def answer(call: Call) -> Reply:
        text = user_text(json.loads(call.body))
        return reply(says(text), logprob=-0.01 - random.Random(text).random() / 5)

    return answer
