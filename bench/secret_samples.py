"""Texts drawn from the rules of a public secret scanner, so that another scanner can be tried on them.

The rules are read from the scanner's own configuration file (gitleaks' TOML, MIT), which is not part of this project:
give its path to bench/privacy_detect.py. A rule counts as one with a fixed prefix where what it reports begins with
three or more literal characters, or with one of a few such beginnings (`ghp_`, `(?:sk|rk)_live_`).
"""

from __future__ import annotations

import random
import re
import string
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

with warnings.catch_warnings():  # the parser's old public name; it has no other
    warnings.simplefilter("ignore", DeprecationWarning)
    import sre_constants as names
    import sre_parse as parser

_SHORTEST_PREFIX = 3
_FEW = 5
"""Characters that stand for each other in a beginning (`gh[pousr]_`)."""
_MANY = 12
"""Repetitions beyond the least, where a rule sets no limit."""
_WORD = string.ascii_letters + string.digits + "_"
_ALL = string.ascii_letters + string.digits + "-._~"
_CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": _WORD,
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_SPACE": _WORD,
    "CATEGORY_NOT_WORD": " ",
}


@dataclass(frozen=True, slots=True)
class SecretRule:
    id: str
    pattern: re.Pattern[str]
    group: int | None
    """The part that is the secret, where the rule says so; else its first group."""

    @classmethod
    def of(cls, id: str, regex: str, group: int | None = None) -> SecretRule:
        return cls(id, re.compile(regex, re.ASCII), group)

    def sample(self, rng: random.Random) -> tuple[str, tuple[int, int]]:
        """A text that the rule matches, and where the secret stands in it."""
        for _ in range(200):
            text = _draw(parser.parse(self.pattern.pattern, self.pattern.flags), rng)
            match = self.pattern.search(text + " ")
            if match:
                first = next((at for at in range(1, len(match.groups()) + 1) if match.group(at)), 0)
                return text, match.span(first if self.group is None else self.group)
        raise ValueError(f"no text matches {self.id}")


def fixed_prefix_rules(path: Path) -> list[SecretRule]:
    found: list[SecretRule] = []
    for rule in tomllib.loads(path.read_text("utf-8"))["rules"]:
        if "regex" not in rule or "path" in rule:
            continue
        secret = SecretRule.of(rule["id"], _as_python(rule["regex"]), rule.get("secretGroup"))
        tree = parser.parse(secret.pattern.pattern, secret.pattern.flags)
        if any(len(prefix) >= _SHORTEST_PREFIX for prefix in _prefixes(tree)):
            found.append(secret)
    return found


def _as_python(go: str) -> str:
    r"""Go's `\z` is `\Z`, it has `[:alnum:]`, and a `(?i)` inside a pattern holds to the end of its group."""
    pattern = go.replace(r"\z", r"\Z").replace("[[:alnum:]]", "[0-9A-Za-z]")
    while (at := pattern.find("(?i)", 1)) > 0:
        depth, end = 0, at + 4
        while end < len(pattern) and depth >= 0:
            character = pattern[end]
            if character == "\\":
                end += 1
            elif character == "[":
                end = pattern.index("]", end + 2)
            depth += (character == "(") - (character == ")")
            end += 1
        end -= depth < 0
        pattern = f"{pattern[:at]}(?i:{pattern[at + 4 : end]}){pattern[end:]}"
    return pattern


def _prefixes(tree: Any) -> list[str]:
    """The literal beginnings of what the first capturing group matches, or the whole pattern; [""]: none."""
    return _beginnings(_first_group(tree) or tree)


def _first_group(tree: Any) -> Any:
    """What the first capturing group holds, however deep it is; None without one."""
    for op, value in tree:
        if op is names.SUBPATTERN and value[0] is not None:
            return value[3]
        inner = [value[3]] if op is names.SUBPATTERN else value[1] if op is names.BRANCH else []
        for branch in inner:
            found = _first_group(branch)
            if found is not None:
                return found
    return None


def _beginnings(tree: Any) -> list[str]:
    found = [""]
    for op, value in tree:
        if op is names.AT:
            continue
        if op is names.LITERAL:
            found = [text + chr(value) for text in found]
        elif op is names.IN and len(value) <= _FEW and all(item is names.LITERAL for item, _ in value):
            found = [text + chr(literal) for text in found for _, literal in value]
        elif op is names.BRANCH:
            return [text + more for text in found for branch in value[1] for more in _beginnings(branch)]
        elif op is names.SUBPATTERN:
            inner = _beginnings(value[3])
            found = [text + more for text in found for more in inner]
            if not _is_literal(value[3]):
                return found
        else:
            return found
    return found


def _is_literal(tree: Any) -> bool:
    return all(op is names.LITERAL for op, _ in tree)


def _draw(tree: Any, rng: random.Random) -> str:
    return "".join(_draw_one(op, value, rng) for op, value in tree)


def _draw_one(op: Any, value: Any, rng: random.Random) -> str:
    if op is names.LITERAL:
        return chr(value)
    if op is names.IN:
        return rng.choice(_characters(value))
    if op is names.ANY:
        return rng.choice(_ALL)
    if op is names.NOT_LITERAL:
        return rng.choice(_ALL.replace(chr(value), ""))
    if op in (names.MAX_REPEAT, names.MIN_REPEAT):
        least, most, item = value
        times = rng.randint(least, most if most < least + _MANY or most < 1000 else least + _MANY)
        return "".join(_draw(item, rng) for _ in range(times))
    if op is names.BRANCH:
        return _draw(rng.choice(value[1]), rng)
    if op is names.SUBPATTERN:
        return _draw(value[3], rng)
    return ""  # positions and look-arounds


def _characters(items: list[Any]) -> str:
    allowed = "".join(_of_item(op, value) for op, value in items if op is not names.NEGATE)
    if items[0][0] is names.NEGATE:
        return "".join(c for c in _ALL if c not in allowed)
    return allowed


def _of_item(op: Any, value: Any) -> str:
    if op is names.LITERAL:
        return chr(value)
    if op is names.RANGE:
        return "".join(map(chr, range(value[0], value[1] + 1)))
    return _CATEGORIES[str(value)]
