"""National numbers: found beside their names, or by themselves where their shape is their own; a wrong check digit or
no name is left alone. The numbers are the published examples of their schemes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.policy import LEAST_CONFIDENCE
from insource.traffic import checksums
from insource.traffic.privacy import PatternDetector

_DETECTOR = PatternDetector()


def _found(text: str) -> list[str]:
    return [
        text[span.start : span.end]
        for span in _DETECTOR.scan(text)
        if span.kind == "national_id" and span.confidence >= LEAST_CONFIDENCE
    ]


_NAMED = {
    "BSN": "111222333",
    "my NHS number is": "943 476 5919",
    "UTR": "1955839661",
    "SIN:": "130 692 544",
    "Teudat Zehut": "39337423",
    "Thai ID": "3100600445635",
    "身分證字號": "F131104093",
    "VÖEN": "1401555071",
    "Steuer-ID": "36574261809",
    "PESEL": "44051401359",
    "CPF": "39053344705",
    "T.C. Kimlik No": "17291716060",
    "OIB": "33392005961",
    "ЕГН": "7523169263",
    "CNP": "1630615123457",
    "rodné číslo": "7103192745",
    "kennitala": "450401-3150",
    "isikukood": "36805280109",
    "AMKA": "01013099997",
    "PPS": "6433435F",
    "South African ID": "7503305044089",
    "NIK": "3171011708450001",
    "TFN": "123456782",
    "IRD": "49091850",
    "РНОКПП": "1759013776",
    "Aadhaar": "234123412346",
    "national insurance no.": "AB123456C",
    "la mia patente": "MI1234567A",
    "driving licence": "MORGA657054SM9IJ",
    "Reisepass": "C01X0006H",
}
_BY_ITSELF = (
    *("536-22-8726", "54362315K", "X2482300W", "RCCMNL83S18D969H", "295109912611193", "756.9217.0769.85"),
    *("880320-0016", "131052-308T", "390.533.447-05", "85.07.30-033.28", "360426199101010071", "3-1006-00445-63-5"),
    *("971013-1019902", "710319/2745", "12.531.909-2", "34201-0891231-8", "BOXW310820HNERXN09", "ACUPA7085R"),
    *("S1234567D", "F131104093", "A123456(3)", "AB123456C", "MORGA657054SM9IJ", "2341 2341 2346"),
)


@pytest.mark.parametrize(("name", "number"), _NAMED.items())
def test_beside_its_name(name: str, number: str) -> None:
    assert _found(f"Hello, {name} {number}, thanks") == [number]


@pytest.mark.parametrize("number", _BY_ITSELF)
def test_by_itself(number: str) -> None:
    assert _found(f"it is {number} as I said") == [number]


@pytest.mark.parametrize(
    "text",
    [
        *("111222333", "9434765919", "046454286", "39337423", "3100600445635", "36574261809", "44051401359"),
        *("CPF 39053344706", "BSN 111222334", "SIN 046 454 287", "PESEL 44051401358", "the 12 run 1234567"),
        *("54362315A", "S1234567A", "F131104092", "390.533.447-06", "536-00-8726", "666-22-8726"),
        *("setting=111222333", "a tin of 123 beans", "in a row 110922 5629 110922 5630 110922 5631"),
    ],
)
def test_without_a_name_or_with_a_wrong_digit_it_is_a_number(text: str) -> None:
    assert _found(f"it is {text} as I said") == []


_OWN: list[tuple[Callable[[str], bool], str]] = [
    (checksums.sg_nric, "S1234567D"),
    (checksums.sg_nric, "G1234567X"),
    (checksums.sg_nric, "M1234567K"),
    (checksums.tw_identity, "A123456789"),
    (checksums.tw_identity, "F131104093"),
    (checksums.hk_identity, "A123456(3)"),
]


@pytest.mark.parametrize(("check", "number"), _OWN)
def test_a_published_example_passes_and_another_last_digit_fails(check: Callable[[str], bool], number: str) -> None:
    assert check(number)
    at = max(at for at, character in enumerate(number) if character.isdigit())
    others = [number[:at] + digit + number[at + 1 :] for digit in "0123456789" if digit != number[at]]
    assert not any(check(other) for other in others)


@given(st.text("0123456789 .-/()", max_size=60), st.sampled_from(list(_NAMED)))
def test_no_digits_make_a_check_raise(digits: str, name: str) -> None:
    assert all(number in f"{name} {digits}" for number in _found(f"{name} {digits}"))
