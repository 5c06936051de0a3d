"""A store's folder, as the only place that its reader may look into.

Names in a store are text from strangers: a link may lead anywhere, a name may be a pipe, a manifest may be huge. So
every path is resolved with `lstat` and `readlink` alone, and only a regular file whose real place lies in the folder is
ever opened; a folder likewise before it is listed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path


class Refused(Exception):
    """Why a path is not read: the end of a sentence that begins with its name."""


class StoreFolder:
    def __init__(self, folder: Path) -> None:
        self.path = folder.expanduser().absolute()
        self._real = Path(os.path.realpath(self.path))

    def exists(self) -> bool:
        return self.is_folder(self.path)

    def size_bytes(self, path: Path) -> int:
        """Of a regular file that lies in the folder. Raises Refused."""
        real = self._inside(path)
        try:
            found = real.lstat()
        except FileNotFoundError:
            raise Refused(
                "is missing." if real == path else f"is missing, or what it links to: {str(real)!r}."
            ) from None
        except OSError as error:
            raise Refused(f"can't be read: {error.strerror or error}.") from error
        if not stat.S_ISREG(found.st_mode):
            raise Refused("is not a regular file.")
        return found.st_size

    def read(self, path: Path, *, most_bytes: int) -> bytes:
        """The first bytes of a regular file in the folder. Raises Refused."""
        self.size_bytes(path)
        try:
            with self._inside(path).open("rb") as file:
                return file.read(most_bytes)
        except OSError as error:
            raise Refused(f"can't be read: {error.strerror or error}.") from error

    def names(self, below: Path) -> list[str]:
        """What a folder inside holds, sorted; [] where there is none. Raises Refused."""
        real = self._inside(below)
        try:
            return sorted(found.name for found in real.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise Refused(f"can't be read: {error.strerror or error}.") from error

    def is_folder(self, path: Path) -> bool:
        """Also through a link. A link that leads outside is no folder here; opening its target is refused."""
        try:
            return stat.S_ISDIR(self._inside(path).lstat().st_mode)
        except (Refused, OSError):
            return False

    def walk(self, below: Path, *, depth: int, skipped: list[str]) -> Iterator[Path]:
        """Everything but folders, `depth` levels deep at most, in order of name; what can't be listed is said."""
        yield from self._walk(below, depth=depth, skipped=skipped, above=frozenset())

    def _walk(self, below: Path, *, depth: int, skipped: list[str], above: frozenset[Path]) -> Iterator[Path]:
        real = Path(os.path.realpath(below))
        if real in above:
            skipped.append(f"{str(below)!r} links to a folder that it lies in.")
            return
        try:
            names = self.names(below)
        except Refused as refused:
            skipped.append(f"{str(below)!r} {refused}")
            return
        for name in names:
            path = below / name
            if not self.is_folder(path):
                yield path
            elif depth > 1:
                yield from self._walk(path, depth=depth - 1, skipped=skipped, above=above | {real})
            else:
                skipped.append(f"{str(path)!r} lies deeper than models do in this store.")

    def _inside(self, path: Path) -> Path:
        """The real place of a path. Raises Refused when it lies outside."""
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self._real):
            raise Refused(f"points to {str(real)!r}, outside the store; it was not opened.")
        return real
