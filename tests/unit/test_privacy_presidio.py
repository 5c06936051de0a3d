"""The detector of names and addresses, with a stand-in for the language model; the model itself is in nobody's base
install (its figures: bench/results/privacy.txt)."""

from __future__ import annotations

import sys

import pytest

from insource import plugins
from insource.core.errors import UsageError
from insource.core.policy import LEAST_CONFIDENCE
from insource.traffic.presidio import Named, PresidioDetector
from insource.traffic.privacy import mask

_PEOPLE = ("Jane Okon", "Jane", "get_user", "jane okon", "Foo::Bar")
_PLACES = ("High Street", "Elm Street", "Springfield", "London", "Hauptstraße 12")


def _recognise(text: str) -> list[Named]:
    """Each of the words above, wherever it stands."""
    found: list[Named] = []
    for entity, words in (("PERSON", _PEOPLE), ("LOCATION", _PLACES)):
        for word in words:
            at = text.find(word)
            if at >= 0:
                found.append(Named(start=at, end=at + len(word), entity=entity, score=0.85))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jane Okon lives in London", "[name] lives in London"),
        ("ask Jane about get_user and Foo::Bar", "ask Jane about get_user and Foo::Bar"),
        ("send it to 42 High Street, London please", "send it to [address] please"),
        ("at 7 Elm Street 12345 Springfield", "at [address]"),
        ("Hauptstraße 12 is closed", "[address] is closed"),
        ("we met in Springfield in 1999", "we met in Springfield in 1999"),
        ("Jane Okon, jane@okon.com, 4111 1111 1111 1111", "[name], [email], [card]"),
    ],
)
def test_names_and_addresses_beside_the_patterns(text: str, expected: str) -> None:
    spans = PresidioDetector(_recognise).scan(text)
    assert mask(text, [span for span in spans if span.confidence >= LEAST_CONFIDENCE]) == expected


def test_spans_are_ordered_and_disjoint() -> None:
    text = "42 High Street, London: Jane Okon <jane@okon.com> and Jane"
    end = 0
    for span in PresidioDetector(_recognise).scan(text):
        assert end <= span.start < span.end <= len(text)
        end = span.end


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(UsageError, match="needs Presidio and spaCy") as raised:
        plugins.load("detectors", "presidio")
    assert raised.value.next_step == "Install the extra: pip install 'insource[privacy]'"


def test_the_patterns_load_neither() -> None:
    plugins.load("detectors", "patterns")
    assert "presidio_analyzer" not in sys.modules
    assert "spacy" not in sys.modules
