"""Whole requests: nothing is overlooked, and whatever goes wrong leaves a request unscanned, never clean."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import BadInput
from insource.core.fakes import FakeDetector
from insource.core.headers import Headers
from insource.core.policy import UNREADABLE, UNSCANNED, Policy, Rule
from insource.core.ports import PrivacyDetector
from insource.core.scanning import ScanJob
from insource.core.values import JsonObject, PrivacySpan
from insource.traffic.privacy import PatternDetector
from insource.traffic.request_scan import Remembering, body_kinds, examine, scan_file, scan_lines
from insource.traffic.request_texts import decode, read


def _kinds(request: JsonObject, detector: PrivacyDetector | None = None) -> tuple[str, ...]:
    return body_kinds(json.dumps(request).encode(), detector or PatternDetector())


def _user(content: Any) -> JsonObject:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}


def _turns(*texts: str) -> JsonObject:
    """What a user said, each after an answer."""
    pairs = [[{"role": "user", "content": text}, {"role": "assistant", "content": "Go on."}] for text in texts]
    return {"model": "gpt-4o", "messages": [message for pair in pairs for message in pair]}


_BASE64 = base64.b64encode(b"Please write to a@b.com soon.").decode()
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
        (_user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]), (UNREADABLE,)),
        (_user([{"type": "input_audio", "input_audio": {"data": "/+MY" * 20, "format": "wav"}}]), (UNREADABLE,)),
        (_user([{"type": "input_audio", "input_audio": {"data": _BASE64, "format": "wav"}}]), ("email",)),
        (_user([{"type": "file", "file": {"file_data": f"data:text/csv;base64,{_BASE64}"}}]), ("email",)),
        (_user([{"type": "file", "file": {"file_data": _BASE64}}]), ("email",)),
        (_user("An image: ![x](data:image/png;base64,iVBORw0KGgo=) and a@b.com"), ("email", UNREADABLE)),
        ({"input": [{"type": "reasoning", "encrypted_content": "gAAAAABo" + "x9Zq" * 40}]}, (UNREADABLE,)),
        ({"model": "davinci", "prompt": [15496, 995]}, (UNREADABLE,)),
        ({"model": "davinci", "prompt": [[15496, 995], [1]]}, (UNREADABLE,)),
        (_user("\n".join(["word"] * 90 + ["other"] * 90)), ()),
        (_user("\n".join(f"{n:08x}-51a2-4c00-9b00-00c04fd430c8" for n in range(20))), ()),
        (_user("-" * 600), ()),
        (_user("mail me at ada@acme-ro\ncket.com"), ("email",)),
        (_user("my card: 4111 1111\n  1111 1111"), ("card",)),
        (_turns("card 4111 1111", "1111 1111, exp 12/29"), ("card",)),
        (_turns("ada.love", "lace@acme-rocket.com"), ("email",)),
        (_turns("I am ada@", "no, at the office"), ()),
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

    assert _kinds({"content": ["x", "y"]}, Second()) == (UNSCANNED, "word")


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        (b'{"input": "a@b.com"}', ("email",)),
        (b'{"input": "hello"}', ()),
        (b'{"input": "lone \\ud800 a@b.com"}', ("email",)),
        (b"{}", ()),
        (b"", ()),
        (b"hello", (UNREADABLE,)),
        (b'["a@b.com"]', ("email",)),
        (b'"a@b.com"', ("email",)),
        (b'{"input": "a@b.com"', ("email", UNREADABLE)),
        (b'{"input": "\xff"}', (UNREADABLE,)),
        (b'{"input": NaN}', (UNREADABLE,)),
        (b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", (UNREADABLE,)),
        (b"--x\r\na@b.com\r\n--x--", ("email", UNREADABLE)),
        (b'{"a": [{"x": "a@b.com", "x": "hello"}]}', ("email",)),
        (b'{"a": "{\\"x\\": \\"a\\\\u0040b.com\\", \\"x\\": 1}"}', ("email",)),
        (b'{"input": "a@b.com", "input": "hello"}', ("email",)),
    ],
)
def test_every_body_is_read_as_far_as_it_can_be(body: bytes, kinds: tuple[str, ...]) -> None:
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


LOCAL_EMAIL = Policy(kinds={"email": Rule(action="local")})


@pytest.mark.parametrize(
    ("target", "headers", "kinds"),
    [
        ("/v1/models?user=a@b.com", (), {"email": 1}),
        ("/v1/models?user=a%40b.com", (), {"email": 1}),
        ("/v1/users/a%40b.com/files", (), {"email": 1}),
        ("/v1/models", (("x-user-email", "a@b.com"), ("referer", "https://x/?u=a%40b.com")), {"email": 2}),
        ("/v1/models?limit=20", (("user-agent", "OpenAI/Python 3.51.0"), ("x-stainless-os", "Linux")), {}),
    ],
)
def test_the_address_and_the_headers_are_scanned(target: str, headers: Headers, kinds: dict[str, int]) -> None:
    job = ScanJob(body=b"", target=target, headers=headers, policy=LOCAL_EMAIL)
    assert examine(job, PatternDetector()).kinds == kinds


def test_deep_nesting_is_walked_and_what_no_stack_holds_is_unreadable() -> None:
    body: Any = "a@b.com"
    for _ in range(400):
        body = [body]
    assert _kinds({"input": body}) == ("email",)
    assert body_kinds(b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", PatternDetector()) == (UNREADABLE,)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=15,
)


@given(_JSON, st.text("qz", min_size=12, max_size=14), st.booleans())
def test_no_string_is_overlooked(rest: Any, needle: str, as_key: bool) -> None:
    body: JsonObject = {"rest": rest, "here": [{needle: 1} if as_key else {"k": needle}, rest]}
    assert any(needle in text.value for text in read(decode(json.dumps(body))).texts)


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
