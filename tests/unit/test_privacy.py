"""The pattern detector: what it finds, what it leaves, where, and in what time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.values import PrivacySpan
from insource.traffic.privacy import PatternDetector, fold, mask

_DETECTOR = PatternDetector()


def _masked(text: str) -> str:
    return mask(text, _DETECTOR.scan(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe+news@mail.example.co.uk now", "write to [email] now"),
        ("your email is a.b@example.com. Is that right?", "your email is [email]. Is that right?"),
        ("user [at] example [dot] com", "[email]"),
        ("user at example dot com", "[email]"),
        ("john(at)example(dot)org", "[email]"),
        ("ask a＠ｅｘａｍｐｌｅ．ｃｏｍ", "ask [email]"),
        ("j\u200bane@exa\u200bmple.com", "[email]"),
        ("?to=bob%40example.com", "?to=[email]"),
        ("müller@straße.de is here", "[email] is here"),
        ("call +49 (0)30 123456 or 0044 20 7946 0958", "call [phone] or [phone]"),
        ("tel. 030/123456", "tel. [phone]"),
        ("+1 (555) 010-9999 ext. 12", "[phone]"),
        ("my number is 5551234567", "my number is [phone]"),
        ("4111-1111-1111-1111 exp 12/26", "[card] exp 12/26"),
        ("4111 1111 1111 1111 12/26", "[card] 12/26"),
        ("3782 822463 10005", "[card]"),
        ("card 630427373398", "card [card]"),
        ("４１１１ １１１１ １１１１ １１１１", "[card]"),
        ("٤١١١١١١١١١١١١١١١", "[card]"),
        ("4111\u00a01111\u20111111\u200b 1111", "[card]"),
        ("IBAN: DE89 3704 0044 0532 0130 00 and more", "IBAN: [iban] and more"),
        ("gb82west12345698765432.", "[iban]."),
        ("from 10.0.0.12 and 2001:db8::ff00:42:8329 here", "from [ip] and [ip] here"),
        ("00:1A:2B:3C:4D:5E", "[mac]"),
        ("SSN 219-09-9999", "SSN [national_id]"),
        ("NINO AB 12 34 56 C", "NINO [national_id]"),
        ("BSN: 111222333", "BSN: [national_id]"),
        ("DNI 12345678Z, NIE X1234567L", "DNI [national_id], NIE [national_id]"),
        ("CF RSSMRA85T10A562S", "CF [national_id]"),
        ("passport number X12345678", "passport number [national_id]"),
        ("The number of my driver's license: 7281846", "The number of my driver's license: [national_id]"),
        ("born on 12 March 1985", "born on [birth_date]"),
        ("DOB: 1985-03-12", "DOB: [birth_date]"),
        ("account number 12345678", "account number [bank_account]"),
        ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
        ("sk-ant-api03-abcdefghijklmnop1234567890", "[secret]"),
        ("Authorization: Bearer abcdef0123456789ABCDEF", "Authorization: Bearer [secret]"),
        ("password=hunter2", "password=[secret]"),
        ('{"password": "correcthorse"}', '{"password": "[secret]"}'),
        ("my password is Tr0ub4dor&3", "my password is [secret]"),
        ("postgres://admin:s3cret@db.internal/x", "postgres://[secret]/x"),
        ('API_KEY="9f8a7b6c5d4e3f2a1b0c"', 'API_KEY="[secret]"'),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nbye", "[secret]\nbye"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut off", "[secret]"),
        ("pay 0x52908400098527886E0F7030069857D2E4169EE7", "pay [wallet]"),
        (r'{"text":"a\nb\n4111111111111111\nx"}', r'{"text":"a\nb\n[card]\nx"}'),
        (r'{"e":"jane\u0040example.com"}', '{"e":"[email]"}'),
        (r"{\"e\":\"jane\\u0040example.com\"}", r"{\"e\":\"[email]\"}"),
    ],
)
def test_found_and_masked_exactly(text: str, expected: str) -> None:
    assert _masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How do I activate my card?",
        "my password is not working",
        "Password: ********",
        "def f(password: str) -> None: ...",
        "password = os.environ['PASSWORD']",
        "max_tokens: 4096, the api key is required",
        "time 12:34:56, loopback 127.0.0.1, version 1.2.3.4, v1.2.3.4",
        "std::vector<a::b> x; @decorator; a @ b",
        "In 2019 - 2021 we sold 1,234,567 units for $12,345,678.90",
        "on 2000-04-16 and 24.12.1999, 1990-2000, 12 000 000 people",
        "order number 12345678901, ISBN 978-3-16-148410-0",
        "1234567890123 ms, uuid 123e4567-e89b-12d3-a456-426614174000",
        "sha 4111111111111111aabbccddeeff00112233445566778899",
        "pi is 3.14159265358979323846",
        "150/100 * $50,000 = $75,000",
        "Is 17077 a prime number?",
        "4111 1111 1111 1112",
        "DE89370400440532013001",
    ],
)
def test_left_alone(text: str) -> None:
    assert _masked(text) == text


def test_offsets_are_those_of_the_original() -> None:
    text = "\u200b\u200bx é ４１１１\u200b１１１１１１１１１１１１ and a\u200b@b.com"
    spans = _DETECTOR.scan(text)
    assert [span.kind for span in spans] == ["card", "email"]
    assert text[spans[0].start : spans[0].end] == "４１１１\u200b１１１１１１１１１１１１"
    assert text[spans[1].start : spans[1].end] == "a\u200b@b.com"


_PIECES = st.sampled_from(
    [
        "4111111111111111",
        "a@b.com",
        " ",
        "\u200b",
        "４１",
        "\\n",
        "\\u0040",
        "é",
        "İ",
        "+49 30 1234567",
        "password=",
        "x",
        "\0",
    ]
)


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=30).map("".join)))
def test_spans_are_ordered_disjoint_and_inside(text: str) -> None:
    end = 0
    for span in _DETECTOR.scan(text):
        assert end <= span.start < span.end <= len(text)
        assert 0 < span.confidence <= 1
        end = span.end


@given(st.text(max_size=200))
def test_folding_keeps_places(text: str) -> None:
    folded, places = fold(text)
    if places is None:
        assert len(folded) == len(text)
    else:
        assert len(places) == len(folded) + 1
        assert list(places) == sorted(places)
        assert places[-1] == len(text)


@given(st.text("abc \n.,", max_size=40), st.text("abc \n.,", max_size=40))
def test_a_card_is_found_wherever_it_stands(before: str, after: str) -> None:
    text = f"{before} 4111 1111 1111 1111 {after}"
    assert "card" in {span.kind for span in _DETECTOR.scan(text)}


def test_masking_spans_of_any_detector_in_any_order() -> None:
    first = PrivacySpan(start=2, end=5, kind="a", confidence=0.5)
    second = PrivacySpan(start=4, end=8, kind="b", confidence=0.9)
    assert mask("0123456789", [second, first]) == "01[b]89"


_SIZE = 200_000
_HOSTILE = [
    *("a", "@", "a@", "a.", "1", "1 ", "1-", "1.", "12 ", "1.1.1.", "a:b:", "aa11 ", "(1", "\\", "\\n", "\u200b1", "٣"),
    *("4111 1111 1111 1111 ", "AB123456", "12345678Z ", "x1234567L ", "GB11 ", "card 41111111", "phone 12345 "),
    *("sk-a", "eyJaaaaaaaa.", "eyJaaaaaaaaaaa.eyJ", "password=", "password is ", "token=", "bearer a", "://a:"),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "account ", "born ", "ssn ", " at a dot ", "[at]", "a[dot]", "İ"),
]


def _seconds(text: str) -> float:
    start = time.perf_counter()
    _DETECTOR.scan(text)
    return time.perf_counter() - start


@pytest.fixture(scope="module")
def benign_seconds() -> float:
    sentence = (
        "Please tell Mr. Miller, who paid $1,250.50 on 12 May, that order 3321 ships to 42 High Street at 10:30. "
    )
    text = (sentence * (_SIZE // len(sentence) + 1))[:_SIZE]
    return max(_seconds(text) for _ in range(3))


@pytest.mark.parametrize("unit", _HOSTILE)
def test_hostile_text_costs_no_more_than_a_few_benign_ones(unit: str, benign_seconds: float) -> None:
    """Quadratic matching shows as a factor of hundreds at this size, so 60 is generous in both directions."""
    hostile = unit * (_SIZE // len(unit))
    factor = _seconds(hostile) / benign_seconds
    if factor >= 60:  # the machine may have been busy elsewhere
        factor = _seconds(hostile) / benign_seconds
    assert factor < 60
