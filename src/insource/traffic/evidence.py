"""Whether the requests of supposed jobs differ in what is not their prompt: the messages that they work on, and the
answers. An answer that repeats words of its request (a name, one of the options of a question) says nothing of its
job.

A naive Bayes classifier guesses the job of each text from all others, by words outside recurring text and by the form
of the answers. It guesses no better than chance where the supposed jobs are one job with a slot (names, days,
examples), because a slot's values say nothing about the message after them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from insource.core.answers import find_json, find_number, normalise
from insource.traffic.corpus import Bools, Corpus, Ints

WIDTH = 4096
"""Columns that words are folded into."""
OWN = 0.5
"""A word of so many of a job's requests is of its prompt, also where it is too short to be seen as recurring text."""
PRIOR = 5.0
"""Words of ordinary traffic that each job is taken to have said before any was seen (Dirichlet smoothing)."""
ANSWER_CHARACTERS = 300
SHORT_WORDS = 8
WEIGHT = 3.0
"""Of the form of an answer beside one word."""
SURE = 0.75
"""Agreement (kappa) from which messages and answers alone show that supposed jobs are different ones."""
KINDS = ("json", "few words", "prose")
FEWEST_OF_KIND, KIND_SHARE = 20, 0.1
"""Answers of a kind, and their share of all, that show that it is no exception."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came back."""

    answer: str | None
    tool_call: bool


class Evidence:
    def __init__(self, corpus: Corpus, prompts: Bools, outcomes: Sequence[Outcome]) -> None:
        """`prompts` are the phrases of the corpus that are parts of longer recurring texts."""
        from scipy.sparse import csr_matrix

        self._kinds = np.array([_kind(one) for one in outcomes], dtype=np.int64)
        self.answered = np.array([one.tool_call or bool(one.answer) for one in outcomes], dtype=bool)
        rare = ~corpus.covered(prompts) & corpus.kinds["word"][corpus.tokens]
        said, sayers = _new_words(corpus, outcomes)
        forms, formed, width = _forms_of(outcomes, corpus.texts)
        rows = np.concatenate([corpus.text_of[rare], sayers, formed])
        columns = np.concatenate([corpus.tokens[rare] % WIDTH, said % WIDTH + WIDTH, forms + 2 * WIDTH])
        self._found: Any = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(outcomes), 2 * WIDTH + width))
        self._found.data[:] = 1
        self._weights = np.where(np.arange(2 * WIDTH + width) < 2 * WIDTH, 1.0, WEIGHT)

    def of_two_kinds(self, texts: Ints) -> bool:
        """Whether the answers to one prompt are of several kinds (JSON, a few words, prose), and the messages show
        which: then the prompt is shared by several jobs. Who answers some messages briefly does one job."""
        kinds = self._kinds[texts]
        sizes = np.bincount(kinds[kinds >= 0], minlength=len(KINDS))
        frequent = np.flatnonzero(sizes >= max(FEWEST_OF_KIND, KIND_SHARE * sizes.sum()))
        if len(frequent) < 2:
            return False
        chosen = np.isin(kinds, frequent)
        jobs = np.searchsorted(frequent, kinds[chosen])
        return self.agreement(texts[chosen], jobs, answers=False) >= SURE

    def agreement(self, texts: Ints, jobs: Ints, *, answers: bool = True) -> float:
        """Cohen's kappa between the jobs of some texts and what is guessed from everything else, or from the messages
        alone: 0 chance, 1 always right."""
        from scipy.sparse import csr_matrix

        found = self._found[texts]
        count, size = int(jobs.max()) + 1, len(texts)
        owners: Any = csr_matrix((np.ones(size), (jobs, np.arange(size))), shape=(count, size))
        counts = np.asarray((owners @ found).todense())
        sizes = np.bincount(jobs, minlength=count)
        keep = np.ones(counts.shape[1])
        keep[:WIDTH][(counts[:, :WIDTH] > OWN * sizes[:, None]).any(axis=0)] = 0
        if not answers:
            keep[WIDTH:] = 0
        weights, counts = self._weights * keep, counts * keep
        found.data *= keep[found.indices]
        said, length = counts.sum(axis=1), np.asarray(found.sum(axis=1)).ravel()
        usual = (counts.sum(axis=0) + 1e-3) / (counts.sum() + 1e-3 * counts.shape[1])
        weight = np.asarray(found @ weights)
        scores = found @ (weights * np.log(counts / usual + PRIOR)).T + np.log(sizes)
        scores -= weight[:, None] * np.log(said + PRIOR)
        # A text's own job is judged without the text.
        row, column = np.repeat(np.arange(size), np.diff(found.indptr)), found.indices
        others = np.maximum(counts[jobs[row], column] - 1, 0)
        without = np.log(others / usual[column] + PRIOR) * weights[column]
        own = np.bincount(row, weights=without, minlength=size) - weight * np.log(said[jobs] - length + PRIOR)
        scores[np.arange(size), jobs] = own + np.log(np.maximum(sizes[jobs] - 1, 0.5))
        guessed = np.argmax(scores, axis=1)
        right = float((guessed == jobs).mean())
        chance = float(sizes / size @ (np.bincount(guessed, minlength=count) / size))
        return (right - chance) / (1 - chance) if chance < 1 else 0.0


