"""Addresses of machines: IP and MAC. One that nobody can be reached at (private networks, documentation, masks) and a
number that is a version or a section only look private.

Reads the folded text; every pattern is bounded.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from insource.core.values import PrivacySpan
from insource.traffic.rules import Subject

_IP4 = re.compile(r"\d(?<![\w.]\d)\d{0,2}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\w|\.\d)")
_IP6 = re.compile(r"[0-9A-Fa-f:](?<![\w:.].)[0-9A-Fa-f]{0,3}:[0-9A-Fa-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])")
_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]")
_MAC = re.compile(r"[0-9A-Fa-f](?<![\w:-].)[0-9A-Fa-f]([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])")
_VERSION_BEFORE = re.compile(
    r"(?:\bv|version|release|build|section|sec\.|§|chapter|figure|table|clause|appendix|rfc ?\d{1,5}|iso|asn|oid"
    r"|[=~<>!]=|@)[ .:#=,-]{0,3}$"
)
_SPOKEN_OF = re.compile(
    r"(?:\bips?\b|ipv4|host|server|client|address|\baddr|\bping|login|logged in|visitor|remote|peer|\bfrom)"
    r"(?:\W{1,3}(?:is|was|at|from|of|ip|address))?\W{0,4}$"
)
_TALK = 48
_SMALL = 64
"""Four numbers below it are as often a version or a section; of real addresses one in 256 is so."""
_OBJECT_IDENTIFIERS = ("1.2.", "1.3.", "2.5.")
"""As in certificates: `2.5.4.65`."""
_RESOLVERS = frozenset(("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "208.67.220.220"))
_EXAMPLES = frozenset(("1.2.3.4", "5.6.7.8", "12.34.56.78", "11.22.33.44", "123.123.123.123", "123.45.67.89"))
_EXAMPLE_MACS = frozenset(("001122334455", "aabbccddeeff", "0123456789ab", "123456789abc", "001a2b3c4d5e"))

_SURE, _LOOKS_SO, _RESERVED_SURE = 0.95, 0.4, 0.3


def addresses(subject: Subject) -> Iterator[PrivacySpan]:
    text, lowered = subject.text, subject.lowered
    patterns = ([_IP4] if text.count(".") >= 3 else []) + ([_IP6] if _COLONS.search(text) else [])
    for pattern in patterns:
        for match in pattern.finditer(text):
            before = lowered[max(0, match.start() - _TALK) : match.start()]
            after = lowered[match.end() : match.end() + 8]
            confidence = 0.0 if _VERSION_BEFORE.search(before) else _ip_confidence(match.group(), before, after)
            if confidence:
                yield PrivacySpan(start=match.start(), end=match.end(), kind="ip", confidence=confidence)
    if text.count(":") >= 5 or text.count("-") >= 5:
        for match in _MAC.finditer(text):
            digits = re.sub("[:-]", "", match.group()).lower()
            example = digits in _EXAMPLE_MACS or len(set(digits)) <= 2
            confidence = _RESERVED_SURE if example else 0.9
            yield PrivacySpan(start=match.start(), end=match.end(), kind="mac", confidence=confidence)


def _ip_confidence(written: str, before: str, after: str) -> float:
    """0: not an address."""
    if ":" in written and not (any(c.isdigit() for c in written) and written.count(":") >= 3):
        return 0.0
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return 0.0
    if address.is_loopback or address.is_unspecified or written.startswith("255."):
        return 0.0  # nobody, and masks
    if not address.is_global or address.is_multicast or written in _RESOLVERS:
        return _RESERVED_SURE
    if written in _EXAMPLES or ".0.0." in written:
        return _LOOKS_SO
    network = re.match(r"/(\d{1,3})(?!\d)", after)
    if network and int(network.group(1)) < address.max_prefixlen:
        return _LOOKS_SO
    if re.match(r"-\d{0,4}[a-z]", after):
        return 0.0  # a version's suffix
    small = isinstance(address, ipaddress.IPv4Address) and max(address.packed) < _SMALL
    if (small or written.startswith(_OBJECT_IDENTIFIERS)) and not _SPOKEN_OF.search(before):
        return _LOOKS_SO
    return _SURE
