"""Which findings count under a policy: sure enough, and not on its allow-list; and the kinds that it finds by words.

Not here: what follows from what counts (core/policy.py).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import unquote

from insource.core.policy import Policy, Rules
from insource.core.values import PrivacySpan

_SPACE = re.compile(r"[\s\u00ad\u200b-\u200d\u2060\ufeff]+")
_AT = re.compile(r"(?:%40|&#64;|&#x40;|\s?[\[({<]\s?at\s?[\])}>]\s?)", re.IGNORECASE)
_TAG = re.compile(r"\+.*")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Sieve:
    """One policy, made ready."""

    def __init__(self, policy: Policy) -> None:
        """Raises re.error for a pattern that is none; the policy's file was checked before."""
        allow = policy.allow
        self._addresses = frozenset(map(_plain, allow.addresses))
        self._networks = tuple(network for each in allow.addresses if (network := _network(each)) is not None)
        self._domains = tuple(_plain(domain).lstrip("@*.") for domain in allow.domains)
        self._roles = frozenset(map(_plain, allow.roles))
        self._patterns = tuple(re.compile(each) for each in allow.patterns)
        self._words = {kind: words_pattern(words) for kind, words in policy.words.items() if words}

    def own(self, text: str) -> Iterator[PrivacySpan]:
        """The kinds that the policy itself defines."""
        for kind, pattern in self._words.items():
            for match in pattern.finditer(text):
                yield PrivacySpan(start=match.start(), end=match.end(), kind=kind, confidence=1.0)

    def counts(self, span: PrivacySpan, value: str, rules: Rules) -> bool:
        """`value` is the text of the span."""
        return span.confidence >= rules.least_confidence(span.kind) and not self._allowed(value)

    def _allowed(self, value: str) -> bool:
        if any(pattern.fullmatch(value) for pattern in self._patterns):
            return True
        plain = _plain(value)
        if plain in self._addresses:
            return True
        name, at, domain = plain.rpartition("@")
        if at:
            if _TAG.sub("", name) in self._roles:
                return True
            return any(domain == each or domain.endswith("." + each) for each in self._domains)
        return bool(self._networks) and _within(plain, self._networks)


def words_pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Whole words, whatever their case; between the words of an entry any white space."""
    entries: list[str] = []
    for entry in sorted(words, key=len, reverse=True):
        stem = entry.rstrip("*")
        escaped = r"\s+".join(map(re.escape, stem.split()))
        entries.append(escaped + (r"\w{0,40}" if entry.endswith("*") else ""))
    return re.compile(rf"(?<!\w)(?:{'|'.join(entries)})(?!\w)", re.IGNORECASE)


def _plain(value: str) -> str:
    """In the form in which values are compared: without case, white space and the ways to write an `@`."""
    return _SPACE.sub("", _AT.sub("@", unquote(value))).casefold().strip("<>\"'.,;")


def _network(text: str) -> _Network | None:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def _within(value: str, networks: tuple[_Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in networks)
