"""Texts as runs of words, which runs recur, and which texts of a group have them: what templates are found in.

A *phrase* is three tokens in a row (two at the beginning or end of a message); phrases that occur in exactly the same
texts make one *block*. A template's constant text is a block or several, whatever stands around it and in whichever
order. Digits and names of days and months are one token, so that a date is variable also in a log of one day. Writing
without spaces is cut into its characters. Everything is the same for any order of the texts."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insource.traffic.templates import END, FORMAT, MARKS, SYSTEM, USER

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

READ_CHARACTERS = 9_000
"""Of a long text, two thirds from its beginning and the rest from its end: a template shows at either."""
TOKEN = re.compile(
    rf"[{MARKS}]|[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\d_]+|\d+|\s*\n\s*|[^\w\s]|_"
)
_WORD = re.compile(r"[^\W\d_]+|[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
VARIABLE = "0"
"""The token that stands for digits and for names of days and months."""
CALENDAR = frozenset(
    re.findall(
        r"\w+",
        """monday tuesday wednesday thursday friday saturday sunday january february march april may june july
        august september october november december mon tue wed thu fri sat sun jan feb mar apr jun jul aug sep
        sept oct nov dec montag dienstag mittwoch donnerstag freitag samstag sonntag januar februar märz mai
        juni juli oktober dezember lundi mardi mercredi jeudi vendredi samedi dimanche janvier février mars
        avril juin juillet août septembre octobre novembre décembre lunes martes miércoles jueves viernes sábado
        domingo enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre lunedì
        martedì mercoledì giovedì venerdì sabato domenica gennaio febbraio aprile maggio giugno luglio settembre
        ottobre dicembre segunda terça quarta quinta sexta janeiro fevereiro março maio junho julho setembro
        outubro dezembro maandag dinsdag woensdag donderdag vrijdag zaterdag zondag januari februari maart mei
        augustus""",
    )
)
DELIMITERS = frozenset(":>=→|])}-—?\n")
CONSTANT = 0.97
"""Share of a group's texts that have what is constant in it: a cut or broken request now and then changes nothing."""
FEATURES = ("phrases", "words", "begins", "ends", "marked after", "marked before", "closed", "instructs")
_FOLD = 0x9E3779B97F4A7C15


def clip(text: str) -> str:
    if len(text) <= READ_CHARACTERS:
        return text
    head = 2 * READ_CHARACTERS // 3
    return text[:head] + text[head - READ_CHARACTERS :]


def normal_token(token: str) -> str:
    if token.isdigit() or token.lower() in CALENDAR:
        return VARIABLE
    return "\n" if "\n" in token else token


def is_word(token: str) -> bool:
    return _WORD.fullmatch(token) is not None


