"""What a request shows of its task before it is answered: its texts, its tools, and the template it was filled from.

Used by discovery, which finds templates, and by the matcher, which recognises them; both must read a request alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from insource.core.hashing import canonical_json, sha256_hex
from insource.core.values import JsonObject
from insource.wire.prompts import prompt_of

SYSTEM, USER, FORMAT, END = "\x02", "\x03", "\x04", "\x05"
"""Marks in a view's text: where the instructions, a user's message or the name of the answer's format begin, and
where each of them ends. A template's part may hold one, and so can say that a message begins or ends with it."""
MARKS = SYSTEM + USER + FORMAT + END

LEAST_CHARACTERS = 24
"""Of a template from which private spans were cut: a shorter text is common to unrelated requests."""
LEAST_PART = 8
_DIGITS = re.compile(r"\d+")
_FILLER = (
    "a|an|the|very|helpful|useful|friendly|polite|kind|honest|harmless|smart|intelligent|knowledgeable|professional|"
    "respectful|concise|expert|general|virtual|digital|personal|ai|large|language|and|assistant|chatbot|bot|model"
)
_GENERIC = re.compile(rf"\s*(?:you are|you're|act as)(?:[\s,]+(?:{_FILLER})\b)+[.!]?\s*", re.I)
"""A system prompt that says who answers but not what is asked (`You are a helpful assistant.`) is no evidence."""
_ONCE_GENERIC = re.compile(
    r"\s*you are (?:a|an|the) [\w ,'-]{0,60}(?:assistant|chatbot|ai|model)(?: [\w ,'-]{0,40})?[.!]?\s*", re.I
)
"""What earlier versions left out of `system_key`."""
GENERIC_CHARACTERS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The parts of a request that tell its task."""

    system: str
    """The instructions, letter by letter."""
    turns: tuple[str, ...]
    """The user's messages. A follow-up question in a conversation adds one and changes none."""
    tools: tuple[str, ...]
    """Names of the offered tools, sorted. Their descriptions may hold variable parts and are left out."""
    text: str
    """All of it between marks, without instructions that only say `You are a helpful assistant.`: what a template's
    parts are looked for in."""

    @property
    def user(self) -> str:
        return "\n".join(self.turns)


def view(request: JsonObject) -> View:
    asked = prompt_of(request)
    system = asked.instructions.strip()
    if len(system) <= GENERIC_CHARACTERS and _GENERIC.fullmatch(system):
        system = ""
    text = f"{SYSTEM}{system}{END}" if system else ""
    for turn in asked.turns:
        text += f"{USER}{turn.strip()}{END}"
    if asked.format:
        text += f"{FORMAT}{asked.format}{END}"
    return View(system=asked.instructions, turns=asked.turns, tools=asked.tools, text=text)


def system_key(seen: View) -> str | None:
    """Hash of system prompt and tool set, by which earlier versions knew a task; None when there is neither."""
    generic = len(seen.system) <= GENERIC_CHARACTERS and _ONCE_GENERIC.fullmatch(seen.system)
    system = "" if generic else seen.system
    if not system and not seen.tools:
        return None
    return "sha256:" + sha256_hex(canonical_json([_DIGITS.sub("0", system), list(seen.tools)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The constant text around a request's variable parts, and the tools that such requests choose from."""

    parts: tuple[str, ...] = ()
    """All of them are in the view's text. Their order is not asked: sections of a prompt may change places."""
    tools: tuple[str, ...] | None = None
    """At least half of the offered tools are among these; () none are offered, None says nothing of tools."""

    def matches(self, seen: View) -> bool:
        return self.allows(seen.tools) and all(part in seen.text for part in self.parts)

    def allows(self, tools: Sequence[str]) -> bool:
        if not self.tools:
            return self.tools is None or not tools
        return bool(tools) and 2 * sum(name in self.tools for name in tools) >= len(tools)

    @property
    def specificity(self) -> int:
        """Characters of constant text, and the same again for tools: of templates that match, the longest is
        meant."""
        return sum(map(len, self.parts)) + (LEAST_CHARACTERS if self.tools is not None else 0)

    def covers(self, other: Template) -> bool:
        """Whether every request of `other` is one of this template's too."""
        return (self.tools is None or self.tools == other.tools) and all(
            any(part in longer for longer in other.parts) for part in self.parts
        )

    def left_of(self, other: Template) -> list[str]:
        """What remains of the other's parts where this template's are taken out."""
        left = list(other.parts)
        for part in sorted(self.parts, key=len, reverse=True):
            left = [piece for text in left for piece in text.split(part)]
        return [text for text in left if text.strip(MARKS).strip()]

    def without_private(self, mask: Callable[[str], str]) -> Template | None:
        """This template with the pieces of its parts that `mask` leaves as they are; None: too little of it is left
        to tell anything. A constant text may hold somebody's address as well as a variable one."""
        parts = tuple(piece for part in self.parts for piece in _public_pieces(part, mask))
        if parts == self.parts:
            return self
        public = Template(parts=parts, tools=self.tools)
        return public if public.specificity >= LEAST_CHARACTERS else None

    def encode(self) -> str:
        """The value of a `prefix` matcher."""
        fields: JsonObject = {"parts": list(self.parts)}
        if self.tools is not None:
            fields["tools"] = list(self.tools)
        return canonical_json(fields).decode()

    @classmethod
    def decode(cls, value: str) -> Template:
        """Also of what earlier versions wrote: a bare beginning of the user's text, or its two ends and a line."""
        fields = _object(value)
        if isinstance(fields.get("parts"), list):
            tools = fields.get("tools")
            return cls(parts=_texts(fields["parts"]), tools=_texts(tools) if isinstance(tools, list) else None)
        if "scope" not in fields:
            return cls(parts=_lines(USER, value, ""))
        start = SYSTEM if fields["scope"] == "system" else USER
        ends = {"prefix": (start, ""), "middle": ("", ""), "suffix": ("", END)}
        found = ((before, fields.get(name), after) for name, (before, after) in ends.items())
        return cls(parts=tuple(part for before, text, after in found for part in _lines(before, text, after)))


def _lines(before: str, text: Any, after: str) -> tuple[str, ...]:
    """The lines of a text between marks. Earlier versions read all messages of a user as one text, so a line break may
    be the end of a message."""
    if not isinstance(text, str):
        return ()
    text = text.lstrip() if before else text
    text = text.rstrip() if after else text
    return tuple(line for line in f"{before}{text}{after}".split("\n") if line) if text else ()


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str))


def _public_pieces(part: str, mask: Callable[[str], str]) -> list[str]:
    """The part, or those of its lines and sentences that hold nothing private."""
    if mask(part) == part:
        return [part]
    pieces = [piece.strip() for piece in re.split(r"\n+|(?<=[.!?:;])\s+", part)]
    return [piece for piece in pieces if len(piece) >= LEAST_PART and mask(piece) == piece]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained:
    """A `contains` matcher: requests with this text, among those that would otherwise be of task `of`.

    `of` None: among all requests; "": among those that nothing else recognises (a split of a task known by its
    shape)."""

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


def _object(value: str) -> JsonObject:
    if not value.startswith('{"'):
        return {}
    try:
        found = json.loads(value)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
