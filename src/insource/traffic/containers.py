"""What a log file is made of: JSON lines, whole JSON (a list, an object, several one after another), or a table. As
records one by one, in bounded memory, whatever the size of the file.

Which records tell of calls is not decided here: a JSON document gives every object of its lists, and where it was.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from insource.core.values import JsonObject
from insource.traffic.lines import LONGEST_LINE_BYTES, LogFile
from insource.traffic.log_line import BadField, decode, finite, refuse_constant

Kind = Literal["lines", "json", "table", "unknown"]
_LOOKED_AT_LINES = 20
_PIECE_BYTES = 2**20
_FIRST_TRY_CHARACTERS = 2**18
_DEEPEST = 6
"""Objects and lists around the records of a document: OTLP has four."""
_DELIMITERS = ",;\t|"
_EXCERPT_CHARACTERS = 80
_LONGEST_TOKEN = 12
"""Of an escaped surrogate pair, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A record that is no exchange."""

    line_number: int
    """From 1: of the line, as editors count, or of the record where a file has no lines."""
    reason: str
    excerpt: str
    """Its beginning, escaped so that it can be shown."""
    what: Literal["unreadable", "unknown", "messages", "answer"] = "unreadable"
    """Not read at all; of no known format; or without what it needs."""
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One object of a file."""

    number: int
    value: JsonObject
    path: str = ""
    """Where it is in a document: `log.entries`; "" for the lines of a file."""
    outer: JsonObject = field(default_factory=dict[str, Any])
    """What stands around it in the document, as far as it was read by then."""


class Bytes(Protocol):
    """A LogFile, or what stands in for it."""

    head: bytes

    def read(self, size: int) -> bytes: ...

    def __iter__(self) -> Iterator[bytes]: ...


def kind_of(head: bytes) -> Kind:
    """By the beginning of a file."""
    text = head.decode("utf-8", "replace").lstrip()
    lines = [line for line in text.split("\n")[:_LOOKED_AT_LINES] if line.strip()]
    if not lines:
        return "unknown"
    if text[0] in "{[":
        if text[0] == "{" and _is_json(lines[0]):
            return "lines"
        return "json" if _begins_json(text) else "lines"
    if any(line.lstrip().startswith("{") and _is_json(line) for line in lines):
        return "lines"
    return "table" if _delimiter(lines) is not None else "unknown"


def records(file: LogFile, kind: Kind) -> Iterator[Record | BadLine]:
    if kind == "table":
        return table(file)
    return document(file) if kind == "json" else json_lines(file)


