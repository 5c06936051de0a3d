"""A scan of whole requests without a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from insource.core.policy import WATCH, Policy
from insource.core.ports import PrivacyDetector
from insource.core.scanning import Examined, ScanJob
from insource.traffic.request_scan import examine


@dataclass(frozen=True, slots=True)
class ScanHere:
    """core.ports.RequestScan, in this process and without a limit."""

    detector: PrivacyDetector
    policy: Policy = WATCH

    def kinds(self, body: bytes) -> tuple[str, ...]:
        return self.examine(ScanJob(body=body, policy=self.policy)).names

    def kinds_of(self, bodies: Sequence[bytes]) -> list[tuple[str, ...]]:
        return [self.kinds(body) for body in bodies]

    def examine(self, job: ScanJob) -> Examined:
        return examine(job, self.detector)

    def close(self) -> None:
        return None
