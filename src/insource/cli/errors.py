"""Errors as sentences with a next step and an exit code, made in one place. Commands don't catch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from insource.core.errors import BadInput, InsourceError, StorageError, UpstreamError, UsageError

EXIT_CODES: Mapping[type[InsourceError], int] = MappingProxyType(
    {UsageError: 2, BadInput: 3, UpstreamError: 4, StorageError: 5}
)
"""The nearest class in an error's ancestry decides."""


def exit_code(error: InsourceError) -> int:
    for kind in type(error).__mro__:
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]
    return 1


def sentence(error: InsourceError) -> str:
    return f"Error: {error.message}\nNext: {error.next_step}"
