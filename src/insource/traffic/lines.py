"""The bytes of a log file or a pipe, unpacked and as UTF-8, in bounded memory. What they mean is the readers' business.

Packed means gzip, Zstandard, xz or bzip2, told by the first bytes and never by the name. UTF-16 and UTF-32 are known by
their marks, and UTF-16 also by the zeros in it.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from insource.core.errors import BadInput
from insource.wire.zstd import zstd

LONGEST_LINE_BYTES = 16 * 2**20
"""No request that a hosted API accepts is longer; a longer line would be a file that is not JSON lines at all."""
STDIN = Path("-")
BREAKS = (
    *(OSError, EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError, UnicodeDecodeError),
    *(zipfile.BadZipFile, NotImplementedError),
)
"""What ends a file that breaks off: a download cut short, a disk that fails, a text that is none."""
_HEAD_BYTES = 64 * 2**10
_BUFFER_BYTES = 2**20
_WINDOW_LOG = 31
"""Zstandard's long mode, as far as its command line goes: windows of 2**31 bytes."""
_UTF8_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class LogFile:
    """`for line in file`: lines without their ends. A line longer than the limit comes cut to one byte above it, so
    that a reader can tell; the rest of it is skipped. Where the file breaks off the lines end and `broken` says why:
    what came before is worth keeping, but it is not the whole file."""

    def __init__(
        self, path: Path, *, stream: IO[bytes] | None = None, longest_line_bytes: int = LONGEST_LINE_BYTES
    ) -> None:
        """`-` is standard input. A `stream` that is given is read instead, and `path` only names it."""
        self.path = path
        self.line_number = 0
        self.broken: str | None = None
        self._longest_line_bytes = longest_line_bytes
        self._raw = _Counted(stream or _opened(path))
        self.size_bytes = None if stream is not None or path == STDIN else path.stat().st_size or None
        try:
            self.packed_head, self.head, self._file = _unpacked(self._raw)
        except BREAKS as error:
            self.packed_head = self.head = b""
            self._file = _joined(b"", None)
            self.broken = f"the file can't be unpacked ({error or type(error).__name__})"

    @property
    def done_bytes(self) -> int:
        """How much of the file on disk was read; for progress."""
        return self._raw.count

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many; b"" at the end, and where the file breaks off."""
        try:
            return self._file.read1(size)
        except BREAKS as error:
            self.broken = f"the file breaks off ({error or type(error).__name__})"
            return b""

    def __iter__(self) -> Iterator[bytes]:
        limit = self._longest_line_bytes
        try:
            while line := self._file.readline(limit + 1):
                self.line_number += 1
                whole = line.endswith(b"\n")
                yield line.rstrip(b"\r\n")
                while not whole and (rest := self._file.readline(limit)):
                    whole = rest.endswith(b"\n")
        except BREAKS as error:
            self.broken = f"the file breaks off after line {self.line_number} ({error or type(error).__name__})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._raw.shut()


def _opened(path: Path) -> IO[bytes]:
    if path == STDIN:
        return sys.stdin.buffer
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        return path.open("rb")
    except OSError as error:
        raise BadInput(
            f"The file {str(path)!r} can't be read ({error.strerror}).", next_step="Name a file that you may read."
        ) from error


def _unpacked(raw: _Counted) -> tuple[bytes, bytes, io.BufferedReader[Any]]:
    """(the first bytes as they lie on disk, the first bytes of the text, the text)."""
    packed_head = _first(raw)
    packed = _joined(packed_head, raw)
    text = _unpacker(packed_head, packed)
    head = _first(text)
    text = _joined(head, text)
    encoding = _wide_encoding(head)
    if encoding is not None:
        text = _Narrowed(text, encoding)
    if head.startswith(_UTF8_MARK):
        text.read(len(_UTF8_MARK))
    head = _first(text, a_line=True)
    return packed_head, head, _joined(head, text)


def _joined(head: bytes, rest: Any) -> io.BufferedReader[Any]:
    return io.BufferedReader(_Joined(head, rest), _BUFFER_BYTES)


def _unpacker(head: bytes, packed: io.BufferedReader[Any]) -> Any:
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=packed)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return zstd.ZstdFile(packed, options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(packed)
    return bz2.BZ2File(packed) if head.startswith(b"BZh") else packed


def _wide_encoding(head: bytes) -> str | None:
    for mark, encoding in _WIDE_MARKS:
        if head.startswith(mark):
            return encoding
    if len(head) >= 4 and head[0] and not head[1] and head[2] and not head[3]:
        return "utf-16-le"
    return "utf-16-be" if len(head) >= 4 and not head[0] and head[1] and not head[2] and head[3] else None


def _first(file: Any, *, a_line: bool = False) -> bytes:
    """The first bytes, also of a pipe that gives them one by one, and of a file that breaks off within them; `a_line`:
    as many as the first line has."""
    head = bytearray()
    try:
        while len(head) < _HEAD_BYTES or (a_line and b"\n" not in head and len(head) < LONGEST_LINE_BYTES):
            piece = _some(file, _HEAD_BYTES)
            if not piece:
                break
            head += piece
    except BREAKS:
        if not head:
            raise
    return bytes(head)


def _some(file: Any, size: int) -> bytes:
    """What one read gives: a longer one would lose what came before a break."""
    return cast("bytes", getattr(file, "read1", file.read)(size))


class _Counted(io.RawIOBase):
    """A stream that counts what was read of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        found = self._stream.read(len(buffer))
        buffer[: len(found)] = found
        self.count += len(found)
        return len(found)

    def shut(self) -> None:
        """Closes the file; standard input stays open."""
        if self._stream is not sys.stdin.buffer:
            self._stream.close()


class _Joined(io.RawIOBase):
    """First bytes that were read already, then the rest of their stream."""

    def __init__(self, head: bytes, rest: Any) -> None:
        super().__init__()
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self._head:
            piece, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            piece = b"" if self._rest is None else _some(self._rest, len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class _Narrowed(io.RawIOBase):
    """A text in UTF-16 or UTF-32 as UTF-8."""

    def __init__(self, wide: io.BufferedReader[Any], encoding: str) -> None:
        super().__init__()
        self._wide, self._decoder = wide, codecs.getincrementaldecoder(encoding)()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._left:
            piece = self._wide.read1(_HEAD_BYTES)
            self._left = self._decoder.decode(piece, final=not piece).encode("utf-8", "surrogatepass")
            if not piece:
                break
        found, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(found)] = found
        return len(found)
