"""Readers of logs that others wrote: records in, exchanges out. Nothing in a record is ever executed.

A reader is any object with the members of `Reader`, registered in the entry point group `insource.readers`. It knows
one format's records by their whole shape, and says which call each tells of; what becomes of it is checked in one
place (formats/recorded.py). Records of several formats may stand in one file.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from insource.core.values import Exchange, JsonObject
from insource.traffic.containers import BadLine, Record, bad, columns_as_rows, inner
from insource.traffic.formats import batch
from insource.traffic.formats.recorded import Lacking, Recorded, is_answered, to_exchange
from insource.traffic.log_line import BadField, ContentIds, parse, valid_id
from insource.wire import json_text

_OWN_FIELDS = frozenset({"created", "latency_seconds", "cost_usd", "reference", "reference_kind", "marks", "route"})
_EXPORTED = frozenset({"id", "created", "request", "response", "latency_seconds", "cost_usd", "metadata"})
"""What insource writes of every exchange."""
_SHAPES = 256
_NESTED = 2
"""Lists within the lists of a record: a page of traces, each with the calls that it observed."""
_KEPT_UNKNOWN = 20
_SPILL_BYTES = 32 * 2**20
"""Of waiting halves of batches in memory; more of them lie in a file that nobody else can open."""


class Reader(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def rank(self) -> int:
        """Readers are asked in this order: 0 for a tool's own records, 1 for bodies of an API, 2 for bare texts."""
        ...

    @property
    def keys(self) -> frozenset[str]:
        """What its records usually hold; for saying which format is nearest."""
        ...

    def recognises(self, record: JsonObject) -> bool:
        """Whether a record has the shape of this format."""
        ...

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        """The calls that a record tells of; none for a record of something else. `outer` is what stands around it in
        a document. Deterministic: equal records give equal calls."""
        ...


class InsourceReader:
    """insource's own log line."""

    name = "insource"
    rank = 0
    keys = _OWN_FIELDS | {"id", "request", "response", "metadata"}

    def recognises(self, record: JsonObject) -> bool:
        return isinstance(record.get("request"), dict) and not _OWN_FIELDS.isdisjoint(record)

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        made = parse(record, id="", line_number=0)
        yield Recorded(
            request=made.request,
            made=made,
            id=None if record.get("id") is None else valid_id(record["id"]),
            created=None if record.get("created") is None else made.created,
            endpoint=str(record.get("endpoint") or ""),
            exported=record.keys() >= _EXPORTED,
        )


class FileReader:
    """Reads the records of one file; what waits for another file's is in `halves`."""

    def __init__(self, readers: Sequence[Reader], halves: Halves) -> None:
        self._readers = sorted(readers, key=lambda reader: (reader.rank, reader.name))
        self._halves = halves
        self._ids = ContentIds()
        self._shapes: dict[frozenset[str], Reader] = {}
        self._count = 0
        self._at_path: dict[str, bool] = {}
        self.formats: dict[str, int] = {}
        """Name -> records of it."""
        self.exported = 0
        """Exchanges that insource itself wrote: taken with or without an answer."""
        self.unknown: list[JsonObject] = []
        """The first records of no known format."""
        self.unshown = 0
        """Records of no known format beyond those that came as bad lines."""
        self.advice: Counter[str] = Counter()
        """What to do about records that lack something, by how many it would help."""

    def read(self, records: Iterable[Record | BadLine]) -> Iterator[Exchange | BadLine]:
        beside = _Beside()
        for record in records:
            if isinstance(record, BadLine):
                yield record
                continue
            for found in self._record(record):
                if isinstance(found, BadLine) and found.what == "unknown" and record.path:
                    beside.add(found)
                else:
                    yield found
        # Lists beside the one that holds the calls (a document's settings, its totals) are no loss.
        if not any(self._at_path.values()):
            yield from beside.lines
            self.unshown += beside.more

    def _record(self, record: Record) -> Iterator[Exchange | BadLine]:
        rows = self._rows(record)
        if rows:
            for row in rows:
                yield from self._record(row)
            return
        reader = self._reader(record.value)
        if reader is not None:
            self._at_path[record.path] = True
            yield from self._calls(reader, record)
            return
        inside = self._inside(record)
        if inside:
            for one in inside:
                yield from self._record(one)
            return
        self._at_path.setdefault(record.path, False)
        if len(self.unknown) < _KEPT_UNKNOWN:
            self.unknown.append(record.value)
        yield replace(bad(record.number, _excerpt(record), "it is of no known format"), what="unknown")

    def _rows(self, record: Record) -> list[Record]:
        """Of a record that is a table of calls, by its columns."""
        rows = columns_as_rows(record)
        return rows if rows and self._reader(rows[0].value) is not None else []

    def _inside(self, record: Record, *, depth: int = _NESTED) -> list[Record]:
        """The objects that hold calls in the lists of a record that is none, and their like in the same lists."""
        found: list[Record] = []
        listed = list(inner(record))
        known = {one.path for one in listed if self._reader(one.value) is not None}
        for one in listed:
            if one.path in known or self._rows(one):
                found.append(one)
            elif depth and (within := self._inside(one, depth=depth - 1)):
                found += within
        return found

    def _reader(self, record: JsonObject) -> Reader | None:
        shape = frozenset(record)
        known = self._shapes.get(shape)
        if known is not None and known.recognises(record):
            return known
        found = next((reader for reader in self._readers if reader.recognises(record)), None)
        if found is not None and len(self._shapes) < _SHAPES:
            self._shapes[shape] = found
        return found

    def _calls(self, reader: Reader, record: Record) -> Iterator[Exchange | BadLine]:
        self.formats[reader.name] = self.formats.get(reader.name, 0) + 1
        try:
            for part, call in enumerate(reader.read(record.value, record.outer)):
                if isinstance(call, Lacking):
                    yield self._lacking(call, record)
                elif call.join is None:
                    yield self._exchange(call, record, source=[record.value, part] if part else record.value)
                else:
                    whole = self._halves.join(call, reader, record)
                    if whole is not None:
                        yield self._exchange(whole.call, record, source=whole.source)
        except Exception as error:  # a reader may be anybody's, and a record holds anything: the others go on
            yield bad(record.number, _excerpt(record), error)

    def _exchange(self, call: Recorded, record: Record, *, source: Any) -> Exchange | BadLine:
        self._count += 1
        id = self._ids.of(source) if call.id is None else _known_id(call.id, self._ids, source)
        found = to_exchange(call, id=id, number=self._count if record.path else record.number)
        if isinstance(found, Lacking):
            return self._lacking(found, record)
        self.exported += call.exported
        if not is_answered(found) and call.next_step:
            self.advice[call.next_step] += 1
        return found

    def _lacking(self, found: Lacking, record: Record) -> BadLine:
        if found.next_step:
            self.advice[found.next_step] += 1
        line = bad(record.number, _excerpt(record), found.reason)
        return replace(line, what=found.what, next_step=found.next_step)

    def left_over(self) -> Iterator[Exchange | BadLine]:
        """At the end of the last file: what still waits for the other half of its call."""
        for half in self._halves.left_over():
            (call, *_) = half.reader.read(half.record.value, half.record.outer)
            if isinstance(call, Recorded):
                yield self._exchange(replace(call, join=None), half.record, source=half.record.value)


