"""Figures that are kept for a while: the longer one took, the longer it is shown again, so that an open dashboard over
a large log costs next to nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
_TIMES = 40.0
"""A figure that took a second is kept for 40: at most 2.5 % of a core, however often pages are opened."""
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
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """One caller at a time makes a figure; the others wait for it."""
        with self._lock:
            held = self._values.get(key)
            started = self.now()
            if held is not None and held.until > started:
                return held.value
            value = make()
            ended = self.now()
            if len(self._values) >= _MOST:
                self._values.clear()
            self._values[key] = _Value(value, ended + _TIMES * (ended - started))
            return value

    def forget(self) -> None:
        """After a change that was made here: it shows at once."""
        with self._lock:
            self._values.clear()
