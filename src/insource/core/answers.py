"""Reading an answer out of free text: the label, the number, the JSON in it. Pure; standard library only.

Models are asked for a label and answer with a sentence around it; a reference and an answer are compared in a form that
ignores that sentence. What can't be read is None, never a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_SPACE = re.compile(r"\s+")
_NUMBER = re.compile(r"[-+]?\$?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
_BOXED = re.compile(r"\\boxed\s*\{([^{}]*)\}")
_MARKED = re.compile(r"####\s*([^\n]+)")
_NUMBER_ONLY = re.compile(
    r"[^\w\s.,+-]{0,3}\s?([-+]?\$?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?)\s?(?:%|[^\W\d]{1,12}|[^\w\s.,+-]{1,3})?[.!]?"
)
"""A number, perhaps with a currency or one word for its unit."""
_ANSWER_IS = re.compile(r"(?i)\b(?:final answer|answer|result|total)\b\W{0,4}(?:is|=|:)\W{0,4}?([-+$€£]?\s?\d.*)$")
_EMPHASIS = re.compile(r"[*_`\\]+")
_BRACKETS = "[](){}<> "
_FENCE = re.compile(r"```(?:json)?(.*?)```", re.DOTALL)


def normalise(text: str) -> str:
    """Case, runs of white space and the punctuation around an answer do not make another answer."""
    return _SPACE.sub(" ", text).strip().strip(".!,;:\"'`*").strip().casefold()


def find_label(text: str, labels: Sequence[str]) -> str | None:
    """The one of `labels` that the text gives as its answer.

    The whole text, or its beginning, or the label that is mentioned last (reasoning comes first, the answer after).
    A label inside a longer one that matches is no mention of it. Bracketed labels such as `[Yes]` and `(A)` are found
    with their brackets; where none is, a text that is one bare label counts, if bare labels stay distinct.
    None when no label occurs.
    """
    by_form = {form: label for label in labels if (form := normalise(label))}
    whole = normalise(text)
    if whole in by_form:
        return by_form[whole]
    spaced = _SPACE.sub(" ", text).casefold()
    mentions = _mentions(spaced, by_form)
    if not mentions:
        bare = {form.strip(_BRACKETS): label for form, label in by_form.items()}
        return bare.get(whole.strip(_BRACKETS)) if len(bare) == len(by_form) and "" not in bare else None
    starts = [mention for mention in mentions if not spaced[: mention[0]].strip(" \"'`*[(")]
    return max(starts or mentions)[2]


def _mentions(text: str, by_form: dict[str, str]) -> list[tuple[int, int, str]]:
    """(start, end, label) of each label in the text that no longer one covers."""
    found = sorted(
        (
            (match.start(), match.end(), label)
            for form, label in by_form.items()
            for match in re.finditer(rf"(?<!\w){re.escape(form)}(?!\w)", text)
        ),
        key=lambda mention: (mention[0], -mention[1]),
    )
    kept: list[tuple[int, int, str]] = []
    for mention in found:
        if not kept or mention[1] > kept[-1][1]:
            kept.append(mention)
    return kept


def find_number(text: str) -> float | None:
    r"""The number that the text ends in: `\boxed{…}` or `#### …` when there, else the last number mentioned."""
    for marker in (_BOXED, _MARKED):
        found = marker.findall(text)
        if found:
            text = found[-1]
            break
    numbers = _NUMBER.findall(text)
    if not numbers:
        return None
    return float(numbers[-1].replace(",", "").replace("$", ""))


def final_number(text: str) -> float | None:
    """The number that an answer is, but for a unit or a currency; or that stands after an explicit answer mark.

    None for a text that only mentions numbers: the last number of a sentence is not what it says.
    """
    marked = _marked_answer(text)
    found = _NUMBER_ONLY.fullmatch(_EMPHASIS.sub("", text if marked is None else marked).strip())
    return None if found is None else float(found.group(1).replace(",", "").replace("$", "").replace(" ", ""))


def _marked_answer(text: str) -> str | None:
    """What stands after the last mark of an answer in the text's last lines."""
    for marker in (_BOXED, _MARKED):
        found = marker.findall(text)
        if found:
            return str(found[-1])
    lines = text.rstrip().rsplit("\n", 2)[-2:]
    for line in reversed(lines):
        found = _ANSWER_IS.findall(line)
        if found:
            return str(found[-1])
    return None


def find_json(text: str) -> Any | None:
    """The JSON value that the text is, or holds in a fence or between its first and last brace."""
    candidates = [text, *_FENCE.findall(text)]
    first, last = text.find("{"), text.rfind("}")
    if 0 <= first < last:
        candidates.append(text[first : last + 1])
    for candidate in candidates:
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):  # hostile nesting is no JSON that anybody can use
            continue
    return None
