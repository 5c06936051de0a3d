"""What the benches of adaptation share: the two labelled tasks, the default model, and serving an adapter.

A human's label stands in for a hosted answer in both tasks.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import os
import random
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insource.cli.session import load_settings
from insource.core.cores import usable_cores
from insource.core.errors import UpstreamError
from insource.core.hashing import file_sha256
from insource.core.ports import Call, Reply, Upstream
from insource.core.values import EngineSettings, JsonObject, ModelFile
from insource.engines.models.cache import ModelCache
from insource.stats.intervals import clopper_pearson
from insource.workflows.files.models import find

RESULTS = Path(__file__).parent / "results"
_ROOT = Path(__file__).parents[1]
INTENTS = (
    "activate_my_card", "age_limit", "card_arrival", "card_payment_fee_charged", "change_pin", "declined_card_payment",
    "direct_debit_payment_not_recognised", "exchange_rate", "top_up_failed", "verify_my_identity",
)  # fmt: skip
_SORTING = "You sort messages that customers send to a bank. Answer with one intent: " + ", ".join(INTENTS) + "."
_BOOKING = (
    "Extract what the guest's message states of a table booking as one JSON object with any of the keys people, date, "
    "time, first_name and last_name, each value copied from the message. Answer with the JSON object alone."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    text: str
    request: JsonObject
    answer: str


def data_folder() -> Path | None:
    folder = Path(os.environ.get("INSOURCE_DATA") or _ROOT.parent / "shared" / "data")
    return folder if folder.is_dir() else None


def default_model() -> Path:
    """Pulled beforehand: `insource models pull`."""
    return find("", cache=ModelCache(load_settings().model_cache)).path


def banking(folder: Path) -> tuple[list[Labelled], list[Labelled]]:
    """(to learn from, to ask) of ten intents; the first is in an order drawn once."""
    parts: list[list[Labelled]] = []
    for name in ("train", "test"):
        with gzip.open(folder / "banking77" / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            rows = [(row["text"], row["category"]) for row in csv.DictReader(file) if row["category"] in INTENTS]
        parts.append([_labelled(text, label, _SORTING) for text, label in rows])
    return _unseen(parts[0], parts[1])


def restaurant(folder: Path) -> tuple[list[Labelled], list[Labelled]]:
    """(to learn from, to ask): messages with their slots as JSON, `{}` where there are none."""
    parts: list[list[Labelled]] = []
    for name in ("train_2", "test"):
        with gzip.open(folder / "restaurant8k" / f"{name}.json.gz", "rt", encoding="utf-8") as file:
            parts.append([_booking(record) for record in json.load(file)])
    return _unseen(parts[0], parts[1])


def _unseen(learnt: list[Labelled], asked: list[Labelled]) -> tuple[list[Labelled], list[Labelled]]:
    random.Random(0).shuffle(learnt)
    known = {row.text.casefold() for row in learnt}
    kept = [row for row in asked if row.text.casefold() not in known]
    random.Random(1).shuffle(kept)
    return learnt, kept


def _booking(record: Mapping[str, Any]) -> Labelled:
    text = record["userInput"]["text"]
    spans = {label["slot"]: label["valueSpan"] for label in record.get("labels", ())}
    slots = {slot: text[span.get("startIndex", 0) : span["endIndex"]] for slot, span in spans.items()}
    return _labelled(text, json.dumps(slots, ensure_ascii=False), _BOOKING)


def _labelled(text: str, answer: str, system: str) -> Labelled:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return Labelled(text=text, request={"messages": messages}, answer=answer)


def share(right: int, n: int) -> str:
    """A share with its 95 % interval."""
    if n == 0:
        return "-"
    interval = clopper_pearson(right, n, confidence=0.95)
    return f"{right / n:.1%} [{interval.low:.1%}, {interval.high:.1%}] of {n}"


def slot_figures(pairs: Sequence[tuple[JsonObject, JsonObject]]) -> tuple[float, int]:
    """(F1 over slots, exactly equal objects) of (found, wanted)."""
    found = sum(len(one) for one, _ in pairs)
    wanted = sum(len(other) for _, other in pairs)
    hit = sum(sum(other.get(key) == value for key, value in one.items()) for one, other in pairs)
    return (2 * hit / (found + wanted) if found + wanted else 1.0), sum(one == other for one, other in pairs)


def as_object(text: str) -> JsonObject:
    """`{}` for what is no JSON object."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def model_file(path: Path) -> ModelFile:
    return ModelFile(
        ref=f"file:{path.name}", path=path, sha256=file_sha256(path), size_bytes=path.stat().st_size, source="file"
    )


def engine_settings(slots: int = 2) -> EngineSettings:
    return EngineSettings(context_tokens=1024 * slots, slots=slots, threads=usable_cores())


class Patient:
    """Asks again where a worker did not answer in time: the benches run beside other work."""

    def __init__(self, engine: Upstream, *, tries: int = 5) -> None:
        self._engine, self._tries = engine, tries

    @property
    def name(self) -> str:
        return self._engine.name

    async def send(self, call: Call) -> Reply:
        for left in reversed(range(self._tries)):
            try:
                return await self._engine.send(call)
            except UpstreamError:
                if left == 0:
                    raise
                await asyncio.sleep(2)
        raise AssertionError("a try is left or the last one raised")

    async def close(self) -> None:
        await self._engine.close()


async def answers(engine: Upstream, requests: Sequence[JsonObject], *, most_tokens: int) -> list[JsonObject]:
    """Completions in order, two at a time."""
    turn, patient = asyncio.Semaphore(2), Patient(engine)

    async def one(request: JsonObject) -> JsonObject:
        async with turn:
            body = {**request, "temperature": 0, "max_tokens": most_tokens, "logprobs": True, "top_logprobs": 1}
            reply = await patient.send(Call(path="/v1/chat/completions", body=json.dumps(body).encode()))
            return json.loads(await reply.read())

    return list(await asyncio.gather(*(one(request) for request in requests)))


def peak_gigabytes_of_children() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2
