"""The recorded traffic of the shared data as one log, for benches: real requests, nothing written for the purpose.

`build(DATA)` gives the lines (DESIGN §8) in time order. Nothing of it is committed. What is changed or added:

* Requests around bare texts (Banking77, CLINC150, presidio-research, restaurant8k): the system prompt, the settings and
  the model's name are ours; there is no response, no cost and no latency, and the reference is a human's label.
* Times. LLMDrift's are real. All others are spread evenly over the same weeks in a shuffled order that depends on their
  ids alone, and say `"created": "assigned"` in their metadata.
* LLMDrift: prompt tokens follow from recorded answer tokens and cost by gpt-4's list price of that time, a whole number
  for every record. GPT-3.5's rows are left out. OpinionQA's `ref_answer` is a dummy and is not used.
* GSM8K: the reference is the number of an answer that RouteLLM recorded as correct.
* BFCL: GPT-4's recorded calls are the responses; `reference_correct` is the public checker's verdict on them.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from insource.core.answers import find_label, find_number
from insource.core.hashing import unit_interval
from insource.core.values import JsonObject
from insource.wire import chat

_HOSTED_MODEL = "gpt-4o-mini"
"""The model that requests without a recorded answer name: something has to stand there."""

_INTENTS = (
    "activate_my_card",
    "age_limit",
    "card_arrival",
    "card_payment_fee_charged",
    "change_pin",
    "declined_card_payment",
    "direct_debit_payment_not_recognised",
    "exchange_rate",
    "top_up_failed",
    "verify_my_identity",
)
_TRIAGE = (
    "You sort messages that customers send to a bank. Answer with exactly one of these intents and nothing else:\n"
    + "\n".join(f"- {intent}" for intent in _INTENTS)
)
_EXTRACT = (
    "You read a message and extract one field from it. "
    "Answer with the field's value exactly as it is written in the message, and with nothing else."
)
_FIELDS = {
    "PERSON": "name of the person",
    "STREET_ADDRESS": "street address",
    "GPE": "place (city, region or country)",
    "ORGANIZATION": "organization",
    "CREDIT_CARD": "credit card number",
    "DATE_TIME": "date or time",
    "TITLE": "title of the person",
    "PHONE_NUMBER": "phone number",
    "AGE": "age",
    "NRP": "nationality, religion or political group",
    "EMAIL_ADDRESS": "e-mail address",
    "ZIP_CODE": "postal code",
    "DOMAIN_NAME": "web address",
    "IBAN_CODE": "IBAN",
    "US_SSN": "social security number",
    "IP_ADDRESS": "IP address",
    "US_DRIVER_LICENSE": "driver's license number",
}
_BOOKINGS = 2_000
_DRIFT_FILES = ("countahappynumber", "leetcode_easy", "opinionqa", "prime_full")
_MARKED = re.compile(r"####\s*([^\n]+)")
# OpenAI's list price of gpt-4 (8k) in July 2023, US dollars for 1,000 tokens.
_USD_PER_1000_INPUT, _USD_PER_1000_OUTPUT = 0.03, 0.06


def build(data: Path) -> list[JsonObject]:
    """The log's lines, in time order."""
    drift = [line for name in _DRIFT_FILES for line in _drift(data, name)]
    first, last = min(line["created"] for line in drift), max(line["created"] for line in drift)
    timeless = [
        line for read in (_triage, _maths, _extraction, _bookings, _assistant, _tool_calls) for line in read(data)
    ]
    timeless.sort(key=lambda line: unit_interval("demo order", line["id"]))
    for place, line in enumerate(timeless):
        created = first + (last - first) * ((place + 0.5) / len(timeless))
        line["created"] = created.replace(microsecond=0)
        line["metadata"]["created"] = "assigned"
        if "response" in line:
            line["response"]["created"] = int(line["created"].timestamp())
    lines = sorted([*drift, *timeless], key=lambda line: (line["created"], line["id"]))
    for line in lines:
        line["created"] = line["created"].strftime("%Y-%m-%dT%H:%M:%SZ")
    return lines


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    csv.field_size_limit(1 << 24)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from enumerate(csv.DictReader(file))


def _line(*, source: str, row: int, request: JsonObject, **fields: Any) -> JsonObject:
    name = source.split("/")[-1].split(".")[0]
    line_id = f"{source.split('/')[0]}-{name}-{row}"
    return {"id": line_id, "request": request, **fields, "metadata": {"source": source, "row": row}}


