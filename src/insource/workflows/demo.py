"""What `insource demo` runs on: the log written for it, and real users' tool calls from the package index."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from insource.core.errors import InsourceError
from insource.core.values import JsonObject
from insource.demo_data import tool_calls
from insource.demo_data.assemble import assemble
from insource.engines.models.pip import PIP, download_wheel
from insource.workflows.services import Progress, quiet


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTraffic:
    files: tuple[Path, ...]
    """To import, in this order."""
    missing: str | None
    """What could not be had, and why; None: all is there."""


def prepare_traffic(
    folder: Path, *, downloads: Path, progress: Progress = quiet, pip: tuple[str, ...] = PIP
) -> DemoTraffic:
    """Writes the log into `folder`. What is downloaded is kept in `downloads`, for the next time."""
    files = [_write(folder / "desk.jsonl", assemble())]
    try:
        wheel = _wheel(downloads, progress, pip)
        files.append(_write(folder / "tool_calls.jsonl", tool_calls.read_wheel(wheel)))
    except InsourceError as error:
        missing = f"Left out: the tool calls of the package {tool_calls.PACKAGE}. {error}"
        return DemoTraffic(files=tuple(files), missing=missing)
    return DemoTraffic(files=tuple(files), missing=None)


def _write(path: Path, lines: list[JsonObject]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


def _wheel(downloads: Path, progress: Progress, pip: tuple[str, ...]) -> Path:
    package = f"{tool_calls.PACKAGE}=={tool_calls.VERSION}"
    kept = downloads / f"{tool_calls.PACKAGE}-{tool_calls.VERSION}.whl"
    if not kept.exists():
        downloads.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=downloads) as work:
            what = f"Downloading {package}"
            found = download_wheel(
                package, Path(work), pip=pip, progress=lambda done, total: progress(what, done, total)
            )
            found.rename(kept)
    return kept
