"""What counts as right in a task, as far as its answers show it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from insource.core.answers import final_number, find_json
from insource.core.evidence import Criterion
from insource.core.values import OutputKind, OutputProfile
from insource.evals.scorers import LabelScorer, bare

_MOST = 0.9
"""Of the references must have the form that the criterion compares."""
_FREE_WORDS = 8
"""Words in a JSON value from which it is free text: two people would write it differently."""
_LOOKED_AT = 500


def infer_criterion(output: OutputProfile, references: Sequence[str]) -> Criterion:
    """`references`: the answers that the log holds up as right, in any order."""
    looked_at = [text for text in references if text.strip()][:_LOOKED_AT]
    if not looked_at:
        return _nobody_knows("There is no answer yet to learn from what counts.")
    if output.kind is OutputKind.TOOL_CALL:
        reason = "The answers are tool calls, compared by each tool's own schema."
        return Criterion(scorer="tools", confidence=0.95, reason=reason)
    if output.kind is OutputKind.LABEL:
        return _labels(output, looked_at)
    if output.kind is OutputKind.NUMBER:
        return _numbers(looked_at)
    if output.kind is OutputKind.JSON:
        return _json(output, looked_at)
    return _nobody_knows("The answers are free text: no rule tells a right one from a wrong one.")


def _nobody_knows(reason: str) -> Criterion:
    return Criterion(scorer=None, confidence=0.0, reason=reason)


def _labels(output: OutputProfile, references: Sequence[str]) -> Criterion:
    arguments = {"labels": list(output.labels)}
    known = {bare(label) for label in output.labels}
    given = sum(bare(LabelScorer().canonical(text, arguments)) in known for text in references) / len(references)
    if given < _MOST:
        return _nobody_knows(f"Only {given:.0%} of the answers are one of the {len(output.labels)} labels found.")
    reason = f"The answers are one of {len(output.labels)} labels."
    return Criterion(scorer="label", arguments=arguments, confidence=round(given, 3), reason=reason)


def _numbers(references: Sequence[str]) -> Criterion:
    given = sum(final_number(text) is not None for text in references) / len(references)
    if given < _MOST:
        said = (
            f"only {given:.0%} are a number or end in a marked one" if given else "none is one or ends in a marked one"
        )
        return _nobody_knows(f"The answers hold numbers, but {said}: they are free text.")
    return Criterion(scorer="number", confidence=round(given, 3), reason="The answers are numbers.")


def _json(output: OutputProfile, references: Sequence[str]) -> Criterion:
    values = [value for text in references if (value := find_json(text)) is not None]
    if len(values) < _MOST * len(references):
        return _nobody_knows(f"Only {len(values) / len(references):.0%} of the answers are JSON.")
    free = _free_text(values)
    if free is not None:
        return _nobody_knows(f"The answers are JSON, but {free!r} holds free text that no rule can compare.")
    reason = "The answers are JSON, compared value by value."
    return Criterion(scorer="json", arguments={"schema": output.json_schema}, confidence=0.9, reason=reason)


def _free_text(values: Sequence[Any]) -> str | None:
    """The path of a field whose values are sentences."""
    words: dict[str, list[int]] = {}
    for value in values:
        for path, text in _texts(value):
            words.setdefault(path, []).append(len(text.split()))
    for path, counts in sorted(words.items()):
        if len(counts) >= _MOST * len(values) / 2 and median(counts) > _FREE_WORDS:
            return path
    return None


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, dict):
            stack.extend((f"{path}.{key}".lstrip("."), child) for key, child in item.items())
        elif isinstance(item, list):
            stack.extend((f"{path}[]", child) for child in item)
        elif isinstance(item, str):
            yield path or "the answer", item