def bad(number: int, raw: bytes | str, error: Exception | str) -> BadLine:
    if isinstance(error, str):
        reason = error
    else:
        reason = str(error) if isinstance(error, BadField) else f"it can't be read ({type(error).__name__})"
    text = raw if isinstance(raw, str) else raw[:_EXCERPT_CHARACTERS].decode("utf-8", "replace")
    shown = (character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return BadLine(line_number=number, reason=reason, excerpt="".join(shown)[:_EXCERPT_CHARACTERS])


# --------------------------------------------------------------------------------------------- JSON lines


def json_lines(lines: Iterable[bytes]) -> Iterator[Record | BadLine]:
    """Blank lines count, and are skipped."""
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        if len(raw) > LONGEST_LINE_BYTES:
            yield bad(number, raw, f"it is longer than {LONGEST_LINE_BYTES // 2**20} MiB")
            continue
        try:
            yield Record(number, decode(raw))
        except (ValueError, RecursionError, OverflowError) as error:
            yield bad(number, raw, error)


def inner(record: Record) -> Iterator[Record]:
    """The objects in the lists of a record that is none itself, as an API's page or a line of an archive."""
    return _inner(record.value, record, path=record.path, outer=record.outer, depth=0)


def _inner(value: JsonObject, record: Record, *, path: str, outer: JsonObject, depth: int) -> Iterator[Record]:
    around = {**outer, **{key: item for key, item in value.items() if not isinstance(item, list)}}
    for key, item in value.items():
        where = f"{path}.{key}".lstrip(".")
        if isinstance(item, list):
            yield from (Record(record.number, one, where, around) for one in item if isinstance(one, dict))
        elif isinstance(item, dict) and depth < _DEEPEST:
            yield from _inner(item, record, path=where, outer=around, depth=depth + 1)


def columns_as_rows(record: Record) -> list[Record]:
    """The rows of a table that was written by its columns, as pandas does: `{"prompt": {"0": …}, …}`, lists of equal
    length, or `columns` (or what describes them) beside `data` or `rows`; [] for any other record."""
    value = record.value
    names, data = value.get("columns"), value.get("data", value.get("rows"))
    if isinstance(names, list) and isinstance(data, list):
        named = [str(name.get("name") if isinstance(name, dict) else name) for name in names]
        rows = [row for row in data if isinstance(row, list) and len(row) == len(named)]
        made = [dict(zip(named, row, strict=True)) for row in rows] if len(rows) == len(data) else []
    else:
        columns: JsonObject = {}
        for name, held in value.items():
            columns[name] = _column(held)
            if len(columns[name]) < 2 or columns[name].keys() != next(iter(columns.values())).keys():
                return []
        places = next(iter(columns.values()), {}) if len(columns) > 1 else {}
        made = [{name: column[place] for name, column in columns.items()} for place in places]
    return [Record(number, row, record.path or "rows", record.outer) for number, row in enumerate(made, start=1)]


def _column(held: Any) -> dict[Any, Any]:
    """Row -> cell; {} for what is no column. A list of objects is one value: messages are none of a table."""
    if isinstance(held, list) and not any(isinstance(cell, dict | list) for cell in held):
        return dict(enumerate(held))
    return held if isinstance(held, dict) and all(str(key).isdigit() for key in held) else {}


# ---------------------------------------------------------------------------------------------- documents


def document(file: Bytes) -> Iterator[Record | BadLine]:
    """A list is read item by item, an object as one record; one that is too large to hold is walked into."""
    text = _Text(file)
    count = 0
    try:
        while text.peek():
            for path, value, outer in _walk(text, "", {}, depth=0):
                count += 1
                yield Record(count, value, path, outer)
            if text.peek() == ",":
                text.take()  # objects with commas between them, as someone cut them out of a list
    except (ValueError, RecursionError, OverflowError) as error:
        where = f"the JSON breaks off after {count:,} records ({_reason(error)})"
        yield bad(count + 1, text.ahead(), where)


def _walk(text: _Text, path: str, outer: JsonObject, *, depth: int) -> Iterator[tuple[str, JsonObject, JsonObject]]:
    """The objects of the value that comes next; other values are passed over."""
    if text.peek() == "[":
        text.take()
        while text.peek() not in ("]", ""):
            yield from _walk(text, path, outer, depth=depth + 1)
            text.skip(",", before="]")
        text.expect("]")
        return
    found = text.value()
    if found is not text.TOO_LONG:
        if isinstance(found, dict):
            yield path, found, outer
        return
    if depth > _DEEPEST or text.peek() != "{":
        raise BadField(f"a value is longer than {LONGEST_LINE_BYTES // 2**20} MiB")
    text.take()
    around = dict(outer)
    while text.peek() not in ("}", ""):
        key = text.value()
        text.expect(":")
        where = f"{path}.{key}".lstrip(".")
        if text.peek() == "[":
            yield from _walk(text, where, around, depth=depth + 1)
        else:
            item = text.value()
            if item is text.TOO_LONG:
                yield from _walk(text, where, around, depth=depth + 1)
            else:
                around[str(key)] = item
        text.skip(",", before="}")
    text.expect("}")


class _Text:
    """A document's text, held a piece at a time; no value of it is held that is longer than a line may be."""

    TOO_LONG = object()

    def __init__(self, file: Bytes) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder(parse_constant=refuse_constant, parse_float=finite)
        self._text, self._at, self._ended = "", 0, False

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at].isspace():
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self) -> None:
        self._at += 1

    def ahead(self) -> str:
        return self._text[self._at : self._at + _EXCERPT_CHARACTERS]

    def expect(self, character: str) -> None:
        if self.peek() != character:
            raise BadField(f"a {character!r} is missing")
        self.take()

    def skip(self, character: str, *, before: str) -> None:
        """A comma, unless the end of its list or object comes."""
        if self.peek() == character:
            self.take()
        elif self.peek() != before:
            raise BadField(f"a {character!r} or {before!r} is missing")

    def value(self) -> Any:
        """The next value, or TOO_LONG with nothing taken."""
        self.peek()
        held = _FIRST_TRY_CHARACTERS
        while True:
            try:
                found, self._at = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                missing = len(self._text) - self._at
                if missing > LONGEST_LINE_BYTES and not self._ended:
                    return self.TOO_LONG
                held = max(held * 2, missing * 2)
                if not self._fill(held):
                    raise
            else:
                return found

    def _fill(self, wanted: int) -> bool:
        """Whether there is more than before."""
        before = len(self._text) - self._at
        while len(self._text) - self._at < wanted and self._more():
            pass
        return len(self._text) - self._at > before

    def _more(self) -> bool:
        piece = self._file.read(_PIECE_BYTES)
        self._ended = not piece
        self._text = self._text[self._at :] + self._decoder.decode(piece, final=not piece)
        self._at = 0
        return bool(piece)


