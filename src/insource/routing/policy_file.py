"""The privacy policy's file: TOML that people review. Reading and writing; what a policy decides is core/policy.py.

[kinds]                 # action of each kind: watch, mask, local or refuse
all = "watch"           # every kind that is not named; what can't be scanned is "unreadable"
email = "mask"
secret = { action = "refuse", confidence = 0.8 }

[words]                 # kinds of your own, by the words that give them away
health = ["diagnos*", "blood pressure"]

[allow]                 # never private
domains = ["example.com"]

[tasks."task-1a2b3c4d"] # exceptions
email = "watch"
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from insource.core.errors import BadInput
from insource.core.policy import ACTIONS, ALL, UNSCANNED, Action, Allowed, Kinds, Policy, Rule

FILE_NAME = "privacy.toml"
_ALLOWED = ("addresses", "domains", "patterns", "roles")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HEAD = "# What happens to requests with private data; docs/privacy.md. `insource privacy set` keeps no comments.\n"


def read_policy(path: Path) -> Policy | None:
    """None: there is no such file. Raises BadInput."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(f"{str(path)!r} can't be read ({error})") from error
    try:
        return parse_policy(text)
    except BadInput as error:
        raise _bad(f"{str(path)!r}: {error.message.rstrip('.')}") from error


def parse_policy(text: str) -> Policy:
    """Raises BadInput with the entry that is wrong."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _bad(f"it is not TOML ({error})") from error
    unknown = document.keys() - {"kinds", "words", "allow", "tasks"}
    if unknown:
        raise _bad(f"there is no section {min(unknown)!r}; there are kinds, words, allow and tasks")
    tasks = _table(document, "tasks")
    return Policy(
        kinds=_kinds(_table(document, "kinds"), "kinds"),
        words={_kind(kind, "words"): _words(kind, entry) for kind, entry in _table(document, "words").items()},
        allow=_allow(_table(document, "allow")),
        tasks={task: _kinds(_table(tasks, task), f"tasks.{task}") for task in tasks},
    )


def rule_of(entry: object, where: str) -> Rule:
    """`"mask"`, or a table with `action` and `confidence`. Raises BadInput."""
    if isinstance(entry, str):
        return Rule(action=_action(entry, where))
    if not isinstance(entry, dict) or entry.keys() - {"action", "confidence"}:
        raise _bad(f"{where} is neither an action nor {{ action = …, confidence = … }}")
    confidence = entry.get("confidence")
    if confidence is not None and (isinstance(confidence, bool) or not isinstance(confidence, int | float)):
        raise _bad(f"the confidence of {where} is not a number")
    if confidence is not None and not 0 <= confidence <= 1:
        raise _bad(f"the confidence of {where} is not between 0 and 1")
    return Rule(action=_action(entry.get("action"), where), confidence=confidence)


def render_policy(policy: Policy) -> str:
    """The file of a policy; `parse_policy` gives it back."""
    sections = [_HEAD]
    sections += [_section("kinds", {kind: _shown(rule) for kind, rule in policy.kinds.items()})] if policy.kinds else []
    if policy.words:
        sections.append(_section("words", {kind: _list(words) for kind, words in policy.words.items()}))
    allowed = {name: _list(values) for name in _ALLOWED if (values := getattr(policy.allow, name))}
    sections += [_section("allow", allowed)] if allowed else []
    for task, kinds in policy.tasks.items():
        name = f"tasks.{_text(task)}"
        sections.append(_section(name, {kind: _shown(rule) for kind, rule in kinds.items()}))
    return "\n".join(sections)


def check_kind(kind: str, where: str) -> str:
    """Raises BadInput for what can't be the name of a kind."""
    return _kind(kind, where)


# --------------------------------------------------------------------------------------------------- parts


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name, {})
    if not isinstance(found, dict):
        raise _bad(f"{name} is not a section")
    return cast("dict[str, Any]", found)


def _kinds(entries: Mapping[str, Any], where: str) -> Kinds:
    return {_kind(kind, where): rule_of(entry, f"{where}.{kind}") for kind, entry in entries.items()}


def _kind(kind: str, where: str) -> str:
    if kind == UNSCANNED:
        raise _bad(f"{where} names {UNSCANNED!r}: a failed scan always gets the strictest action in the policy")
    if not _KIND.fullmatch(kind):
        raise _bad(f"{where} names the kind {kind!r}; a kind is of small letters, digits and _")
    return kind


def _action(entry: object, where: str) -> Action:
    if entry not in ACTIONS:
        raise _bad(f"the action of {where} is {entry!r}; there are {', '.join(ACTIONS)}")
    return entry


def _strings(entry: object, where: str) -> tuple[str, ...]:
    if not isinstance(entry, list) or not all(isinstance(each, str) and each.strip() for each in entry):
        raise _bad(f"{where} is not a list of texts")
    return tuple(cast("list[str]", entry))


def _words(kind: str, entry: object) -> tuple[str, ...]:
    words = _strings(entry, f"words.{kind}")
    if kind == ALL or any(not word.replace("*", " ").strip() for word in words):
        raise _bad(f"words.{kind} would match everything")
    return words


def _allow(entries: Mapping[str, Any]) -> Allowed:
    unknown = entries.keys() - set(_ALLOWED)
    if unknown:
        raise _bad(f"allow has no entry {min(unknown)!r}; there are {', '.join(_ALLOWED)}")
    allowed = Allowed(**{name: _strings(entries[name], f"allow.{name}") for name in _ALLOWED if name in entries})
    for pattern in allowed.patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise _bad(f"the pattern {pattern!r} is not a regular expression ({error})") from error
    return allowed


def _section(name: str, entries: Mapping[str, str]) -> str:
    return "".join([f"[{name}]\n", *(f"{key} = {value}\n" for key, value in entries.items())])


def _shown(rule: Rule) -> str:
    if rule.confidence is None:
        return json.dumps(rule.action)
    return f"{{ action = {json.dumps(rule.action)}, confidence = {float(rule.confidence)!r} }}"


def _list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _text(value: str) -> str:
    """TOML's basic strings are JSON's, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _bad(what: str) -> BadInput:
    return BadInput(
        f"The privacy policy is wrong: {what}.",
        next_step="Correct the file (see docs/privacy.md), or write a new one with `insource privacy set`.",
    )
