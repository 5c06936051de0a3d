"""What a scan is asked and what it answers, as frozen values that cross to the scanner's process and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from insource.core.headers import Headers
from insource.core.policy import WATCH, Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholders:
    """The values that a provider must not see, in the order of the numbers that stand for them."""

    first: int = 1
    """Number of the first value."""
    values: tuple[tuple[str, str], ...] = ()
    """(label, value): `("EMAIL", "ada@example.org")` is sent as `[PII_EMAIL_1]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanJob:
    """A request as it would be sent, and under which policy."""

    body: bytes
    target: str = ""
    """Path and query."""
    headers: Headers = ()
    """Those that would be forwarded, without keys."""
    policy: Policy = WATCH
    task_id: str | None = None
    task_known: bool = True
    placeholders: Placeholders = Placeholders()
    """Of the conversation so far, where the request itself does not hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    body: bytes
    placeholders: Placeholders
    """The former ones and what is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    kinds: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often each kind of private data that counts under the policy was found; with `unscanned` where the request
    was not read to its end."""
    masked: Masked | None = None
    """Where the policy says mask: the body to send instead. None there: it can't be masked."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.kinds))