class Vocabulary:
    """Numbers for tokens, in the order in which they are met."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(count().__next__)
        self._normal: dict[str, int] = {}

    def read(self, text: str) -> array[int]:
        numbers = self._normal
        found = TOKEN.findall(text)
        try:
            return array("q", [numbers[token] for token in found])
        except KeyError:
            for token in found:
                if token not in numbers:
                    numbers[token] = self._numbers[normal_token(token)]
            return array("q", [numbers[token] for token in found])

    def __len__(self) -> int:
        return len(self._numbers)

    def words(self) -> list[str]:
        return list(self._numbers)


class Corpus:
    """Distinct texts in the order given, with the blocks that at least `least` of them share."""

    def __init__(self, texts: Sequence[str], *, least: int) -> None:
        self.texts = texts
        self.vocabulary = Vocabulary()
        cached: dict[str, array[int]] = {}
        lengths: list[int] = []
        tokens: array[int] = array("q")
        for text in texts:
            before = len(tokens)
            for piece in _pieces(clip(text)):
                found = cached.get(piece)
                if found is None:
                    found = cached[piece] = self.vocabulary.read(piece)
                tokens.extend(found)
            lengths.append(len(tokens) - before)
        self.tokens: Ints = np.frombuffer(tokens, dtype=np.int64) if tokens else np.zeros(0, dtype=np.int64)
        self.ends: Ints = np.cumsum(np.array(lengths, dtype=np.int64))
        self.text_of: Ints = np.repeat(np.arange(len(texts)), lengths)
        self._phrases(least)

    def span(self, text: int) -> slice:
        return slice(int(self.ends[text - 1]) if text else 0, int(self.ends[text]))

    @cached_property
    def kinds(self) -> dict[str, Bools]:
        """By number of a token: whether it is a word, a delimiter, a mark."""
        words = self.vocabulary.words()
        return {
            "word": np.array([is_word(word) for word in words], dtype=bool),
            "delimiter": np.array([word in DELIMITERS for word in words], dtype=bool),
            "begin": np.array([word in (SYSTEM, USER, FORMAT) for word in words], dtype=bool),
            "system": np.array([word == SYSTEM for word in words], dtype=bool),
            "format": np.array([word == FORMAT for word in words], dtype=bool),
            "end": np.array([word == END for word in words], dtype=bool),
        }

    def _phrases(self, least: int) -> None:
        """Phrase numbers by position: `starts[k]` is the phrase of three tokens from k on, -1 where it is rare;
        `pairs[k]` likewise that of two at the edge of a message."""
        tokens, text_of, size = self.tokens, self.text_of, len(self.tokens)
        folded = (tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(_FOLD)
        folded ^= folded >> np.uint64(29)
        three = np.zeros(size, dtype=np.uint64)
        two = np.zeros(size, dtype=np.uint64)
        with np.errstate(over="ignore"):
            if size > 1:
                two[:-1] = folded[:-1] * np.uint64(3) + folded[1:] * np.uint64(_FOLD)
            if size > 2:
                three[:-2] = (
                    folded[:-2] * np.uint64(5)
                    + folded[1:-1] * np.uint64(7 * _FOLD % 2**64)
                    + folded[2:] * np.uint64(11)
                )
        same_two = np.zeros(size, dtype=bool)
        same_two[:-1] = text_of[:-1] == text_of[1:]
        same_three = np.zeros(size, dtype=bool)
        same_three[:-2] = text_of[:-2] == text_of[2:]
        edge = np.zeros(size, dtype=bool)
        if size:
            edge = self.kinds["begin"][tokens] & same_two
            edge[:-1] |= self.kinds["end"][tokens[1:]] & same_two[:-1]
        at_three, at_two = np.flatnonzero(same_three), np.flatnonzero(edge)
        hashes = np.concatenate([three[at_three], two[at_two]])
        numbers, self.phrases = _frequent(hashes, text_of[np.concatenate([at_three, at_two])], least)
        self.starts = np.full(size, -1, dtype=np.int64)
        self.pairs = np.full(size, -1, dtype=np.int64)
        self.starts[at_three] = numbers[: len(at_three)]
        self.pairs[at_two] = numbers[len(at_three) :]

    def covered(self, keep: Bools, span: slice | None = None) -> Bools:
        """Positions (of one text's span) whose token lies in a phrase that `keep` (by phrase number) holds."""
        span = slice(0, len(self.tokens)) if span is None else span
        found = np.zeros(span.stop - span.start + 2, dtype=bool)
        if len(keep):
            for numbers, length in ((self.starts[span], 3), (self.pairs[span], 2)):
                at = np.flatnonzero((numbers >= 0) & keep[numbers])
                for offset in range(length):
                    found[at + offset] = True
        return found[:-2]


def _pieces(text: str) -> Iterable[str]:
    """Messages: a system prompt that thousands of requests share is cut into tokens once."""
    return re.split(rf"(?<={END})", text)


def _frequent(hashes: NDArray[np.uint64], texts: Ints, least: int) -> tuple[Ints, int]:
    """A number for each phrase that is in at least `least` texts, -1 for the others; and how many there are."""
    order = np.lexsort((texts, hashes))
    ordered, owners = hashes[order], texts[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    new_text = first.copy()
    new_text[1:] |= owners[1:] != owners[:-1]
    group = np.cumsum(first) - 1
    counts = np.bincount(group, weights=new_text, minlength=int(group[-1]) + 1 if len(group) else 0)
    kept = counts >= least
    renumbered = np.where(kept, np.cumsum(kept) - 1, -1)
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = renumbered[group] if len(group) else 0
    return numbers, int(kept.sum())


# --------------------------------------------------------------------------------------------- blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Blocks by number. Their features are sums over their phrases, so blocks that fall together can be added."""

    in_text: Any
    """SciPy sparse matrix, texts x blocks: 1 where the text has the block."""
    features: Floats
    """Blocks x FEATURES."""
    texts: Ints
    """How many texts have each block."""

    def feature(self, name: str) -> Floats:
        return self.features[:, FEATURES.index(name)]

    @property
    def at_edge(self) -> Bools:
        """A block begins or ends a message."""
        return (self.feature("begins") + self.feature("ends")) > 0

    @property
    def framed(self) -> Bools:
        """As few as one word between the edge of a message and a colon, line break or the like: `Intent: …`."""
        begins = (self.feature("begins") > 0) & (self.feature("marked after") > 0)
        ends = (self.feature("closed") > 0) & (self.feature("marked before") > 0)
        return (begins | ends) & (self.feature("words") > 0)


class Recurring:
    """The blocks of a whole corpus, and of any group of its texts."""

    def __init__(self, corpus: Corpus) -> None:
        # Imported here, as everywhere in discovery: the gateway matches without SciPy.
        from scipy.sparse import csr_matrix

        self.corpus = corpus
        texts, phrases, features = _occurrences(corpus)
        shape = (len(corpus.texts), corpus.phrases)
        matrix: Any = csr_matrix((np.ones(len(texts), dtype=np.float32), (texts, phrases)), shape=shape)
        matrix.data[:] = 1
        rng = np.random.default_rng(0)
        self._signs = rng.random(len(corpus.texts)) + 1j * rng.random(len(corpus.texts))
        self.all, self.block_of = _together(matrix, features, self._signs)
        """`block_of`: the block of each phrase."""

    def of(self, texts: Ints) -> tuple[Blocks, Ints]:
        """The blocks of some texts, and for each block of the corpus its number among them."""
        return _together(self.all.in_text[texts], self.all.features, self._signs[texts])


def _together(matrix: Any, features: Floats, signs: Any) -> tuple[Blocks, Ints]:
    """Columns with the same texts become one block, known by the sum of the texts' random numbers."""
    from scipy.sparse import csr_matrix

    columns = matrix.tocsc()
    columns.sort_indices()
    sums = np.asarray(columns.T @ signs)
    _, first, inverse = np.unique(sums, return_index=True, return_inverse=True)
    block_of = np.asarray(inverse, dtype=np.int64).ravel()
    collect: Any = csr_matrix(
        (np.ones(len(block_of)), (block_of, np.arange(len(block_of)))), shape=(len(first), len(block_of))
    )
    in_text = columns[:, first].tocsr()
    texts = np.asarray(in_text.sum(axis=0)).ravel().astype(np.int64)
    return Blocks(in_text=in_text, features=np.asarray(collect @ features), texts=texts), block_of


def _occurrences(corpus: Corpus) -> tuple[Ints, Ints, Floats]:
    """(text, phrase) of each place, and the phrases' features."""
    kinds, tokens = corpus.kinds, corpus.tokens
    features = np.zeros((corpus.phrases, len(FEATURES)))
    three, two = np.flatnonzero(corpus.starts >= 0), np.flatnonzero(corpus.pairs >= 0)
    places = np.concatenate([three, two])
    phrases = np.concatenate([corpus.starts[three], corpus.pairs[two]])
    lasts = np.concatenate([three + 2, two + 1])
    word, mark, begin, end = (kinds[name] for name in ("word", "delimiter", "begin", "end"))
    form, system = kinds["format"], kinds["system"]
    first, last, middle = tokens[places], tokens[lasts], tokens[lasts - 1]
    inner = np.concatenate([word[tokens[three + 1]], word[tokens[two]] | word[tokens[two + 1]]])
    described = (
        np.ones(len(places)),
        inner,
        begin[first],
        end[last],
        mark[last] | form[first],
        mark[first] & ~end[last],
        end[last] & mark[middle],
        system[first],
    )
    for column, values in enumerate(described):
        features[phrases, column] = values
    return corpus.text_of[places], phrases, features
