"""`insource models export`: a model of ours for Ollama, for LM Studio, or in a folder. Never overwrites anything."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from insource import __version__
from insource.config import child_environment
from insource.core.errors import StorageError, UpstreamError, UsageError
from insource.core.values import ModelFile
from insource.engines.models.disk import full_disk_is_said, require_space
from insource.engines.models.gguf import read_header
from insource.engines.models.refs import parse_ref, safe_path

How = Literal["hard link", "symbolic link", "copy", "there already"]
_OURSELVES = "insource"
"""LM Studio's "publisher" of a model that comes from no repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    path: Path
    """Of the Modelfile, or of the file as the other tool sees it."""
    how: How | Literal["written"]
    command: tuple[str, ...] = ()
    """What makes the other tool take it, where it needs telling."""


def to_ollama(file: ModelFile, out: Path, *, context_tokens: int) -> Exported:
    """A Modelfile that runs the file where it lies. Ollama takes the chat template from the file's header."""
    place = str(file.path.resolve())
    if re.search(r'[\x00-\x1f"]', place):
        raise UsageError(
            f"The path {place!r} has a character that isn't allowed in a Modelfile.",
            next_step="Rename the file or its folder.",
        )
    trained = read_header(file.path).context_tokens
    lines = [
        f"# {file.ref}, sha256 {file.sha256}",
        f'FROM "{place}"' if " " in place else f"FROM {place}",
        f"PARAMETER num_ctx {min(context_tokens, trained or context_tokens)}",
    ]
    target = out / f"{_plain(_stem(file))}.Modelfile" if out.is_dir() else out
    _write(target, "\n".join(lines) + "\n")
    name = _plain(_stem(file)).lower()
    return Exported(path=target, how="written", command=("ollama", "create", name, "-f", str(target)))


def to_lmstudio(file: ModelFile, models_folder: Path, *, copy: bool) -> Exported:
    """publisher/repo/file.gguf in LM Studio's folder."""
    ref = parse_ref(file.ref)
    publisher, repo = ref.place.split("/") if ref.scheme == "hub" else (_OURSELVES, _plain(_stem(file)))
    target = models_folder / publisher / repo / f"{_plain(_stem(file))}.gguf"
    return place(file, target, root=models_folder, copy=copy)


def to_folder(file: ModelFile, folder: Path, *, copy: bool) -> Exported:
    """The file, and beside it what it is and where it came from."""
    placed = place(file, folder / f"{_plain(_stem(file))}.gguf", root=folder, copy=copy)
    provenance = {
        "ref": file.ref,
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
        "source": file.source,
        "license": file.license,
        "exported_by": f"insource {__version__}",
    }
    text = json.dumps(provenance, ensure_ascii=False, indent=2) + "\n"
    with contextlib.suppress(_There):
        _write(placed.path.with_name(placed.path.name + ".json"), text)
    return placed


def existing(folders: Sequence[Path]) -> Path:
    """LM Studio's own model folder. Raises UsageError where it has none yet."""
    for folder in folders:
        if folder.is_dir():
            return folder
    raise UsageError(
        f"LM Studio keeps no models in {' or '.join(repr(str(folder)) for folder in folders)}.",
        next_step="Start LM Studio once, or name its folder with --out or INSOURCE_LMSTUDIO_MODELS.",
    )


def run(command: Sequence[str]) -> None:
    """Runs the other tool's command on this terminal. Raises UsageError where the tool is not installed."""
    try:
        done = subprocess.run(command, env=child_environment(), check=False)
    except FileNotFoundError as error:
        raise UsageError(
            f"There is no command {command[0]!r} on this machine.", next_step=f"Install it, then `{' '.join(command)}`."
        ) from error
    if done.returncode != 0:
        raise UpstreamError(
            f"`{' '.join(command)}` ended with status {done.returncode}.", next_step="Its own output above says why."
        )


class _There(StorageError):
    pass


def place(file: ModelFile, target: Path, *, root: Path, copy: bool) -> Exported:
    """A hard link where the disk allows one, else a symbolic link, else a copy if it was asked for."""
    source = file.path.resolve()
    _make_folder(target.parent, root)
    if os.path.lexists(target):
        if _same(target, source):
            return Exported(path=target, how="there already")
        raise _There(
            f"There is a file {str(target)!r} already; it was not touched.", next_step="Remove it, or choose --out."
        )
    with contextlib.suppress(OSError):
        target.hardlink_to(source)
        return Exported(path=target, how="hard link")
    with contextlib.suppress(OSError):
        target.symlink_to(source)
        return Exported(path=target, how="symbolic link")
    if not copy:
        raise StorageError(
            f"The disk of {str(target.parent)!r} takes no link to {str(source)!r}.",
            next_step=f"Add --copy to copy {file.size_bytes:,} bytes.",
        )
    _copy(source, target, file.size_bytes)
    return Exported(path=target, how="copy")


def _same(target: Path, source: Path) -> bool:
    try:
        return target.samefile(source)
    except OSError:
        return False


def _copy(source: Path, target: Path, size_bytes: int) -> None:
    require_space(target.parent, size_bytes)
    partial = target.with_name(target.name + ".insource.incomplete")
    try:
        with full_disk_is_said(target.parent, needed_bytes=size_bytes, then="The partial copy was removed."):
            shutil.copyfile(source, partial)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _make_folder(folder: Path, root: Path) -> None:
    """Raises StorageError when it can't be made, or when a link on the way leads out of the root."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {str(folder)!r} can't be made: {error.strerror}.", next_step="Choose another with --out."
        ) from error
    if not folder.resolve().is_relative_to(root.resolve()):
        raise StorageError(
            f"{str(folder)!r} points to {str(folder.resolve())!r}, outside {str(root)!r}; nothing was exported.",
            next_step="Choose another folder with --out.",
        )


def _write(path: Path, text: str) -> None:
    """A new file; raises StorageError where one is."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise _There(
            f"There is a file {str(path)!r} already; it was not touched.", next_step="Remove it, or choose --out."
        ) from error
    except OSError as error:
        raise StorageError(
            f"{str(path)!r} can't be written: {error.strerror}.", next_step="Choose another place with --out."
        ) from error


def _stem(file: ModelFile) -> str:
    """Of the file's own name; a blob has none, so its reference counts."""
    if file.source == "ollama":
        return parse_ref(file.ref).place.replace("/", "-").replace(":", "-")
    return file.path.name.removesuffix(".gguf")


def _plain(name: str) -> str:
    """A name that is one part of a path everywhere, and a model's name to Ollama."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:120] or "model"
    assert safe_path(plain) is not None, plain
    return plain
