"""What keys, tokens and passwords look like: the issuers' own formats (secret_tokens.toml), and values after a name
such as `password` or `api_key`. How surely a value is a secret: secret_values.py.
"""

from __future__ import annotations

import re
import tomllib
from base64 import b64decode
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from insource.core.values import PrivacySpan
from insource.traffic.rules import Subject, mentions
from insource.traffic.secret_values import is_made_up, is_placeholder, is_random, password_confidence

_TOKENS_FILE = Path(__file__).with_name("secret_tokens.toml")
_SURE, _STANDS_FOR = 0.99, 0.3
"""Of a token, and of what only stands for a secret."""


def secrets(subject: Subject) -> Iterator[PrivacySpan]:
    """Of every kind; spans may overlap."""
    text, lowered = subject.text, subject.lowered
    if subject.tokens:
        yield from _tokens(subject)
        yield from _named(subject)
        yield from _of_services(subject)
    if "private key" in lowered:
        for match in _PRIVATE_KEY.finditer(text):
            yield _span(match.span(), 1.0)
    if "://" in text:
        yield from _in_urls(text)
    if mentions(lowered, _PASSWORD_MARKERS):
        yield from _passwords(text)
    if mentions(lowered, ("bearer", "basic")):
        for match in _AUTHORIZATION.finditer(text):
            confidence = _authorization(match)
            if confidence:
                yield _span(match.span(match.lastgroup or 0), confidence)


def _span(place: tuple[int, int], confidence: float) -> PrivacySpan:
    return PrivacySpan(start=place[0], end=place[1], kind="secret", confidence=confidence)


# ----------------------------------------------------------------------------------------------------- tokens


@lru_cache(maxsize=1)
def _token_rules() -> tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]:
    """The markers and the pattern of each issuer."""
    table: dict[str, tuple[str, str]] = tomllib.loads(_TOKENS_FILE.read_text("utf-8"))["tokens"]
    return tuple(
        (tuple(markers.split()), re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})")) for markers, pattern in table.values()
    )


def _tokens(subject: Subject) -> Iterator[PrivacySpan]:
    for markers, pattern in _token_rules():
        if mentions(subject.tokens, markers) or not subject.words.isdisjoint(markers):
            for match in pattern.finditer(subject.text):
                yield _span(match.span(), _STANDS_FOR if is_placeholder(_own_part(match.group(), markers)) else _SURE)


def _own_part(token: str, markers: tuple[str, ...]) -> str:
    """Without what the issuer puts before every token of its."""
    lowered = token.lower()
    prefix = max((marker for marker in markers if lowered.startswith(marker)), key=len, default="")
    return token[len(prefix) :]


_PRIVATE_KEY = re.compile(
    r"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){0,16384}"
    r"(?:-{5}(?:END[ A-Z0-9]{0,60}-{5})?)?",
    re.IGNORECASE,
)

# ------------------------------------------------------------------------------------------------ after a name

_GAP = r"[\"'`\]]{0,2}[ \t]{0,3}(?:=>|:=|[:=])[ \t]{0,3}"
_PASSWORD_MARKERS = ("passw", "passphrase", "passcode", "pwd", "kennwort", "contraseña", "mot de passe", "senha")
_PASSWORDS = re.compile(
    r"(?:pass(?:word|wd|phrase|code|wort)|(?<![`$(])pwd|kennwort|contraseña|mot de passe|senha)"
    rf"(?:{_GAP}(?P<quote>[\"'`]?)|[ \t]{{1,3}}(?P<prose>is|was|ist|est|es|to)[ \t:]{{1,3}}[\"'`]?)"
    r"(?P<value>[^\s\"'`,;]{4,256})",
    re.IGNORECASE,
)
_URL = re.compile(r"://(?P<user>[^\s/:@?#\"'<>{}]{0,128}):(?P<password>[^\s/@?#\"']{1,256})@(?P<host>[\w.-]{0,128})")
_AUTHORIZATION = re.compile(
    r"\b(?:bearer[ \t]{1,4}(?P<bearer>[A-Za-z0-9._~+/=-]{16,4096})"
    r"|basic[ \t]{1,4}(?P<basic>[A-Za-z0-9+/]{8,1024}={0,2}))",
    re.IGNORECASE,
)
_STRONG = re.compile(
    r"(?:(?:api|access|auth|private|client|encryption|signing|master|refresh|bot|deploy|service|admin|webhook|subscription|license"
    r"|app(?:lication)?|account|storage|shared|session|consumer|oauth|user)[ _.-]{0,2}(?:key|token|credentials?)"
    r"|secret[ _.-]?(?:access[ _.-]?)?(?:key|token)?|credentials?)$"
)
"""Before a value: a name that nothing but a secret has; `cache_key` and `page_token` are other things."""
_NAME = re.compile(rf"(?:key|token|secret|credentials?)s?(?:[ _-]?v?\d)?(?:{_GAP}|[ \t]is[ \t:]{{1,3}})[\"'`]?")
_VALUE = re.compile(r"[A-Za-z0-9+/_=.~-]{16,4096}")
_ATTRIBUTE = re.compile(r"[A-Za-z_]\w{0,40}(?:\.[A-Za-z_]\w{0,40}){1,8}")
_UUID_OR_HASH = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE
)


