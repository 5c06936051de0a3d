"""Whether a value in the place of a secret is one: made by a machine, chosen by a person, or only standing for another
(`YOUR_API_KEY`, `sk-xxxx`, `<token>`), or code that fetches it. Pure.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import groupby, pairwise

_STANDS_FOR = re.compile(
    r"your|example|sample|dummy|place.?holder|x{4}|redact|change.?(?:me|it|this)|insert|replace|fake|foobar|mock|todo|token_?here"
    r"|key_?here|qwert|asdf|lorem|hidden|masked|censored|removed|deadbeef|not.?a.?(?:real|secret)|test.?(?:key|token)"
    r"|(?:api|secret|access|private|auth).?(?:key|token)|[*•.…]{3}|[<>{}$]|^%\w+%$"
)
_NOT_SECRETS = (
    "str string int bool none null nil true false text bytes object any optional required value void undefined number "
    "char password passwd pass passphrase passcode pwd pw token secret key example changeme redacted hidden masked "
    "incorrect invalid missing wrong expired forgotten default empty unknown user username admin root guest test "
    "testing demo sekrit foo bar baz qux foobar public private prompt ask env vault tiger postgres mysql password1 "
    "password123 pass123 test123 secret123 admin123 mypassword mypass mysecret yourpassword"
)
"""Types, states and the words that examples use."""
_WORDS = frozenset(_NOT_SECRETS.split())
_SEGMENTS = re.compile(r"[-_./:+=]")
_WORD = re.compile(r"[A-Za-z]?[a-z]{1,13}\d{0,2}|[A-Z]{2,14}|\d{1,4}|v\d{1,3}")
_CODE = re.compile(r"[(\[{<$%`\\]|->|::|=>|\w\.[A-Za-z_]\w*$")
_VERSION = re.compile(r"[\^~<>=v]{0,2}\d{1,4}(?:\.\d{1,4}){1,3}[\w.-]{0,16}")
_FETCHED = re.compile(r"environ|getenv|process\.env|getpass|input\(")
_SPELT_BY_CHANCE = 7
"""Letters from which a word in random characters is no chance."""
_RANDOM_BITS = 3.0
_CAMEL = re.compile(r"[A-Z]?[a-z]+(?:[A-Z][a-z]+)+")


def entropy_bits(text: str) -> float:
    """Shannon entropy per character; random base64 of 20 characters has about 3.9, English words about 3.0."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def is_placeholder(value: str) -> bool:
    """Of the part of a token after its issuer's prefix: it stands for a token. Random characters pass."""
    lowered = value.lower()
    return _says_so(value) or len(set(lowered)) <= 5 or _in_sequence(lowered) or is_wordy(value)


def _says_so(value: str) -> bool:
    """A short word among random characters is there by chance: of 36 of them, one in 5,000 spells one. Somebody who
    writes it keeps to one case, and sets it at an end or apart."""
    lowered = value.lower()
    if len(lowered) != len(value):
        return False
    for match in _STANDS_FOR.finditer(lowered):
        start, end = match.span()
        written = value[start:end]
        apart = not (value[:start][-1:].isalnum() and value[end:][:1].isalnum())
        meant = apart and (written.islower() or written.isupper() or written.istitle() or not written.isalpha())
        if meant or end - start >= _SPELT_BY_CHANCE or not _is_mixed(value[:start] + value[end:]):
            return True
    return False


def _is_mixed(value: str) -> bool:
    """Letters and digits of high entropy."""
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return mixed and entropy_bits(value) >= _RANDOM_BITS


def _in_sequence(text: str) -> bool:
    """Half of it is runs of four and more that count up or stay the same: `0123456789`, `abcdef`, `aaaa`."""
    steps = (ord(second) - ord(first) for first, second in pairwise(text))
    runs = [sum(1 for _ in run) + 1 for step, run in groupby(steps) if step in (0, 1)]
    return sum(length for length in runs if length >= 4) * 2 >= len(text)


def is_wordy(value: str) -> bool:
    """A name made of words (`sk-folding-cube`, `storage_v1_client`): mostly segments that are words, more than one."""
    segments = [segment for segment in _SEGMENTS.split(value) if segment]
    words = sum(len(segment) for segment in segments if _WORD.fullmatch(segment))
    return len(segments) >= 2 and words * 10 >= sum(map(len, segments)) * 7


def is_random(value: str) -> bool:
    """A long value that a machine made: letters and digits, high entropy, neither a name nor a placeholder."""
    return _is_mixed(value) and not is_placeholder(value) and not _CAMEL.fullmatch(value)


def password_confidence(value: str, *, quoted: bool, ends_line: bool) -> float:
    """Of a value after `password=`. 0: code, a type or a sentence; a plain word counts where it is surely a value."""
    word = value.rstrip(")]}>.:!?;,").casefold()
    if word in _WORDS or _STANDS_FOR.search(word) or len(set(word)) <= 2:
        return 0.3
    if _VERSION.fullmatch(value) or _FETCHED.search(value) or (not quoted and _CODE.search(value.rstrip(")]},;"))):
        return 0.0
    letters = value.replace("_", "").replace(".", "").replace("-", "").isalpha()
    if not letters:
        return 0.85
    if "_" in value or "." in value or "-" in value or _CAMEL.fullmatch(value):
        return 0.3  # a name, as in `password=auth_password`
    return 0.7 if quoted or ends_line else 0.3


def is_made_up(value: str) -> bool:
    """A value after `password is`, where prose goes on with a word: with digits or signs within."""
    mixed = re.search(r"\d", value) and re.search(r"[^\W\d_]", value)
    made_up = mixed or re.search(r".[!@#$%^&*+=?].", value)
    return bool(made_up) and value.casefold() not in _WORDS and _STANDS_FOR.match(value) is None
