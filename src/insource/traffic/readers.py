"""Readers of logs that others wrote: lines in, exchanges out. Nothing in a line is ever executed.

A reader is any object with the three members of `Reader`, registered in the entry point group `insource.readers`. The
two here read insource's own log line and the forms of OpenAI-style JSON lines:

* `{"request": {…}, "response": {…}}`, with any field of insource's log line beside them;
* batch files: input `{"custom_id", "body": {…}}` and output `{"custom_id", "response": {"status_code", "body"}}`, on
  one line or on two of one file, in any order;
* stored completions: a chat completion with the `messages` that it answers;
* fine-tuning examples `{"messages": […]}`: the last message, if it is the assistant's, is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

from insource.core.values import Exchange, JsonObject
from insource.traffic.lines import LONGEST_LINE_BYTES
from insource.traffic.log_line import BadField, LineParser, decode

_EXCERPT_CHARACTERS = 80
_MOST_UNPAIRED_BYTES = 256 * 2**20
"""Halves of batch exchanges that wait for the other half."""
_OWN_FIELDS = frozenset({"created", "latency_seconds", "cost_usd", "reference", "metadata"})
_COMPLETION_FIELDS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "request_id"}
)
"""Of a stored completion; everything else on such a line is what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that is no exchange."""

    line_number: int
    """From 1, as editors count."""
    reason: str
    excerpt: str
    """Its beginning, escaped so that it can be shown."""


class Reader(Protocol):
    @property
    def name(self) -> str: ...

    def sniff(self, first_lines: list[bytes]) -> bool:
        """Whether a file that begins so is in this format."""
        ...

    def read(self, lines: Iterable[bytes]) -> Iterator[Exchange | BadLine]:
        """Deterministic: the same lines give the same exchanges, with the same ids and times."""
        ...


class InsourceReader:
    """insource's own log line."""

    name = "insource"

    def sniff(self, first_lines: list[bytes]) -> bool:
        line = _first_object(first_lines)
        return line is not None and isinstance(line.get("request"), dict) and not _OWN_FIELDS.isdisjoint(line)

    def read(self, lines: Iterable[bytes]) -> Iterator[Exchange | BadLine]:
        parser = LineParser()
        for number, raw in _numbered(lines):
            found = _read_line(number, raw, partial(parser.parse, line_number=number))
            if found is not None:
                yield found


class OpenAIReader:
    """OpenAI-style JSON lines; the forms are in the module's docstring."""

    name = "openai"

    def sniff(self, first_lines: list[bytes]) -> bool:
        line = _first_object(first_lines)
        return line is not None and _form(line) is not None

    def read(self, lines: Iterable[bytes]) -> Iterator[Exchange | BadLine]:
        parser = LineParser()
        halves = _Halves()
        for number, raw in _numbered(lines):
            found = _read_line(number, raw, partial(_openai_exchange, parser, halves, half=_Half(number, raw)))
            if found is not None:
                yield found
        yield from halves.left_over(parser)


@dataclass(frozen=True, slots=True)
class _Half:
    """A line of a batch file, as it came."""

    number: int
    raw: bytes


def _openai_exchange(parser: LineParser, halves: _Halves, line: JsonObject, *, half: _Half) -> Exchange | None:
    """None: half of a batch exchange whose other half has not come yet."""
    form = _form(line)
    if form is None:
        raise BadField("it has neither a request, nor messages, nor a custom_id with a body or a response")
    whole = halves.join(line, half) if form is _batch else form(line)
    return None if whole is None else parser.parse(whole, line_number=half.number)


# --------------------------------------------------------------------------------------- the forms, as log lines


def _form(line: JsonObject) -> Callable[[JsonObject], JsonObject] | None:
    if "custom_id" in line and ("body" in line or "response" in line or "error" in line):
        return _batch
    if isinstance(line.get("request"), dict):
        return _pair
    if isinstance(line.get("messages"), list):
        return _stored if isinstance(line.get("choices"), list) else _example
    return None


def _pair(line: JsonObject) -> JsonObject:
    return line


def _stored(line: JsonObject) -> JsonObject:
    response = {name: value for name, value in line.items() if name in _COMPLETION_FIELDS}
    request = {name: value for name, value in line.items() if name not in _COMPLETION_FIELDS or name == "model"}
    metadata = request.pop("metadata", None)
    return {
        "id": line.get("id"),
        "request": request,
        "response": response,
        "metadata": metadata if isinstance(metadata, dict) else None,
    }


