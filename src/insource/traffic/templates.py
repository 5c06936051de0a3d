"""What a request shows of its task before it is answered: its texts, its tools, and the template it was filled from.

Used by discovery, which finds templates, and by the matcher, which recognises them; both must read a request alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from insource.core.hashing import canonical_json, sha256_hex
from insource.core.values import JsonObject
from insource.wire.chat import content_text, messages

Scope = Literal["user", "system"]

LEAST_CHARACTERS = 24
"""Of a template from which private spans were cut: shorter beginnings are common to unrelated requests."""
_DIGITS = re.compile(r"\d+")
_GENERIC = re.compile(
    r"\s*you are (?:a|an|the) [\w ,'-]{0,60}(?:assistant|chatbot|ai|model)(?: [\w ,'-]{0,40})?[.!]?\s*", re.I
)
"""A system prompt that says who answers but not what is asked (`You are a helpful assistant.`) is no evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The parts of a request that tell its task."""

    system: str
    """System and developer messages; "" also for one that only says `You are a helpful assistant.`"""
    user: str
    """All user messages in order, so that few-shot turns count as a constant beginning; a free follow-up question in a
    conversation therefore leaves its template, and goes where unknown work goes."""
    tools: tuple[str, ...]
    """Names of the offered tools, sorted. Their descriptions may hold variable parts and are left out."""


def view(request: JsonObject) -> View:
    system: list[str] = []
    user: list[str] = []
    for message in messages(request):
        role = message.get("role")
        if role == "user":
            user.append(content_text(message.get("content")))
        elif role in ("system", "developer"):
            system.append(content_text(message.get("content")))
    text = "\n".join(system)
    generic = len(text) <= 120 and _GENERIC.fullmatch(text) is not None
    return View(system="" if generic else text, user="\n".join(user), tools=_tool_names(request))


def _tool_names(request: JsonObject) -> tuple[str, ...]:
    tools: Any = request.get("tools") or request.get("functions")
    if not isinstance(tools, list):
        return ()
    names: set[str] = set()
    for tool in tools:
        if isinstance(tool, dict):
            function: Any = tool.get("function")
            inner: JsonObject = function if isinstance(function, dict) else tool
            names.add(str(inner.get("name") or inner.get("type") or ""))
    return tuple(sorted(names))


def system_key(seen: View) -> str | None:
    """Hash of system prompt and tool set; None when there is neither. Digits are masked: dates, counts and ids inside a
    system prompt do not make another task."""
    if not seen.system and not seen.tools:
        return None
    return "sha256:" + sha256_hex(canonical_json([mask_digits(seen.system), list(seen.tools)]))


def mask_digits(text: str) -> str:
    return _DIGITS.sub("0", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The constant text around a request's variable parts: how it begins, how it ends, a line in between."""

    scope: Scope = "user"
    """Which text is meant: the user's, or a system prompt with variable parts."""
    prefix: str = ""
    suffix: str = ""
    middle: str = ""

    def matches(self, text: str) -> bool:
        return (
            text.startswith(self.prefix)
            and text.endswith(self.suffix)
            and len(text) >= len(self.prefix) + len(self.suffix)
            and self.middle in text
        )

    @property
    def specificity(self) -> int:
        """Characters of constant text: of two templates that match, the longer one is meant."""
        return len(self.prefix) + len(self.suffix) + len(self.middle)

    def covers(self, other: Template) -> bool:
        """Whether every text of `other` is one of this template's too."""
        return (
            self.scope == other.scope
            and other.prefix.startswith(self.prefix)
            and other.suffix.endswith(self.suffix)
            and any(self.middle in part for part in (other.prefix, other.middle, other.suffix))
        )

    def without_private(self, mask: Callable[[str], str]) -> Template | None:
        """The widest template inside this one whose text `mask` leaves as it is; None: too little of it is left to tell
        anything. A constant text may hold somebody's address as well as a variable one."""
        kept = {
            "prefix": _common_start(self.prefix, mask(self.prefix)),
            "suffix": _common_start(self.suffix[::-1], mask(self.suffix)[::-1])[::-1],
            "middle": self.middle if mask(self.middle) == self.middle else "",
        }
        public = replace(self, **kept)
        return public if public == self or public.specificity >= LEAST_CHARACTERS else None

    def encode(self) -> str:
        """The value of a `prefix` matcher: the bare prefix where that is all, else an object with what there is."""
        if self == Template(prefix=self.prefix) and not self.prefix.startswith('{"'):
            return self.prefix
        fields = {"scope": self.scope, "prefix": self.prefix, "suffix": self.suffix, "middle": self.middle}
        return canonical_json({name: text for name, text in fields.items() if text}).decode()

    @classmethod
    def decode(cls, value: str) -> Template:
        """Anything that `encode` did not write is a bare prefix."""
        fields = _object(value)
        if "scope" not in fields:
            return cls(prefix=value)
        parts = {name: fields[name] for name in ("prefix", "suffix", "middle") if isinstance(fields.get(name), str)}
        return cls(scope="system" if fields["scope"] == "system" else "user", **parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained:
    """A `contains` matcher: requests with this text, among those that would otherwise be of task `of`.

    `of` None: among all requests; "": among those that nothing else recognises (a split of a task known by its shape).
    """

    text: str
    of: str | None = None

    def encode(self) -> str:
        if self.of is None and not self.text.startswith('{"'):
            return self.text
        return canonical_json({"of": self.of, "text": self.text}).decode()

    @classmethod
    def decode(cls, value: str) -> Contained:
        fields = _object(value)
        text, of = fields.get("text"), fields.get("of")
        if isinstance(text, str) and "of" in fields:
            return cls(text=text, of=of if isinstance(of, str) else None)
        return cls(text=value)


def _common_start(text: str, other: str) -> str:
    length = next(
        (at for at, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other))
    )
    return text[:length]


def _object(value: str) -> JsonObject:
    if not value.startswith('{"'):
        return {}
    try:
        found = json.loads(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