def _reason(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error) or type(error).__name__


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _begins_json(text: str) -> bool:
    """Whether a text is JSON as far as it goes: over several lines, or cut because only its beginning was read."""
    end = len(text.rstrip())
    try:
        json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as error:
        # The parser gives up where the text ends (within a word or an escape: a little before), or at the start of a
        # string that does not end within it.
        open_string = error.msg.startswith("Unterminated string") and "\n" not in text[error.pos : end]
        return error.pos >= end - _LONGEST_TOKEN or open_string
    except RecursionError:
        return False
    return True


# ------------------------------------------------------------------------------------------------- tables


def table(file: Iterable[bytes]) -> Iterator[Record | BadLine]:
    """Comma-separated values with a header, whatever separates them. Cells stay texts; an empty one is no value."""
    csv.field_size_limit(LONGEST_LINE_BYTES)
    lines = (line.decode("utf-8", "surrogateescape") + "\n" for line in file)
    first: list[str] = []
    for line in lines:
        first.append(line)
        if len(first) == _LOOKED_AT_LINES:
            break
    delimiter = _delimiter([line for line in first if line.strip()]) or ","
    rows = csv.reader(_chain(first, lines), delimiter=delimiter, strict=False)
    try:
        header = [name.strip() for name in next(rows, [])]
        for row in rows:
            if not any(row):
                continue
            number = rows.line_num
            if len(row) > len(header):
                yield bad(number, delimiter.join(row), f"it has {len(row)} cells, the header {len(header)}")
            elif any("\udc80" <= character <= "\udcff" for cell in row for character in cell):
                yield bad(number, delimiter.join(row), "it is not UTF-8")
            else:
                yield Record(number, {name: cell or None for name, cell in zip(header, row, strict=False) if name})
    except csv.Error as error:
        yield bad(rows.line_num, "", f"the table breaks off ({error})")


def _chain(first: list[str], rest: Iterator[str]) -> Iterator[str]:
    yield from first
    yield from rest


def _delimiter(lines: list[str]) -> str | None:
    """What separates the header's cells; None where the lines are no table: their first has one cell, or cells that no
    header has."""
    counts = {mark: lines[0].count(mark) for mark in _DELIMITERS}
    best = max(counts, key=lambda mark: counts[mark])
    try:
        cells = next(csv.reader([lines[0]], delimiter=best), [])
    except csv.Error:
        return None
    named = all(0 < len(cell.strip()) <= 64 and cell.strip()[0] not in "{[" for cell in cells)
    if len(cells) < 2 or len(set(cells)) < len(cells) or not named or len(lines) < 2:
        return None
    return best if lines[1].count(best) >= min(counts[best], 1) else None
