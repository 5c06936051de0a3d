"""Names that a person understands, from hostile text: short, one line, no markup, the same for the same traffic."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from insource.core.answers import normalise

NAME_CHARACTERS = 50
NAMED_TEXTS = 2_000

_MARKUP = re.compile(r"<[^<>]{0,200}>|[<>`*#|\[\]{}\\]+")
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d_]{3,}")
_ROLE = re.compile(r"^(?:you are|you're|act as|your (?:task|job) is to)\s+", re.IGNORECASE)
_YOU = re.compile(r"^you (?:will |must |should |can )?(?=[a-z]{3})", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n+")
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
    counts = Counter(word for text in texts for word in {word.casefold() for word in _WORD.findall(text)} - _COMMON)
    return {word: count / len(texts) for word, count in counts.items()}


def name_from_system(system: str) -> str:
    """The sentence that says what to do: the first one that is not only a role."""
    sentences = [clean(sentence) for sentence in _SENTENCE.split(system[:4_000])]
    sentences = [sentence for sentence in sentences if _WORD.search(sentence)]
    if not sentences:
        return ""
    asks = next((sentence for sentence in sentences if not _ROLE.match(sentence)), sentences[0])
    asks = _YOU.sub("", _ROLE.sub("", asks, count=1), count=1).rstrip(" .:;,")
    return shorten(asks[:1].upper() + asks[1:])


def name_from_template(texts: Iterable[str]) -> str:
    """`Is … a prime number?`: the first sentence of the constant beginning, or what is constant around a gap."""
    words = [clean(text[:4_000]).split() for text in sorted(texts)[:NAMED_TEXTS]]
    shortest = min(map(len, words), default=0)
    start = _same(words, range(shortest))
    end = _same(words, range(-1, -(shortest - start) - 1, -1))
    if not start + end:
        return ""
    opening = _strip(_SENTENCE.split(" ".join(words[0][:start]))[0])
    if len(_WORD.findall(opening)) >= 3 or not end:
        return shorten(opening)
    ending = _strip(_SENTENCE.split(" ".join(words[0][-end:]))[0])
    return shorten(f"{opening} … {ending}".strip())


def _same(words: Sequence[list[str]], positions: range) -> int:
    """How many positions in a row hold the same word in all texts."""
    for count, at in enumerate(positions):
        if len({text[at] for text in words}) > 1:
            return count
    return len(positions)


def _strip(text: str) -> str:
    return clean(text).strip(" .:;,\"'()")


def name_from_words(shape: str, words: Sequence[str]) -> str:
    kinds = {"label": "Short answers", "json": "JSON answers", "tool_call": "Tool calls", "text": "Free text"}
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
