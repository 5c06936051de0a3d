"""The Hugging Face cache, whoever filled it: <folder>/models--org--name/{blobs,refs,snapshots/<commit>}.

A snapshot's entry is a link to a blob, whose name is the sha256 of a large file; on Windows, or where links fail, it is
the file itself. Newer builds of llama.cpp keep the same layout in LLAMA_CACHE (common/hf-cache.cpp).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from insource.core.errors import UsageError
from insource.core.stored_models import StoredModel, StoreListing
from insource.engines.models.cache import ModelCache
from insource.engines.models.notes import Note
from insource.engines.models.refs import is_gguf, parse_ref
from insource.engines.models.stores.checked import checked
from insource.engines.models.stores.folder import Refused, StoreFolder
from insource.engines.models.stores.ggufs import entry, together

_SHA256 = re.compile(r"[0-9a-f]{64}")
_DEPTH = 8
"""Of folders inside a repository."""
_REF_BYTES = 200
"""A commit's name, with room."""
SAFETENSORS = "It is kept as safetensors, which insource's own engine does not run; vLLM and transformers do."


class HubCacheStore:
    """`core.ports.ModelStore` over our own cache: what was pulled here, by whom ever, and what was imported."""

    name = "hub"

    def __init__(self, cache: ModelCache) -> None:
        self._cache = cache

    @property
    def folder(self) -> Path:
        return self._cache.folder

    def read(self) -> StoreListing:
        listing = hub_layout(StoreFolder(self.folder), ref_of=_ref, source="hub")
        return StoreListing(models=tuple(self._noted(model) for model in listing.models), skipped=listing.skipped)

    def _noted(self, model: StoredModel) -> StoredModel:
        """With its source, and what was noted when it was pulled."""
        scheme = parse_ref(model.ref).scheme
        note: Note | None = self._cache.notes.of(model.paths[0]) if model.problem is None else None
        if note is None:
            return replace(model, source=scheme)
        return replace(model, source=scheme, sha256=model.sha256 or note.sha256, license=note.license)


def _ref(org: str, name: str, file: str) -> str:
    return f"{org}:{name}" if org in ("wheel", "imported") else f"{org}/{name}" + (f":{file}" if file else "")


def hub_layout(folder: StoreFolder, *, ref_of: Callable[[str, str, str], str], source: str) -> StoreListing:
    """`ref_of(org, name, file)`; the file is "" for a whole repository of safetensors."""
    skipped: list[str] = []
    models: dict[str, StoredModel] = {}
    try:
        repos = [name for name in folder.names(folder.path) if name.startswith("models--")]
    except Refused as refused:
        return StoreListing(models=(), skipped=(f"{str(folder.path)!r} {refused}",))
    for repo in repos:
        org, _, name = repo.removeprefix("models--").partition("--")
        try:
            parse_ref(ref_of(org, name, ""))
        except UsageError:
            skipped.append(f"{str(folder.path / repo)!r} is named as no repository is.")
            continue
        for model in _repository(folder, repo, ref_of=lambda file: ref_of(org, name, file), skipped=skipped):  # noqa: B023
            models.setdefault(model.ref, replace(model, source=source))
    return checked(models.values(), skipped)


def _repository(
    folder: StoreFolder, repo: str, *, ref_of: Callable[[str], str], skipped: list[str]
) -> Iterator[StoredModel]:
    for snapshot in _snapshots(folder, folder.path / repo, skipped):
        below = f"{repo}/snapshots/{snapshot}"
        root = folder.path / below
        names = [path.relative_to(root).as_posix() for path in folder.walk(root, depth=_DEPTH, skipped=skipped)]
        for shards in together(names):
            model = entry(folder, shards, ref=ref_of(shards.name), source="", below=below)
            yield replace(model, sha256=_blob_name(model.paths[0]) if len(model.paths) == 1 else None)
        tensors = tuple(root / name for name in names if name.endswith(".safetensors"))
        if tensors and not any(map(is_gguf, names)):
            yield _safetensors(folder, tensors, ref_of(""))


def _safetensors(folder: StoreFolder, paths: tuple[Path, ...], ref: str) -> StoredModel:
    size_bytes, problem = 0, None
    for path in paths:
        try:
            size_bytes += folder.size_bytes(path)
        except Refused as refused:
            problem = problem or f"{str(path)!r} {refused}"
    adapter = any(path.name.startswith("adapter_model") for path in paths)
    return StoredModel(
        ref=ref,
        source="",
        paths=paths,
        size_bytes=size_bytes,
        kind="adapter" if adapter else "safetensors",
        problem=problem or SAFETENSORS,
    )


def _snapshots(folder: StoreFolder, repo: Path, skipped: list[str]) -> list[str]:
    """The one that `main` names first, the others by name: which of them is newer, nothing in the layout says."""
    try:
        names = [name for name in folder.names(repo / "snapshots") if folder.is_folder(repo / "snapshots" / name)]
    except Refused as refused:
        skipped.append(f"{str(repo / 'snapshots')!r} {refused}")
        return []
    try:
        main = folder.read(repo / "refs" / "main", most_bytes=_REF_BYTES).decode(errors="replace").strip()
    except Refused:
        main = ""
    return sorted(names, key=lambda name: (name != main, name))


def _blob_name(path: Path) -> str | None:
    """The sha256 that a link's first hop is named by (see `ModelCache.sha256`)."""
    try:
        name = os.path.basename(os.readlink(path))  # noqa: PTH115, PTH119 - the text of the link alone
    except OSError:
        return None
    return name if _SHA256.fullmatch(name) else None
