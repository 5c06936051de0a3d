"""Readers of foreign logs: nothing is lost, nothing depends on when it is read, nothing brings a reader down."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insource import plugins
from insource.core.errors import BadInput
from insource.core.values import CHAT_ENDPOINT, Exchange, JsonObject, Marks, Route
from insource.traffic import containers
from insource.traffic import readers as readers_module
from insource.traffic.containers import BadLine, json_lines
from insource.traffic.lines import LogFile
from insource.traffic.log_line import BadField, ContentIds, decode, encode, parse, to_line, valid_id
from insource.traffic.readers import FileReader, Halves, Reader
from insource.wire.chat import answer_text

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
PAIR = b'{"request": {"messages": [{"role": "user", "content": "x"}]}, "response": {"choices": []}}'
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ALL: list[Reader] = plugins.load_all("readers")


def read(lines: list[bytes], readers: list[Reader] = ALL) -> list[Exchange | BadLine]:
    """The records of a file of JSON lines, those too that wait for the other half of their call."""
    with closing(Halves()) as halves:
        reader = FileReader(readers, halves)
        return [*reader.read(json_lines(lines)), *reader.left_over()]


def parsed(line: JsonObject, *, line_number: int) -> Exchange:
    id = valid_id(line["id"]) if line.get("id") is not None else ContentIds().of(line)
    return parse(line, id=id, line_number=line_number)


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
    again = parsed(decode(line.encode()), line_number=1)
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
    exchange = parsed({"request": {}, **fields}, line_number=1)
    assert exchange.cost_source == source


def test_the_marks_that_an_older_insource_kept_in_the_metadata_are_marks() -> None:
    route = {"upstream": "engine:llamacpp", "model": "small", "reason": "stage shadow"}
    old = {"id": "ex-1-shadow", "request": {}, "route": route}
    metadata = {"task": "triage", "shadow_of": "ex-1", "incomplete": "its stream was cut", "escalated": "by hand"}
    exchange = parsed({**old, "metadata": metadata}, line_number=1)
    assert exchange.marks == Marks(shadow_of="ex-1")
    assert exchange.incomplete == "its stream was cut"
    assert exchange.metadata == {"task": "triage", "escalated": "by hand"}, "of another type it is somebody else's"
    foreign = parsed({"id": "1", "request": {}, "metadata": metadata}, line_number=1)
    assert (foreign.marks, foreign.incomplete, foreign.metadata) == (Marks(), None, metadata)


@pytest.mark.parametrize(("upstream", "source"), [("provider:openai", "list price"), ("engine:llamacpp", "recorded")])
def test_a_hosted_cost_of_an_older_insource_was_a_list_price(upstream: str, source: str) -> None:
    route = {"upstream": upstream, "model": "m", "reason": "no move"}
    exchange = parsed({"request": {}, "route": route, "cost_usd": 0.5}, line_number=1)
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
        parsed({"request": {}, **fields}, line_number=1)


@UNTIMED
@given(st.lists(st.binary(max_size=60) | JSON_VALUE.map(lambda value: json.dumps(value).encode()), max_size=5))
def test_no_line_brings_the_readers_down(lines: list[bytes]) -> None:
    records = read(lines)
    assert all(isinstance(record, Exchange | BadLine) for record in records)
    assert len(records) == sum(1 for line in lines if line.strip())


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
def test_no_field_brings_the_readers_down_and_no_line_vanishes(lines: list[dict[str, Any]]) -> None:
    raw = [json.dumps(line).encode() for line in lines]
    records = read(raw)
    joined = sum("custom_id" in line for line in lines) // 2
    assert len(lines) - joined <= len(records) <= len(lines)
    assert records == read(raw), "the same lines give the same records"
    broken = [record for record in records if isinstance(record, BadLine) and "Error" in record.reason]
    assert not broken, "a reader met something that it did not expect"


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
def test_hostile_lines_are_bad_lines(line: bytes) -> None:
    (bad,) = read([line])
    assert isinstance(bad, BadLine)
    assert len(bad.excerpt) <= 80


def test_an_excerpt_can_be_shown() -> None:
    (bad,) = read([b"\x1b[31m\x00 \xff <script>"])
    assert isinstance(bad, BadLine)
    assert bad.excerpt.isprintable()


def test_a_line_over_the_limit_is_a_bad_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "LONGEST_LINE_BYTES", 2**20)
    line = b'{"request": {"x": "' + b"y" * 2**20 + b'"}}'
    first, second = read([line, PAIR])
    assert isinstance(first, BadLine)
    assert first.reason == "it is longer than 1 MiB"
    assert isinstance(second, Exchange)


def test_equal_lines_without_ids_stay_as_many_as_they_are() -> None:
    line = b'{"request": {"messages": [{"role": "user", "content": "x"}]}, "reference": "a"}'
    ids = [record.id for record in read([line] * 3) if isinstance(record, Exchange)]
    assert len(set(ids)) == 3
    other = [record.id for record in read([b"", b" ", *[line] * 2]) if isinstance(record, Exchange)]
    assert other == ids[:2], "the id depends on the content, not on the place"


def _halves(text: str, key: str = "request-1") -> list[bytes]:
    asked = {"custom_id": key, "body": {"messages": [{"role": "user", "content": text}]}}
    answer = {"choices": [{"message": {"role": "assistant", "content": text.upper()}}]}
    answered = {"custom_id": key, "response": {"status_code": 200, "body": answer}}
    return [json.dumps(half).encode() for half in (asked, answered)]


def test_custom_ids_of_two_batches_do_not_collide() -> None:
    (one,), (two,) = read(_halves("one")), read(_halves("two"))
    assert isinstance(one, Exchange)
    assert isinstance(two, Exchange)
    assert one.id != two.id
    assert read(_halves("one")[::-1]) == [one], "in whichever order they come"


def test_a_custom_id_of_two_requests_joins_neither() -> None:
    (asked, answered), (other, _) = _halves("one"), _halves("two")
    records = read([asked, other, answered])
    assert all(isinstance(record, BadLine) and "comes twice" in record.reason for record in records)


def test_halves_that_wait_spill_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "_SPILL_BYTES", 100)
    asked, answered = zip(*(_halves(f"text {n}", f"q{n}") for n in range(50)), strict=True)
    records = read([*asked, *answered])
    assert [chat_answer(record) for record in records] == [f"TEXT {n}" for n in range(50)]


def chat_answer(record: Exchange | BadLine) -> str | None:
    assert isinstance(record, Exchange)
    return answer_text(record.response)


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
