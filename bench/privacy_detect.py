"""The pattern detector beside Presidio and a secret scanner, in one run: recall on labelled texts and on keys, false
alarms on code, READMEs and ordinary questions, placeholders, the cost of a scan, and what it takes to find names.

    python -m bench.privacy_detect [--data FOLDER] [--sources FOLDER …] [--gitleaks FILE [--keys-only]] [--peers PYTHON]

--gitleaks: gitleaks' own configuration, from whose rules keys are drawn. --peers: the Python of an environment with
presidio-analyzer, detect-secrets and, for names, a pipeline of spaCy (bench/peers/privacy_tools.py). Without an option
its rows are missing. Prints the table and writes bench/results/privacy.txt; with --keys-only the rows of the keys and
the placeholders, and bench/results/secrets.txt.

Rules were tuned on the labelled texts, on the keys, on the placeholders and on half of the packages of a machine's
source files; the files measured are the other half. A span counts from LEAST_CONFIDENCE on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.privacy_samples import (
    PIECE,
    default_roots,
    every,
    harmless_texts,
    placeholders,
    presidio_records,
    source_texts,
)
from bench.secret_samples import fixed_prefix_rules

from insource.core.policy import LEAST_CONFIDENCE
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
_NAMES = {"PERSON": ("PERSON",), "STREET_ADDRESS": ("LOCATION",)}
_PEER_TEXTS = 600
"""Texts of a group that the other tools see, evenly spread: they are slow."""
_DRAWN = 10
"""Keys of each rule; the rule counts as found when all of them are, whole."""
_LABELLED, _KEYS, _PLACEHOLDERS = "labelled", "keys", "placeholders"


@dataclass(slots=True)
class Tally:
    labelled: Counter[str] = field(default_factory=Counter[str])
    found: Counter[str] = field(default_factory=Counter[str])
    reported: Counter[str] = field(default_factory=Counter[str])
    wrong: Counter[str] = field(default_factory=Counter[str])


def private_spans(text: str) -> list[PrivacySpan]:
    """Those that count by default."""
    return [span for span in PatternDetector().scan(text) if span.confidence >= LEAST_CONFIDENCE]


def measure(records: Sequence[dict[str, Any]]) -> Tally:
    """A label is found when a span of its kind overlaps it; a span is wrong when no label of its kind overlaps it."""
    tally = Tally()
    for record in records:
        spans = private_spans(record["full_text"])
        labels = [label for label in record["spans"] if label["entity_type"] in KINDS]
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


# ------------------------------------------------------------------------------------------------ the other tools

Peers = Mapping[str, dict[str, Any]]


def ask_peers(python: str | None, texts: Mapping[str, Sequence[str]]) -> Peers:
    if python is None:
        return {}
    asked = json.dumps({"texts": texts, "named": [_LABELLED]})
    run = [python, str(_ROOT / "bench" / "peers" / "privacy_tools.py")]
    return json.loads(subprocess.run(run, input=asked, capture_output=True, text=True, check=True).stdout)


def peer_recall(
    peer: dict[str, Any], records: Sequence[dict[str, Any]], wanted: Mapping[str, Sequence[str]]
) -> Counter[str]:
    found: Counter[str] = Counter()
    for record, spans in zip(records, peer["spans"][_LABELLED], strict=True):
        for label in record["spans"]:
            entities = wanted.get(label["entity_type"], ())
            found[label["entity_type"]] += any(
                entity in entities and start < label["end_position"] and end > label["start_position"]
                for start, end, entity, _ in spans
            )
    return found


# ------------------------------------------------------------------------------------------------------ the table


def table(options: argparse.Namespace) -> str:
    records = presidio_records(options.data)
    groups = source_texts(options.sources or default_roots(), half=1) | harmless_texts(options.data)
    groups[_PLACEHOLDERS] = placeholders()
    keys = _draw_keys(options.gitleaks)
    shown = {name: every(texts, _PEER_TEXTS) for name, texts in groups.items()}
    asked = shown | {_LABELLED: [record["full_text"] for record in records], _KEYS: [text for _, text, _ in keys]}
    peers = ask_peers(options.peers, asked)
    versions = ", ".join(f"{name} {peer['version']}" for name, peer in peers.items()) or "none"
    rows = [f"beside: {versions}", "", *_recall_rows(records, peers), "", *_alarm_rows(groups, peers), ""]
    if keys:
        rows += [*_key_rows(keys, peers), ""]
    rows += _speed_rows(shown, peers)
    return "\n".join(rows) + "\n"


def keys_table(configuration: Path | None) -> str:
    """What needs no other data and takes seconds."""
    rows = [*_key_rows(_draw_keys(configuration), {}), "", *_alarm_rows({_PLACEHOLDERS: placeholders()}, {})]
    return "\n".join(row.rstrip() for row in rows) + "\n"


def _recall_rows(records: Sequence[dict[str, Any]], peers: Peers) -> list[str]:
    tally = measure(records)
    presidio, named = peers.get("presidio"), peers.get("presidio with a model")
    theirs = peer_recall(presidio, records, {entity: (entity,) for entity in KINDS}) if presidio else Counter[str]()
    rows = [f"{'presidio synth_dataset_v2':28}{'n':>6}{'recall':>9}{'Presidio':>11}"]
    for entity, count in tally.labelled.most_common():
        other = _share(theirs[entity] / count if presidio else None)
        rows.append(f"{entity:28}{count:6}{tally.found[entity] / count:9.3f}{other:>11}")
    every_one = sum(tally.labelled.values())
    rows.append(f"{'all of these':28}{every_one:6}{sum(tally.found.values()) / every_one:9.3f}")
    if named:
        theirs = peer_recall(named, records, _NAMES)
        labelled = Counter(label["entity_type"] for record in records for label in record["spans"])
        for entity in _NAMES:
            rows.append(
                f"{entity:28}{labelled[entity]:6}{'none':>9}{theirs[entity] / labelled[entity]:11.3f}  with its model"
            )
    rows += ["", f"{'kind reported':28}{'n':>6}{'precision':>11}"]
    for kind, count in tally.reported.most_common():
        note = "   (labelled DATE_TIME there)" if kind == "birth_date" else ""
        rows.append(f"{kind:28}{count:6}{1 - tally.wrong[kind] / count:11.3f}{note}")
    return rows


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _alarm_rows(groups: Mapping[str, Sequence[str]], peers: Peers) -> list[str]:
    rows = [f"{'share with any span':28}{'n':>6}{'insource':>10}{'Presidio':>10}{'secrets':>10}   kinds"]
    for name, texts in groups.items():
        kinds: Counter[str] = Counter()
        flagged = 0
        for text in texts:
            found = {span.kind for span in private_spans(text)}
            kinds.update(found)
            flagged += bool(found)
        others = [_flagged(peers.get(tool), name) for tool in ("presidio", "detect-secrets")]
        listed = " ".join(f"{kind} {count}" for kind, count in kinds.most_common())
        rows.append(f"{name:28}{len(texts):6}{flagged / len(texts):10.4f}{others[0]:>10}{others[1]:>10}   {listed}")
    return rows


def _flagged(peer: dict[str, Any] | None, group: str) -> str:
    if peer is None:
        return ""
    spans = peer["spans"][group]
    return f"{sum(map(bool, spans)) / len(spans):.4f}"


Key = tuple[str, str, tuple[int, int]]
"""A rule's id, a text with a key that it describes, and where the key stands."""


