"""What keys, tokens and passwords look like: a table of rules, each with the markers without which it can't match."""

from __future__ import annotations

import math
import re
from collections import Counter

from insource.traffic.rules import Rule

_WORDS = (
    "str string int bool none null nil true false text bytes object any optional required value password passwd token "
    "secret example changeme undefined redacted hidden masked incorrect invalid missing wrong expired forgotten"
)
_NOT_A_VALUE = frozenset(_WORDS.split())
_PLACEHOLDER = re.compile(r"[*•.xX_-]+|(?:your|my|the)[_-].*|[<{$%\[].*|.*(?:\(|\[|->|environ|process\.env|getenv).*")
_MIXED = re.compile(r"(?=.*\d)(?=.*[^\W\d_])|(?=.*[!@#$%^&*+=?])")


def entropy_bits(text: str) -> float:
    """Shannon entropy per character; random base64 of 20 characters has about 3.9, English words about 3.0."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def is_random(value: str) -> bool:
    """A long value that a machine made: mixed classes and high entropy."""
    return entropy_bits(value) >= 3.3 and any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def is_assigned_password(value: str) -> bool:
    """A value after `password=`: anything but a type's name, a placeholder or code that fetches it."""
    return value.rstrip(")]}>.:!?").casefold() not in _NOT_A_VALUE and not _PLACEHOLDER.fullmatch(value)


def is_said_password(value: str) -> bool:
    """A value after `password is`: prose goes on with a word, so it must look made up."""
    return bool(_MIXED.match(value)) and is_assigned_password(value)


def _token(kind_markers: str, pattern: str, confidence: float = 0.99) -> Rule:
    return Rule(
        kind="secret",
        markers=tuple(kind_markers.split()),
        pattern=re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})"),
        confidence=confidence,
    )


_NAMES = r"(?:pass(?:word|wd|phrase|code)|pwd|kennwort|passwort|contraseña|mot de passe)"
_KEYS = (
    r"(?:api|access|auth|secret|private|client|encryption|signing|account|session|refresh)?[ _-]?(?:key|token|secret)"
)
_PASSWORD_MARKERS = ("passw", "passphrase", "passcode", "pwd", "kennwort", "contraseña", "mot de passe")

SECRET_RULES: tuple[Rule, ...] = (
    _token("akia asia aroa aida", r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _token("ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{20,255}+"),
    _token("github_pat_", r"github_pat_\w{20,255}+"),
    _token("glpat-", r"glpat-[\w-]{20,255}+"),
    _token("sk-", r"sk-[A-Za-z0-9_-]{16,255}+"),
    _token("sk_ pk_ rk_ whsec_", r"(?:[srp]k_(?:live|test)|whsec)_[A-Za-z0-9]{10,255}+"),
    _token("xox xapp-", r"(?:xox[abeoprs]|xapp)-[\w-]{10,255}+"),
    _token("hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[\w/]{20,255}+"),
    _token("aiza", r"AIza[\w-]{30,40}+"),
    _token("ya29. gocspx-", r"(?:ya29\.|GOCSPX-)[\w-]{20,255}+"),
    _token("hf_", r"hf_[A-Za-z0-9]{30,255}+"),
    _token("npm_ dop_v1_ shpat_ shpss_", r"(?:npm|dop_v1|shpat|shpss)_[A-Za-z0-9]{30,255}+"),
    _token("pypi-", r"pypi-[\w-]{40,512}+"),
    _token("sg.", r"SG\.[\w-]{16,32}\.[\w-]{30,64}"),
    _token("gsk_ xai- tgp_ r8_ pplx-", r"(?:gsk_|xai-|tgp_|r8_|pplx-)[\w-]{20,255}+"),
    _token(":aa", r"\d{8,10}:AA[\w-]{30,40}"),
    _token("eyj", r"eyJ[\w-]{8,4096}+\.eyJ[\w-]{8,8192}+(?:\.[\w-]{0,4096}+)?"),
    _token("age-secret-key-", r"AGE-SECRET-KEY-1[A-Z0-9]{40,80}"),
    _token("accountkey=", r"AccountKey=[A-Za-z0-9+/=]{40,100}"),
    Rule(
        kind="secret",
        markers=("private key",),
        pattern=re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END[^\n]*+|\Z)"),
        confidence=1.0,
    ),
    Rule(
        kind="secret",
        markers=("bearer",),
        pattern=re.compile(r"(?i)\bbearer[ \t]{1,4}+([A-Za-z0-9._~+/=-]{16,4096}+)"),
        confidence=0.95,
        group=1,
        check=is_random,
    ),
    Rule(
        kind="secret",
        markers=("basic",),
        pattern=re.compile(r"(?i)authorization['\": ]{1,6}+basic[ ]{1,4}+([A-Za-z0-9+/=]{8,1024}+)"),
        confidence=0.95,
        group=1,
    ),
    Rule(
        kind="secret",
        markers=("://",),
        pattern=re.compile(r"://([^\s/:@?#]{0,128}+:[^\s/@?#]{1,256}+)@"),
        confidence=1.0,
        group=1,
    ),
    Rule(
        kind="secret",
        markers=_PASSWORD_MARKERS,
        pattern=re.compile(rf"(?i){_NAMES}['\"]?[ \t]{{0,3}}+[:=][ \t]{{0,3}}+['\"]?([^\s'\",;]{{4,256}}+)"),
        confidence=0.85,
        group=1,
        check=is_assigned_password,
    ),
    Rule(
        kind="secret",
        markers=_PASSWORD_MARKERS,
        pattern=re.compile(
            rf"(?i){_NAMES}[ \t]{{1,3}}+(?:is|was|ist|est|es|to)[ \t:]{{1,3}}+['\"`]?([^\s'\"`,;]{{4,256}}+)"
        ),
        confidence=0.75,
        group=1,
        check=is_said_password,
    ),
    Rule(
        kind="secret",
        markers=("key", "token", "secret"),
        pattern=re.compile(
            rf"(?i){_KEYS}['\"]?[ \t]{{0,3}}+(?:[:=]|is)[ \t]{{0,3}}+['\"]?([A-Za-z0-9+/_=.-]{{16,4096}}+)"
        ),
        confidence=0.8,
        group=1,
        check=is_random,
    ),
)