def _request(model: str, user: str, *, system: str | None = None, **settings: Any) -> JsonObject:
    asked = [] if system is None else [{"role": "system", "content": system}]
    return {"model": model, "messages": [*asked, {"role": "user", "content": user}], **settings}


def _triage(data: Path) -> Iterator[JsonObject]:
    """Banking77, ten intents, all their rows. No hosted answer was recorded: a human's label is the reference."""
    for name in ("train", "test"):
        source = f"banking77/{name}.csv.gz"
        for row, record in _rows(data / source):
            if record["category"] in _INTENTS:
                request = _request(_HOSTED_MODEL, record["text"], system=_TRIAGE, temperature=0, max_tokens=16)
                reference = {"reference": record["category"], "reference_kind": "label"}
                yield _line(source=source, row=row, request=request, **reference)


def _maths(data: Path) -> Iterator[JsonObject]:
    """GSM8K with the answers of GPT-4 that RouteLLM recorded."""
    source, model = "routellm/gsm8k.jsonl.gz", "gpt-4-1106-preview"
    with gzip.open(data / source, "rt", encoding="utf-8") as file:
        for row, text in enumerate(file):
            record = json.loads(text)
            gold = _gold_number(record)
            yield _line(
                source=source,
                row=row,
                request=_request(model, record["prompt"]),
                # `created` follows once the line has its time.
                response=chat.completion(
                    id=f"chatcmpl-gsm8k-{row}", created=0, model=model, text=record["gpt_4_1106_answer"]
                ),
                **({} if gold is None else {"reference": gold, "reference_kind": "label"}),
                reference_correct=record["gpt_4_1106_correct"],
            )


def _gold_number(record: JsonObject) -> str | None:
    """The number of an answer that was recorded as correct; None when none was, or when two such disagree."""
    marked = _MARKED.findall(record["mixtral_8x7b_answer"]) if record["mixtral_8x7b_correct"] else []
    of_mixtral = find_number(marked[-1]) if marked else None
    of_gpt = find_number(record["gpt_4_1106_answer"]) if record["gpt_4_1106_correct"] else None
    known = {number for number in (of_mixtral, of_gpt) if number is not None}
    return f"{known.pop():.10g}" if len(known) == 1 else None


def _drift(data: Path, name: str) -> Iterator[JsonObject]:
    """LLMDrift's exchanges with GPT-4, as recorded."""
    source = f"llmdrift/{name}.csv.gz"
    for row, record in _rows(data / source):
        model = record["model"].removeprefix("openaichat/")
        if not model.startswith("gpt-4-"):
            continue
        created = datetime.strptime(record["timestamp"], "%m/%d/%Y, %H:%M:%S").replace(tzinfo=UTC)
        limit = int(record["max_tokens"])
        usage = _usage(record)
        response = chat.completion(
            id=f"chatcmpl-{name}-{row}",
            created=int(created.timestamp()),
            model=model,
            text=record["answer"],
            usage=usage,
        )
        response["choices"][0]["finish_reason"] = "length" if usage["completion_tokens"] >= limit else "stop"
        line = _line(
            source=source,
            row=row,
            request=_request(model, record["query"], temperature=float(record["temperature"]), max_tokens=limit),
            response=response,
            latency_seconds=float(record["latency"]),
            cost_usd=round(float(record["cost"]), 9),
            **_drift_reference(name, record),
            created=created,
        )
        if "Directly Usable" in record:
            line["metadata"]["directly_usable"] = record["Directly Usable"] == "1"
        yield line


def _usage(record: dict[str, str]) -> JsonObject:
    """Answer tokens as recorded; prompt tokens follow from the recorded cost, exactly, or the record is refused."""
    answer = int(record["answer_token"])
    prompt = (float(record["cost"]) * 1000 - answer * _USD_PER_1000_OUTPUT) / _USD_PER_1000_INPUT
    if abs(prompt - round(prompt)) > 1e-6 or prompt <= 0:
        raise ValueError(f"cost {record['cost']} is not that of a whole number of prompt tokens")
    return {"prompt_tokens": round(prompt), "completion_tokens": answer, "total_tokens": round(prompt) + answer}


