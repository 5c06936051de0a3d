"""Payment cards and IBANs: numbers with a checksum, wherever they stand.

Each function takes the folded text and yields spans; none keeps anything. All patterns are linear: a run of digits is
taken once and judged in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from stdnum import iban, luhn

from insource.core.values import PrivacySpan
from insource.traffic.rules import compact, is_in_table

RUNS = re.compile(r"\d(?:[ .\-()/]{0,2}\d){5,}")
"""At least six digits that stand close together: where numbers are looked for at all."""

# ------------------------------------------------------------------------------------------------------- cards

_CARDS = re.compile(
    r"(?:(?<![0-9A-Za-z_])(?<!\d\.)|(?<=card)|(?<=CARD)|(?<=cc)|(?<=CC)|(?<=pan))(?=("
    r"\d{12,19}(?!\w)"
    r"|\d{4}([ .\-]{1,2})\d{4}\2\d{4}\2\d{1,7}(?:\2\d{1,3})?(?!\d)"
    r"|\d{4}([ .\-]{1,2})\d{6}\3\d{4,5}(?!\d)"
    r"|\d(?:[ .\-]{0,2}\d){11,18}(?!\w|[ .\-]{1,2}\d)"
    r"))\d"
)
_ISSUERS = re.compile(
    # Visa · Mastercard · American Express · Diners · Discover · JCB · UnionPay · Maestro · Mir
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|09|[689]\d)\d{11}(?:\d{2})?|6(?:011|4[4-9]\d|5\d\d)\d{12}(?:\d{3})?"
    r"|35(?:2[89]|[3-8]\d)\d{12}|(?:2131|1800)\d{11}|62\d{14,17}|(?:50|5[6-9]|6[0-9])\d{10,17}|220[0-4]\d{12}"
)
_MAESTRO = re.compile(r"(?:50|5[6-9]|6[0-9])\d{10,17}|4(?:\d{12}|\d{18})|3(?:0[0-5]|09|[689]\d)\d{11}(?:\d{2})?")
"""And other issuers whose numbers have many lengths: one number in thirty looks so."""
_SPOKEN_OF = re.compile(
    r"\bcards?\b|card.?n|\bcc\b|\bpan\b|credit|debit|\bvisa\b|mastercard|\bamex|maestro|karte\b|carte\b|tarjeta|cartão|カード"
)
_CARD_TALK = 200
"""Characters on both sides in which a card may be spoken of; bounded, so that many numbers cost no square."""


def cards(text: str, lowered: str, *, window: tuple[int, int]) -> Iterator[PrivacySpan]:
    """Luhn and a known issuer; Luhn alone where the text around speaks of cards. A last group that belongs to something
    else (an expiry date) is tried with and without."""
    end_of_last = 0
    for match in _CARDS.finditer(text, *window):
        if match.start() < end_of_last:
            continue
        written = match.group(1)
        for candidate in (written, written.rstrip("0123456789").rstrip(" .-")):
            digits = compact(candidate)
            if not 12 <= len(digits) <= 19 or not digits.strip("0") or not luhn.is_valid(digits):
                continue
            start = match.start()
            spoken_of = _SPOKEN_OF.search(lowered, max(0, start - _CARD_TALK), start + _CARD_TALK) is not None
            confidence = _card_confidence(candidate, spoken_of=spoken_of)
            if confidence:
                end_of_last = start + len(candidate)
                dotted = "." in candidate and text[start - 1 : start] == "."
                if dotted or (not spoken_of and not candidate.isdigit() and is_in_table(text, start, end_of_last)):
                    confidence = 0.3
                yield PrivacySpan(start=start, end=end_of_last, kind="card", confidence=confidence)
                break


def _card_confidence(written: str, *, spoken_of: bool) -> float:
    """0: not a card."""
    digits = compact(written)
    if spoken_of or not _ISSUERS.fullmatch(digits):
        return 0.0 if not spoken_of else 1.0 if _ISSUERS.fullmatch(digits) else 0.8
    lengths = {len(group) for group in re.findall(r"\d+", written)}
    several = len(set(written) - set("0123456789")) > 1
    uneven = (several and lengths != {4}) or (1 in lengths and lengths != {1})
    return 0.3 if uneven else 0.5 if _MAESTRO.fullmatch(digits) else 1.0


# ------------------------------------------------------------------------------------------------------- IBANs

_IBAN_TABLE = (
    # ISO 13616 registry, release 99: country and characters in all.
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 "
    "EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 "
    "KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 "
    "PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 "
    "UA29 VA22 VG24 XK20 YE30 "
)
_IBAN_LENGTHS: Mapping[str, int] = {entry[:2]: int(entry[2:]) for entry in _IBAN_TABLE.split()}
_IBANS = re.compile(
    r"\d\d(?<=[A-Za-z]{2}\d\d)(?:(?<![0-9A-Za-z].{4})|(?<=(?i:iban).{4}))(?=(?:[ -]{0,2}[0-9A-Za-z]){11})"
)


def ibans(text: str) -> Iterator[PrivacySpan]:
    """Country, length and mod-97. The country says where the code ends, so a word after it does no harm."""
    for match in _IBANS.finditer(text):
        start = match.start() - 2
        length = _IBAN_LENGTHS.get(text[start : start + 2].upper())
        if length is None:
            continue
        at, taken = start, 0
        while taken < length and at < len(text):
            taken += text[at] not in " -"
            at += 1
        glued = at < len(text) and text[at].isalnum()
        if taken == length and not glued and iban.is_valid(compact(text[start:at]), check_country=False):
            yield PrivacySpan(start=start, end=at, kind="iban", confidence=1.0)
