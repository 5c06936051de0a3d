"""`insource models import`: a model file of another tool's under a name of ours, without copying it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from insource.core.errors import BadModelFile, UsageError
from insource.core.hashing import file_sha256
from insource.core.values import ModelFile
from insource.engines.models.notes import Note
from insource.engines.models.refs import parse_ref
from insource.workflows.files.model_stores import Models, try_model
from insource.workflows.files.models import find

_OURS = ("hub", "wheel", "imported")
_NAMED_BY_HASH = ("ollama", "llamacpp")
"""Stores whose names state a hash; everywhere else it has just been computed, or was noted for this very file."""
_NAME_CHARACTERS = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    file: ModelFile
    """As it is named from now on."""
    linked: bool
    """False: no link was possible, so it is used where it lies, and is gone when that tool removes it."""
    why_not: str = ""


async def import_model(named: str, models: Models, *, name: str = "") -> Imported:
    """`named` is a reference or a path. The bytes are hashed once; what Ollama keeps is tried with our engine first,
    because some of it only Ollama's own build can load."""
    ref = _as_ref(named)
    if parse_ref(ref).scheme in _OURS:
        raise UsageError(f"{ref!r} is in our own store already.", next_step="Use it by this reference.")
    file = find(ref, cache=models.cache, sources=models.sources)
    if file.source in _NAMED_BY_HASH and (found := file_sha256(file.path)) != file.sha256:
        raise BadModelFile(
            f"The file {str(file.path)!r} of {ref!r} has the sha256 {found}, not {file.sha256}: it is damaged.",
            next_step="Get it again with the tool that keeps it.",
        )
    if file.source == "ollama":
        await _must_load(file, models)
    target = parse_ref("imported:" + (name or _name_of(ref)))
    present = models.cache.find(target)
    if present is not None and present.sha256 != file.sha256:
        raise UsageError(
            f"'imported:{target.place}' is another file already (sha256 {present.sha256}).",
            next_step="Choose another name with --as NAME.",
        )
    if present is not None:
        return Imported(file=present, linked=True)
    try:
        with models.cache.lock(target):
            linked = models.cache.link(file.path, target, sha256=file.sha256, license=file.license)
    except OSError as error:
        path = file.path.resolve()
        models.cache.notes.put(path, Note.about(path, sha256=file.sha256, license=file.license))
        used = replace(file, ref=f"file:{path}", path=path, source="file")
        return Imported(file=used, linked=False, why_not=error.strerror or str(error))
    return Imported(file=linked, linked=True)


async def _must_load(file: ModelFile, models: Models) -> None:
    trial = await try_model(file, models)
    if not trial.runs:
        model = parse_ref(file.ref).place
        raise BadModelFile(
            f"Our engine can't load {file.ref!r}: {trial.reason}. It may be written for Ollama's own build.",
            next_step=f"Let Ollama run it: INSOURCE_ENGINE_URL=http://127.0.0.1:11434 INSOURCE_MODEL={model}.",
        )


def _as_ref(named: str) -> str:
    path = Path(named).expanduser()
    return f"file:{path.absolute()}" if os.path.isfile(path) else named  # noqa: PTH113 - any text, however long


def _name_of(ref: str) -> str:
    """`ollama:qwen3:8b` -> `qwen3-8b`; `lmstudio:org/repo/m-Q4_K_M.gguf` -> `m-Q4_K_M`."""
    place = parse_ref(ref).place
    last = place if ref.startswith("ollama:") else place.rpartition("/")[2]
    stem = re.sub(r"\.gguf$", "", last, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._]+|-{2,}", "-", stem).strip("-._")[:_NAME_CHARACTERS].strip("-._") or "model"
