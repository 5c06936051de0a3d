"""Parts of the demo's log, for tests that need traffic: they are written for the project, and real enough."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from insource.core.values import JsonObject
from insource.demo_data.assemble import assemble

BEGINNINGS = {
    "triage": "You sort the mail",
    "slots": "You read requests",
    "policy": "You check for the agents",
    "replies": "You draft replies",
    "arithmetic": "You work out",
    "threads": "Summarise this ticket",
    "personal": "Turn the customer's message",
}


@lru_cache(maxsize=1)
def demo_lines() -> tuple[JsonObject, ...]:
    return tuple(assemble())


def lines_of(task: str) -> list[JsonObject]:
    return [line for line in demo_lines() if line["request"]["messages"][0]["content"].startswith(BEGINNINGS[task])]


def write_lines(path: Path, lines: list[JsonObject]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path
