"""Which languages requests are written in, by scripts and by the commonest short words. Pure.

It only has to tell whether a model that states its languages lacks one that is needed; what it does not recognise it
leaves out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

_COMMON: Mapping[str, str] = {
    "en": "the is are my you i to of and what how can do it this for was not",
    "de": "der die das ist und ich nicht ein eine wie mein zu mit auf für kann wird den",
    "fr": "le la les est et je pas une des mon comment que pour dans vous du ne sur",
    "es": "el los las es y mi no una cómo que para en por puedo con del se",
    "pt": "o os as é e meu não uma como que para em por posso com do da um",
    "it": "il gli le è e mio non una come che per di posso con del della si un",
    "nl": "de het een is en ik niet mijn hoe van op voor met dat kan te zijn",
    "pl": "jest i nie to się na w jak mój że do czy z mogę co dla",
    "tr": "bir ve bu için mi ne nasıl değil var ile benim çok",
    "sv": "är och jag inte en ett hur min det att på för med kan som",
}
_WORDS: Mapping[str, frozenset[str]] = {language: frozenset(words.split()) for language, words in _COMMON.items()}
_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("ja", r"[\u3040-\u30ff]"),  # before Chinese: Japanese uses both
    ("ko", r"[\uac00-\ud7af]"),
    ("zh", r"[\u4e00-\u9fff]"),
    ("ru", r"[\u0400-\u04ff]"),
    ("ar", r"[\u0600-\u06ff]"),
    ("hi", r"[\u0900-\u097f]"),
    ("th", r"[\u0e00-\u0e7f]"),
    ("el", r"[\u0370-\u03ff]"),
    ("he", r"[\u0590-\u05ff]"),
)
_MATCHERS = tuple((language, re.compile(pattern)) for language, pattern in _SCRIPTS)
_WORD = re.compile(r"[^\W\d_]+")
_MOST_CHARACTERS = 2_000
_LEAST_WORDS = 2
"""Common words of a language; one may stand in any text."""
_LEAST_OF_SCRIPT = 0.2
_LEAST_SHARE = 0.1


def languages_of(texts: Iterable[str]) -> tuple[str, ...]:
    """ISO 639-1, of at least a tenth of the texts; the most frequent first."""
    found, n = Counter[str](), 0
    for text in texts:
        n += 1
        language = language_of(text)
        if language is not None:
            found[language] += 1
    return tuple(language for language, count in found.most_common() if count >= _LEAST_SHARE * n)


def language_of(text: str) -> str | None:
    text = text[:_MOST_CHARACTERS].casefold()
    letters = sum(map(str.isalpha, text))
    for language, pattern in _MATCHERS:
        if letters and len(pattern.findall(text)) >= _LEAST_OF_SCRIPT * letters:
            return language
    said = _WORD.findall(text)
    counts = sorted(((sum(word in words for word in said), code) for code, words in _WORDS.items()), reverse=True)
    (most, language), (second, _) = counts[:2]
    return language if most >= _LEAST_WORDS and most > second else None