def _draw_keys(configuration: Path | None) -> list[Key]:
    if configuration is None:
        return []
    rng = random.Random(7)
    drawn: list[Key] = []
    for rule in fixed_prefix_rules(configuration):
        for _ in range(_DRAWN):
            text, (start, end) = rule.sample(rng)
            drawn.append((rule.id, f"The key is {text} there.", (start + 11, end + 11)))
    return drawn


def _key_rows(keys: Sequence[Key], peers: Peers) -> list[str]:
    ours = [[(s.start, s.end) for s in private_spans(text) if s.kind == "secret"] for _, text, _ in keys]
    rows = [f"{'keys of fixed-prefix rules':28}{'rules':>6}{'found':>9}{'keys':>7}"]
    rows.append(_key_row("insource", keys, ours))
    rows += [f"  of {rule}: {count} of {_DRAWN}" for rule, count in _whole(keys, ours).items() if count < _DRAWN]
    if "detect-secrets" in peers:
        spans = [[(s[0], s[1]) for s in found] for found in peers["detect-secrets"]["spans"][_KEYS]]
        rows.append(_key_row("detect-secrets", keys, spans))
    return rows


def _whole(keys: Sequence[Key], spans: Sequence[Sequence[tuple[int, int]]]) -> Counter[str]:
    """Keys found by rule: when one span covers it, without the separator that some of the rules take with it."""
    whole: Counter[str] = Counter()
    for (rule, text, (start, end)), found in zip(keys, spans, strict=True):
        end = start + len(text[start:end].rstrip(" .;\"'`\n\r"))
        whole[rule] += any(at <= start and to >= end for at, to in found)
    return whole


