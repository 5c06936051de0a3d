"""Names of people and postal addresses, by Microsoft's Presidio and a language model of spaCy: the detector `presidio`,
of the extra `privacy`. Everything else is found by the pattern detector, as ever.

It needs `pip install 'insource[privacy]'` and one of spaCy's pipelines, which is installed by itself; the largest that
is there is taken. It is 20 times slower than the patterns and takes some 200 MB a process, so it is not the default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from insource.core.errors import UsageError
from insource.core.values import PrivacySpan
from insource.traffic.privacy import PatternDetector, merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the language model says of a part of a text."""

    start: int
    end: int
    entity: str
    """PERSON or LOCATION."""
    score: float


Recognise = Callable[[str], Iterable[Named]]

_SIZES = ("trf", "lg", "md", "sm")
_NUMBER_BEFORE = re.compile(r"(?<!\w)\d{1,5}[A-Za-z]?,? {1,2}$")
_NUMBER_AFTER = re.compile(r",? {1,2}\d{1,5}[A-Za-z]?(?!\w)")
_BETWEEN = re.compile(r"[\s,.]{1,6}(?:\d{4,6}[\s,]{1,3})?")
"""Two places that one address names, with a postal code between them."""
_A_NAME = re.compile(r"[^\W\d_][^\d_()\[\]{}<>=/\\|@#*:;]{1,80}")
_PLACE = 0.4
"""Confidence of a place by itself: half of what people write names one."""
_ONE_WORD = 0.5
"""And of a name of one word, which code and brands are full of."""


class PresidioDetector:
    """The patterns, and what a language model says about names."""

    linear_time = True  # spaCy's models read windows of a fixed width

    def __init__(self, recognise: Recognise | None = None) -> None:
        """Raises UsageError without the extra, or without a language model."""
        self._patterns = PatternDetector()
        self._recognise = recognise or _load()

    def scan(self, text: str) -> list[PrivacySpan]:
        return merge([*self._patterns.scan(text), *_names(text, self._recognise(text))])


def _names(text: str, found: Iterable[Named]) -> Iterator[PrivacySpan]:
    places: list[Named] = []
    for named in found:
        written = text[named.start : named.end]
        if named.entity == "LOCATION":
            places.append(named)
        elif named.entity == "PERSON" and _A_NAME.fullmatch(written) and not written.islower():
            confidence = named.score if len(written.split()) > 1 else min(named.score, _ONE_WORD)
            yield PrivacySpan(start=named.start, end=named.end, kind="name", confidence=confidence)
    yield from _addresses(text, sorted(places, key=lambda named: named.start))


def _addresses(text: str, places: list[Named]) -> Iterator[PrivacySpan]:
    """Places that follow each other are one; with a house number it is an address."""
    at = 0
    while at < len(places):
        start, end, score = places[at].start, places[at].end, places[at].score
        at += 1
        while at < len(places) and (places[at].start <= end or _BETWEEN.fullmatch(text, end, places[at].start)):
            end = max(end, places[at].end)
            at += 1
        before = _NUMBER_BEFORE.search(text, max(0, start - 8), start)
        after = _NUMBER_AFTER.match(text, end)
        if before or after or any(character.isdigit() for character in text[start:end]):
            start, end = before.start() if before else start, after.end() if after else end
            yield PrivacySpan(start=start, end=end, kind="address", confidence=score)
        else:
            yield PrivacySpan(start=start, end=end, kind="address", confidence=min(score, _PLACE))


def _load() -> Recognise:
    """Presidio around the largest pipeline of spaCy that is installed, with no recogniser but the model's own."""
    try:
        import spacy  # pyright: ignore[reportMissingImports]
        import spacy.util  # pyright: ignore[reportMissingImports]
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # pyright: ignore[reportMissingImports]
        from presidio_analyzer.nlp_engine import SpacyNlpEngine  # pyright: ignore[reportMissingImports]
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError(
            "The detector 'presidio' needs Presidio and spaCy, which are not installed.",
            next_step="Install the extra: pip install 'insource[privacy]'",
        ) from error
    models = sorted(spacy.util.get_installed_models(), key=_preference)
    if not models:
        raise UsageError(
            "The detector 'presidio' needs a language model of spaCy, and none is installed.",
            next_step="Install one: python -m spacy download en_core_web_lg",
        )
    pipeline = spacy.load(models[0])
    nlp: Any = SpacyNlpEngine()
    nlp.nlp = {pipeline.lang: pipeline}
    registry = RecognizerRegistry(
        recognizers=[SpacyRecognizer(supported_language=pipeline.lang)], supported_languages=[pipeline.lang]
    )
    engine = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=[pipeline.lang])

    def recognise(text: str) -> Iterator[Named]:
        for span in engine.analyze(text, language=pipeline.lang, entities=["PERSON", "LOCATION"]):
            yield Named(start=span.start, end=span.end, entity=span.entity_type, score=span.score)

    return recognise


def _preference(model: str) -> tuple[bool, int, str]:
    """English before others, then the larger."""
    size = next((at for at, name in enumerate(_SIZES) if f"_{name}" in model), len(_SIZES))
    return not model.startswith("en"), size, model
