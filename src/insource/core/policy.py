"""What happens to a request with private data, by kind: the policy as a value, and what it decides. Pure.

Not here: the policy's file (routing/policy_file.py), and which findings count in spite of the allow-list
(traffic/sieve.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Action = Literal["watch", "mask", "local", "refuse"]
ACTIONS: tuple[Action, ...] = ("watch", "mask", "local", "refuse")
"""The least strict first."""
ALL = "all"
"""In place of a kind: every kind that is not named."""
UNREADABLE = "unreadable"
"""The kind of what a scan can't look into: images, audio, encrypted parts, bodies that are not JSON. `all` does not
include it."""
UNSCANNED = "unscanned"
"""The kind of a request whose scan failed: whatever it holds, the strictest action that the policy names applies."""
LEAST_CONFIDENCE = 0.6
"""A detector's finding below it only looks private."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Of one kind."""

    action: Action = "watch"
    confidence: float | None = None
    """Findings below it do not count; None: as `all` says, else LEAST_CONFIDENCE."""


Kinds = Mapping[str, Rule]
"""Rules by kind, `all` and `unreadable` among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What is not private although a detector finds it."""

    addresses: tuple[str, ...] = ()
    """E-mail addresses, IP addresses and networks, phone numbers: compared as a whole, without case."""
    domains: tuple[str, ...] = ()
    """Of e-mail addresses; subdomains included."""
    patterns: tuple[str, ...] = ()
    """Regular expressions that a value matches as a whole."""
    roles: tuple[str, ...] = ()
    """What stands before the `@` of addresses that are nobody's own: support, info."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What applies to one request."""

    kinds: Kinds

    def of(self, kind: str) -> Rule:
        if kind == UNSCANNED:
            return Rule(action=strictest(rule.action for rule in self.kinds.values()))
        found = self.kinds.get(kind)
        if found is None:
            found = Rule() if kind == UNREADABLE else self.kinds.get(ALL, Rule())
        return found

    def least_confidence(self, kind: str) -> float:
        named, others = self.of(kind).confidence, self.kinds.get(ALL, Rule()).confidence
        return next((value for value in (named, others) if value is not None), LEAST_CONFIDENCE)

    def action(self, kinds: Iterable[str]) -> Action:
        """The strictest of what was found."""
        return strictest(self.of(kind).action for kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Without anything named it watches."""

    kinds: Kinds = field(default_factory=dict[str, Rule])
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Kinds of the user's own, each with the words that give it away; a `*` at the end stands for any ending."""
    allow: Allowed = Allowed()
    tasks: Mapping[str, Kinds] = field(default_factory=dict[str, Kinds])
    """Exceptions by task id: what they name replaces the general rule."""

    @property
    def acts(self) -> bool:
        """False: it only watches, so nothing waits for a scan."""
        return any(rule.action != "watch" for kinds in (self.kinds, *self.tasks.values()) for rule in kinds.values())

    def rules(self, task_id: str | None, *, task_known: bool = True) -> Rules:
        """`task_known` False: it may be any task, so the strictest of all exceptions counts."""
        if not task_known:
            return Rules(kinds=_strictest_of([self.kinds, *({**self.kinds, **own} for own in self.tasks.values())]))
        return Rules(kinds={**self.kinds, **self.tasks.get(task_id or "", {})})


WATCH = Policy()
KEEP_HERE = Policy(kinds={ALL: Rule(action="local"), UNREADABLE: Rule(action="local")})
"""What the setting `privacy = "enforce"` means."""


def strictest(actions: Iterable[Action]) -> Action:
    return ACTIONS[max(map(ACTIONS.index, actions), default=0)]


def _strictest_of(several: list[Kinds]) -> Kinds:
    """Of each kind the strictest rule; a finding counts as soon as it counts under one of them."""
    everywhere = [Rules(kinds=kinds) for kinds in several]
    return {
        kind: Rule(
            action=strictest(rules.of(kind).action for rules in everywhere),
            confidence=min(rules.least_confidence(kind) for rules in everywhere),
        )
        for kind in {ALL, *(kind for kinds in several for kind in kinds)}
    }
