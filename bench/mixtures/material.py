"""What the jobs work on, from the shared data, and what fills the slots of their prompts."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

DATA = Path(os.environ.get("INSOURCE_DATA") or Path(__file__).parents[3] / "shared" / "data")
Pair = tuple[str, str | None]
"""(message, answer; None where none was recorded)"""


def _lines(name: str) -> list[str]:
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        return list(file)


def _csv(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(_lines(name)))


def _json(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _lines(name)]


@cache
def bank() -> list[Pair]:
    return [(row["text"], row["category"]) for row in _csv("banking77/train.csv.gz")]


@cache
def assistant() -> list[Pair]:
    return [(text, label) for text, label in json.loads("".join(_lines("clinc150/data_full.json.gz")))["train"]]


@cache
def maths() -> list[Pair]:
    return [(row["prompt"], row["gpt_4_1106_answer"]) for row in _json("routellm/gsm8k.jsonl.gz")]


@cache
def exam() -> list[Pair]:
    return [(row["prompt"].removesuffix("\nAnswer:"), None) for row in _json("routellm/mmlu.jsonl.gz")]


@cache
def booking() -> list[Pair]:
    found: list[Pair] = []
    for row in json.loads("".join(_lines("restaurant8k/train_2.json.gz"))):
        text = row["userInput"]["text"]
        slots = {
            label["slot"]: text[label["valueSpan"].get("startIndex", 0) : label["valueSpan"].get("endIndex")]
            for label in row.get("labels", ())
        }
        found.append((text, json.dumps(slots)))
    return found


@cache
def personal() -> list[Pair]:
    rows = json.loads("".join(_lines("presidio/synth_dataset_v2.json.gz")))
    return [(row["full_text"], row["masked"]) for row in rows]


@cache
def survey() -> list[Pair]:
    rows = [row for row in _csv("llmdrift/opinionqa.csv.gz") if "gpt-4" in row["model"]]
    return [(row["query"].split("Question: ", 1)[-1].removesuffix("\nAnswer:"), row["answer"]) for row in rows]


@cache
def calls() -> list[dict[str, Any]]:
    return _json("bfcl/pair_2024-08-11.jsonl.gz")


def derived(answer: Callable[[str], str]) -> list[Pair]:
    """Another job on the bank's messages: its answers follow from the text."""
    return [(text, answer(text)) for text, _ in bank()]


def question_or_statement(text: str) -> str:
    return "question" if "?" in text else "statement"


def length_class(text: str) -> str:
    return ("short", "medium", "long")[min(len(text.split()) // 9, 2)]


def reversed_words(text: str) -> str:
    """Stands for a rewriting: free text as long as the message."""
    return " ".join(reversed(text.split()))


SOURCES: dict[str, Callable[[], list[Pair]]] = {
    "bank": bank,
    "assistant": assistant,
    "maths": maths,
    "exam": exam,
    "booking": booking,
    "personal": personal,
    "survey": survey,
    "mood": lambda: derived(question_or_statement),
    "length": lambda: derived(length_class),
    "rewrite": lambda: derived(reversed_words),
}

_FIRST = "Ana Ben Chloé Dmitri Eva Farid Greta Hugo Ines Jonas Kofi Lena Marek Nadia Omar Paula Quentin Rosa Sven Tanja"
_LAST = (
    "Abel Brandt Castillo Dubois Eriksen Fontana Gruber Hansen Ivanova Jansen Kowalski Lindqvist Moreau Novak Okafor"
)
_CITIES = [
    "Lisbon",
    "Graz",
    "Ghent",
    "Turku",
    "Porto",
    "Lyon",
    "Bergen",
    "Gdansk",
    "Cork",
    "Trieste",
    "Nantes",
    "Basel",
    "Malmö",
    "Split",
    "Leeds",
    "Utrecht",
]
_FACTS = (
    "likes answers in short sentences", "has two cats", "works night shifts", "moved house in spring",
    "asked about a refund last week", "is learning Portuguese", "prefers to be called by the last name",
    "has a premium account", "is allergic to nuts", "travels to Japan every autumn", "uses a screen reader",
    "once complained about slow replies", "runs a bakery with three ovens", "collects old maps",
    "has an open invoice", "wants links rather than quotes", "is a teacher of chemistry", "drives an electric van",
    "reads the newsletter on Sundays", "bought a tent for four people", "has been a customer for eleven years",
    "speaks with a lawyer about the lease", "keeps bees on the roof", "is deaf in one ear",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slots:
    """Values for the variable parts of one request. `late` requests come after the log: other days, other people."""

    rng: Random
    late: bool = False

    def name(self) -> str:
        half = _LAST.split()[:12] if not self.late else _LAST.split()
        return f"{self.rng.choice(_FIRST.split())} {self.rng.choice(half)}"

    def moment(self) -> datetime:
        start = datetime(2027, 1, 4, tzinfo=UTC) if self.late else datetime(2026, 9, 1, tzinfo=UTC)
        return start + timedelta(minutes=self.rng.randrange(70 * 24 * 60))

    def date(self) -> str:
        return f"{self.moment():%Y-%m-%d}"

    def long_date(self) -> str:
        return f"{self.moment():%A, %d %B %Y}"

    def time(self) -> str:
        return f"{self.moment():%H:%M:%S}"

    def city(self) -> str:
        return self.rng.choice(_CITIES)

    def memory(self, count: int) -> list[str]:
        return self.rng.sample(_FACTS, count)

    def passages(self, count: int, pool: int = 60) -> list[str]:
        """Texts that a search brought: from a pool of so many, for late requests from a larger one."""
        texts = [text for text, _ in personal()[: pool * (2 if self.late else 1)]]
        return self.rng.sample(texts, count)
