"""Which blocks of recurring text the texts of a group have, and what each block is like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from insource.traffic.corpus import Bools, Corpus, Floats, Ints

CONSTANT = 0.97
"""Share of a group's texts that have what is constant in it: a cut or broken request now and then changes nothing."""
FEATURES = ("phrases", "words", "begins", "ends", "marked after", "marked before", "closed", "instructs")


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
    collect: Any = csr_matrix((np.ones(len(block_of)), (block_of, np.arange(len(block_of)))), shape=(len(first), len(block_of)))
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
    described = (np.ones(len(places)), inner, begin[first], end[last], mark[last] | form[first], mark[first] & ~end[last], end[last] & mark[middle], system[first])
    for column, values in enumerate(described):
        features[phrases, column] = values
    return corpus.text_of[places], phrases, features