@dataclass(slots=True)
class _Beside:
    """The first unknown records of a document's lists, and how many more there are."""

    lines: list[BadLine] = field(default_factory=list[BadLine])
    more: int = 0

    def add(self, line: BadLine) -> None:
        if len(self.lines) < _KEPT_UNKNOWN:
            self.lines.append(line)
        else:
            self.more += 1


def _excerpt(record: Record) -> bytes:
    return json_text.encode(record.value)[:200]


def _known_id(id: str, ids: ContentIds, source: Any) -> str:
    """The tool's own, unless no exchange may have it."""
    try:
        return valid_id(id)
    except BadField:
        return ids.of(source)


# ------------------------------------------------------------------------------------------------- halves


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A call whose halves met."""

    call: Recorded
    source: list[JsonObject]
    """What was asked and what was answered, as they were recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """A record that waits, as it was."""

    reader: Reader
    record: Record
    asks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Of a half in the file of those that wait."""

    reader: Reader
    number: int
    asks: bool
    start: int
    size: int


class Halves:
    """Requests and answers of batches, until they meet. Records of several files may meet, in any order."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_SPILL_BYTES)  # noqa: SIM115 - closed by close()
        self._size = 0
        self._waiting: dict[str, _Place] = {}
        self._ambiguous: set[str] = set()

    def join(self, call: Recorded, reader: Reader, record: Record) -> Whole | None:
        """None while the other half is missing. Raises BadField for a key that stands for two calls."""
        key, asks = str(call.join), call.request is not None
        place = self._waiting.get(key)
        if key in self._ambiguous or (place is not None and place.asks == asks):
            self._waiting.pop(key, None)
            self._ambiguous.add(key)
            raise BadField(f"the key {key[:60]!r} of its batch comes twice: import each batch by itself")
        if place is None:
            self._waiting[key] = self._put(reader, record, asks=asks)
            return None
        del self._waiting[key]
        other = self._get(place)
        (found, *_) = other.reader.read(other.record.value, other.record.outer)
        if not isinstance(found, Recorded):
            raise BadField("the other half of its call can't be read")
        asked, answered = (call, found) if asks else (found, call)
        values = [record.value, other.record.value]
        return Whole(call=batch.join(asked, answered), source=values if asks else values[::-1])

    def __len__(self) -> int:
        return len(self._waiting)

    def left_over(self) -> Iterator[Half]:
        for place in self._waiting.values():
            yield self._get(place)
        self._waiting.clear()

    def close(self) -> None:
        self._file.close()

    def _put(self, reader: Reader, record: Record, *, asks: bool) -> _Place:
        data = json_text.encode(record.value)
        self._file.seek(self._size)
        self._file.write(data)
        place = _Place(reader=reader, number=record.number, asks=asks, start=self._size, size=len(data))
        self._size += len(data)
        return place

    def _get(self, place: _Place) -> Half:
        self._file.seek(place.start)
        value = json_text.decode(self._file.read(place.size))
        return Half(reader=place.reader, record=Record(place.number, value), asks=place.asks)
