"""Finding the templates that requests were filled from: groups that share constant text are split while something in
them tells jobs apart, and each group that is left gives a template."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from insource.traffic.corpus import DELIMITERS, TOKEN, Bools, Corpus, Ints, Recurring, clip, is_word
from insource.traffic.evidence import SURE, Evidence, Outcome
from insource.traffic.families import (
    COVER,
    FEW_EDGES,
    INSIDE,
    LONG_WORDS,
    Alternative,
    Case,
    Family,
    constant,
    families,
    set_of,
    strength,
    tool_sets,
)
from insource.traffic.template_parts import constant_parts
from insource.traffic.templates import END, MARKS, USER, Template

MOST_SPLITS = 400
"""Groups that are looked at; deeper ones come from hostile input."""
FEWEST = 5
LEAST_COVER = 0.3
"""Share of the texts that have one of the alternatives."""
LEAST_WORDS = 3
"""Words of constant text that make a template where nothing else speaks for it."""
ALIKE_TEXTS, ALIKE_CHARACTERS = 20, 5
"""Texts that begin with one word, and how long it has to be (with its mark and the space after it)."""
PROMPT_PHRASES = 5
"""Of recurring text, from which its words are of a prompt and no evidence; people use shorter phrases again and
again."""
SHORT_TOKENS = 12
REPEATED = 20
"""Texts in which a message is looked for that many may have said."""
_SPACE = re.compile(r"\s+")
_MARK = re.compile(f"[{MARKS}]")
BEFORE_CHARACTERS = 100
"""In front of a slot, that may label it."""


def least_texts(texts: int) -> int:
    """How many distinct texts make a task by words of the user alone, of so many in all: 2 %, but no fewer than 10
    and no more than 20. Fewer will do for what has a system prompt or a template in common."""
    return max(10, min(20, texts // 50))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A distinct text, with the tools and the outcome of the requests that have it."""

    text: str
    tools: tuple[str, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    template: Template
    texts: tuple[str, ...]


def find_groups(units: Sequence[Unit], least: int) -> list[Group]:
    """Groups with a template, most texts first; texts of no template are in none. `least` texts make a group where
    nothing but the users' own words is alike."""
    if len(units) < FEWEST:
        return []
    return sorted(_Search(units, least).groups(), key=lambda group: (-len(group.texts), group.template.encode()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A group that is still to be looked at."""

    texts: Ints
    told: bool = False
    """Something of its own sets it apart from the groups that it was split from."""
    tools: tuple[str, ...] | None = None


class _Search:
    def __init__(self, units: Sequence[Unit], least: int) -> None:
        self._units = units
        self._corpus = Corpus([unit.text for unit in units], least=FEWEST)
        self._recurring = Recurring(self._corpus)
        self._least = least

    @cached_property
    def _evidence(self) -> Evidence:
        prompts = self._recurring.all.feature("phrases")[self._recurring.block_of] >= PROMPT_PHRASES
        return Evidence(self._corpus, prompts, [unit.outcome for unit in self._units])

    def groups(self) -> Iterator[Group]:
        waiting = [_Part(texts=np.arange(len(self._units)))]
        for _ in range(MOST_SPLITS):
            if not waiting:
                return
            part = waiting.pop()
            look = _Look(self._recurring, part.texts)
            found = self._by_text(look)
            parts = found[1] if found[0] > 1 else self._by_tools(part) or found[1]
            if parts:
                waiting += [replace(one, tools=part.tools if one.tools is None else one.tools) for one in parts]
            elif (group := self._leaf(part, look)) is not None:
                yield group

    def _leaf(self, part: _Part, look: _Look) -> Group | None:
        if len(part.texts) < (FEWEST if part.told or look.instructs else self._least):
            return None
        if self._evidence.of_two_kinds(part.texts):  # no request shows which of the jobs it is
            return None
        parts = constant_parts(self._corpus, part.texts, look.phrases(look.core))
        tools = part.tools
        if not (part.told and parts) and not _tells(parts) and not self._begins_alike(look, parts):
            sets = self._tool_sets(part.texts)
            tools = tuple(sorted(sets[0])) if tools is None and len(sets) == 1 else tools
            if not tools:
                return None
        texts = tuple(self._units[text].text for text in part.texts)
        return Group(template=Template(parts=parts, tools=tools), texts=texts)

    def _begins_alike(self, look: _Look, parts: Sequence[str]) -> bool:
        """All messages begin or end with a word that is inside none: `classify …`."""
        edges = [part for part in parts if part[0] in MARKS or part[-1] in MARKS]
        return len(look.texts) >= ALIKE_TEXTS and any(
            len(edge) > ALIKE_CHARACTERS and self._inside(look, edge, len(look.texts)) <= INSIDE for edge in edges
        )

    # -------------------------------------------------------------------------------------------- by text

    def _by_text(self, look: _Look) -> tuple[int, list[_Part]]:
        """(how surely they are jobs, the group's parts by the best family of blocks); (0, []) for one job."""
        best: tuple[tuple[int, int], Family] | None = None
        for family in families(look.blocks, len(look.texts), least=FEWEST, first=look.beside):
            case = self._case(look, family)
            found = strength(case) if case is not None else 0
            if case is not None and found and (best is None or (found, -family.size) > best[0]):
                best = ((found, -family.size), family)
        if best is None and look.alone:
            best = self._among_others(look)
        if best is None:
            return 0, []
        (sure, _), family = best
        parts = [_Part(texts=look.texts[family.choice == k], told=True) for k in range(family.size)]
        rest = look.texts[family.choice < 0]
        return sure, [*parts, _Part(texts=rest)] if len(rest) else parts

    def _among_others(self, look: _Look) -> tuple[tuple[int, int], Family] | None:
        """Templates among texts that have nothing in common with them."""
        best: tuple[float, Family] | None = None
        eligible = look.telling & ((look.blocks.texts >= self._least) | (look.blocks.feature("instructs") > 0))
        for family in families(look.blocks, len(look.texts), least=FEWEST, first=look.beside, eligible=eligible):
            case = self._case(look, family, always=True)
            if case is None:
                continue
            score = case.cover * (1 + max(case.agreement, 0)) - family.size / 1000
            if best is None or score > best[0]:
                best = (score, family)
        return None if best is None else ((1, -best[1].size), best[1])

    def _case(self, look: _Look, family: Family, *, always: bool = False) -> Case | None:
        """None where no text has to be read to see that the family tells nothing."""
        jobs = np.where(family.choice < 0, family.size, family.choice)
        if not always and (family.cover < LEAST_COVER or (family.size < 2 and family.cover >= COVER)):
            return None
        agreement = self._evidence.agreement(look.texts, jobs)
        if family.cover < COVER and agreement < SURE and not always:
            return None
        return Case(
            alternatives=[self._alternative(look, family, number) for number in range(family.size)],
            cover=family.cover,
            agreement=agreement,
            answered=bool(self._evidence.answered[look.texts].mean() >= 0.5),
            texts=len(look.texts),
        )

    def _alternative(self, look: _Look, family: Family, number: int) -> Alternative:
        block = int(family.blocks[number])
        example = int(look.texts[np.flatnonzero(family.choice == number)[0]])
        own = np.zeros(len(look.blocks.texts), dtype=bool)
        own[block] = True
        span = self._corpus.span(example)
        common = self._corpus.covered(look.phrases(look.core), span)
        covered = self._corpus.covered(look.phrases(own), span)
        mine = covered & ~common
        text = clip(self._units[example].text)
        tokens = list(TOKEN.finditer(text))
        at = [token for token, holds in zip(tokens, mine, strict=True) if holds]
        others = [self._units[other].text for other in look.texts[family.choice == number][1:REPEATED]]
        said_whole = covered | common
        whole = [
            bool(said_whole[message].all() and mine[message].any()) and _repeated(text, tokens[message], others)
            for message in _messages(tokens)
        ]
        short = bool(look.blocks.at_edge[block]) and 0 < len(at) <= SHORT_TOKENS and family.size <= FEW_EDGES
        edge = text[at[0].start() : at[-1].end()] if short else ""
        having = int((family.choice == number).sum())
        said = " ".join(token.group() for token in at)
        start = at[0].start() if at else 0
        return Alternative(
            text=said,
            before=text[max(0, start - BEFORE_CHARACTERS) : start],
            texts=having,
            words=sum(is_word(token.group()) for token in at),
            elsewhere=look.elsewhere(block),
            at_edge=bool(look.blocks.at_edge[block]),
            framed=bool(look.blocks.framed[block]),
            inside=self._inside(look, edge, having) if short else 1.0,
            shared=self._shared(look.texts[(family.choice >= 0) & (family.choice != number)], edge) if short else 0.0,
            whole=any(whole),
            last=whole[-1:] == [True],
        )

    def _inside(self, look: _Look, said: str, having: int) -> float:
        """How often the words of a block at the edge of messages are elsewhere in the group's texts, for each text
        that has the block."""
        words = _SPACE.sub(" ", _MARK.sub("", said)).strip().casefold()
        texts = (_SPACE.sub(" ", self._units[text].text).casefold() for text in look.texts)
        return max(0, sum(text.count(words) for text in texts) - having) / having

    def _shared(self, texts: Ints, said: str) -> float:
        """The share of some texts that hold the words of a block too, wherever they stand."""
        words = re.compile(rf"(?<!\w){re.escape(_SPACE.sub(' ', _MARK.sub('', said)).strip())}(?!\w)")
        return sum(bool(words.search(_SPACE.sub(" ", self._units[text].text))) for text in texts) / max(1, len(texts))

    # ------------------------------------------------------------------------------------ by tools and formats

    def _tool_sets(self, texts: Ints) -> list[frozenset[str]]:
        """Sets of tools that enough of the texts choose from, if nearly all that offer tools do."""
        offered = [self._units[text].tools for text in texts]
        sets = tool_sets(offered)
        sizes = Counter(set_of(names, sets) for names in offered if names)
        kept = [names for number, names in enumerate(sets) if sizes[number] >= FEWEST]
        covered = sum(sizes[number] for number, names in enumerate(sets) if names in kept)
        return kept if covered >= COVER * sizes.total() else []

    def _by_tools(self, part: _Part) -> list[_Part]:
        if part.tools is not None:
            return []
        sets = self._tool_sets(part.texts)
        chosen = np.array([set_of(self._units[text].tools, sets) for text in part.texts])
        bare = np.array([not self._units[text].tools for text in part.texts])
        parts = [
            _Part(texts=part.texts[chosen == number], told=True, tools=tuple(sorted(names)))
            for number, names in enumerate(sets)
        ]
        if bare.sum() >= FEWEST:
            parts.append(_Part(texts=part.texts[bare], told=part.told, tools=()))
        return parts if len(parts) > 1 else []


class _Look:
    """The blocks of a group."""

    def __init__(self, recurring: Recurring, texts: Ints) -> None:
        self.texts = texts
        self.blocks, self._number = recurring.of(texts)
        self._recurring = recurring
        self.core = constant(self.blocks, len(texts))

    def phrases(self, blocks: Bools) -> Bools:
        """The same of each phrase of the corpus."""
        return blocks[self._number][self._recurring.block_of]

    def beside(self) -> Bools:
        """Blocks that touch what all texts have in common, as an instruction does that follows a heading."""
        corpus, core = self._recurring.corpus, self.phrases(self.core)
        covered = corpus.covered(core)
        touching = np.zeros(corpus.phrases)
        places = np.flatnonzero((corpus.starts >= 0) & np.isin(corpus.text_of, self.texts))
        places = places[~core[corpus.starts[places]]]
        touches = covered[places] | covered[places + 2]
        np.add.at(touching, corpus.starts[places], np.where(touches, 1.0, -1.0))
        found = np.zeros(len(self.core), dtype=bool)
        found[self._number[self._recurring.block_of[touching > 0]]] = True
        return found

    @property
    def alone(self) -> bool:
        """The texts have nothing to speak of in common."""
        return float(self.blocks.feature("words")[self.core].sum()) < LEAST_WORDS

    @property
    def instructs(self) -> bool:
        """The texts have instructions, or their beginning, in common."""
        return bool((self.blocks.feature("instructs")[self.core] > 0).any())

    @property
    def telling(self) -> Bools:
        """Blocks that are no chance of ordinary writing."""
        words = self.blocks.feature("words")
        return self.blocks.framed | (words >= LONG_WORDS) | (self.blocks.at_edge & (words >= LEAST_WORDS))

    def elsewhere(self, block: int) -> float:
        """The least share of its texts outside the group that any piece of the block has."""
        pieces = np.flatnonzero(self._number == block)
        total = self._recurring.all.texts[pieces]
        return float(1 - self.blocks.texts[block] / total.min()) if len(pieces) else 0.0


def _messages(tokens: Sequence[re.Match[str]]) -> list[slice]:
    """Positions of the words of each message of a user."""
    begins = [n + 1 for n, token in enumerate(tokens) if token.group() == USER]
    ends = [next((n for n in range(at, len(tokens)) if tokens[n].group() == END), len(tokens)) for at in begins]
    return [slice(begin, end) for begin, end in zip(begins, ends, strict=True) if end > begin]


def _repeated(text: str, message: Sequence[re.Match[str]], others: Sequence[str]) -> bool:
    """The message is said by others letter by letter; `Is 7 prime?` and `Is 9 prime?` are filled from a template."""
    said = text[message[0].start() : message[-1].end()]
    return any(said in other for other in others)


def _tells(parts: Sequence[str]) -> bool:
    """The parts are a template's by themselves: a few words, or one between the edge of a message and a colon."""
    words = sum(is_word(token) for part in parts for token in TOKEN.findall(part))
    framed = any(part[0] in MARKS and part.rstrip()[-1:] in DELIMITERS for part in parts)
    return words >= LEAST_WORDS or framed