def _key_row(tool: str, keys: Sequence[Key], spans: Sequence[Sequence[tuple[int, int]]]) -> str:
    whole = _whole(keys, spans)
    rules = {rule for rule, _, _ in keys}
    all_found = sum(whole[rule] == _DRAWN for rule in rules)
    return f"{tool:28}{len(rules):6}{all_found / len(rules):9.3f}{sum(whole.values()) / len(keys):7.3f}"


def _speed_rows(groups: Mapping[str, Sequence[str]], peers: Peers) -> list[str]:
    rows = [
        f"{'one scan, ms of processor':28}{'n':>6}{'p50':>8}{'p99':>8}   Presidio p50, p99   detect-secrets p50, p99"
    ]
    for name in ("source files, any 4 kB", "MMLU questions"):
        texts = [text for text in groups[name] if name.startswith("MMLU") or len(text) == PIECE]
        times = sorted(map(_milliseconds, texts))
        others = "".join(
            f"{_quantile(sorted(peers[tool]['milliseconds'][name]), 0.5):11.2f}"
            f"{_quantile(sorted(peers[tool]['milliseconds'][name]), 0.99):9.2f}"
            for tool in ("presidio", "detect-secrets")
            if tool in peers
        )
        rows.append(f"{name:28}{len(times):6}{_quantile(times, 0.5):8.2f}{_quantile(times, 0.99):8.2f}{others}")
    rows += ["", f"the scanner's process after all these texts: {_process_megabytes(groups)} MB"]
    return rows


def _milliseconds(text: str) -> float:
    """The best of three: what the code costs when nobody else uses the processor."""
    detector = PatternDetector()

    def once() -> float:
        start = time.process_time()
        detector.scan(text)
        return time.process_time() - start

    return min(once() for _ in range(3)) * 1e3


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


_SCAN_ALL = """
import re, sys
from pathlib import Path
from insource.traffic.privacy import PatternDetector
from insource.traffic.request_scan import Remembering, body_kinds
import insource.traffic.scan_process
detector = Remembering(PatternDetector())
for body in sys.stdin.buffer:
    body_kinds(body, detector)
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)) // 1024)
"""


def _process_megabytes(groups: Mapping[str, Sequence[str]]) -> int:
    """The peak of a process that scanned all the texts as the gateway's scanner does. Linux: a child's `ru_maxrss`
    would begin at its parent's."""
    bodies = "\n".join(json.dumps({"input": text}) for members in groups.values() for text in members)
    run = [sys.executable, "-c", _SCAN_ALL]
    return int(subprocess.run(run, input=bodies, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("INSOURCE_DATA") or _ROOT.parent / "shared/data")
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--sources", type=Path, nargs="*", default=[])
    parser.add_argument("--gitleaks", type=Path)
    parser.add_argument("--peers")
    parser.add_argument("--keys-only", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = keys_table(options.gitleaks) if options.keys_only else table(options)
    print(text)
    usual = _ROOT / "bench" / "results" / ("secrets.txt" if options.keys_only else "privacy.txt")
    (options.out or usual).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
