"""Presidio and detect-secrets on the texts of bench/privacy_detect.py, in an environment of their own.

    PYTHON bench/peers/privacy_tools.py < texts.json        PYTHON has presidio-analyzer and detect-secrets

stdin: {"texts": {group: [text, …]}, "named": [groups to run the language model on]}. stdout: {tool: {"version",
"spans": {group: [[[start, end, entity, score], …], …]}, "milliseconds": {group: [of processor time a text]}}}. Presidio
runs its pattern recognisers with a blank tokenizer, and on the named groups once more with spaCy's installed model.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import accumulate
from typing import Any

import spacy  # pyright: ignore[reportMissingImports]
import spacy.util  # pyright: ignore[reportMissingImports]
from detect_secrets import SecretsCollection  # pyright: ignore[reportMissingImports]
from detect_secrets.settings import default_settings  # pyright: ignore[reportMissingImports]
from presidio_analyzer import AnalyzerEngine  # pyright: ignore[reportMissingImports]
from presidio_analyzer.nlp_engine import SpacyNlpEngine  # pyright: ignore[reportMissingImports]

_SCORE = 0.35
"""Of Presidio's phone numbers without a context word 0.4; of shapes that it calls very weak 0.01 to 0.1."""
_NOT_STRUCTURED = ("PERSON", "LOCATION", "NRP", "DATE_TIME", "URL", "ORGANIZATION")
Spans = list[list[Any]]


class _Loaded(SpacyNlpEngine):  # pyright: ignore[reportUntypedBaseClass]
    """Presidio's engine around a pipeline that is loaded already."""

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        self.nlp = {"en": pipeline}


def _presidio(pipeline: Any, *, structured: bool) -> Callable[[str], Spans]:
    engine = AnalyzerEngine(nlp_engine=_Loaded(pipeline), supported_languages=["en"])
    wanted = (
        [name for name in engine.get_supported_entities("en") if name not in _NOT_STRUCTURED] if structured else None
    )

    def scan(text: str) -> Spans:
        found = engine.analyze(text, language="en", entities=wanted, score_threshold=_SCORE)
        return [[span.start, span.end, span.entity_type, span.score] for span in found]

    return scan


def _detect_secrets(text: str) -> Spans:
    """Through a file, as the tool is used: on a single line it looks with no limit on entropy."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        collection = SecretsCollection()
        collection.scan_file(file.name)
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    spans: Spans = []
    for _, secret in collection:
        value, line = secret.secret_value or "", min(secret.line_number, len(lines)) - 1
        start = starts[line] + max(lines[line].find(value), 0)
        spans.append([start, start + len(value), secret.type, 1.0])
    return spans


def _run(scan: Callable[[str], Spans], texts: dict[str, list[str]]) -> dict[str, Any]:
    spans: dict[str, list[Spans]] = {}
    milliseconds: dict[str, list[float]] = {}
    for group, members in texts.items():
        spans[group], milliseconds[group] = [], []
        for text in members:
            start = time.process_time()
            spans[group].append(scan(text))
            milliseconds[group].append((time.process_time() - start) * 1e3)
    return {"spans": spans, "milliseconds": milliseconds}


def main() -> None:
    logging.disable(logging.CRITICAL)
    asked = json.load(sys.stdin)
    found = {
        "presidio": {"version": version("presidio-analyzer")},
        "detect-secrets": {"version": version("detect-secrets")},
    }
    found["presidio"] |= _run(_presidio(spacy.blank("en"), structured=True), asked["texts"])
    with default_settings():
        found["detect-secrets"] |= _run(_detect_secrets, asked["texts"])
    models = spacy.util.get_installed_models()
    if models:
        named = {group: asked["texts"][group] for group in asked["named"]}
        found["presidio with a model"] = {"version": models[0]}
        found["presidio with a model"] |= _run(_presidio(spacy.load(models[0]), structured=False), named)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
