"""The judge of `make differential` notices what it is there for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.differential.compare import Played, allowance, differences
from tests.differential.requests import Request, parse_head

ENCODING = "accept-encoding: gzip\r\n"
HEAD = (
    "POST /v1/chat/completions?a=1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\n"
    f"{ENCODING}x-a: 1\r\nx-b: 2\r\ncontent-length: 2\r\n\r\n"
)


def sent(head: str = HEAD, body: bytes = b"{}") -> Request:
    return Request(head=parse_head(head.encode()), body=body)


def played(outcome: Any = "value", *, call: str = "chat", requests: tuple[Request, ...] = (sent(),)) -> Played:
    told = outcome if isinstance(outcome, dict) else {"value": outcome}
    return Played(call=call, outcome=told, requests=requests, addresses=("127.0.0.1:1", "127.0.0.1:2"))


def raised(message: str) -> dict[str, Any]:
    return {"raised": {"class": "openai.APIError", "message": message}}


def test_what_stays_behind_by_design_makes_no_difference() -> None:
    direct = played(
        requests=(sent(HEAD.replace("x-b", "Cookie: a=b\r\nX-Insource-Task: t\r\nConnection: close\r\nx-b")),)
    )
    assert differences(direct, played(requests=(sent(HEAD.replace("127.0.0.1:1", "127.0.0.1:2")),))) == []


def test_identity_stands_for_no_accepted_encoding() -> None:
    direct = played(requests=(sent(HEAD.replace(ENCODING, "")),))
    named = HEAD.replace(ENCODING, "").replace("content-length", "accept-encoding: identity\r\ncontent-length")
    assert differences(direct, played(requests=(sent(named),))) == []
    assert differences(direct, played())


def test_a_boundary_is_made_up_anew() -> None:
    def form(boundary: str, text: str) -> Played:
        head = HEAD.replace("x-b", f"content-type: multipart/form-data; boundary={boundary}\r\nx-b")
        return played(requests=(sent(head, f"--{boundary}\r\n\r\n{text}\r\n--{boundary}--".encode()),))

    assert differences(form("a1", "x"), form("b2", "x")) == []
    assert differences(form("a1", "x"), form("b2", "y"))


@pytest.mark.parametrize(
    ("through", "word"),
    [
        (played("another"), "directly"),
        (played(raised("no")), "directly"),
        (played(requests=()), "0 through the gateway"),
        (played(requests=(sent(), sent())), "2 through the gateway"),
        (played(requests=(sent(body=b"[]"),)), "body"),
        (played(requests=(sent(HEAD.replace("a=1", "a=%31")),)), "query"),
        (played(requests=(sent(HEAD.replace("POST", "PUT")),)), "method"),
        (played(requests=(sent(HEAD.replace("x-a: 1\r\n", "")),)), "headers"),
        (played(requests=(sent(HEAD.replace("x-a: 1\r\nx-b: 2", "x-b: 2\r\nx-a: 1")),)), "another order"),
        (played(requests=(sent(HEAD.replace("content-length: 2", "transfer-encoding: chunked")),)), "framing"),
    ],
)
def test_everything_else_does(through: Played, word: str) -> None:
    assert any(word in difference for difference in differences(played(), through))


def test_a_call_that_fails_by_itself_proves_nothing() -> None:
    failing, silent = played(raised("no")), played(requests=())
    assert differences(failing, failing)
    assert differences(silent, silent)
    as_a_fault = replace(failing, call="fault: 500")
    assert differences(as_a_fault, as_a_fault) == []


def test_only_the_sentence_of_the_gateway_stands_for_no_answer() -> None:
    direct = played(raised("Connection error."), call="fault: no answer")
    said = replace(direct, outcome=raised("No answer from http://127.0.0.1:1: hung up."))
    assert differences(direct, said) == []
    assert allowance(direct, said) == "502 for the connection error"
    assert differences(direct, replace(direct, outcome=raised("Another.")))


def test_a_reset_may_be_told_as_a_close_but_not_lose_an_item() -> None:
    direct = played(["a", raised("reset")], call="fault: reset, stream")
    assert differences(direct, replace(direct, outcome={"value": ["a", raised("closed")]})) == []
    assert differences(direct, replace(direct, outcome={"value": [raised("closed")]}))
    assert differences(direct, replace(direct, outcome={"value": ["a"]}))
