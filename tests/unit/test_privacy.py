"""The pattern detector: what it finds, what it leaves, where, and in what time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.policy import LEAST_CONFIDENCE
from insource.core.values import PrivacySpan
from insource.traffic.privacy import PatternDetector, mask

_DETECTOR = PatternDetector()


def _masked(text: str) -> str:
    return mask(text, [span for span in _DETECTOR.scan(text) if span.confidence >= LEAST_CONFIDENCE])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe+news@mail.okon.co.uk now", "write to [email] now"),
        ("your email is a.b@okon.com. Is that right?", "your email is [email]. Is that right?"),
        ("jane [at] okon [dot] com", "[email]"),
        ("jane at okon dot com", "[email]"),
        ("john(at)okon(dot)org", "[email]"),
        ("ask a＠ｏｋｏｎ．ｃｏｍ", "ask [email]"),
        ("j\u200bane@ok\u200bon.com", "[email]"),
        ("?to=bob%40okon.com", "?to=[email]"),
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
        ("from 85.214.132.117 and 2a00:1450:4001:81b::200e here", "from [ip] and [ip] here"),
        ("00:1B:63:84:45:E6", "[mac]"),
        ("SSN 536-22-8726", "SSN [national_id]"),
        ("NINO AB 12 34 56 C", "NINO [national_id]"),
        ("BSN: 111222333", "BSN: [national_id]"),
        ("DNI 12345678Z, NIE X1234567L", "DNI [national_id], NIE [national_id]"),
        ("CF RSSMRA85T10A562S", "CF [national_id]"),
        ("passport number X12345678", "passport number [national_id]"),
        ("The number of my driver's license: 7281846", "The number of my driver's license: [national_id]"),
        ("born on 12 March 1985", "born on [birth_date]"),
        ("DOB: 1985-03-12", "DOB: [birth_date]"),
        ("account number 12345678", "account number [bank_account]"),
        ("AKIAQ3EGWZ7TN5LUVB2C", "[secret]"),
        ("sk-ant-api03-tR4w9ZkQ1xLm7VbN2cYp8HsD", "[secret]"),
        ("Authorization: Bearer q7Zt0Lw93kVbX2nRd8Jm", "Authorization: Bearer [secret]"),
        ("password=hunter2", "password=[secret]"),
        ('{"password": "correcthorse"}', '{"password": "[secret]"}'),
        ("my password is Tr0ub4dor&3", "my password is [secret]"),
        ("postgres://admin:s3cret@db.internal/x", "postgres://[secret]@db.internal/x"),
        ('API_KEY="9f8a7b6c5d4e3f2a1b0c"', 'API_KEY="[secret]"'),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nbye", "[secret]\nbye"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE cut off", "[secret]"),
        ("pay 0x52908400098527886E0F7030069857D2E4169EE7", "pay [wallet]"),
        (r'{"text":"a\nb\n4111111111111111\nx"}', r'{"text":"a\nb\n[card]\nx"}'),
        (r'{"e":"jane\u0040okon.com"}', '{"e":"[email]"}'),
        (r"{\"e\":\"jane\\u0040okon.com\"}", r"{\"e\":\"[email]\"}"),
        (r"mail = 'jane\\x40okon.com'", "mail = '[email]'"),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[card]"),
        ("4111 1111\\n1111 1111", "[card]"),
        ("DE89 3704 0044\\n0532 0130 00", "[iban]"),
        ("my phone: 5 5 5 1 2 3 4 5 6 7", "my phone: [phone]"),
        ("user@[192.0.2.1] and x", "user@[192.0.2.1] and x"),
        ('{"phone": 2125551234, "x": 1}', '{"phone": [phone], "x": 1}'),
        ("# TODO: ask jane@okon.com", "# TODO: ask [email]"),
        ("17,4111111111111111,12/26", "17,[card],12/26"),
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
        "10.0.3.7, 192.168.1.1, 172.16.0.0/12, 203.0.113.9, 2001:db8::1, 169.254.0.1, fe80::1234:5:6",
        "pkg==4.5.6.70, section 5.7.5.6, RFC 7518 6.2.1.2",
        "git clone git@github.com:org/repo.git; ssh://git@host.org/x; npm i @types/node@22.1.0; icon@2x.png",
        "someone@example.com, a@mail.example.org, x@y.test, me@printer.local, you@yourdomain.com",
        "support@okon.com, noreply@okon.com, info@okon.com, python-dev@lists.okon.org",
        "postgres://user:password@localhost/db, mysql://root:root@db/x, https://user:<password>@host.org",
        "USDT is 0xdAC17F958D2ee523a2206206994597C13D831ec7",
        '{"id": 2125551234, "tabGroupId": 1483920571, "pageId": 9162837465, "account_ref": 4155552671}',
        "https://wiki.okon.com/pages/viewpage.action?pageId=2125551234",
        "# Copyright (c) 2019 Jane Okon <jane@okon.com>",
        " * Written by Jane Okon <jane@okon.com>, 2003/12/01",
        '__author__ = "Jane Okon <jane@okon.com>"',
        "Free Software Foundation, 51 Franklin Street, Boston, MA 02110-1301 USA",
        "047 0654 ; [.2672.0021.0002] # x 0065 0302 0341 0041",
        'd="M12 2a14.5 14.5 0 0 0 0 20 14.5 14.5 0 0 0 0-20"',
        "541E 543E 5426 544E 5427 5446 5443 5433 5448 5442 541B",
        "2.6526069738107440621, 0.30055847531498704",
        "my SSN is 123-45-6789, or 078-05-1120",
        "key = base64.b64decode(text); CLIENT_KEY = 'storage_v1_client'; cache_key: 9f86d081884c7d659a2feaa0c55ad015",
        "login(user=args.user, password=args.auth_password); password = getpass(); password: string; passwd=passwd",
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
        "std::copy(a::b, c::d); sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
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
