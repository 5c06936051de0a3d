"""Names that a person understands, from hostile text: short, one line, no markup, the same for the same traffic."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from insource.core.answers import normalise
from insource.traffic.templates import MARKS
from insource.traffic.wording import asks

EMBEDDING = "embedding"
"""The shape of an answer that is a vector."""
NAME_CHARACTERS = 50
NAMED_TEXTS = 2_000
OUTLINE_CHARACTERS = 20_000

_MARKUP = re.compile(r"<[^<>]{0,200}>|[<>`*#|\[\]{}\\]+")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d_]{3,}")
_ANY_WORD = re.compile(r"[^\W\d_]+")
_ROLE = re.compile(r"^(?:you are|you're|act as)\s+", re.IGNORECASE)
_YOU = re.compile(r"^(?:your (?:task|job) is to |you (?:will |must |should |can )?)(?=[a-z]{3})", re.IGNORECASE)
_STATES = re.compile(
    r"^(?:you (?:work (?:for|as|at|in|with)|talk|speak|live|belong|serve|have|know|get|receive|can|may|see)\b"
    r"|your (?!task |job ))",
    re.IGNORECASE,
)
"""Says who answers, to whom and with what, but not what is asked."""
_WRAP = re.compile(r"(?<=[^\n])\n(?=[a-zß-ÿ])")
"""A line break within a sentence."""
_SENTENCE = re.compile(rf"(?<=[.!?:])\s+|(?<=[。！？])|\"\s*[,:}}\]]|[\n{MARKS}]+")
_MARK = frozenset(MARKS)
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """about after again all also and any are because been before being but can could did does doing down during
        each few for from had has have having her here hers him his how into its just many may more most much must not
        now off once only other our out over own please same she should some such than that the their them then there
        these they this those through too under until very was were what when where which while who whom why will with
        would you your answer question""",
    )
)


def one_line(text: str) -> str:
    """Without control and invisible characters, which can forge a line or hide a direction."""
    visible = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    return _SPACE.sub(" ", visible).strip()


def clean(text: str) -> str:
    """One line without markup."""
    return _SPACE.sub(" ", _MARKUP.sub(" ", one_line(text))).strip()


def shorten(text: str, limit: int = NAME_CHARACTERS) -> str:
    """At most `limit` characters, cut after a whole word, with an ellipsis where something is missing."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    at = cut.rfind(" ")
    return (cut[:at] if at > limit // 2 else cut).rstrip(" ,;:-—") + "…"


def frequent_words(texts: Sequence[str], others: Sequence[str] = ()) -> tuple[str, ...]:
    """The three words that set texts apart from the others, or are in most of them."""
    inside, outside = _shares(texts), _shares(others)
    ranked = sorted(inside, key=lambda word: (outside.get(word, 0.0) - inside[word], word))
    return tuple(ranked[:3])


def _shares(texts: Sequence[str]) -> dict[str, float]:
    texts = texts[:: max(1, len(texts) // NAMED_TEXTS)]
    counts = Counter(word for text in texts for word in set(_WORD.findall(text.casefold())) - _COMMON)
    return {word: count / len(texts) for word, count in counts.items()}


def outline(parts: Sequence[str], text: str) -> str:
    """The constant parts of a text in their order, with `…` for what stands between two of them in one message."""
    shown, end = "", 0
    for start, part in sorted((at, part) for part in parts if (at := text.find(part)) >= 0):
        gap = text[end:start]
        shown += gap if not gap.strip() else " … " if _MARK.isdisjoint(gap) else "\n"
        shown += text[max(start, end) : start + len(part)]
        end = max(end, start + len(part))
    return shown


def names_of_templates(outlines: Sequence[str]) -> list[str]:
    """For each template the sentence of its own that says what to do; all of a template that has no words."""
    sentences = [_sentences(outline) for outline in outlines]
    templates = Counter(sentence for own in sentences for sentence in set(own))

    def rank(sentence: str) -> tuple[int, int]:
        told = not _ROLE.match(sentence) and (asks(sentence) or sentence.endswith(("?", "？")))
        return templates[sentence], 2 if not told else int(_STATES.match(sentence) is not None)

    return [_said(min(own, key=rank) if own else clean(text)) for own, text in zip(sentences, outlines, strict=True)]


def _sentences(outline: str) -> list[str]:
    """Sentences with a word in them, in their order; a gap at either end is not shown."""
    found = (
        clean(sentence).strip("… ,;:\"'") for sentence in _SENTENCE.split(_WRAP.sub(" ", outline[:OUTLINE_CHARACTERS]))
    )
    return [sentence for sentence in found if _WORD.search(sentence)]


def _said(sentence: str) -> str:
    said = _YOU.sub("", _ROLE.sub("", sentence, count=1), count=1).rstrip(" .")
    return shorten(said[:1].upper() + said[1:])


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """Without the commonest, which tell nothing of anybody."""
    return frozenset(word.casefold() for text in set(texts) for word in _ANY_WORD.findall(text)) - _COMMON


def without_words(name: str, hidden: frozenset[str]) -> str:
    """The name with a gap for each hidden word; of one that mostly consists of them only that it is private."""
    words = words_of([name])
    if hidden.isdisjoint(words):
        return name
    if 2 * len(words & hidden) > len(words):
        return "Private requests"
    return _ANY_WORD.sub(lambda word: "…" if word.group().casefold() in hidden else word.group(), name)


def name_from_words(shape: str, words: Sequence[str]) -> str:
    kinds = {
        "label": "Short answers",
        "json": "JSON answers",
        "tool_call": "Tool calls",
        "text": "Free text",
        EMBEDDING: "Embeddings",
    }
    about = clean(", ".join(words))
    return shorten(f"{kinds.get(shape, 'Free text')}: {about}" if about else kinds.get(shape, "Free text"))


def unique(name: str, taken: Iterable[str]) -> str:
    """The name, or the name with a number when another task has it (case does not make another name)."""
    used = {normalise(other) for other in taken}
    name = shorten(clean(name)) or "Task"
    number, result = 1, name
    while normalise(result) in used:
        number += 1
        ending = f" ({number})"
        result = shorten(name, NAME_CHARACTERS - len(ending)) + ending
    return result
