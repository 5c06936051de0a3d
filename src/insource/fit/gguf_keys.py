"""Counts out of a GGUF's metadata: one or one a layer, and never one that no model could have."""

from __future__ import annotations

from collections.abc import Mapping

from insource.core.gguf import GgufArray, GgufValue

MOST_LAYERS = 512
"""LLAMA_MAX_LAYERS."""
_MOST = 1 << 31


class Keys:
    """The keys under an architecture's prefix."""

    def __init__(self, metadata: Mapping[str, GgufValue], prefix: str) -> None:
        self._metadata, self._prefix = metadata, prefix

    def number(self, key: str) -> int | None:
        return _count(self._metadata.get(f"{self._prefix}.{key}"))

    def numbers(self, key: str, count: int, *, only_array: bool = False) -> tuple[int, ...] | None:
        """One a layer, for the first `count` layers; a single number stands for all of them."""
        value = self._metadata.get(f"{self._prefix}.{key}")
        if isinstance(value, GgufArray):
            items = [_count(item) for item in value.first[:count]]
            known = [item for item in items if item is not None]
            return tuple(known) if len(known) == count else None
        single = None if only_array else _count(value)
        return None if single is None else (single,) * count


def _count(value: GgufValue) -> int | None:
    return int(value) if isinstance(value, int) and 0 <= value < _MOST else None
