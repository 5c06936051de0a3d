"""Encoded values are found, and the span is where their code stands in the original text."""

from __future__ import annotations

import base64
import html
import json
import random
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.policy import LEAST_CONFIDENCE
from insource.traffic.folding import fold, views
from insource.traffic.privacy import PatternDetector, mask

_DETECTOR = PatternDetector()
_VALUES = (
    "jane@okon.com",
    "4111 1111 1111 1111",
    "+44 20 7946 0958",
    "DE89370400440532013000",
    "password: Tr0ub4dor&3",
)


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _urlsafe(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


_ENCODERS: dict[str, Callable[[str], str]] = {
    "URL": lambda text: urllib.parse.quote(text, safe=""),
    "form": urllib.parse.quote_plus,
    "every character as URL": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "HTML": lambda text: html.escape(text).replace("@", "&#64;").replace("1", "&#x31;"),
    "base64": _b64,
    "base64 for URLs": _urlsafe,
    "base64 in lines": lambda text: base64.encodebytes(("x" * 40 + " " + text + " " + "y" * 80).encode()).decode(),
    "JSON": lambda text: json.dumps(text).replace("@", "\\u0040"),
    "base64 in JSON in base64": lambda text: _b64(json.dumps({"data": _b64(f"send {text} now")})),
    "URL in URL": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "base64 in a path": lambda text: f"/unsubscribe/{_urlsafe('to ' + text)}/now",
}


@pytest.mark.parametrize("encoding", _ENCODERS)
@pytest.mark.parametrize("value", _VALUES)
def test_an_encoded_value_is_found_and_masked(encoding: str, value: str) -> None:
    code = _ENCODERS[encoding](value)
    text = f'see "{code}" there'
    spans = [span for span in _DETECTOR.scan(text) if span.confidence >= LEAST_CONFIDENCE]
    assert spans
    for span in spans:
        assert 4 < span.start < span.end < len(text) - 6
    masked = mask(text, spans)
    assert masked.startswith('see "')
    assert masked.endswith(" there")
    assert not [span for span in _DETECTOR.scan(masked) if span.confidence >= LEAST_CONFIDENCE]


@given(st.text(max_size=60), st.integers(0, 3))
def test_no_more_than_the_code_of_a_value_is_masked(before: str, padding: int) -> None:
    """Base64 gives way by groups of four characters: at most two bytes of a neighbour go with a value."""
    plain = f"{'.' * (60 + padding)} jane@okon.com {'.' * 60}"
    text = f"{before} {_b64(plain)}"
    (span,) = [span for span in _DETECTOR.scan(text) if text[span.start : span.end] in _b64(plain)]
    hidden = base64.b64decode(text[span.start : span.end])
    assert b"jane@okon.com" in hidden
    assert len(hidden) <= len("jane@okon.com") + 4


@given(st.text(max_size=200))
def test_views_lead_back_into_the_text(text: str) -> None:
    for view in views(text):
        for start in range(0, len(view.text), 7):
            first, end = view.locate(start, min(start + 5, len(view.text)))
            assert 0 <= first <= end <= len(text)


@given(st.text(max_size=200))
def test_folding_keeps_places(text: str) -> None:
    folded, places = fold(text)
    if places is None:
        assert len(folded) == len(text)
    else:
        assert len(places) == len(folded) + 1
        assert list(places) == sorted(places)
        assert places[-1] == len(text)


_NOISE = base64.b64encode(random.Random(1).randbytes(700)).decode()
