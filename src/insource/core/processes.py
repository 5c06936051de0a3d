"""Child processes that never outlive their parent."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Linux: SIGKILL from the kernel when the thread that started this process ends. Called by the child itself,
    because code between fork and exec (`preexec_fn`) can deadlock in a parent that has threads."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
