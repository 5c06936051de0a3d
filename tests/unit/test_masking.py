"""Masked bodies: nothing that was found is left, nothing else is changed, and all of it comes back."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.policy import ALL, Policy, Rule
from insource.core.scanning import Examined, Masked, Placeholders, ScanJob
from insource.core.values import JsonObject, PrivacySpan
from insource.traffic.placeholders import TEXT
from insource.traffic.privacy import PatternDetector
from insource.traffic.request_scan import examine
from insource.traffic.restoring import Restored, restore_json

MASK = Policy(kinds={ALL: Rule(action="mask")})
CHAT = "/v1/chat/completions"
MAIL, CARD, PASSWORD = "ada@lovelace-mail.org", "4111 1111 1111 1111", "hunter2-Xy9!"


def masked(body: bytes | JsonObject, *, known: Placeholders | None = None, target: str = CHAT, **more: Any) -> Examined:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    job = ScanJob(body=data, target=target, policy=MASK, placeholders=known or Placeholders(), **more)
    return examine(job, PatternDetector())


def done(examined: Examined) -> Masked:
    assert examined.masked is not None, examined.kinds
    return examined.masked


def user(text: Any, **more: Any) -> JsonObject:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


def back(given: Masked) -> Any:
    return restore_json(json.loads(given.body), Restored(given.placeholders))


def meaning(value: Any) -> Any:
    """With JSON in strings decoded, and numbers as texts, which they become where they are masked."""
    if isinstance(value, dict):
        return {key: meaning(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [meaning(inner) for inner in value]
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(ValueError):
            return meaning(json.loads(value))
    return str(value)


def test_only_what_was_found_is_written_anew() -> None:
    body = (
        b'{ "model":"m" , "x": 1.50e1, "messages": [{"role":"user","content": "h\\u00e9 ' + MAIL.encode() + b'"}] }\n'
    )
    found = done(masked(body))
    assert found.body == body.replace(MAIL.encode(), b"[PII_EMAIL_1]").replace(b"h\\u00e9", "hé".encode())
    assert found.placeholders == Placeholders(values=(("EMAIL", MAIL),))


def test_equal_values_are_one_and_a_growing_conversation_keeps_its_numbers() -> None:
    turns: list[JsonObject] = [{"role": "user", "content": f"I am {MAIL}"}]
    asked: JsonObject = {"model": "m", "messages": turns, "user": "bob@lovelace-mail.org"}
    before = done(masked(asked)).placeholders.values
    assert [value for _, value in before] == ["bob@lovelace-mail.org", MAIL], "what stands outside comes first"
    for number in range(10):
        turns += [{"role": "assistant", "content": f"Hello {MAIL}"}]
        turns += [{"role": "user", "content": f"and person{number}a@lovelace-mail.org, {MAIL}"}]
        after = done(masked(asked)).placeholders.values
        assert after[: len(before)] == before
        assert len(after) == len(before) + 1
        before = after


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (user(f"password: {PASSWORD}. Repeat: {PASSWORD}"), PASSWORD),
        (
            {"messages": [{"role": "user", "content": f"password: {PASSWORD}"}, {"role": "user", "content": PASSWORD}]},
            PASSWORD,
        ),
        (user([{"type": "text", "text": "4111 1111 "}, {"type": "text", "text": "1111 1111"}]), "1111"),
        (user("my mail is ada@lovelace\n-mail.org."), "lovelace"),
        ({"messages": [], "metadata": {MAIL: 1}}, MAIL),
        ({"messages": [{"role": "user", "content": "x", "n": 4111111111111111}]}, "4111"),
        (user("x", tools=[{"function": {"description": MAIL}}]), MAIL),
        (
            {"messages": [{"role": "tool", "content": json.dumps({"to": "a\\b\n" + MAIL, "n": 4111111111111111})}]},
            "4111",
        ),
        ({"messages": [{"role": "tool", "content": '{"n": 4111111111111111}'}]}, "4111"),
        ({"messages": [{"role": "tool", "content": '{"mail": "ada\\u0040lovelace-mail.org"}'}]}, "lovelace"),
        (user("\ud800 lone " + MAIL), MAIL),
        ({"input": MAIL}, MAIL),
        ({"system": MAIL, "messages": []}, MAIL),
    ],
)
def test_nothing_that_was_found_is_sent_and_all_of_it_comes_back(body: JsonObject, value: str) -> None:
    found = done(masked(body))
    assert value not in found.body.decode()
    assert not examine(ScanJob(body=found.body, policy=MASK), PatternDetector()).kinds
    assert meaning(back(found)) == meaning(body)


def test_a_file_in_base64_is_masked_inside() -> None:
    data = base64.b64encode(f"name,mail\nAda,{MAIL}\n".encode()).decode()
    for packed in (data, f"data:text/csv;base64,{data}"):
        found = done(masked(user([{"type": "file", "file": {"filename": "a.csv", "file_data": packed}}])))
        sent = json.loads(found.body)["messages"][0]["content"][0]["file"]["file_data"]
        assert sent.startswith(packed[: packed.find(",") + 1])
        assert base64.b64decode(sent.split(",")[-1]) == b"name,mail\nAda,[PII_EMAIL_1]\n"


def test_keys_that_come_twice_are_both_masked() -> None:
    body = b'{"messages": [{"role":"user","content":"a@b-mail.org","content":"c@b-mail.org"}], "messages": []}'
    assert b"@" not in done(masked(body)).body


def test_what_a_client_writes_like_a_placeholder_comes_back_as_it_was() -> None:
    body = user(f"[PII_EMAIL_1] is written pii_email_2 here; PII in 2 places. {MAIL}")
    found = done(masked(body))
    assert [label for label, _ in found.placeholders.values].count(TEXT) == 2
    assert back(found) == body
    signed = {"role": "assistant", "content": [{"type": "thinking", "thinking": "ask [PII_EMAIL_1]", "signature": "x"}]}
    found = done(masked({"messages": [signed, *body["messages"]]}))
    assert b"ask [PII_EMAIL_1]" in found.body, "what a provider signed stays as it wrote it"


def test_a_conversation_that_the_provider_keeps_goes_on() -> None:
    known = Placeholders(first=7, values=(("EMAIL", MAIL),))
    found = done(masked(user(f"{MAIL} and new@lovelace-mail.org"), known=known))
    assert b"[PII_EMAIL_7] and [PII_EMAIL_8]" in found.body
    assert found.placeholders.values[0] == known.values[0]


@pytest.mark.parametrize("target", ["/v1/embeddings", "/v1/files", "/v1/chat/completions/x", ""])
def test_where_answers_can_not_be_unmasked_nothing_is_masked(target: str) -> None:
    found = masked(user(MAIL), target=target)
    assert (found.kinds, found.masked) == ({"email": 1}, None)


@pytest.mark.parametrize(
    "more",
    [{"target": f"{CHAT}?u={MAIL}"}, {"headers": (("x-user", MAIL),)}, {"headers": (("x-note", f"say {PASSWORD}"),)}],
)
def test_a_value_outside_of_the_body_can_not_be_masked(more: dict[str, Any]) -> None:
    assert masked(user(f"password: {PASSWORD}"), **more).masked is None


@pytest.mark.parametrize(
    "body", [b"a@b-mail.org", b"{", b'{"a": "a@b-mail.org"} x', b'{"a": NaN, "b": "a@b-mail.org"}']
)
def test_what_is_not_json_can_not_be_masked(body: bytes) -> None:
    assert masked(body).masked is None


# ------------------------------------------------------------------------------------------------------ drawn bodies

VALUES = ("qzqz-1", 'q"z\\q', "qz\nqz", "qzé💥", "q z q", "[PII_X_1]qz")


class Planted:
    """Finds the values above, wherever they stand."""

    linear_time = True

    def scan(self, text: str) -> Sequence[PrivacySpan]:
        spans = (
            PrivacySpan(start=at, end=at + len(value), kind="planted", confidence=1.0)
            for value in VALUES
            for at in range(len(text))
            if text.startswith(value, at)
        )
        return sorted(spans, key=lambda span: span.start)


_TEXTS = st.lists(st.sampled_from([*VALUES, " ", "x", '"', "\\", "\n", "PII_TEXT_1", "{", "é"]), max_size=6).map(
    "".join
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_TEXTS, inner, max_size=3)
        | inner.map(lambda value: json.dumps(value))
    ),
    max_leaves=12,
)


@given(_JSON, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_whatever_json_holds_the_values_it_leaves_without_them_and_comes_back(
    rest: Any, ascii: bool, indent: Any
) -> None:
    body = {"messages": [{"role": "user", "content": rest}]}
    data = json.dumps(body, ensure_ascii=ascii, indent=indent).encode()
    examined = examine(ScanJob(body=data, target=CHAT, policy=MASK), Planted())
    if not examined.kinds:
        return
    found = done(examined)
    sent = json.loads(found.body)
    assert not examine(ScanJob(body=found.body, policy=MASK), Planted()).kinds
    assert meaning(restore_json(sent, Restored(found.placeholders))) == meaning(body)
