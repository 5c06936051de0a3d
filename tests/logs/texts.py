"""Samples of training files and conversations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.logs.sample import ASKED, CREATED, ISO, MESSAGES, MODEL, RULES, SAID, SECONDS, Sample, Wanted, lines, pretty

_TRAINING = Wanted(answer=None, label=SAID, created=None, tokens=None, model=None)

_BARE = Wanted(created=None, tokens=None, model=None)


def _training_samples() -> tuple[Sample, ...]:
    turn, wrong = {"role": "assistant", "content": SAID}, {"role": "assistant", "content": "late"}
    gemini = {
        "systemInstruction": {"role": "system", "parts": [{"text": RULES}]},
        "contents": [
            {"role": "user", "parts": [{"text": ASKED}]},
            {"role": "model", "parts": [{"text": SAID}]},
        ],
    }
    thumbs = {"prompt": list(MESSAGES), "completion": SAID, "label": False}
    return (
        Sample(
            name="preferences",
            files=(lines({"prompt": list(MESSAGES), "chosen": [turn], "rejected": [wrong]}),),
            wanted=_TRAINING,
        ),
        Sample(
            name="whole preferences",
            files=(lines({"chosen": [*MESSAGES, turn], "rejected": [*MESSAGES, wrong]}),),
            wanted=_TRAINING,
        ),
        Sample(
            name="instructions",
            files=(lines({"instruction": RULES, "input": ASKED, "output": SAID}),),
            wanted=replace(_TRAINING, rules="", asked=f"{RULES}\n\n{ASKED}"),
        ),
        Sample(name="gemini tuning", files=(lines(gemini),), wanted=_TRAINING),
        Sample(
            name="system beside messages",
            files=(lines({"system": RULES, "messages": [MESSAGES[1], turn]}),),
            wanted=_TRAINING,
        ),
        Sample(
            name="reinforcement with json",
            wanted=replace(_TRAINING, label='{"kind":"broken"}'),
            files=(lines({"messages": list(MESSAGES), "reference_answer": {"kind": "broken"}}),),
        ),
        Sample(
            name="thumbs", files=(lines({**thumbs, "prompt": ASKED}),), wanted=replace(_BARE, rules="", correct=False)
        ),
        Sample(
            name="a log of messages",
            files=(lines({"messages": [*MESSAGES, turn], "model": MODEL, "created_at": ISO, "cost": 0.002}),),
            wanted=Wanted(tokens=None, cost_usd=0.002),
        ),
        Sample(
            name="sharegpt with tools",
            wanted=replace(_BARE, answer=SAID),
            files=(
                lines(
                    {
                        "system": RULES,
                        "conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": SAID}],
                    }
                ),
            ),
        ),
    )


def _conversation_samples() -> tuple[Sample, ...]:
    def node(id: str, parent: str | None, role: str, content: str, **others: Any) -> dict[str, Any]:
        return {"id": id, "parentId": parent, "role": role, "content": content, "timestamp": SECONDS, **others}

    messages = {
        "u": node("u", None, "user", ASKED),
        "a": node(
            "a",
            "u",
            "assistant",
            SAID,
            model=MODEL,
            annotation={"rating": 1},
            usage={"input_tokens": 30, "output_tokens": 2},
        ),
        "b": node("b", "u", "assistant", "late", model=MODEL, annotation={"rating": -1}),
        "u2": node("u2", "a", "user", "Sure?"),
        "a2": node("a2", "u2", "assistant", SAID, model=MODEL),
    }
    webui = [{"id": "w1", "chat": {"params": {"system": RULES, "temperature": 0}, "history": {"messages": messages}}}]
    chatgpt = [
        {
            "title": "t",
            "create_time": SECONDS,
            "conversation_id": "g1",
            "current_node": "3",
            "mapping": {
                "1": {"id": "1", "message": None, "parent": None},
                "2": {
                    "id": "2",
                    "parent": "1",
                    "message": {
                        "id": "2",
                        "author": {"role": "user"},
                        "create_time": SECONDS + 0.25,
                        "content": {"content_type": "text", "parts": [ASKED]},
                    },
                },
                "3": {
                    "id": "3",
                    "parent": "2",
                    "message": {
                        "id": "3",
                        "author": {"role": "assistant"},
                        "content": {"content_type": "text", "parts": [SAID]},
                        "metadata": {"model_slug": MODEL},
                    },
                },
            },
        }
    ]
    claude = {
        "uuid": "k1",
        "name": "t",
        "chat_messages": [
            {"uuid": "m1", "sender": "human", "text": ASKED, "created_at": ISO},
            {"uuid": "m2", "sender": "assistant", "content": [{"type": "text", "text": SAID}], "created_at": ISO},
        ],
    }
    bare = replace(_BARE, rules="", created=CREATED)
    return (
        Sample(
            name="open webui",
            files=(pretty(webui),),
            wanted=Wanted(count=3, correct=True, metadata={"session_id": "w1"}),
        ),
        Sample(
            name="chatgpt",
            files=(pretty(chatgpt),),
            wanted=replace(bare, model=MODEL, created=CREATED.replace(microsecond=250_000)),
        ),
        Sample(name="claude", files=(pretty([claude]),), wanted=bare),
    )


SAMPLES = (
    *_training_samples(),
    *_conversation_samples(),
)