def is_json(answer: str) -> bool:
    """`{}` is, `[Yes]` is not."""
    return answer.lstrip()[:1] in ("{", "[") and isinstance(find_json(answer), dict | list)


def _kind(one: Outcome) -> int:
    """Number of the answer's kind; -1 for a tool call and where none is known: an agent calls tools or answers."""
    text = (one.answer or "").strip()
    if one.tool_call or not text:
        return -1
    return KINDS.index("json" if is_json(text) else "few words" if _is_short(text) else "prose")


def _is_short(answer: str) -> bool:
    return len(answer) <= 100 and len(answer.split()) <= SHORT_WORDS


def _forms(one: Outcome, request: str, recurring: Counter[str]) -> list[str]:
    """The kind and the length of an answer, and a short answer that recurs itself."""
    if one.tool_call:
        return ["tool call"]
    if not one.answer or not one.answer.strip():
        return []
    text = one.answer.strip()
    found = [f"length {len(text.split()).bit_length()}", f"begins {_sort(text[0])}"]
    if is_json(text):
        return [*found, "json"]
    if _is_short(text):
        form = normalise(text)
        found.append("number" if find_number(form) is not None and form[:1].isdigit() else "short")
        if recurring[form] > 2 and form not in request.casefold():
            found.append(f"is {form}")
    else:
        found.append("lines" if "\n" in text else "prose")
    return found


def _sort(character: str) -> str:
    return "letter" if character.isalpha() else "digit" if character.isdigit() else character


def _forms_of(outcomes: Sequence[Outcome], requests: Sequence[str]) -> tuple[Ints, Ints, int]:
    """(numbers of forms, whose answers have them, how many forms there are)."""
    recurring = Counter(normalise(one.answer) for one in outcomes if one.answer and _is_short(one.answer))
    numbers: dict[str, int] = {}
    found = [
        (numbers.setdefault(form, len(numbers)), n)
        for n, (one, request) in enumerate(zip(outcomes, requests, strict=True))
        for form in _forms(one, request, recurring)
    ]
    pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], max(1, len(numbers))


def _new_words(corpus: Corpus, outcomes: Sequence[Outcome]) -> tuple[Ints, Ints]:
    """(words of longer answers that their requests do not hold, whose they are)."""
    long = [(n, one.answer) for n, one in enumerate(outcomes) if one.answer and not _is_short(one.answer)]
    read = [corpus.vocabulary.read(answer[:ANSWER_CHARACTERS]) for _, answer in long]
    words = np.array([word for one in read for word in one], dtype=np.int64)
    owners = np.repeat(np.array([n for n, _ in long], dtype=np.int64), [len(one) for one in read])
    size = len(corpus.vocabulary)
    answered = np.zeros(len(outcomes), dtype=bool)
    answered[owners] = True
    asked = answered[corpus.text_of]
    new = ~np.isin(owners * size + words, corpus.text_of[asked] * size + corpus.tokens[asked])
    return words[new], owners[new]