def _drift_reference(name: str, record: dict[str, str]) -> JsonObject:
    if name == "prime_full":
        reference = {"yes": "[Yes]", "no": "[No]"}[record["ref_answer"].lower()]
        correct = find_label(record["answer"], ("[Yes]", "[No]")) == reference
        return {"reference": reference, "reference_kind": "label", "reference_correct": correct}
    if name == "countahappynumber":
        reference = record["ref_answer"]
        correct = find_number(record["answer"]) == find_number(reference)
        return {"reference": reference, "reference_kind": "label", "reference_correct": correct}
    return {"reference_kind": "hosted"}  # opinionqa's ref_answer is a dummy, leetcode_easy has none


def _extraction(data: Path) -> Iterator[JsonObject]:
    """presidio-research's texts; asked for is the first labelled field that the text holds only once."""
    source = "presidio/synth_dataset_v2.json.gz"
    with gzip.open(data / source, "rt", encoding="utf-8") as file:
        records = json.load(file)
    for row, record in enumerate(records):
        spans = sorted(record["spans"], key=lambda span: span["start_position"])
        times = Counter(span["entity_type"] for span in spans)
        once = [span for span in spans if times[span["entity_type"]] == 1]
        if once:
            user = f"Field: {_FIELDS[once[0]['entity_type']]}\nMessage: {record['full_text']}"
            request = _request(_HOSTED_MODEL, user, system=_EXTRACT, temperature=0, max_tokens=64)
            reference = {"reference": once[0]["entity_value"], "reference_kind": "label"}
            yield _line(source=source, row=row, request=request, **reference)


_BOOKING = (
    "Extract what the guest's message states of a table booking as one JSON object with any of the keys people, date, "
    "time, first_name and last_name, each value copied from the message. Answer with the JSON object alone."
)


def _bookings(data: Path) -> Iterator[JsonObject]:
    """restaurant8k, its first messages, with the labelled values as they stand there; an empty object without any."""
    source = "restaurant8k/train_2.json.gz"
    with gzip.open(data / source, "rt", encoding="utf-8") as file:
        records = json.load(file)[:_BOOKINGS]
    for row, record in enumerate(records):
        text = record["userInput"]["text"]
        found = {label["slot"]: _span(text, label["valueSpan"]) for label in record.get("labels", ())}
        request = _request(_HOSTED_MODEL, text, system=_BOOKING, temperature=0, max_tokens=96)
        reference = {"reference": json.dumps(found, ensure_ascii=False), "reference_kind": "label"}
        yield _line(source=source, row=row, request=request, **reference)


def _span(text: str, span: JsonObject) -> str:
    return text[span.get("startIndex", 0) : span["endIndex"]]  # a missing start is 0


def _assistant(data: Path) -> Iterator[JsonObject]:
    """CLINC150, in-scope intents and out-of-scope requests of the training part, every fourth."""
    source = "clinc150/data_full.json.gz"
    with gzip.open(data / source, "rt", encoding="utf-8") as file:
        parts = json.load(file)
    rows = [*parts["train"], *parts["oos_train"]][::4]
    labels = sorted({label for _, label in rows})
    system = "Name the intent of what is said to a voice assistant. Answer with one of: " + ", ".join(labels) + "."
    for row, (text, label) in enumerate(rows):
        request = _request(_HOSTED_MODEL, text, system=system, temperature=0, max_tokens=16)
        yield _line(source=source, row=row, request=request, reference=label, reference_kind="label")


def _tool_calls(data: Path) -> Iterator[JsonObject]:
    source, model = "bfcl/pair_2024-08-11.jsonl.gz", "gpt-4-1106-preview"
    with gzip.open(data / source, "rt", encoding="utf-8") as file:
        for row, text in enumerate(file):
            record = json.loads(text)
            if record["hosted_calls"] is None:  # what GPT-4 answered was no call that could be read
                continue
            calls = [
                {"id": f"call_{place}", "type": "function", "function": call}
                for place, call in enumerate(record["hosted_calls"])
            ]
            response = chat.completion(id=f"chatcmpl-bfcl-{row}", created=0, model=model, text="")
            response["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": calls}
            request = {**_request(model, record["question"], temperature=0), "tools": record["tools"]}
            yield _line(
                source=source,
                row=row,
                request=request,
                response=response,
                reference_kind="hosted",
                reference_correct=record["hosted_right"],
            )
