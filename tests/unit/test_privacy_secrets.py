"""Keys and tokens: every issuer's format is found, and what only stands for a secret is told from it."""

from __future__ import annotations

import random
import string
import tomllib
from pathlib import Path

import pytest
from bench.secret_samples import SecretRule, fixed_prefix_rules
from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.policy import LEAST_CONFIDENCE
from insource.core.values import PrivacySpan
from insource.traffic import secret_rules
from insource.traffic.privacy import PatternDetector
from insource.traffic.rules import Subject
from insource.traffic.secret_values import is_placeholder, is_random

_DETECTOR = PatternDetector()
_TABLE: dict[str, list[str]] = tomllib.loads(
    Path(secret_rules.__file__).with_name("secret_tokens.toml").read_text("utf-8")
)["tokens"]
_CONTEXT = {"Discord bot", "Facebook app", "Lob, GoCardless", "Mailgun signing", "Okta"}
"""Formats that count only where their issuer is named."""


def _secrets(text: str) -> list[PrivacySpan]:
    return [s for s in _DETECTOR.scan(text) if s.kind == "secret" and s.confidence >= LEAST_CONFIDENCE]


@pytest.mark.parametrize("issuer", _TABLE)
def test_each_format_is_found_whole_by_its_markers(issuer: str) -> None:
    markers, pattern = _TABLE[issuer]
    rng = random.Random(issuer)
    before = f"{markers.split()[0]}: " if issuer in _CONTEXT else "the key is "
    found = 0
    for text, (start, end) in (SecretRule.of(issuer, pattern).sample(rng) for _ in range(20)):
        subject = Subject(text)
        assert issuer in _CONTEXT or any(marker in subject.tokens for marker in markers.split()), text
        whole = f"{before}{text} ok"
        found += any(s.start <= start + len(before) and s.end >= end + len(before) for s in _secrets(whole))
    # Of short random texts a few look made up, and a few overlap another rule's end.
    assert found >= 18


@pytest.mark.parametrize(
    "text",
    [
        *(
            "API_KEY=YOUR_API_KEY",
            "api_key: <token>",
            'token = "${TOKEN}"',
            "sk-xxxxxxxxxxxxxxxxxxxxxxxx",
            "sk-...",
            "key: …",
        ),
        *(
            "OPENAI_API_KEY=sk-your-key-here",
            "sk-proj-XXXXXXXXXXXXXXXXXXXXXXXX",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ),
        *("AKIAIOSFODNN7EXAMPLE", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "sk-1234567890abcdef1234567890abcdef"),
        *(
            "AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
            "hf_your_token_goes_here_please_thanks",
            "Bearer YOUR_ACCESS_TOKEN_HERE",
        ),
        *(
            "password: changeme",
            "password=<password>",
            "password: {{ password }}",
            'password = os.environ["DB"]',
            "pwd: ****",
        ),
        *(
            "postgres://user:password@localhost:5432/db",
            "https://username:token@github.com/x/y.git",
            "redis://:pass@host",
        ),
        *("class='sk-folding-cube sk-circle-bounce-delay-one'", "aws_secret_access_key = ENTER-YOUR-SECRET-KEY-HERE"),
        *(
            "token: test_create_the_longest_name_of_all",
            "client_secret: my-client-secret-placeholder",
            "Basic dXNlcjpwYXNz",
        ),
        *("the basic understanding of it", "a bearer certificate_of_the_company", "xoxb-your-slack-bot-token-here"),
    ],
)
def test_what_stands_for_a_secret_is_none(text: str) -> None:
    assert _secrets(f"Set {text} in the file") == []


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("datadog: 3f9a1c77e0b24d58a6cd4b19e8f07a52", "3f9a1c77e0b24d58a6cd4b19e8f07a52"),
        ("HEROKU_API_KEY=5e2c9a41-7d3b-4f60-8a1e-92bd0c6f3e75", "5e2c9a41-7d3b-4f60-8a1e-92bd0c6f3e75"),
        ('"client_secret": "Zx8~Q2mLw9.vT4kRb1nY7cJdHs5p"', "Zx8~Q2mLw9.vT4kRb1nY7cJdHs5p"),
        (
            "aws_secret_access_key = kX9mP2vQ7wR4tY8uB3nL6zC1aD5eF0gH+jKlM/Nq",
            "kX9mP2vQ7wR4tY8uB3nL6zC1aD5eF0gH+jKlM/Nq",
        ),
        ("Authorization: Basic YWRtaW46VHIwdWI0ZG9yJjM=", "YWRtaW46VHIwdWI0ZG9yJjM="),
        ("mysql://app:n7Kq2vXw@10.0.0.1/db", "app:n7Kq2vXw"),
        ("DB_PASSWORD=correcthorse", "correcthorse"),
        ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE\n-----END RSA PRIVATE KEY-----", None),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQ\n-----END PGP PRIVATE KEY BLOCK-----", None),
    ],
)
def test_values_after_a_name_and_key_blocks(text: str, secret: str | None) -> None:
    assert [text[s.start : s.end] for s in _secrets(text)] == [secret or text]


@settings(max_examples=50)
@given(st.integers(0, 10**9))
def test_random_values_are_no_placeholders(seed: int) -> None:
    rng = random.Random(seed)
    value = "".join(rng.choices(string.ascii_letters + string.digits, k=39)) + rng.choice(string.digits)
    assert not is_placeholder(value)
    assert is_random(value)


@pytest.mark.parametrize("at", [3, 17, 30])
def test_a_word_that_random_characters_spell_by_chance_is_no_placeholder(at: int) -> None:
    random_part = "kaF9qlT7cKpmbflCM7zxrcY8Ad9tznhBP0hh"
    for word in ("mock", "fAkE", "todo", "Your"):
        value = random_part[:at] + word + random_part[at:]
        assert not is_placeholder(value)
        assert is_random(value)
    for said in (
        f"your-{random_part}",
        f"{random_part}-EXAMPLE",
        "xxxxmockxxxx",
        "yourkey12345",
        "AKIAIOSFODNN7EXAMPLE",
    ):
        assert is_placeholder(said)


def test_rules_with_a_fixed_prefix_are_read_from_a_scanner_configuration(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(
        "[[rules]]\nid = 'a'\nregex = '''\\b(abc_(?i)[a-z0-9]{20})(?:[\\x60'\"\\s;]|$)'''\nentropy = 2\n"
        "[[rules]]\nid = 'b'\nregex = '''(?i)[\\w.-]{0,50}?(?:vendor)[\\s'\"]{0,3}=([a-f0-9]{64})(?:\\s|\\z)'''\n"
        "[[rules]]\nid = 'c'\nregex = '''(?:ghu|ghs)_[0-9a-zA-Z]{36}'''\n"
        "[[rules]]\nid = 'd'\npath = '''\\.p12$'''\n"
    )
    rules = fixed_prefix_rules(tmp_path / "rules.toml")
    assert [rule.id for rule in rules] == ["a", "c"]
    text, (start, end) = rules[0].sample(random.Random(1))
    assert text[start:end].startswith("abc_")
    assert end - start == 24
