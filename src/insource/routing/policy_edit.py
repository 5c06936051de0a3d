"""Changes of a privacy policy as people say them on the command line. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from insource.core.errors import UsageError
from insource.core.policy import ACTIONS, ALL, UNREADABLE, Allowed, Kinds, Policy, Rule
from insource.routing.policy_file import check_kind, parse_policy, render_policy, rule_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    actions: tuple[str, ...] = ()
    """`email=mask`."""
    confidences: tuple[str, ...] = ()
    """`phone=0.8`."""
    words: tuple[str, ...] = ()
    """`health=diagnos*,blood pressure`."""
    allow: tuple[str, ...] = ()
    """Addresses, networks and domains; which is which shows."""
    patterns: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    task_id: str | None = None
    """Actions and confidences become exceptions of this task."""


def changed(policy: Policy, changes: Changes) -> Policy:
    """Raises UsageError, and BadInput for what no policy may hold."""
    kinds: dict[str, Rule] = dict(policy.kinds if changes.task_id is None else policy.tasks.get(changes.task_id, {}))
    for kind, action in map(_pair, changes.actions):
        if action not in ACTIONS:
            raise UsageError(f"{action!r} is not an action.", next_step=f"Write one of {', '.join(ACTIONS)}.")
        given = rule_of(action, kind)
        former = kinds.get(check_kind(kind, "the command"))
        kinds[kind] = given if former is None else replace(former, action=given.action)
    for kind, confidence in map(_pair, changes.confidences):
        kinds[check_kind(kind, "the command")] = replace(_rule(kinds, policy, kind), confidence=_number(confidence))
    words = dict(policy.words)
    for kind, listed in map(_pair, changes.words):
        own = tuple(word.strip() for word in listed.split(",") if word.strip())
        words[check_kind(kind, "the command")] = tuple(dict.fromkeys((*words.get(kind, ()), *own)))
    policy = replace(policy, words=words, allow=_allowed(policy.allow, changes))
    if changes.task_id is None:
        policy = replace(policy, kinds=kinds)
    else:
        policy = replace(policy, tasks={**policy.tasks, changes.task_id: kinds})
    return parse_policy(render_policy(policy))  # what is written is what a gateway will read


def unknown_kinds(policy: Policy, known: Iterable[str]) -> list[str]:
    """Kinds that the policy names and nobody finds."""
    found = {*known, *policy.words, ALL, UNREADABLE}
    named = {kind for kinds in (policy.kinds, *policy.tasks.values()) for kind in kinds}
    return sorted(named - found)


def _rule(kinds: Mapping[str, Rule], policy: Policy, kind: str) -> Rule:
    return kinds.get(kind) or policy.rules(None).of(kind)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise UsageError(f"{text!r} is not of the form KIND=VALUE.", next_step="For example: email=mask.")
    return name.strip().lower(), value.strip()


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{text!r} is not a confidence.", next_step="Give a number from 0 to 1.")
    return value


def _allowed(allow: Allowed, changes: Changes) -> Allowed:
    addresses = [entry for entry in changes.allow if _is_address(entry)]
    domains = [entry.lstrip("@*.") for entry in changes.allow if not _is_address(entry)]
    return Allowed(
        addresses=_with(allow.addresses, addresses),
        domains=_with(allow.domains, domains),
        patterns=_with(allow.patterns, changes.patterns),
        roles=_with(allow.roles, changes.roles),
    )


def _with(former: tuple[str, ...], new: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*former, *(entry.strip() for entry in new))))


def _is_address(entry: str) -> bool:
    """An e-mail address, an IP address or network, or a number; else it is a domain."""
    if entry.rpartition("@")[0].strip("*"):
        return True
    try:
        ipaddress.ip_network(entry.strip(), strict=False)
    except ValueError:
        return not any(character.isalpha() for character in entry)
    return True


def kinds_shown(kinds: Kinds) -> str:
    return ", ".join(f"{kind} {rule.action}" for kind, rule in kinds.items()) or "nothing"
