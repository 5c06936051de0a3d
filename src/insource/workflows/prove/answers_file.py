"""Answers made elsewhere, from a file: JSON lines of our own form, or what batch services give back.

{"exchange_id": "…", "answer": "…", "confidence": 0.97}      or "request": {…} in place of the id
{"custom_id": "…", "response": {"status_code": 200, "body": {…completion…}}}
{"custom_id": "…", "result": {"type": "succeeded", "message": {…}}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from insource.adapt.answers import AnswersFitted
from insource.core.errors import BadInput
from insource.core.evidence import as_moment, counts_after
from insource.core.hashing import input_sha256
from insource.core.stores import ExchangeFilter
from insource.core.values import JsonObject, LocalAnswer
from insource.wire.chat import answer_or_calls, content_text
from insource.workflows.services import Services

STATED = ("model", "revision", "quantisation", "settings", "trained_on", "trained_until")
"""What somebody's word stands for, and goes into the certificate as such."""
_IDS = ("exchange_id", "custom_id", "id")
_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersFile:
    model: str
    """As it is called in tables."""
    fitted: AnswersFitted
    has_confidence: bool
    stated: JsonObject
    answers: int
    failed: int
    """Lines that state a failure instead of an answer."""
    unknown: int
    """Lines whose exchange is not in the log."""

    @property
    def ref(self) -> str:
        return f"answers:{self.model}"

    def counts(self, created: datetime) -> bool:
        """Not where the model is said to have been trained on an exchange of then."""
        return counts_after(self.stated, created)


@dataclass(frozen=True, slots=True)
class _Line:
    id: str | None
    request: JsonObject | None
    answer: str | None
    confidence: float | None
    model: str | None


def read_answers(services: Services, path: Path, stated: Mapping[str, str]) -> AnswersFile:
    """Raises BadInput for a file that can't be read, holds no answer to this log, or mixes models."""
    _check_stated(stated)
    lines = list(_lines(path))
    models = sorted({line.model for line in lines if line.model})
    if len(models) > 1:
        raise BadInput(
            f"{path.name!r} contains answers from several models ({', '.join(models[:_MOST_SHOWN])}).",
            next_step="Give one file for each model.",
        )
    ids = frozenset(line.id for line in lines if line.id is not None)
    hashes = {e.id: input_sha256(e.request) for e in services.exchanges.read(ExchangeFilter(ids=ids))} if ids else {}
    given: dict[str, _Line] = {}
    failed = unknown = 0
    for line in lines:
        key = input_sha256(line.request) if line.request is not None else hashes.get(line.id or "")
        if line.answer is None:
            failed += 1
        elif key is None:
            unknown += 1
        else:
            given[key] = line
    if not given:
        raise BadInput(
            f"No line of {path.name!r} answers an exchange of this log ({failed} failed, {unknown} unknown).",
            next_step="`insource plan --export-requests FILE` writes the requests with the ids to answer by.",
        )
    sure = all(line.confidence is not None for line in given.values())
    answers = {
        key: LocalAnswer(text=line.answer or "", confidence=(line.confidence or 0.0) if sure else 0.0)
        for key, line in given.items()
    }
    model = stated.get("model") or (models[0] if models else path.stem)
    said = {**({"model": models[0], "model_from": "the records"} if models else {}), **stated}
    return AnswersFile(
        model=model,
        fitted=AnswersFitted(answers),
        has_confidence=sure,
        stated=said,
        answers=len(answers),
        failed=failed,
        unknown=unknown,
    )


def parse_stated(options: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` each. Raises BadInput."""
    found: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not value:
            raise BadInput(f"{option!r} states nothing.", next_step=f"Write KEY=VALUE; keys: {', '.join(STATED)}.")
        found[key.strip()] = value.strip()
    _check_stated(found)
    return found


def _check_stated(stated: Mapping[str, str]) -> None:
    unknown = sorted(set(stated) - set(STATED))
    if unknown:
        raise BadInput(f"{unknown[0]!r} is not a key that can be stated.", next_step=f"One of: {', '.join(STATED)}.")
    try:
        as_moment(stated.get("trained_until", "2000-01-01"))
    except ValueError as error:
        raise BadInput(
            f"trained_until is not a date: {stated['trained_until']!r}.", next_step="Write it as 2026-11-30."
        ) from error


def _lines(path: Path) -> Iterator[_Line]:
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if raw.strip():
                    yield _line(raw, f"Line {number} of {path.name!r}")
    except OSError as error:
        raise BadInput(f"{path.name!r} can't be read: {error.strerror}.", next_step="Check the path.") from error


def _line(raw: bytes, where: str) -> _Line:
    try:
        found: Any = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadInput(f"{where} is not a JSON object.", next_step="One JSON object a line.")
    id = next((str(found[key]) for key in _IDS if isinstance(found.get(key), str | int)), None)
    request = found.get("request") if isinstance(found.get("request"), dict) else None
    if id is None and request is None:
        raise BadInput(f"{where} names no exchange.", next_step=f"Give one of {', '.join(_IDS)}, or the request.")
    if "answer" in found:
        answer = found["answer"]
        text = answer if isinstance(answer, str) or answer is None else json.dumps(answer, ensure_ascii=False)
        return _Line(id, request, text, _confidence(found.get("confidence"), where), _text(found.get("model")))
    completion = _completion(found)
    return _Line(id, request, _answer(completion), None, _text((completion or {}).get("model")))


def _confidence(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadInput(f"{where}: {value!r} is not a valid confidence.", next_step="A number from 0 to 1.")
    return float(value)


def _completion(line: JsonObject) -> JsonObject | None:
    """Of a batch service's record; None: it failed."""
    response, result = line.get("response"), line.get("result")
    if isinstance(response, dict):
        body = response.get("body", response)
        return body if isinstance(body, dict) and response.get("status_code", 200) == 200 else None
    if isinstance(result, dict) and isinstance(result.get("message"), dict):
        return result["message"]
    return None


def _answer(completion: JsonObject | None) -> str | None:
    if completion is None:
        return None
    if "choices" in completion:
        return answer_or_calls(completion)
    return content_text(completion.get("content")) or None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
