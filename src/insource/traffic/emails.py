"""E-mail addresses, and how surely each belongs to somebody: an address of a role, of a reserved domain, or one that an
author published with code only looks private.

Reads the folded text; linear, because each `@` is looked at with a bounded piece of text on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from insource.core.values import PrivacySpan
from insource.traffic.rules import Subject

_AT = re.compile(
    r"@|%40|&#64;|&#x40;|\s?[\[({<]\s?at\s?[\])}>]\s?|\sat\s(?=[\w-]{1,63}(?:\s?[\[({]\s?|\s)dot\b)",
    re.IGNORECASE,
)
_LOCAL_REVERSED = re.compile(r"[\w.+!#%&'~-]{1,64}")
_DOT = r"(?:\.|\s?[\[({<]\s?(?:dot|\.)\s?[\])}>]\s?|\sdot\s)"
_DOMAIN = re.compile(
    rf"(?:[\w-]{{1,63}}{_DOT}){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[^\W\d_]{{2,63}})|\[\d{{1,3}}(?:\.\d{{1,3}}){{3}}\]",
    re.IGNORECASE,
)
_MARKS = ("@", "%40", "&#64;", "&#x40;", "at]", "at)", "at}", "at>", "at ]", "at )", "at }", " dot ", "[dot", "(dot")

# Endings of files that are no top-level domains: `icon@2x.png`.
_FILES = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|bmp|ico|css|jsx?|tsx|json|xml|html?|ya?ml|toml|txt|csv|exe|dll|cpp|hpp|java|class|gz)$"
)
_IN_URL = re.compile(r"://[^\s/@]{0,64}$")
_NAMESPACES = ("openssh.com", "libssh.org")
"""Of algorithms: `chacha20-poly1305@openssh.com`."""
_MESSAGE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=\D{0,40}\d)[\w+=-]{40,64}")
"""The name of a message rather than of a mailbox."""
_PATH = re.compile(r":[\w.~-]{1,64}/")
# RFC 2606, RFC 6761, RFC 6762 and what stands for "a domain" in instructions.
_RESERVED = re.compile(
    r"(?:^|\.)(?:example(?:\.(?:com|net|org|edu))?|test|invalid|localhost|local|localdomain|internal|lan"
    r"|(?:your|my|some)?-?(?:domain|company|site|website|host|hostname|foo|bar|foobar|somewhere)\.(?:com|org|net|tld|io)"
    r"|your-?(?:email|org|name)\.[a-z]{2,6})$"
)
_ROLE_NAMES = (
    # RFC 2142, and what companies and projects use in the same way.
    "abuse admin administrator billing bot careers contact devel dev enquiries feedback ftp hello help helpdesk "
    "hostmaster hr info inquiries jobs legal list mail mailer-daemon marketing newsletter news no-reply noc noreply "
    "nobody notification notifications office orders postmaster press privacy do-not-reply donotreply root sales "
    "security service services spam support sysadmin team user users usenet uucp webmaster www"
)
_ROLES = frozenset(_ROLE_NAMES.split())
_LIST = re.compile(r"(?:^|[.+-])(?:announce|bugs?|commits?|dev|devel|discuss|help|list|patches|subscribe|users?)$")
_LIST_HOST = re.compile(r"^(?:lists?|groups|googlegroups|mailman|vger|bugs)\.")

_PUBLISHED = re.compile(
    r"copyright|©|\(c\) ?\d{4}|\bauthors?\b[\"']? ?[:=(\n*<]|@author|__author|author_|_author|\bauthored by"
    r"|maintain(?:ed by|ers?\b)"
    r"|licen[sc]ed? ?(?:under|:|=|\n)|(?:mit|bsd|apache|public) licen[sc]e|rights reserved|written by"
    r"|contribut(?:ors?|ers?)\b[\"']? ?[:=(\n*]|contributed by|\bcredits?\b ?[:\n]|signed-off-by|co-authored-by"
    r"|reviewed-by|acked-by|mailing.?list|mail list|bug reports?|security (?:issue|report)"
)
"""Around it: the notice of a work that was published."""
_CREDIT = re.compile(
    r"\bby\b|contact|bugs?\b|report|patch|thanks|original|ported|based on|adapted|modifi|revis|added|fix|comments"
    r"|suggest|support|e-?mail|\d{4}[-/]\d{2}|\d{2}[-/]\d{4}"
)
_COMMENT = re.compile(r"[ \t]{0,80}(?:#|//|/\*|--|;|%|\"\"\"|'''|=item|=head|dnl |rem )|[ \t]{1,80}\*")
_BEFORE, _AFTER = 240, 80
_LIST_OF_NAMES = 60
"""Characters from one author's address to the next one's."""

_SURE, _ROLE_SURE, _PUBLISHED_SURE, _RESERVED_SURE = 0.98, 0.5, 0.45, 0.3


def emails(subject: Subject) -> Iterator[PrivacySpan]:
    text, lowered = subject.text, subject.lowered
    if not any(mark in lowered for mark in _MARKS):
        return
    end_of_published = -_LIST_OF_NAMES
    for at in _AT.finditer(text):
        left = _LOCAL_REVERSED.match(text[max(0, at.start() - 64) : at.start()][::-1])
        right = _DOMAIN.match(text, at.end())
        if not left or not right:
            continue
        name = left.group()[::-1].lstrip(".'&#!%-")
        domain = re.sub(r"\s?[\[({<]?\s?(?:\bdot\b|\.)\s?[\])}>]?\s?", ".", right.group().lower())
        start, end = at.start() - len(name), right.end()
        if name and not _is_something_else(text, name, domain, place=(start, end)):
            confidence = _grade(lowered, name.lower(), domain, place=(start, end))
            if (
                confidence == _SURE
                and start - end_of_published < _LIST_OF_NAMES
                and ". " not in text[end_of_published:start]
            ):
                confidence = _PUBLISHED_SURE
            end_of_published = end if confidence == _PUBLISHED_SURE else end_of_published
            yield PrivacySpan(start=start, end=end, kind="email", confidence=confidence)


def _is_something_else(text: str, name: str, domain: str, *, place: tuple[int, int]) -> bool:
    """A repository's address (`git@host:owner/name`), a file (`icon@2x.png`), user and host of a URL."""
    start, end = place
    if name == "git" or _FILES.search(domain) or domain in _NAMESPACES:
        return True
    return _PATH.match(text, end) is not None or _IN_URL.search(text, max(0, start - 80), start) is not None


def _grade(lowered: str, name: str, domain: str, *, place: tuple[int, int]) -> float:
    if _RESERVED.search(domain):
        return _RESERVED_SURE
    if _MESSAGE.fullmatch(name):
        return _RESERVED_SURE
    if name in _ROLES or _LIST.search(name) or _LIST_HOST.search(domain):
        return _ROLE_SURE
    return _PUBLISHED_SURE if _is_published(lowered, *place) else _SURE


def _is_published(lowered: str, start: int, end: int) -> bool:
    """In the notice of a work (copyright, author, licence), or in a comment that gives credit."""
    since = max(0, start - _BEFORE)
    line = lowered.rfind("\n", since, start) + 1 or since
    until = lowered.find("\n", end, end + _AFTER)
    until = min(len(lowered), end + _AFTER) if until < 0 else until
    if _PUBLISHED.search(lowered, since, until):
        return True
    return _COMMENT.match(lowered, line) is not None and _CREDIT.search(lowered, since, until) is not None