def _passwords(text: str) -> Iterator[PrivacySpan]:
    for match in _PASSWORDS.finditer(text):
        value, place = match["value"], match.span("value")
        if match["prose"]:
            confidence = 0.75 if is_made_up(value) else 0.0
        else:
            rest = text[place[1] : place[1] + 2].lstrip("\"'`,;}) \t")
            ends_line = rest[:1] in ("", "\n", "\r")
            confidence = password_confidence(value, quoted=bool(match["quote"]), ends_line=ends_line)
        if confidence:
            yield _span(place, confidence)


def _authorization(match: re.Match[str]) -> float:
    """Of an HTTP header's value; what follows `basic` is user and password in base64, or prose."""
    if match["bearer"]:
        return 0.95 if is_random(match["bearer"]) else _STANDS_FOR
    try:
        _, colon, password = b64decode(match["basic"]).decode().partition(":")
    except ValueError:
        return 0.0
    return password_confidence(password, quoted=True, ends_line=True) if colon else 0.0


def _in_urls(text: str) -> Iterator[PrivacySpan]:
    """User and password of a URL; a plain word beside localhost or a reserved host stands for one."""
    for match in _URL.finditer(text):
        password = match["password"]
        confidence = password_confidence(password, quoted=True, ends_line=True)
        if password == match["user"] or (password.isalpha() and "." not in match["host"]):
            confidence = _STANDS_FOR
        yield _span((match.start("user"), match.end("password")), 1.0 if confidence > _STANDS_FOR else _STANDS_FOR)


def _named(subject: Subject) -> Iterator[PrivacySpan]:
    """A random value after `api_key`; after a mere `key` or `token` no hash and no UUID, which are ids there."""
    text, lowered = subject.text, subject.lowered
    end_of_last = 0
    for name in _NAME.finditer(lowered):
        match = _VALUE.match(text, name.end()) if name.start() >= end_of_last else None
        if not match:
            continue
        end_of_last = match.end()
        value = match.group().rstrip(".")
        place = (match.start(), match.start() + len(value))
        quoted = text[name.end() - 1 : name.end()] in ("'", '"', "`")
        if text[place[1] : place[1] + 1] in ("(", "[") or (not quoted and _ATTRIBUTE.fullmatch(value)):
            continue  # code that makes or fetches it
        if is_random(value) and (not _UUID_OR_HASH.fullmatch(value) or _is_strong(lowered, name)):
            yield _span(place, 0.8)
        elif is_placeholder(value):
            yield _span(place, _STANDS_FOR)


def _is_strong(lowered: str, name: re.Match[str]) -> bool:
    word = re.match(r"[a-z]+", name.group())
    return (
        word is not None and _STRONG.search(lowered, max(0, name.start() - 24), name.start() + word.end()) is not None
    )


_AFTER_SERVICE = re.compile(rf"[ \t\w.-]{{0,20}}?{_GAP}[\"'`]?(?P<value>[a-z0-9_+/=~%-]{{16,256}})(?![\w./-])")


@lru_cache(maxsize=1)
def _services() -> tuple[str, ...]:
    return tuple(tomllib.loads(_TOKENS_FILE.read_text("utf-8"))["services"]["names"].split())


def _of_services(subject: Subject) -> Iterator[PrivacySpan]:
    """A random value after the name of a service whose keys have no shape of their own."""
    for name in _services():
        if name in subject.vocabulary:
            for at in re.finditer(rf"(?<![a-z]){name}", subject.lowered):
                match = _AFTER_SERVICE.match(subject.lowered, at.end())
                if match and is_random(subject.text[slice(*match.span("value"))]):
                    yield _span(match.span("value"), 0.75)
