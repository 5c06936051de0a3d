"""The lines of a log file, gzipped or not, in bounded memory. What is in them is the readers' business."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from types import TracebackType
from typing import Self

from insource.core.errors import BadInput

LONGEST_LINE_BYTES = 16 * 2**20
"""No request that a hosted API accepts is longer; a longer line would be a file that is not JSON lines at all."""
_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"


class LogFile:
    """`for line in file`: lines without their ends. A line longer than the limit comes cut to one byte above it, so
    that a reader can tell; the rest of it is skipped. Where the file breaks off (a gzip file cut in a download, a disk
    that fails) the lines end and `broken` says why: what came before is worth keeping, but it is not the whole file."""

    def __init__(self, path: Path, *, longest_line_bytes: int = LONGEST_LINE_BYTES) -> None:
        self._longest_line_bytes = longest_line_bytes
        try:
            self._raw = path.open("rb")
            self.size_bytes = path.stat().st_size
        except OSError as error:
            raise BadInput(
                f"The file {str(path)!r} can't be read ({error.strerror}).", next_step="Name a file of JSON lines."
            ) from error
        gzipped = self._raw.read(2) == _GZIP_MAGIC
        self._raw.seek(0)
        self._file: BufferedIOBase = gzip.GzipFile(fileobj=self._raw) if gzipped else self._raw
        self.line_number = 0
        self.broken: str | None = None

    @property
    def done_bytes(self) -> int:
        """How much of the file on disk was read; for progress."""
        return self._raw.tell()

    def __iter__(self) -> Iterator[bytes]:
        try:
            while line := self._file.readline(self._longest_line_bytes + 1):
                self.line_number += 1
                whole = line.endswith(b"\n")
                yield (line.removeprefix(_UTF8_MARK) if self.line_number == 1 else line).rstrip(b"\r\n")
                while not whole and (rest := self._file.readline(self._longest_line_bytes)):
                    whole = rest.endswith(b"\n")
        except (OSError, EOFError, zlib.error) as error:
            self.broken = f"the file breaks off after line {self.line_number} ({error})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        self._raw.close()
