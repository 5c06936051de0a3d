"""Finding the templates that texts were filled from, by the long unbranched paths of their prefix trie.

People's own sentences branch at every word: of 13,083 distinct bank messages no path of 20 characters is walked by 20.
A template's constant part is one path that all its texts walk. The trie is walked from the front, from the back
(a template may begin with its variable part), and what is left is searched for a constant line in the middle.

The trie is never built: sorted texts are one, the path of a range is what its first and last text share. Only nodes
with enough texts are visited, and the result does not depend on the order of the texts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from insource.traffic.templates import Scope, Template

CHAIN_CHARACTERS = 20
CHAIN_WORDS = 3
"""A path this long without a branch is constant text. Of 38,097 distinct messages that people wrote (Banking77,
CLINC150, GSM8K) no 20 share one."""
LINE_CHARACTERS = 24
COVERED_SHARE = 0.95
"""A template falls apart into narrower ones only if they hold nearly all its texts: a frequent beginning of the
variable part is not a task."""
MAX_DEPTH = 200
"""Branches on one path; deeper ones come from hostile input."""
MAX_LINES = 50

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
_WORD = re.compile(r"[^\W\d_]{2,}")


def least_texts(texts: int) -> int:
    """How many distinct texts make a template, of so many in all: 2 %, but no fewer than 10 and no more than 20."""
    return max(10, min(20, texts // 50))


def find_templates(texts: Iterable[str], *, least: int, scope: Scope = "user") -> list[tuple[Template, list[str]]]:
    """Templates with the distinct texts each was found in; texts of no template are in none. Sorted, most texts
    first."""
    left = set(texts)
    groups: list[tuple[list[str], str]] = []
    forward = _chains(sorted(left), least=least)
    left.difference_update(*forward)
    backward = [_reverse(group) for group in _chains(_reverse(left), least=least)]
    left.difference_update(*backward)
    groups += [(part, "") for group in forward for part in _apart(group, least, backward=True)]
    groups += [(part, "") for group in backward for part in _apart(group, least, backward=False)]
    groups += [(group, line) for line, group in _by_line(left, least)]
    found = [(_template(group, line, scope), sorted(group)) for group, line in groups]
    return sorted(found, key=lambda item: (-len(item[1]), item[0].encode()))


def _reverse(texts: Iterable[str]) -> list[str]:
    return sorted(text[::-1] for text in texts)


def _is_constant(path: str) -> bool:
    return len(path) >= CHAIN_CHARACTERS and len(_WORD.findall(path)) >= CHAIN_WORDS


def _chains(texts: Sequence[str], *, least: int, start: int = 0, depth: int = 0) -> list[list[str]]:
    """The groups below one node: `texts` are sorted and share their first `start` characters."""
    if len(texts) < least or depth > MAX_DEPTH:
        return []
    end = _shared(texts, start)
    branches: defaultdict[str, list[str]] = defaultdict(list)
    for text in texts:
        token = _TOKEN.match(text, end)
        if token is not None:
            branches[token.group()].append(text)
    narrower = [
        group for branch in branches.values() for group in _chains(branch, least=least, start=end, depth=depth + 1)
    ]
    if not _is_constant(texts[0][start:end]):
        return narrower
    covered = sum(map(len, narrower))
    return narrower if len(narrower) > 1 and covered >= COVERED_SHARE * len(texts) else [list(texts)]


def _shared(texts: Sequence[str], start: int) -> int:
    """Where the common path of sorted texts ends, at the end of a whole token in each of them."""
    first, last = texts[0], texts[-1]
    common = _common(first, last, start)
    end = start
    for token in _TOKEN.finditer(first, start, common):
        if token.end() == common and any(_token_end(text, token.start()) != common for text in texts):
            break
        end = token.end()
    return end


def _token_end(text: str, start: int) -> int:
    token = _TOKEN.match(text, start)
    return token.end() if token else start


def _common(first: str, last: str, start: int) -> int:
    """How many characters two texts share at their beginning; `start` of them are known. By halving, at C speed."""
    low, high = start, min(len(first), len(last))
    while low < high:
        middle = (low + high + 1) // 2
        if first.startswith(last[start:middle], start):
            low = middle
        else:
            high = middle - 1
    return low


def _apart(group: list[str], least: int, *, backward: bool) -> list[list[str]]:
    """The group, or what it falls apart into when it is walked from its other end."""
    parts = _chains(_reverse(group) if backward else sorted(group), least=least)
    if len(parts) < 2 or sum(map(len, parts)) < COVERED_SHARE * len(group):
        return [group]
    return [_reverse(part) for part in parts] if backward else parts


def _by_line(texts: set[str], least: int) -> list[tuple[str, list[str]]]:
    """Groups by a constant line, most frequent first; each text goes to one group."""
    lines_of = {text: _lines(text) for text in texts}
    found: list[tuple[str, list[str]]] = []
    while len(found) < MAX_LINES:
        counts = Counter(line for lines in lines_of.values() for line in lines)
        line, count = max(counts.items(), key=lambda item: (item[1], len(item[0]), item[0]), default=("", 0))
        if count < least:
            break
        group = [text for text in lines_of if line in text]
        found.append((line, group))
        for text in group:
            del lines_of[text]
    return found


def _lines(text: str) -> set[str]:
    """Lines that may be an instruction: inside a text of three lines or more, long enough, of words."""
    lines = text.splitlines()
    if len(lines) < 3:
        return set()
    long = {line.strip() for line in lines if len(line) >= LINE_CHARACTERS}
    return {line for line in long if len(line) >= LINE_CHARACTERS and len(_WORD.findall(line)) >= CHAIN_WORDS}


def _template(group: Sequence[str], line: str, scope: Scope) -> Template:
    """The constant ends of the group, where they are long enough not to be the chance of a small sample."""
    forward, backward = sorted(group), _reverse(group)
    prefix = forward[0][: _shared(forward, 0)]
    suffix = backward[0][: _shared(backward, 0)][::-1]
    if _is_constant(prefix):
        shortest = min(map(len, group))
        suffix = suffix[max(0, len(prefix) + len(suffix) - shortest) :]
    return Template(
        scope=scope,
        prefix=prefix if _is_constant(prefix) else "",
        suffix=suffix if _is_constant(suffix) else "",
        middle=line,
    )
