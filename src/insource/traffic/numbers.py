"""Payment cards, phone numbers, IBANs and network addresses: numbers whose reading depends on what stands around them.

Each function takes the folded text and yields spans; none keeps anything. All patterns are linear: a run of digits is
taken once, possessively, and judged in Python.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from insource.core.values import PrivacySpan
from insource.traffic import checksums
from insource.traffic.rules import compact

# ------------------------------------------------------------------------------------------------------- cards

_CARDS = re.compile(
    r"(?:(?<![0-9A-Za-z_])|(?<=card)|(?<=CARD)|(?<=cc)|(?<=CC)|(?<=pan))(?=("
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
_CARD_WORDS = ("card", "cc ", "credit", "debit", "visa", "mastercard", "amex", "maestro", "karte", "carte", "tarjeta")
_CARD_TALK = 300
"""Characters on both sides in which a card may be spoken of; bounded, so that many numbers cost no square."""


def cards(text: str, lowered: str, *, window: tuple[int, int]) -> Iterator[PrivacySpan]:
    """Luhn and a known issuer; Luhn alone where the text around speaks of cards. A last group that belongs to something
    else (an expiry date) is tried with and without."""
    around = lowered[max(0, window[0] - _CARD_TALK) : window[1] + _CARD_TALK]
    spoken_of = any(word in around for word in _CARD_WORDS)
    end_of_last = 0
    for match in _CARDS.finditer(text, *window):
        if match.start() < end_of_last:
            continue
        written = match.group(1)
        for candidate in (written, written.rstrip("0123456789").rstrip(" .-")):
            digits = compact(candidate)
            if 12 <= len(digits) <= 19 and (spoken_of or _ISSUERS.fullmatch(digits)) and checksums.luhn(digits):
                end_of_last = match.start() + len(candidate)
                confidence = 1.0 if _ISSUERS.fullmatch(digits) else 0.8
                yield PrivacySpan(start=match.start(), end=end_of_last, kind="card", confidence=confidence)
                break


# ------------------------------------------------------------------------------------------------------- IBANs

_IBANS = re.compile(r"\d\d(?<=[A-Za-z]{2}\d\d)(?:(?<![0-9A-Za-z].{4})|(?<=(?i:iban).{4}))(?=(?:[ -]?[0-9A-Za-z]){11})")


def ibans(text: str) -> Iterator[PrivacySpan]:
    """Country, length and mod-97. The country says where the code ends, so a word after it does no harm."""
    for match in _IBANS.finditer(text):
        start = match.start() - 2
        length = checksums.iban_length(text[start : start + 2].upper())
        if length is None:
            continue
        at, taken = start, 0
        while taken < length and at < len(text):
            taken += text[at] not in " -"
            at += 1
        glued = at < len(text) and text[at].isalnum()
        if taken == length and not glued and checksums.iban(compact(text[start:at]).upper()):
            yield PrivacySpan(start=start, end=at, kind="iban", confidence=1.0)


# ----------------------------------------------------------------------------------------------------- addresses

_IP4 = re.compile(r"\d(?<![\w.]\d)\d{0,2}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\w|\.\d)")
_IP6 = re.compile(r"[0-9A-Fa-f:](?<![\w:.].)[0-9A-Fa-f]{0,3}:[0-9A-Fa-f:]{2,39}+(?:\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])")
_MAC = re.compile(r"[0-9A-Fa-f](?<![\w:-].)[0-9A-Fa-f]([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])")
_NOBODY = frozenset({"0.0.0.0", "127.0.0.1", "255.255.255.255", "255.255.255.0", "::", "::1"})
_VERSION = re.compile(r"(?i)(?:\bv|version|release|build)[ .:]{0,2}$")


def addresses(text: str) -> Iterator[PrivacySpan]:
    """IP addresses that may lead to somebody (not loopback, not a mask, not a version number), and MAC addresses."""
    patterns = ([_IP4] if text.count(".") >= 3 else []) + ([_IP6] if text.count(":") >= 2 else [])
    for pattern in patterns:
        for match in pattern.finditer(text):
            written = match.group()
            if written in _NOBODY or _VERSION.search(text[max(0, match.start() - 12) : match.start()]):
                continue
            if pattern is _IP6 and not (any(c.isdigit() for c in written) and written.count(":") >= 3):
                continue
            try:
                ipaddress.ip_address(written)
            except ValueError:
                continue
            yield PrivacySpan(start=match.start(), end=match.end(), kind="ip", confidence=0.95)
    if text.count(":") >= 5 or text.count("-") >= 5:
        for match in _MAC.finditer(text):
            yield PrivacySpan(start=match.start(), end=match.end(), kind="mac", confidence=0.9)


# ------------------------------------------------------------------------------------------------------- phones

RUNS = re.compile(r"\d(?:[ .\-()/]{0,2}\d){5,}")
"""At least six digits that stand close together: where numbers are looked for at all."""
_EXTENSION = re.compile(r"[ ]?(?:x|ext\.?|#)[ ]?\d{1,6}(?!\w)", re.IGNORECASE)
_PHONE_WORDS = re.compile(
    r"phone|\btel\b|telefon|télé|tél\b|\bcall|\bcell|mobile|mobil\b|handy|\bfax|contact|\bsms|\btext|whatsapp|signal"
    r"|\bring\b|\bdial|\breach|answer|message|hotline|landline|office|registered|rufnummer|anruf|numéro|número"
    r"|(?:my|his|her|your|our|their) number|number (?:at|to call)"
)
_NOT_PHONE_WORDS = re.compile(
    r"(?i)(?:order|invoice|ticket|reference|ref|transaction|tracking|isbn|issn|serial|case|article|item|flight|version"
    r"|room|page|zip|postcode|account|policy|model)(?: (?:number|no\.?|id|code))?[ :#]{0,3}(?:is )?$"
)
_DATE = re.compile(
    r"(?:(?:1[5-9]|20)\d{2}([./-])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])([./-])(?:0?[1-9]|[12]\d|3[01])\2(?:1[5-9]|20)?\d{2})(?![./-]?\d)"
)
_DIGITS = re.compile(r"\d+")
_NANP = re.compile(r"(?<!\d)(?:\+?1[ .\-])?\(?[2-9]\d{2}(?:\)[ ]?|[ .\-])\d{3}[ .\-]\d{4}(?!\d)")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3})+")
_YEARS = re.compile(r"(?:1[5-9]|20)\d{2}[ ]?[-/][ ]?(?:1[5-9]|20)\d{2}")
_AMOUNT_BEFORE = re.compile(r"[$€£¥₹=*×]\s?$|(?i:\b(?:usd|eur|gbp|rs\.?))\s?$")


def phones(text: str, lowered: str, *, run: tuple[int, int]) -> Iterator[PrivacySpan]:
    """International and national forms among the digits of one run. Forms that amounts and identifiers share count
    only beside a word such as "call" or "fax"."""
    start, end = run
    while start > run[0] - 2 and start > 0 and text[start - 1] in "+(":
        start -= 1
    count = sum(map(str.isdigit, text[start:end]))
    if count > 15:
        for part in _NANP.finditer(text, start, end):
            yield PrivacySpan(start=part.start(), end=part.end(), kind="phone", confidence=0.7)
    elif count >= 7 and not _is_something_else(text, start, end):
        confidence = _phone_confidence(text, start, end, lowered=lowered)
        if confidence:
            extension = _EXTENSION.match(text, end)
            end = extension.end() if extension else end
            yield PrivacySpan(start=start, end=end, kind="phone", confidence=confidence)


def _is_something_else(text: str, start: int, end: int) -> bool:
    """A date, a range of years, an amount, an order number, a part of a longer number or name."""
    written, before, after = text[start:end], text[max(0, start - 40) : start], text[end : end + 2]
    glued = after[:1].isalpha() or after[:1] == "_" or before[-1:].isalnum() or before[-1:] == "_"
    if glued and not (_EXTENSION.match(text, end) and not before[-1:].isalnum()):
        return True
    goes_on = after[:1] in (",", "%", "=") and after[1:].isdigit()
    came_before = before[-1:] in (",", "-", ":", ".") and before[-2:-1].isdigit()
    patterns = (_AMOUNT_BEFORE.search(before), _DATE.match(written), _YEARS.fullmatch(written), _IP4.fullmatch(written))
    return goes_on or came_before or any(patterns) or _NOT_PHONE_WORDS.search(before) is not None


def _phone_confidence(text: str, start: int, end: int, *, lowered: str) -> float:
    """0: not a phone number."""
    written = text[start:end]
    groups: list[str] = _DIGITS.findall(written)
    digits = "".join(groups)
    if len(set(digits)) == 1:
        return 0.0
    if written.startswith(("+", "(+")) or (written.startswith("00") and digits[2] != "0" and len(digits) >= 9):
        return 0.95
    near = _PHONE_WORDS.search(lowered, max(0, start - 60), min(len(text), end + 14)) is not None
    if _NANP.fullmatch(written):
        return 0.9
    separators = set(written) - set("0123456789")
    if "/" in separators and digits[0] != "0":  # a fraction, a list of codes
        return 0.0
    grouped = len(groups) >= 2 and all(2 <= len(group) <= 8 for group in groups) and len(separators) <= 4
    if grouped and "(" in written and len(digits) >= 8:
        return 0.85
    if grouped and digits[0] == "0" and 9 <= len(digits) <= 12:
        return 0.8
    if near and (grouped or (len(groups) == 1 and len(digits) <= 13)):
        return 0.7
    if len(groups) == 1:
        return 0.5 if len(digits) == 10 and digits[0] in "23456789" and digits[3] in "23456789" else 0.0
    if len(groups) == 2 and len(digits) == 7 and len(groups[0]) == 3 and separators == {"-"}:
        return 0.5
    many = grouped and len(groups) >= 3 and len(digits) >= 8 and all(len(group) <= 4 for group in groups)
    return 0.55 if many and not _THOUSANDS.fullmatch(written) else 0.0
