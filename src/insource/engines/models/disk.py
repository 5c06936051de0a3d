"""Disk space, asked before a download and told when it runs out in the middle of one."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from insource.core.errors import StorageError

RESERVE_BYTES = 64 * 1024 * 1024
"""Left free by a download: the exchange log usually lies on the same disk and must go on writing."""


def free_bytes(folder: Path) -> int:
    """Of the disk that the folder lies, or will lie, on."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raises StorageError when a download of so many bytes would fill the disk."""
    free = free_bytes(folder)
    if free < needed_bytes + RESERVE_BYTES:
        raise StorageError(
            f"The disk of {str(folder)!r} has {free:,} bytes free; {needed_bytes:,} are needed, and "
            f"{RESERVE_BYTES:,} stay in reserve.",
            next_step="Free some space (`insource models list`, `insource models remove REF`) or set model_cache "
            "to a folder on another disk. Nothing was written.",
        )


@contextmanager
def full_disk_is_said(folder: Path, *, needed_bytes: int, then: str) -> Generator[None]:
    """Turns "no space left" into a StorageError; `then` says what became of the partial file."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise full_disk(folder, needed_bytes=needed_bytes, then=then) from error


def full_disk(folder: Path, *, needed_bytes: int | None, then: str) -> StorageError:
    needed = "more space was needed" if needed_bytes is None else f"{needed_bytes:,} bytes were needed"
    return StorageError(
        f"The disk of {str(folder)!r} is full: {needed}, {free_bytes(folder):,} bytes are free. {then}",
        next_step="Free some space, then give the same command again.",
    )