def _example(line: JsonObject) -> JsonObject:
    messages: list[Any] = line["messages"]
    last = messages[-1] if messages else None
    note = {"origin": "fine-tuning example"}
    if not isinstance(last, dict) or cast("JsonObject", last).get("role") != "assistant":
        return {"request": line, "metadata": note}
    choice = {"index": 0, "message": last, "finish_reason": "tool_calls" if "tool_calls" in last else "stop"}
    return {
        "request": {**line, "messages": messages[:-1]},
        "response": {"object": "chat.completion", "model": line.get("model", ""), "choices": [choice]},
        "metadata": note,
    }


def _batch(line: JsonObject) -> JsonObject:
    """A line that holds at least the request of a batch exchange, and perhaps its answer.

    Its id is the service's own, if any: a custom_id (`request-1`) comes back in the next batch for something else.
    """
    request = line["request"] if "request" in line else line.get("body")
    others = {name: value for name, value in line.items() if name not in ("request", "body", "response", "error")}
    whole: JsonObject = {"request": request, **others}
    error = line.get("error")
    answer = line.get("response")
    if isinstance(answer, dict) and ("body" in answer or "status_code" in answer):
        envelope = cast("JsonObject", answer)
        status: Any = envelope.get("status_code", 200)
        failed = isinstance(status, int) and status >= 400
        error = envelope.get("body") if failed else error
        answer = None if failed else envelope.get("body")
        whole["status"] = status
        if "request_id" in envelope:
            whole["request_id"] = envelope["request_id"]
    elif answer is None and error is not None:
        whole["status"] = 500  # the batch says that it failed, not how
    whole["response"] = answer
    if error is not None:
        whole["error"] = error
    return whole


class _Halves:
    """Requests and answers of a batch on lines of their own, until they meet."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Half] = {}
        self._bytes = 0

    def join(self, line: JsonObject, half: _Half) -> JsonObject | None:
        """The whole exchange, or None while half of it is missing."""
        custom_id = line["custom_id"]
        if not isinstance(custom_id, str):
            raise BadField("its custom_id is not a text")
        if _asks(line) and _answers(line):
            return _batch(line)
        other = self._waiting.get(custom_id)
        if other is None:
            if self._bytes + len(half.raw) > _MOST_UNPAIRED_BYTES:
                raise BadField("too many lines before it wait for the other half of their exchange")
            self._waiting[custom_id] = half
            self._bytes += len(half.raw)
            return None
        former = decode(other.raw)
        if _asks(former) == _asks(line):
            raise BadField(f"its custom_id is that of line {other.number}")
        del self._waiting[custom_id]
        self._bytes -= len(other.raw)
        return _batch({**former, **line})

    def left_over(self, parser: LineParser) -> Iterator[Exchange | BadLine]:
        """Requests without an answer are exchanges; answers without a request are not."""
        for half in self._waiting.values():
            found = _read_line(half.number, half.raw, partial(_alone, parser, number=half.number))
            if found is not None:
                yield found
        self._waiting.clear()


def _alone(parser: LineParser, line: JsonObject, *, number: int) -> Exchange:
    if not _asks(line):
        raise BadField("the file holds no request with its custom_id: put the batch's input into it too")
    return parser.parse(_batch(line), line_number=number)


def _asks(line: JsonObject) -> bool:
    return "body" in line or "request" in line


def _answers(line: JsonObject) -> bool:
    return "response" in line or line.get("error") is not None


# ------------------------------------------------------------------------------------------------------ lines


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Blank lines count, and are skipped."""
    return ((number, raw) for number, raw in enumerate(lines, start=1) if raw.strip())


def _first_object(first_lines: list[bytes]) -> JsonObject | None:
    for _, raw in _numbered(first_lines):
        try:
            return decode(raw)
        except BadField:
            continue
    return None


def _read_line(number: int, raw: bytes, parse: Callable[[JsonObject], Exchange | None]) -> Exchange | BadLine | None:
    if len(raw) > LONGEST_LINE_BYTES:
        return _bad(number, raw, BadField(f"it is longer than {LONGEST_LINE_BYTES // 2**20} MiB"))
    try:
        return parse(decode(raw))
    except (ValueError, RecursionError, OverflowError) as error:
        return _bad(number, raw, error)


def _bad(number: int, raw: bytes, error: Exception) -> BadLine:
    reason = str(error) if isinstance(error, BadField) else f"it can't be read ({type(error).__name__})"
    excerpt = raw[:_EXCERPT_CHARACTERS].decode("utf-8", "replace")
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in excerpt)
    return BadLine(line_number=number, reason=reason, excerpt=shown)
