"""What a task's answers look like: a tool call, JSON, one of a few labels, a number, or free text. Pure.

A few outliers (refusals, cut answers) do not change the kind: MOST answers decide. References count as well as answers,
because a model may reason at length before it gives one of two labels.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from insource.core.answers import find_json, find_label, find_number, normalise
from insource.core.values import JsonObject, OutputKind, OutputProfile

MOST = 0.9
MANY = 0.75
"""Enough where reasoning surrounds the answer, and answers cut at a token limit have none."""
OPTIONS = 0.5
"""A letter in front is a form that free text does not have, so more refusals beside it are borne: on 39 % of the
recorded survey questions GPT-4 would not choose."""
LABEL_CHARACTERS = 80
LABEL_WORDS = 8
MOST_LABELS = 300
FEWEST = 5
"""Fewer observations show no closed set."""

_OPTION = re.compile(r"^[\s\"'*]*(\([A-Za-z]\)|[A-J](?=[.):]|\s*$))")
_BRACKETED = re.compile(r"\[([^\[\]\n]{1,40})\]")
_NUMBER_ONLY = re.compile(r"^\D{0,12}[-+]?\d[\d,]*(?:\.\d+)?\D{0,12}$")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_MARKED = re.compile(r"\\boxed\s*\{[^{}]*\d[^{}]*\}|####\s*[-+$]?\d")


def profile_output(
    answers: Sequence[str], references: Sequence[str], requests: Sequence[JsonObject], *, tool_calls: int = 0
) -> OutputProfile:
    """`answers` are the texts that the application received; `tool_calls` counts the answers that were calls
    instead."""
    if tool_calls > len(answers):
        return OutputProfile(kind=OutputKind.TOOL_CALL)
    observed = [text for text in (*answers, *references) if text.strip()]
    schema = _schema(observed, requests)
    if schema is not None:
        return OutputProfile(kind=OutputKind.JSON, json_schema=schema)
    if _are_numbers(references):
        return OutputProfile(kind=OutputKind.NUMBER)
    labels = _options(answers or references) or _closed_set(answers, references) or _bracketed(answers)
    if labels:
        return OutputProfile(kind=OutputKind.LABEL, labels=labels)
    if _are_numbers(answers) or _end_in_numbers(answers or references):
        return OutputProfile(kind=OutputKind.NUMBER)
    return OutputProfile(kind=OutputKind.TEXT)


def _share(hits: Iterable[bool]) -> float:
    found = list(hits)
    return sum(found) / len(found) if found else 0.0


# ------------------------------------------------------------------------------------------------------ labels


def _options(texts: Sequence[str]) -> tuple[str, ...]:
    """`(B). Somewhat optimistic` is the option `(B)`."""
    letters = [match.group(1) for text in texts if (match := _OPTION.match(text))]
    bracketed = [letter for letter in letters if letter.startswith("(")]
    written = bracketed if 2 * len(bracketed) >= len(letters) else [x for x in letters if not x.startswith("(")]
    if len(texts) < FEWEST or len(written) <= OPTIONS * len(texts) or len(set(written)) < 2:
        return ()
    return tuple(sorted(set(written)))


def _closed_set(answers: Sequence[str], references: Sequence[str]) -> tuple[str, ...]:
    """Short texts that recur. With references their set is what counts, written as the answers write it."""
    if not references:
        return _recurring(answers)
    labels = _recurring(references)
    if not labels:
        return ()
    bracketed = _bracketed(answers)
    if {normalise(label.strip("[]")) for label in bracketed} == {normalise(label.strip("[]")) for label in labels}:
        return bracketed
    whole = Counter(answer.strip() for answer in answers if len(answer) <= LABEL_CHARACTERS)
    forms = {normalise(label): label for label in labels}
    for answer, _ in sorted(whole.items(), key=lambda item: (item[1], item[0])):
        if normalise(answer) in forms:
            forms[normalise(answer)] = answer
    own = _recurring(answers)
    forms |= {normalise(label): label for label in own if normalise(label) not in forms}
    mapped = _share(find_label(answer, tuple(forms.values())) is not None for answer in answers[:2_000])
    return tuple(sorted(forms.values())) if not answers or mapped >= MANY else labels


def _recurring(texts: Sequence[str]) -> tuple[str, ...]:
    """The forms of a closed set, or (): short, few, and nearly all of them given more than once."""
    short = [text.strip() for text in texts if len(text) <= LABEL_CHARACTERS and 0 < len(text.split()) <= LABEL_WORDS]
    counts = Counter(normalise(text) for text in short)
    counts.pop("", None)
    again = {form: count for form, count in counts.items() if count > 1}
    if len(texts) < FEWEST or sum(again.values()) < MOST * len(texts):
        return ()
    if len(again) > min(MOST_LABELS, len(texts) / 3) or len(again) < 2:
        return ()
    written = Counter(short)
    forms: dict[str, str] = {}
    for text in sorted(written, key=lambda text: (-written[text], text)):
        if normalise(text) in again:
            forms.setdefault(normalise(text), text)
    return tuple(sorted(forms.values()))


def _bracketed(answers: Sequence[str]) -> tuple[str, ...]:
    """`[Yes]` or `[No]` somewhere in the reasoning."""
    last = [found[-1] for answer in answers if (found := _BRACKETED.findall(answer))]
    counts = Counter(last)
    frequent = {text: count for text, count in counts.items() if count >= max(2, len(answers) // 200)}
    if len(answers) < FEWEST or not 2 <= len(frequent) <= 20 or sum(frequent.values()) < MANY * len(answers):
        return ()
    return tuple(sorted(f"[{text}]" for text in frequent))


# ----------------------------------------------------------------------------------------------------- numbers


def _are_numbers(texts: Sequence[str]) -> bool:
    bare = (bool(_NUMBER_ONLY.match(text.strip())) and find_number(text) is not None for text in texts)
    return len(texts) >= FEWEST and _share(bare) >= MOST


def _end_in_numbers(texts: Sequence[str]) -> bool:
    """Most answers say a number in their last sentence and none in a listing of code."""
    if len(texts) < FEWEST or _share("```" in text for text in texts) > 1 - MOST:
        return False
    ends = (_MARKED.search(text) or find_number(_SENTENCE.split(text.strip())[-1]) is not None for text in texts)
    return _share(bool(end) for end in ends) >= MANY


# -------------------------------------------------------------------------------------------------------- JSON


def _schema(observed: Sequence[str], requests: Sequence[JsonObject]) -> JsonObject | None:
    """The schema that the requests asked for, if they agree and the answers keep to JSON, else the inferred one."""
    found = [value for text in observed if isinstance(value := _json_answer(text), dict | list)]
    if not observed or len(found) < MOST * len(observed):
        return None
    asked = {json.dumps(schema, sort_keys=True) for request in requests if (schema := _asked_schema(request))}
    return json.loads(asked.pop()) if len(asked) == 1 else infer_schema(found)


def _json_answer(text: str) -> Any | None:
    start = text.lstrip()[:1]
    return find_json(text) if start in ("{", "[") or "```" in text else None


def _asked_schema(request: JsonObject) -> JsonObject | None:
    asked: Any = request.get("response_format")
    inner: Any = asked.get("json_schema") if isinstance(asked, dict) else None
    schema: Any = inner.get("schema") if isinstance(inner, dict) else None
    return schema if isinstance(schema, dict) else None


_TYPES: tuple[tuple[type, str], ...] = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"))


def infer_schema(values: Sequence[Any]) -> JsonObject:
    """A JSON Schema that all values satisfy; nothing is said where they differ."""
    if values and all(isinstance(value, dict) for value in values):
        names = sorted({name for value in values for name in value})
        properties = {name: infer_schema([value[name] for value in values if name in value]) for name in names}
        required = [name for name in names if all(name in value for value in values)]
        return {"type": "object", "properties": properties, "required": required}
    if values and all(isinstance(value, list) for value in values):
        items = [item for value in values for item in value]
        return {"type": "array", "items": infer_schema(items)} if items else {"type": "array"}
    types = sorted({_type_name(value) for value in values})
    if {"integer", "number"} <= set(types):
        types.remove("integer")
    if not types or {"object", "array"} & set(types):
        return {}
    return {"type": types[0] if len(types) == 1 else types}


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict | list):
        return "object" if isinstance(value, dict) else "array"
    return next(name for kind, name in _TYPES if isinstance(value, kind))
