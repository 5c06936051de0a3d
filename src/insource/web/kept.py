"""Figures that are kept for a while: the longer one took, the longer it is shown again, so that an open dashboard over
a large log costs next to nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
_TIMES = 120.0
"""A figure that took a second is kept for two minutes: less than 1 % of a core, however often pages are opened."""
_MOST = 200


@dataclass(frozen=True, slots=True)
class _Value:
    value: Any
    until: float


@dataclass(slots=True)
class Kept:
    now: Callable[[], float]
    """Monotonic, in seconds."""
    _values: dict[Hashable, _Value] = field(default_factory=dict[Hashable, _Value])
    _making: dict[Hashable, threading.Lock] = field(default_factory=dict[Hashable, threading.Lock])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """One caller at a time makes a figure. Meanwhile the others get the former one; where there is none yet, they
        wait."""
        with self._lock:
            held = self._values.get(key)
            if held is not None and held.until > self.now():
                return held.value
            making = self._making.setdefault(key, threading.Lock())
        if not making.acquire(blocking=held is None):
            assert held is not None
            return held.value
        try:
            with self._lock:
                newer = self._values.get(key)
            if newer is not None and newer is not held:
                return newer.value
            return self._made(key, make)
        finally:
            making.release()

    def _made(self, key: Hashable, make: Callable[[], T]) -> T:
        started = self.now()
        value = make()
        ended = self.now()
        with self._lock:
            if len(self._values) >= _MOST:
                self._values.clear()
            self._values[key] = _Value(value, ended + _TIMES * (ended - started))
        return value
