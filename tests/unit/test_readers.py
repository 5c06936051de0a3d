"""Readers of foreign logs: nothing is lost, nothing depends on when it is read, nothing brings a reader down."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insource.core.errors import BadInput
from insource.core.values import CHAT_ENDPOINT, Exchange, Marks, Route
from insource.traffic import readers as readers_module
from insource.traffic.lines import LogFile
from insource.traffic.log_line import BadField, LineParser, decode, encode, to_line
from insource.traffic.readers import BadLine, InsourceReader, OpenAIReader, Reader

ANY_TEXT = st.text(st.characters(), max_size=20)
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
JSON_OBJECT = st.dictionaries(ANY_TEXT, JSON_VALUE, max_size=4)
AMOUNT = st.none() | st.floats(min_value=0, max_value=1e9)
SHARE = st.floats(min_value=0, max_value=1)
ONCE_METADATA = st.fixed_dictionaries(
    {}, optional={"shadow_of": ANY_TEXT, "incomplete": ANY_TEXT, "escalated": st.just(True)}
)
UPSTREAM = ANY_TEXT | st.sampled_from(["provider:openai", "engine:llamacpp"])
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
READERS: list[Reader] = [InsourceReader(), OpenAIReader()]


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    reference = draw(st.none() | ANY_TEXT)
    cost_usd = draw(AMOUNT)
    return Exchange(
        id=draw(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)),
        created=draw(st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001 - hypothesis adds the zone
        request=draw(JSON_OBJECT),
        response=draw(st.none() | JSON_OBJECT),
        status=draw(st.integers(100, 599)),
        latency_seconds=draw(AMOUNT),
        cost_usd=cost_usd,
        cost_source=None if cost_usd is None else draw(st.sampled_from(["recorded", "list price", "estimate"])),
        reference=reference,
        reference_kind=draw(st.sampled_from([None, "hosted", "label", "feedback"])),
        reference_correct=draw(st.none() | st.booleans()),
        private_kinds=draw(st.none() | st.lists(ANY_TEXT, max_size=2).map(tuple)),
        route=draw(
            st.none()
            | st.builds(Route, upstream=UPSTREAM, model=ANY_TEXT, reason=ANY_TEXT, confidence=st.none() | SHARE)
        ),
        metadata=draw(JSON_OBJECT | ONCE_METADATA),
        endpoint=draw(st.just(CHAT_ENDPOINT) | st.text(min_size=1)),
        incomplete=draw(st.none() | ANY_TEXT),
        marks=draw(
            st.builds(Marks, escalated=st.booleans(), fallback=st.none() | ANY_TEXT, shadow_of=st.none() | ANY_TEXT)
        ),
    )


@UNTIMED
@given(exchanges())
def test_a_log_line_brings_the_exchange_back_whole(exchange: Exchange) -> None:
    line = encode(to_line(exchange))
    assert "\n" not in line
    again = LineParser().parse(decode(line.encode()), line_number=1)
    assert again == exchange
    assert encode(to_line(again)) == line


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"cost_usd": 1}, "recorded"),
        ({"cost_usd": 1, "cost_estimated": True}, "estimate"),
        ({"cost_usd": 1, "cost_estimated": False}, "recorded"),
        ({"cost_usd": 1, "cost_source": "list price"}, "list price"),
        ({"cost_estimated": True}, None),
        ({"cost_source": "recorded"}, None),
    ],
)
def test_a_cost_says_where_it_comes_from_also_in_lines_of_older_versions(
    fields: dict[str, Any], source: str | None
) -> None:
    exchange = LineParser().parse({"request": {}, **fields}, line_number=1)
    assert exchange.cost_source == source


def test_the_marks_that_an_older_insource_kept_in_the_metadata_are_marks() -> None:
    route = {"upstream": "engine:llamacpp", "model": "small", "reason": "stage shadow"}
    old = {"id": "ex-1-shadow", "request": {}, "route": route}
    metadata = {"task": "triage", "shadow_of": "ex-1", "incomplete": "its stream was cut", "escalated": "by hand"}
    exchange = LineParser().parse({**old, "metadata": metadata}, line_number=1)
    assert exchange.marks == Marks(shadow_of="ex-1")
    assert exchange.incomplete == "its stream was cut"
    assert exchange.metadata == {"task": "triage", "escalated": "by hand"}, "of another type it is somebody else's"
    foreign = LineParser().parse({"id": "1", "request": {}, "metadata": metadata}, line_number=1)
    assert (foreign.marks, foreign.incomplete, foreign.metadata) == (Marks(), None, metadata)


@pytest.mark.parametrize(("upstream", "source"), [("provider:openai", "list price"), ("engine:llamacpp", "recorded")])
def test_a_hosted_cost_of_an_older_insource_was_a_list_price(upstream: str, source: str) -> None:
    route = {"upstream": upstream, "model": "m", "reason": "no move"}
    exchange = LineParser().parse({"request": {}, "route": route, "cost_usd": 0.5}, line_number=1)
    assert exchange.cost_source == source


@pytest.mark.parametrize(
    "fields",
    [
        {"cost_usd": 1, "cost_source": "guessed"},
        {"cost_usd": 1, "cost_source": []},
        {"endpoint": 1},
        {"incomplete": True},
        {"marks": "x"},
        {"marks": {"escalated": "yes"}},
    ],
)
def test_fields_that_hold_something_else_are_named(fields: dict[str, Any]) -> None:
    with pytest.raises(BadField, match=f"its {[*fields][-1]} "):
        LineParser().parse({"request": {}, **fields}, line_number=1)


@UNTIMED
@given(st.lists(st.binary(max_size=60) | JSON_VALUE.map(lambda value: json.dumps(value).encode()), max_size=5))
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_no_line_brings_a_reader_down(reader: Reader, lines: list[bytes]) -> None:
    records = list(reader.read(lines))
    assert all(isinstance(record, Exchange | BadLine) for record in records)
    assert len(records) == sum(1 for line in lines if line.strip())
    reader.sniff(lines)


KEYS = [
    "id",
    "created",
    "request",
    "response",
    "body",
    "custom_id",
    "error",
    "messages",
    "choices",
    "status",
    "metadata",
    "reference",
    "reference_kind",
    "private_kinds",
    "route",
    "cost_usd",
    "cost_source",
    "endpoint",
    "incomplete",
    "marks",
]


@UNTIMED
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), JSON_VALUE, max_size=6), max_size=4))
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_no_field_brings_a_reader_down_and_no_line_vanishes(reader: Reader, lines: list[dict[str, Any]]) -> None:
    raw = [json.dumps(line).encode() for line in lines]
    records = list(reader.read(raw))
    joined = sum("custom_id" in line for line in lines) // 2
    assert len(lines) - joined <= len(records) <= len(lines)
    assert records == list(reader.read(raw)), "the same lines give the same records"


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"request":' * 50_000,
        b'{"request": {}, "id": 1' + b"0" * 6000 + b"}",
        b'{"request":{"n":1e999}}',
    ],
    ids=["nested", "deep objects", "huge number", "infinite"],
)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_hostile_lines_are_bad_lines(reader: Reader, line: bytes) -> None:
    (bad,) = reader.read([line])
    assert isinstance(bad, BadLine)
    assert len(bad.excerpt) <= 80


def test_an_excerpt_can_be_shown() -> None:
    (bad,) = InsourceReader().read([b"\x1b[31m\x00 \xff <script>"])
    assert isinstance(bad, BadLine)
    assert bad.excerpt.isprintable()


def test_a_line_over_the_limit_is_a_bad_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "LONGEST_LINE_BYTES", 2**20)
    line = b'{"request": {"x": "' + b"y" * 2**20 + b'"}}'
    first, second = InsourceReader().read([line, b'{"request": {}}'])
    assert isinstance(first, BadLine)
    assert first.reason == "it is longer than 1 MiB"
    assert isinstance(second, Exchange)


def test_equal_lines_without_ids_stay_as_many_as_they_are() -> None:
    line = b'{"request": {"messages": []}, "reference": "a"}'
    ids = [record.id for record in InsourceReader().read([line] * 3) if isinstance(record, Exchange)]
    assert len(set(ids)) == 3
    other = [record.id for record in InsourceReader().read([b"", b" ", *[line] * 2]) if isinstance(record, Exchange)]
    assert other == ids[:2], "the id depends on the content, not on the place"


def test_custom_ids_of_two_batches_do_not_collide() -> None:
    def id_of(text: str) -> str:
        line = {"custom_id": "request-1", "body": {"x": text}, "response": {"status_code": 200, "body": {}}}
        (record,) = OpenAIReader().read([json.dumps(line).encode()])
        assert isinstance(record, Exchange)
        return record.id

    assert id_of("one") != id_of("two")


def test_waiting_halves_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "_MOST_UNPAIRED_BYTES", 100)
    halves = [json.dumps({"custom_id": f"q{number}", "body": {}}).encode() for number in range(5)]
    records = list(OpenAIReader().read(halves))
    assert [type(record).__name__ for record in records].count("BadLine") == 2
    assert len(records) == 5


def test_sniffing_tells_the_formats_apart() -> None:
    own = b'{"id": "1", "created": "2026-01-01T00:00:00Z", "request": {}, "response": null}'
    openai = [
        b'{"request": {"messages": []}, "response": {}}',
        b'{"messages": []}',
        b'{"custom_id": "a", "response": {"body": {}}}',
    ]
    for lines, expected in [([own], [True, True]), *[([line], [False, True]) for line in openai]]:
        assert [reader.sniff([b"", b"broken", *lines]) for reader in READERS] == expected
    for foreign in (b'{"prompt": "x"}', b"a,b,c", b"", b"[1]"):
        assert [reader.sniff([foreign]) for reader in READERS] == [False, False]


# ------------------------------------------------------------------------------------------------------ files


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_lines_of_a_file(tmp_path: Path, pack: Any) -> None:
    data = b"\xef\xbb\xbfone\r\n\ntwo" + b"x" * 100 + b"\nthree\n" + b"four" + b"y" * 50
    with LogFile(_file(tmp_path / "log", pack(data)), longest_line_bytes=20) as file:
        lines = list(file)
        assert lines == [b"one", b"", b"two" + b"x" * 18, b"three", b"four" + b"y" * 17]
        assert (file.line_number, file.broken) == (5, None)
        assert file.done_bytes == file.size_bytes


def test_a_gzip_file_that_breaks_off_gives_what_it_holds_and_says_so(tmp_path: Path) -> None:
    import random

    noise = random.Random(0)
    whole = gzip.compress(b"".join(b"%d\n" % noise.getrandbits(256) for _ in range(5000)))
    with LogFile(_file(tmp_path / "log.gz", whole[: len(whole) // 2])) as file:
        lines = list(file)
        assert 0 < len(lines) < 5000
        assert file.broken is not None
        assert f"breaks off after line {len(lines)}" in file.broken


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="can't be read"):
        LogFile(tmp_path / name)
