"""The files that an import names, opened: each as records, whatever it is (a file, a pipe, a folder, an archive, an
SQLite file). What the records mean is the readers' business (traffic/)."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from insource.core.errors import BadInput
from insource.store import foreign
from insource.traffic.containers import BadLine, Record, kind_of, records
from insource.traffic.formats import hints, llm
from insource.traffic.lines import STDIN, LogFile

_ZIP_MAGIC = b"PK\x03\x04"
_ZSTANDARD = 93
"""The compression method of a ZIP member (APPNOTE 6.3.8) that the standard library reads from Python 3.14 on."""
_LOCAL_HEADER_BYTES = 30
_PIECE_BYTES = 2**20
_OFFICE = ("xl/workbook.xml", "word/document.xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSource:
    """One file that is read, or one in an archive."""

    name: str
    records: Iterator[Record | BadLine]
    file: LogFile
    """For progress, and for what broke off."""
    hint: hints.Hint | None = None
    """What it is instead, where it holds no records at all."""
    optional: bool = False
    """Nobody named it: it lay in a folder or an archive that was named."""


def sources(paths: Iterable[Path]) -> Iterator[LogSource]:
    """In the order of the names; of a folder everything in it but hidden files. Each is closed when the next is asked
    for. Raises BadInput for one that can't be opened."""
    for path in paths:
        if path != STDIN and path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file, path))
            if not found:
                raise BadInput(f"The folder {str(path)!r} holds no file.", next_step="Name a folder with logs in it.")
            for file in found:
                yield from _opened(file, optional=True)
        else:
            yield from _opened(path, optional=False)


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _opened(path: Path, *, optional: bool) -> Iterator[LogSource]:
    with LogFile(path) as file:
        if file.head.startswith(foreign.MAGIC):
            with _on_disk(file) as real, foreign.ForeignTables(real) as tables:
                yield LogSource(name=str(path), records=_rows(tables), file=file, optional=optional)
        elif file.head.startswith(_ZIP_MAGIC):
            with _on_disk(file) as real:
                yield from _members(real, str(path), optional=optional)
        else:
            yield _source(str(path), file, optional=optional)


def _source(name: str, file: LogFile, *, optional: bool) -> LogSource:
    kind = kind_of(file.head)
    hint = hints.of_bytes(file.packed_head, file.head) if kind == "unknown" and file.head.strip() else None
    found = iter(()) if kind == "unknown" else records(file, kind)
    return LogSource(name=name, records=found, file=file, hint=hint, optional=optional)


@contextmanager
def _on_disk(file: LogFile) -> Generator[Path]:
    """The file itself; of a pipe or a packed file a private copy: a database and an archive are read in any order."""
    if file.path != STDIN and file.path.is_file() and file.packed_head[:16] == file.head[:16]:
        yield file.path
        return
    with tempfile.TemporaryDirectory(prefix="insource-") as folder:
        copy = Path(folder) / "copy"
        with copy.open("wb") as out:
            while piece := file.read(_PIECE_BYTES):
                out.write(piece)
        yield copy


# -------------------------------------------------------------------------------------------------- SQLite


def _rows(tables: foreign.ForeignTables) -> Iterator[Record | BadLine]:
    """Calls, where it is a log of `llm`; else the rows of all tables, as records of their table."""
    if llm.is_log(tables):
        for number, value in enumerate(llm.records(tables), start=1):
            yield Record(number, value)
        return
    for table in tables.columns:
        quoted = table.replace('"', '""')
        for number, value in enumerate(tables.rows(f'select * from "{quoted}"'), start=1):
            plain = {key: None if isinstance(item, bytes) else item for key, item in value.items()}
            yield Record(number, plain, path=table)


# ------------------------------------------------------------------------------------------------ archives


def _members(path: Path, name: str, *, optional: bool) -> Iterator[LogSource]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(office in names for office in _OFFICE):
                raise BadInput(f"The file {name!r} is an Office file.", next_step="Save the sheet as CSV.")
            for info in sorted(archive.infolist(), key=lambda info: info.filename):
                if not info.is_dir() and not Path(info.filename).name.startswith((".", "_")):
                    with LogFile(Path(info.filename), stream=_stream(archive, info)) as file:
                        yield _source(f"{name}:{info.filename}", file, optional=True)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise BadInput(
            f"The archive {name!r} can't be read ({error}).", next_step="Unpack it, and name the folder."
        ) from error


def _stream(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """A member's bytes; one in Zstandard as it is packed, because LogFile unpacks it."""
    if info.compress_type != _ZSTANDARD:
        return archive.open(info)
    packed = tempfile.SpooledTemporaryFile(max_size=16 * _PIECE_BYTES)  # noqa: SIM115 - closed with its LogFile
    with Path(cast("str", archive.filename)).open("rb") as raw:
        raw.seek(info.header_offset)
        header = raw.read(_LOCAL_HEADER_BYTES)
        lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        raw.seek(info.header_offset + _LOCAL_HEADER_BYTES + lengths)
        shutil.copyfileobj(_Part(raw, info.compress_size), packed)
    packed.seek(0)
    return cast("IO[bytes]", packed)


class _Part:
    """The next bytes of a file, so many and no more."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        found = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(found)
        return found
