"""Whole requests: nothing is overlooked, and whatever goes wrong leaves a request unscanned, never clean."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import BadInput
from insource.core.fakes import FakeDetector
from insource.core.ports import PrivacyDetector
from insource.core.values import JsonObject, PrivacySpan
from insource.traffic.privacy import PatternDetector
from insource.traffic.request_scan import (
    UNSCANNED,
    Remembering,
    body_kinds,
    request_kinds,
    scan_file,
    scan_lines,
    texts,
)


def _kinds(request: JsonObject, detector: PrivacyDetector | None = None) -> tuple[str, ...]:
    return request_kinds(request, detector or PatternDetector())


def _user(content: Any) -> JsonObject:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}


def _encoded(text: str) -> str:
    return "data:text/plain;base64," + base64.b64encode(text.encode()).decode()


_NOISE = base64.b64encode(random.Random(1).randbytes(600)).decode()
_CALL = {"id": "c1", "type": "function", "function": {"name": "pay"}}


@pytest.mark.parametrize(
    ("request_body", "kinds"),
    [
        (_user("hello"), ()),
        (_user("my card is 4111 1111 1111 1111, a@b.com"), ("card", "email")),
        (_user([{"type": "text", "text": "4111 1111 "}, {"type": "text", "text": "1111 1111"}]), ("card",)),
        ({"messages": [{"role": "system", "content": "a@b.com"}]}, ("email",)),
        ({"messages": [{"role": "user", "name": "a@b.com", "content": "hi"}]}, ("email",)),
        ({"messages": [{"role": "tool", "tool_call_id": "c1", "content": '{"mail":"a\\u0040b.com"}'}]}, ("email",)),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{**_CALL, "function": {"arguments": '{"to":"a@b.com"}'}}]}
                ]
            },
            ("email",),
        ),
        ({"messages": [], "tools": [{"function": {"description": "mails a@b.com"}}]}, ("email",)),
        ({"messages": [], "user": "a@b.com"}, ("email",)),
        ({"messages": [], "metadata": {"a@b.com": True}}, ("email",)),
        ({"messages": [], "metadata": {"password": "correcthorse"}}, ("secret",)),
        ({"messages": [], "metadata": {"card": 4111111111111111}}, ("card",)),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "a@b.com"}]}]}, ("email",)),
        ({"input": "a@b.com", "instructions": "x"}, ("email",)),
        ({"messages": [], "seed": 2125551234, "max_tokens": 4096, "stream": True}, ()),
        (_user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]), (UNSCANNED,)),
        (_user([{"type": "input_audio", "input_audio": {"data": _NOISE, "format": "wav"}}]), (UNSCANNED,)),
        (_user([{"type": "file", "file": {"file_data": _encoded("mail a@b.com now")}}]), ("email",)),
        (_user("\n".join(["word"] * 90) + "-" * 600 + "\n".join([str(UUID(int=n)) for n in range(20)])), ()),
        (_user("pkg==4.5.6.70 and 10.0.0.1, mail someone@example.com"), ()),
        (_user("x " * 15_000 + "a@b.com"), ("email",)),
        (_user("x " * 1_500_000 + "a@b.com"), ("email",)),
    ],
)
def test_every_place_of_a_request_is_scanned(request_body: JsonObject, kinds: tuple[str, ...]) -> None:
    assert _kinds(request_body) == kinds


def test_a_span_across_two_pieces_is_found() -> None:
    for start in range(19_975, 20_005):
        before = ("x " * 10_010)[: start - 1] + " "
        assert _kinds(_user(before + "4111 1111 1111 1111")) == ("card",)


def test_a_failing_detector_makes_a_request_private() -> None:
    assert _kinds(_user("hello"), FakeDetector(error=RuntimeError("broken"))) == (UNSCANNED,)


def test_what_was_found_before_the_failure_is_kept() -> None:
    class Second:
        linear_time = True

        def __init__(self) -> None:
            self._calls = 0

        def scan(self, text: str) -> Sequence[PrivacySpan]:
            self._calls += 1
            if self._calls > 1:
                raise RuntimeError
            return [PrivacySpan(start=0, end=1, kind="word", confidence=1)]

    assert _kinds({"a": ["x", "y"]}, Second()) == (UNSCANNED, "word")


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        (b'{"input": "a@b.com"}', ("email",)),
        (b'{"input": "hello"}', ()),
        (b'{"input": "lone \\ud800 a@b.com"}', ("email",)),
        (b"{}", ()),
        (b"", (UNSCANNED,)),
        (b"hello", (UNSCANNED,)),
        (b'["a@b.com"]', (UNSCANNED,)),
        (b'{"input": "a@b.com"', (UNSCANNED,)),
        (b'{"input": "\xff"}', (UNSCANNED,)),
        (b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", (UNSCANNED,)),
        (b"--x\r\na@b.com\r\n--x--", (UNSCANNED,)),
        (b'{"a": [{"x": "a@b.com", "x": "hello"}]}', ("email",)),
        (b'{"a": "{\\"x\\": \\"a\\\\u0040b.com\\", \\"x\\": 1}"}', ("email",)),
        (b'{"input": "a@b.com", "input": "hello"}', (UNSCANNED,)),
    ],
)
def test_what_is_not_read_as_json_is_unscanned(body: bytes, kinds: tuple[str, ...]) -> None:
    assert body_kinds(body, PatternDetector()) == kinds


class Counting:
    """Finds its word, and counts how often it was asked."""

    linear_time = True

    def __init__(self, word: str) -> None:
        self._detector = FakeDetector(word)
        self.asked: list[str] = []

    def scan(self, text: str) -> Sequence[PrivacySpan]:
        self.asked.append(text)
        if "raise" in text:
            raise RuntimeError
        return self._detector.scan(text)


def test_what_comes_again_is_remembered_and_a_failure_is_not() -> None:
    counting = Counting("secret")
    remembering = Remembering(counting)
    for _ in range(3):
        assert _kinds({"messages": [{"role": "system", "content": "the secret"}]}, remembering) == ("word",)
    assert counting.asked.count("the secret") == 1
    for _ in range(2):
        assert _kinds(_user("raise it"), remembering) == (UNSCANNED,)
    assert counting.asked.count("raise it") == 2


def test_nesting_beyond_any_stack_is_walked() -> None:
    body: Any = "a@b.com"
    for _ in range(50_000):
        body = [body]
    assert _kinds({"input": body}) == ("email",)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=15,
)


@given(_JSON, st.text("qz", min_size=12, max_size=14), st.booleans())
def test_no_string_is_overlooked(rest: Any, needle: str, as_key: bool) -> None:
    body: JsonObject = {"rest": rest, "here": [{needle: 1} if as_key else {"k": needle}, rest]}
    assert any(needle in text for text in texts(body))


def test_lines_give_spans_and_bad_ones_are_told() -> None:
    lines = [
        b'{"id": "a", "text": "mail a@b.com"}\n',
        b"\n",
        b"{broken\n",
        b'{"id": 7, "text": "nothing"}',
        b'{"id": "c"}',
        b"[1]",
        b"\xff",
    ]
    found = list(scan_lines(lines, PatternDetector()))
    assert found[0] == {"id": "a", "spans": [{"start": 5, "end": 12, "kind": "email", "confidence": 0.98}]}
    assert [entry.get("line") for entry in found] == [None, 3, None, 5, 6, 7]
    assert found[2] == {"id": 7, "spans": []}
    assert all("error" in entry for entry in found if "line" in entry)


def test_a_failing_detector_is_told_without_the_text() -> None:
    (entry,) = scan_lines(['{"id": 1, "text": "a secret"}'], FakeDetector(error=ValueError("a secret")))
    assert entry == {"line": 1, "id": 1, "error": "the detector failed (ValueError)"}


def test_files_plain_gzipped_cut_and_missing(tmp_path: Path) -> None:
    content = "".join(json.dumps({"id": n, "text": "a@b.com"}) + "\n" for n in range(500)).encode()
    plain, packed, cut = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz", tmp_path / "cut.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    cut.write_bytes(gzip.compress(content)[:-20])
    assert len(list(scan_file(plain, PatternDetector()))) == 500
    assert list(scan_file(plain, PatternDetector())) == list(scan_file(packed, PatternDetector()))
    assert "breaks off" in list(scan_file(cut, PatternDetector()))[-1]["error"]
    with pytest.raises(BadInput):
        list(scan_file(tmp_path / "missing", PatternDetector()))
