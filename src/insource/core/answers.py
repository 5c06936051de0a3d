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
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


def normalise(text: str) -> str:
    """Case, runs of white space and the punctuation around an answer do not make another answer."""
    return _SPACE.sub(" ", text).strip().strip(".!,;:\"'`*").strip().casefold()


def find_label(text: str, labels: Sequence[str]) -> str | None:
    """The one of `labels` that the text gives as its answer.

    The whole text, or its beginning, or the label that is mentioned last (reasoning comes first, the answer after);
    bracketed labels such as `[Yes]` and `(A)` are found with their brackets. None when no label occurs.
    """
    by_form = {normalise(label): label for label in labels}
    whole = normalise(text)
    if whole in by_form:
        return by_form[whole]
    spaced = _SPACE.sub(" ", text).casefold()
    starts: list[tuple[int, str]] = []
    last: tuple[int, int, str] | None = None
    for form, label in by_form.items():
        pattern = re.compile(rf"(?<![\w]){re.escape(form)}(?![\w])")
        for match in pattern.finditer(spaced):
            if match.start() == 0 or not spaced[: match.start()].strip(" \"'`*[("):
                starts.append((len(form), label))
            if last is None or (match.start(), len(form)) > (last[0], last[1]):
                last = (match.start(), len(form), label)
    if starts:
        return max(starts)[1]
    return last[2] if last else None


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


def find_json(text: str) -> Any | None:
    """The JSON value that the text is, or holds in a fence or between its first and last brace."""
    candidates = [text, *_FENCE.findall(text)]
    first, last = text.find("{"), text.rfind("}")
    if 0 <= first < last:
        candidates.append(text[first : last + 1])
    for candidate in candidates:
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    return None
