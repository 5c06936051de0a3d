"""GGUF files by their names: which are the shards of one model, and what they are. Pure but for sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from insource.core.stored_models import ModelKind, StoredModel
from insource.engines.models.refs import is_gguf
from insource.engines.models.stores.folder import Refused, StoreFolder

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
"""llama.cpp's own pattern, `llama_split_path`: "%s-%05d-of-%05d.gguf"."""
_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """A whole model: one file, or its shards."""

    name: str
    """Of the file, or of the first shard, which is the one that llama.cpp is given."""
    files: tuple[str, ...]
    count: int
    missing: tuple[int, ...] = ()


def together(names: Iterable[str]) -> list[Shards]:
    """GGUF names, relative to one folder, grouped; other names are passed over."""
    found: dict[tuple[str, int], dict[int, str]] = {}
    whole: list[Shards] = []
    for name in sorted(filter(is_gguf, names)):
        shard = _SHARD.fullmatch(name)
        number, count = (int(shard["number"]), int(shard["count"])) if shard else (0, 0)
        if shard and 1 <= number <= count:
            found.setdefault((shard["stem"], count), {})[number] = name
        else:
            whole.append(Shards(name=name, files=(name,), count=1))
    for (stem, count), files in found.items():
        missing = tuple(sorted(set(range(1, count + 1)) - set(files)))
        name = files.get(1, f"{stem}-00001-of-{count:05}.gguf")
        whole.append(Shards(name=name, files=tuple(files[n] for n in sorted(files)), count=count, missing=missing))
    return sorted(whole, key=lambda shards: shards.name)


def kind_by_name(name: str) -> ModelKind:
    """What every tool's own names say; the header, once read, knows better."""
    base = PurePosixPath(name).name.lower()
    if "mmproj" in base:
        return "projector"
    return "other" if base.startswith("imatrix") else "model"


def entry(folder: StoreFolder, shards: Shards, *, ref: str, source: str, below: str = "") -> StoredModel:
    """With its size and, where it can't be used, why. `below`: the folder that the names are relative to."""
    paths = tuple(folder.path / below / name for name in shards.files)
    size_bytes, problem = 0, None
    for path in paths:
        try:
            size_bytes += folder.size_bytes(path)
        except Refused as refused:
            problem = problem or f"{str(path)!r} {refused}"
    return StoredModel(
        ref=ref,
        source=source,
        paths=paths,
        size_bytes=size_bytes,
        kind=kind_by_name(shards.name),
        problem=problem or _incomplete(shards),
    )


def split(model: StoredModel) -> str | None:
    """Why a model in several whole files is listed, and measured, but not run."""
    if len(model.paths) < 2:
        return None
    return (
        f"It is split into {len(model.paths)} files; insource runs a model from one file, "
        "whose one hash a certificate can name."
    )


def _incomplete(shards: Shards) -> str | None:
    if not shards.missing:
        return None
    shown = ", ".join(map(str, shards.missing[:_LISTED])) + (", ..." if len(shards.missing) > _LISTED else "")
    return f"It is split into {shards.count} files, of which {len(shards.missing)} are missing ({shown})."
