"""A scan of whole requests without a process."""

from __future__ import annotations

from dataclasses import dataclass

from insource.core.ports import PrivacyDetector
from insource.traffic.request_scan import body_kinds


@dataclass(frozen=True, slots=True)
class ScanHere:
    """core.ports.RequestScan, in this process and without a limit."""

    detector: PrivacyDetector

    def kinds(self, body: bytes) -> tuple[str, ...]:
        return body_kinds(body, self.detector)

    def close(self) -> None:
        return None
