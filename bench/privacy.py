"""The pattern detector on labelled texts: recall and precision by kind, false alarms on harmless texts, cost of a scan.

    python bench/privacy.py [DATA_FOLDER]        prints a table and writes bench/results/privacy.txt

The rules were written with these texts at hand, so recall here is an upper estimate of recall elsewhere.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from insource.core.values import PrivacySpan
from insource.traffic.privacy import PatternDetector

_ROOT = Path(__file__).parents[1]
KINDS = {
    "CREDIT_CARD": "card",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "US_SSN": "national_id",
    "IP_ADDRESS": "ip",
    "US_DRIVER_LICENSE": "national_id",
}
PRESIDIO_RECALL = {
    "CREDIT_CARD": 0.78,
    "PHONE_NUMBER": 0.59,
    "EMAIL_ADDRESS": 1.0,
    "IBAN_CODE": 1.0,
    "US_SSN": 1.0,
    "IP_ADDRESS": 1.0,
}
"""Presidio with pattern recognisers only, as measured earlier on the same texts (FACTS), not in this run."""


@dataclass(slots=True)
class Tally:
    labelled: Counter[str] = field(default_factory=Counter[str])
    found: Counter[str] = field(default_factory=Counter[str])
    reported: Counter[str] = field(default_factory=Counter[str])
    wrong: Counter[str] = field(default_factory=Counter[str])
    texts_with_any: int = 0


def measure(records: Sequence[dict[str, Any]]) -> Tally:
    """A label is found when a span of its kind overlaps it; a span is wrong when no label of its kind overlaps it."""
    detector, tally = PatternDetector(), Tally()
    for record in records:
        spans = detector.scan(record["full_text"])
        labels = [label for label in record["spans"] if label["entity_type"] in KINDS]
        tally.texts_with_any += bool(spans)
        for label in labels:
            tally.labelled[label["entity_type"]] += 1
            tally.found[label["entity_type"]] += any(_same(span, label) for span in spans)
        for span in spans:
            tally.reported[span.kind] += 1
            tally.wrong[span.kind] += not any(_same(span, label) for label in labels)
    return tally


def _same(span: PrivacySpan, label: dict[str, Any]) -> bool:
    overlaps = span.start < label["end_position"] and span.end > label["start_position"]
    return overlaps and KINDS[label["entity_type"]] == span.kind


def presidio_records(data: Path) -> list[dict[str, Any]]:
    with gzip.open(data / "presidio" / "synth_dataset_v2.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


def harmless_texts(data: Path) -> dict[str, list[str]]:
    """Real texts in which nobody's data is to be expected."""
    banking: list[str] = []
    for name in ("train", "test"):
        with gzip.open(data / "banking77" / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            banking += [row["text"] for row in csv.DictReader(file)]
    with gzip.open(data / "routellm" / "gsm8k.jsonl.gz", "rt", encoding="utf-8") as file:
        maths = [json.loads(line) for line in file]
    return {
        "Banking77 messages": banking,
        "GSM8K problems and answers": [text for row in maths for text in (row["prompt"], row["gpt_4_1106_answer"])],
    }


def _microseconds(texts: Sequence[str]) -> float:
    """Of one scan, the best of five rounds: what the code costs when nobody else uses the processor."""
    detector, best = PatternDetector(), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for text in texts:
            detector.scan(text)
        best = min(best, time.perf_counter() - start)
    return best / len(texts) * 1e6


def table(data: Path) -> str:
    tally = measure(presidio_records(data))
    rows = [f"{'presidio synth_dataset_v2':28}{'n':>6}{'recall':>9}{'Presidio patterns, earlier':>28}"]
    for entity, count in tally.labelled.most_common():
        beside = PRESIDIO_RECALL.get(entity)
        other = "not measured" if beside is None else f"{beside:.2f}"
        rows.append(f"{entity:28}{count:6}{tally.found[entity] / count:9.3f}{other:>28}")
    rows += ["", f"{'kind reported':28}{'n':>6}{'precision':>11}"]
    for kind, count in tally.reported.most_common():
        note = "   (labelled DATE_TIME there)" if kind == "birth_date" else ""
        rows.append(f"{kind:28}{count:6}{1 - tally.wrong[kind] / count:11.3f}{note}")
    rows += ["", f"{'harmless texts':28}{'n':>6}{'with a span':>13}{'share':>9}"]
    harmless = harmless_texts(data)
    detector = PatternDetector()
    for name, texts in harmless.items():
        alarms = sum(bool(detector.scan(text)) for text in texts)
        rows.append(f"{name:28}{len(texts):6}{alarms:13}{alarms / len(texts):9.4f}")
    banking, maths = harmless.values()
    prose = [" ".join(banking[at : at + 12])[:500] for at in range(0, 6_000, 12)]
    digits = [text for text in maths if 450 <= len(text) <= 550]
    rows += ["", f"{'one scan of 500 characters':28}{'microseconds, best of 5':>26}"]
    rows += [
        f"{'prose without digits':28}{_microseconds(prose):26.0f}",
        f"{'maths, full of digits':28}{_microseconds(digits):26.0f}",
    ]
    return "\n".join(rows) + "\n"


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("INSOURCE_DATA") or _ROOT.parent / "shared/data")
    text = table(data)
    print(text)
    (_ROOT / "bench" / "results" / "privacy.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
