"""The privacy policy in force while the gateway runs: its file is read again when it changes."""

from __future__ import annotations

import logging

from insource.core.errors import InsourceError
from insource.core.policy import Policy
from insource.routing.policy_file import read_policy
from insource.workflows.services import Services, policy_file, policy_in_force

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5

_Stamp = tuple[int, int, int] | None


class LivePolicy:
    """A file that is wrong, or that vanished, leaves the former policy in force: a slip must not let data out."""

    def __init__(self, services: Services) -> None:
        """Raises BadInput for a policy that is wrong from the beginning."""
        self._path = policy_file(services.settings)
        self._clock = services.clock
        self._stamp = self._look()
        self._looked_seconds = self._clock.monotonic()
        self._policy = policy_in_force(services.settings, services.registry).policy

    def current(self) -> Policy:
        """Looks at the file's date now and then: microseconds."""
        now = self._clock.monotonic()
        if now - self._looked_seconds >= _LOOK_SECONDS:
            self._looked_seconds = now
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._read()
        return self._policy

    def _look(self) -> _Stamp:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    def _read(self) -> None:
        try:
            written = read_policy(self._path)
        except InsourceError as error:
            _LOG.error("The privacy policy could not be read again; the former one stays in force. %s", error)
            return
        if written is None:
            _LOG.error("The privacy policy's file is gone; the former one stays in force until a restart.")
            return
        self._policy = written
        _LOG.warning("The privacy policy was changed.")
