"""Phone numbers among the digits of a text. Cheap questions sort out dates, amounts, ids and tables; `phonenumbers`
(Google's tables of numbering plans) judges the few candidates that are left, since one takes it 50 µs.

Reads the folded text; every pattern is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from insource.core.values import PrivacySpan
from insource.traffic.rules import Subject, is_in_table

_EXTENSION = re.compile(r"[ ]?(?:x|ext\.?|#)[ ]?\d{1,6}(?!\w)", re.IGNORECASE)
_SPOKEN_OF = re.compile(
    r"phone|\btel\b|\btel[.:]|telefon|télé|tél\b|teléfono|\bcell|mobile\b|mobil\b|handy|\bfax|whatsapp|\bsms\b|hotline|landline"
    r"|rufnummer|anruf|numéro|número|celular|móvil|\bdial|电话|電話|전화"
    r"|(?:my|his|her|your|our|their|contact|office|home|work|registered) number|numbers? (?:at|to call)"
)
_DIRECTLY_BEFORE = re.compile(
    r"\b(?:call(?:ed|ing)?|reach|ring|rang|text(?:ed)?|messages?|contact|office|home|answer(?:s|ing)?|signal|number is"
    r"|sms)(?:['’]s)?(?:\s\w{1,12}){0,4}[\s:]{0,3}\+?\(?$"
)
_DIRECTLY_AFTER = re.compile(r"[ -](?:office|home|work|cell|mobile|fax|phone)\b")
_HEX_GOES_ON = re.compile(r"-[0-9a-f]{1,4}(?![a-z])", re.IGNORECASE)
_NOT_PHONE_WORDS = re.compile(
    r"(?:order|invoice|ticket|reference|ref|transaction|tracking|isbn|issn|serial|case|article|item|flight|version"
    r"|room|page|zip|postcode|account|policy|model|doi|pmid|arxiv|rfc|issue|bug|build|revision|commit|timestamp)"
    r"(?: (?:number|no\.?|id|code))?[ :#/=]{0,3}(?:is )?$"
)
_DATE = re.compile(
    r"(?:(?:1[5-9]|20)\d{2}([./ -] ?)(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])([./-] ?)(?:0?[1-9]|[12]\d|3[01])\2(?:1[5-9]|20)?\d{2})(?![./-]?\d)"
)
_DIGITS = re.compile(r"\d+")
_NANP = re.compile(r"(?<!\d)(?:\+?1[ .\-])?\(?[2-9]\d{2}(?:\)[ ]?|[ .\-])\d{3}[ .\-]\d{4}(?!\d)")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3})+")
_YEARS = re.compile(r"(?:1[5-9]|20)\d{2}[ ]?[-/][ ]?(?:1[5-9]|20)\d{2}")
_AMOUNT_BEFORE = re.compile(r"[$€£¥₹=*×]\s?$|(?:\b(?:usd|eur|gbp|rs\.?))\s?$")
_ZIP = re.compile(r"\d{5}-\d{4}")
_DOTTED = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")

_REGIONS = ("DE", "FR", "GB", "IT", "JP", "AU", "IN", "SE", "KR", "NL", "IL", "CN")
"""Whose national forms, with a 0 in front, are tried: numbering plans unlike each other, that cover those of others."""
_BEFORE, _AFTER = 60, 14


def phones(subject: Subject, *, run: tuple[int, int]) -> Iterator[PrivacySpan]:
    """International and national forms among the digits of one run. Forms that amounts and identifiers share count
    only beside a word such as "phone" or "fax"."""
    text, lowered = subject.text, subject.lowered
    start, end = run
    while start > run[0] - 2 and start > 0 and text[start - 1] in "+(":
        start -= 1
    count = sum(map(str.isdigit, text[start:end]))
    if count > 15:
        if not is_in_table(text, start, end):
            for part in _NANP.finditer(text, start, end):
                if _is_valid(part.group(), "US"):
                    yield PrivacySpan(start=part.start(), end=part.end(), kind="phone", confidence=0.7)
    elif count >= 7 and not _is_something_else(text, lowered, (start, end)):
        extension = _EXTENSION.match(text, end)
        spoken = extension is not None or _is_spoken_of(lowered, start, end)
        confidence = _confidence(text, (start, end), spoken=spoken)
        if confidence:
            end = extension.end() if extension else end
            yield PrivacySpan(start=start, end=end, kind="phone", confidence=confidence)


def _is_spoken_of(lowered: str, start: int, end: int) -> bool:
    since = max(0, start - _BEFORE)
    if _SPOKEN_OF.search(lowered, since, min(len(lowered), end + _AFTER)):
        return True
    return bool(_DIRECTLY_BEFORE.search(lowered[since:start]) or _DIRECTLY_AFTER.match(lowered, end))


def _is_something_else(text: str, lowered: str, place: tuple[int, int]) -> bool:
    """A date, a range of years, an amount, an order number, a part of a longer number or name."""
    start, end = place
    written, before, after = text[start:end], lowered[max(0, start - 40) : start], text[end : end + 2]
    glued = after[:1].isalpha() or after[:1] == "_" or before[-1:].isalnum() or before[-1:] == "_"
    if glued and not (_EXTENSION.match(text, end) and not before[-1:].isalnum()):
        return True
    goes_on = (after[:1] in (",", "%", "=", ":", ".") and after[1:].isdigit()) or _HEX_GOES_ON.match(text, end)
    came_before = before[-1:] in (",", "-", ":", ".") and before[-2:-1].isdigit()
    in_path = before[-1:] == "/" or after[:1] == "/"
    patterns = (
        _AMOUNT_BEFORE.search(before),
        _DATE.match(written),
        _YEARS.fullmatch(written),
        _DOTTED.fullmatch(written),
    )
    return bool(goes_on) or came_before or in_path or any(patterns) or _NOT_PHONE_WORDS.search(before) is not None


def _confidence(text: str, place: tuple[int, int], *, spoken: bool) -> float:
    """0: not a phone number."""
    written = text[slice(*place)]
    groups: list[str] = _DIGITS.findall(written)
    digits = "".join(groups)
    if len(set(digits)) == 1:
        return 0.0
    if written.startswith(("+", "(+")):
        if _is_valid(f"+{digits}", None):
            return 0.95
        return 0.75 if spoken else 0.7 if _is_possible(f"+{digits}") and not is_in_table(text, *place) else 0.5
    if digits.startswith("00") and digits[2] != "0" and len(digits) >= 9:
        return 0.9 if _is_valid(f"+{digits[2:]}", None) else 0.7 if spoken else 0.3
    if not spoken and is_in_table(text, *place):
        return 0.3
    if _NANP.fullmatch(written):
        return 0.9 if spoken else 0.85 if _is_valid(written, "US") else 0.5
    return _national(written, groups, spoken=spoken)


def _national(written: str, groups: list[str], *, spoken: bool) -> float:
    digits, separators = "".join(groups), set(written) - set("0123456789")
    if "/" in separators and digits[0] != "0":  # a fraction, a list of codes
        return 0.0
    if all(len(group) == 1 for group in groups):  # each digit by itself, as in `5 5 5 1 2 3 …`
        return 0.7 if spoken else 0.3
    if len(groups) == 2 and (separators == {"."} or (separators == {"-"} and _is_range(*groups))):
        return 0.0
    grouped = len(groups) >= 2 and all(2 <= len(group) <= 8 for group in groups) and len(separators) <= 4
    if spoken and (grouped or (len(groups) == 1 and len(digits) <= 13)):
        return 0.75
    if _ZIP.fullmatch(written):
        return 0.0
    if len(groups) > 2 and all(group[0] == "0" for group in groups):  # bytes, code points
        return 0.0
    if grouped and digits[0] == "0" and 9 <= len(digits) <= 12:
        return 0.7 if any(_is_valid(written, region) for region in _REGIONS) else 0.4
    if grouped and "(" in written and len(digits) >= 8:
        return 0.65 if "(0" in written or _is_valid(written, "US") else 0.45
    if len(groups) == 1:
        return 0.4 if len(digits) == 10 and digits[0] in "23456789" and digits[3] in "23456789" else 0.0
    if len(groups) == 2 and len(digits) == 7 and len(groups[0]) == 3 and separators == {"-"}:
        return 0.4
    many = grouped and len(groups) >= 3 and len(digits) >= 8 and all(len(group) <= 4 for group in groups)
    return 0.4 if many and not _THOUSANDS.fullmatch(written) else 0.0


def _is_range(first: str, last: str) -> bool:
    return len(first) == len(last) <= 5 and first < last


@lru_cache(maxsize=1024)
def _is_valid(written: str, region: str | None) -> bool:
    """In the numbering plan of a region (None: of the country code in front)."""
    import phonenumbers  # here, because most processes never meet a candidate

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(written, region))
    except phonenumbers.NumberParseException:
        return False


def _is_possible(written: str) -> bool:
    """A country's code and as many digits as its numbers have: one not given out yet, or kept for films."""
    import phonenumbers

    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(written))
    except phonenumbers.NumberParseException:
        return False
