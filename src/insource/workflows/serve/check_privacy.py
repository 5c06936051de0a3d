"""What the privacy policy says of one request, before it is decided where it goes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from insource.core.headers import without
from insource.core.policy import UNREADABLE, UNSCANNED, Action, Policy
from insource.core.scanning import Examined, Masked, Placeholders, ScanJob
from insource.core.values import JsonObject
from insource.providers.openai_compatible import KEY_HEADERS
from insource.workflows.serve.kept_placeholders import KeptPlaceholders

_WHY: Mapping[str, str] = {
    UNREADABLE: "part of it can't be read for private data, as an image or a file",
    UNSCANNED: "the scan failed",
}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is done with a request, and why."""

    action: Action = "watch"
    reason: str = ""
    kinds: Mapping[str, int] | None = None
    """What was found; None: nothing had to be scanned before the decision."""
    masked: Masked | None = None
    """With the action `mask`: what a provider gets."""
    placeholders: Placeholders | None = None
    """What may stand in the provider's answer for a value of the user's; None: nothing."""

    @property
    def names(self) -> tuple[str, ...] | None:
        return None if self.kinds is None else tuple(sorted(self.kinds))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyCheck:
    """The policy in force, and who finds out what it is about."""

    policy: Callable[[], Policy]
    scan: Callable[[ScanJob], Awaitable[Examined]]
    """Raising counts as a failed scan."""
    forward_headers: frozenset[str] = frozenset()
    """Names in lower case, beside those of the official clients."""
    kept: KeptPlaceholders = field(default_factory=KeptPlaceholders)

    async def check(self, job: ScanJob, request: JsonObject, *, exchange_id: str) -> Checked:
        """`request` is the job's body where it can be read. A policy that only watches scans nothing here."""
        known = self.kept.of(job.target.partition("?")[0], request)
        if not job.policy.acts:
            return Checked(placeholders=known if known.values else None)
        job = replace(job, headers=without(job.headers, KEY_HEADERS), placeholders=known)
        try:
            examined = await self.scan(job)
        except Exception as error:
            # Without the traceback: a detector's frames and messages may quote what it found.
            _LOG.error("Exchange %s was not scanned (%s).", exchange_id, type(error).__name__)
            examined = Examined(kinds={UNSCANNED: 1})
        return checked(job, examined)


def checked(job: ScanJob, examined: Examined) -> Checked:
    """What follows from a scan. Pure."""
    action = job.policy.rules(job.task_id, task_known=job.task_known).action(examined.kinds)
    names = (f"{name} ({_WHY[name]})" if name in _WHY else name for name in examined.names)
    reason = f"private: {', '.join(names)}" if action != "watch" else ""
    masked = examined.masked if action == "mask" else None
    placeholders = masked.placeholders if masked is not None else job.placeholders
    if action == "mask" and masked is None:
        action, reason = "refuse", f"{reason}; it could not be masked"
    return Checked(
        action=action,
        reason=reason,
        kinds=examined.kinds,
        masked=masked,
        placeholders=placeholders if placeholders.values else None,
    )
