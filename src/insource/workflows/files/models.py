"""`insource models pull|show|remove`, and the one place where a reference becomes a file on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from insource.core.altered_models import altered_word, tells_altered
from insource.core.errors import BadModelFile, DownloadFailed, UnknownModel, UpstreamError, UsageError
from insource.core.gguf import GgufHeader
from insource.core.hashing import file_sha256
from insource.core.ports import ModelSource
from insource.core.values import ModelFile
from insource.engines.models.cache import ModelCache
from insource.engines.models.catalogue import DEFAULT_MODEL, KnownModel
from insource.engines.models.gguf import check_gguf
from insource.engines.models.local import FileSource
from insource.engines.models.refs import STORES, parse_ref
from insource.workflows.services import Progress, quiet

_CACHED = ("hub", "wheel", "imported")
"""Schemes of what lies in our own cache; everything else is used where it lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDetails:
    file: ModelFile
    header: GgufHeader
    verified: bool
    """The bytes were hashed again and have the sha256 that is stated."""

    @property
    def altered(self) -> str | None:
        """A sentence, where what is named is not its original any more."""
        return _altered(self.file, self.header)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    ref: str
    path: Path
    freed_bytes: int
    """0 where the bytes are kept: another snapshot uses them, or the file is the user's own."""


def pull(
    ref: str,
    sources: Mapping[str, ModelSource],
    *,
    cache: ModelCache,
    progress: Progress = quiet,
    refresh: bool = False,
) -> ModelFile:
    """The file, downloaded unless it is there and whole; "" is the default model. `refresh` asks the source anyway."""
    if not ref:
        return pull_default(sources, cache=cache, progress=progress)
    parsed = parse_ref(ref)
    present = None if refresh or parsed.scheme not in _CACHED else _present(cache.find(parsed), cache)
    if present is not None:
        return present
    if parsed.scheme == "imported":
        raise _unknown(ref)
    if parsed.scheme not in sources:
        known = ", ".join(sorted(sources)) or "none"
        raise UsageError(
            f"There is no source {parsed.scheme!r} for {ref!r} (known: {known}).", next_step="Use another source."
        )
    what = f"Pulling {ref}"
    file = sources[parsed.scheme].fetch(ref, progress=lambda done, total: progress(what, done, total))
    return _whole(file)


def altered_copy(file: ModelFile) -> str | None:
    """A sentence, where the reference, the name in the file or its tags say that it is an altered copy."""
    return _altered(file, check_gguf(file.path))


def _altered(file: ModelFile, header: GgufHeader) -> str | None:
    ref = parse_ref(file.ref)
    names = (ref.place, ref.selector.replace("/", "-"), (header.name or "").replace("/", "-"))
    told = next(filter(None, map(altered_word, names)), "by its tags" if tells_altered(header.tags) else "")
    if not told:
        return None
    return f"{file.ref} is an altered copy ({told}): it does not answer as the model that it was made of."


def pull_default(
    sources: Mapping[str, ModelSource],
    *,
    cache: ModelCache,
    progress: Progress = quiet,
    known: KnownModel = DEFAULT_MODEL,
) -> ModelFile:
    """The default model from the first source that delivers it. Raises DownloadFailed with every source's reason."""
    present = _present(_known_file(known, cache), cache)
    if present is not None:
        return present
    reasons: list[str] = []
    for ref in known.refs:
        try:
            file = pull(ref, sources, cache=cache, progress=progress)
            if file.sha256 == known.sha256:
                return file
            reasons.append(f"{ref}: it has the sha256 {file.sha256}, not {known.sha256}.")
        except (UpstreamError, UnknownModel, BadModelFile, UsageError) as error:
            reasons.append(f"{ref}: {error.message}")
    raise DownloadFailed(
        f"No source could deliver the default model {known.name!r}. " + " ".join(reasons),
        next_step="Check the network, or set INSOURCE_MODEL to a file that you have: `file:/path/model.gguf`.",
    )


def show(
    ref: str, *, cache: ModelCache, sources: Mapping[str, ModelSource] | None = None, verify: bool = False
) -> ModelDetails:
    """What the file is. Raises BadModelFile when it is damaged; hashes it only when told to `verify`."""
    file = find(ref, cache=cache, sources=sources)
    if verify:
        found = file_sha256(file.path)
        if found != file.sha256:
            raise BadModelFile(
                f"The model file {str(file.path)!r} has the sha256 {found}, not {file.sha256}: it is damaged.",
                next_step=f"`insource models remove {file.ref}`, then `insource models pull {file.ref}`."
                if file.source in ("hub", "wheel")
                else "Get it again with the tool that keeps it.",
            )
    return ModelDetails(file=file, header=check_gguf(file.path), verified=verify)


def remove(ref: str, *, cache: ModelCache) -> Removal:
    """Removes a cached file. A user's own file stays where it is and is only forgotten."""
    parsed = parse_ref(ref) if ref else None
    if parsed is not None and parsed.scheme == "file":
        path = Path(parsed.place).expanduser().absolute()
        if not cache.notes.drop(path):
            raise _unknown(ref)
        return Removal(ref=f"file:{path}", path=path, freed_bytes=0)
    if parsed is not None and parsed.scheme in STORES:
        raise UsageError(
            f"{ref!r} belongs to another tool, whose files insource never changes.",
            next_step="Remove it there: `ollama rm`, or My Models in LM Studio.",
        )
    file = cache.find(parsed) if parsed else _known_file(DEFAULT_MODEL, cache)
    if file is None:
        raise _unknown(ref)
    with cache.lock(parse_ref(file.ref)):
        return Removal(ref=file.ref, path=file.path, freed_bytes=cache.remove(file))


def find(ref: str, *, cache: ModelCache, sources: Mapping[str, ModelSource] | None = None) -> ModelFile:
    """The file on disk, without any network; "" is the default model. Raises UnknownModel with the pull command.

    `sources` is asked for what other tools keep; none of those downloads anything.

    Raises BadModelFile when it is not a whole GGUF. A big file is not hashed again: its hash is its blob's name
    (`show --verify` hashes it).
    """
    if not ref:
        found = _known_file(DEFAULT_MODEL, cache)
    else:
        parsed = parse_ref(ref)
        if parsed.scheme == "file":
            return FileSource(cache).fetch(ref, progress=lambda done, total: None)
        if parsed.scheme in STORES and sources is not None:
            return sources[parsed.scheme].fetch(ref, progress=lambda done, total: None)
        found = cache.find(parsed)
    if found is None:
        raise _unknown(ref)
    return _whole(found)


def _unknown(ref: str) -> UnknownModel:
    if not ref:
        return UnknownModel(
            f"The default model {DEFAULT_MODEL.name!r} is not on this machine.",
            next_step=f"Run `insource models pull` ({DEFAULT_MODEL.size_bytes:,} bytes).",
        )
    if ref.startswith("imported:"):
        return UnknownModel(
            f"There is no import {ref!r}.", next_step="`insource models list` shows what there is to import."
        )
    return UnknownModel(
        f"The model {ref!r} is not on this machine.",
        next_step=f"Run `insource models pull {ref}`; `insource models list` shows what there is.",
    )


def _whole(file: ModelFile) -> ModelFile:
    """Raises BadModelFile. Files that other tools pulled have no note of a licence, but their header may state one."""
    header = check_gguf(file.path)
    return replace(file, license=file.license or header.license)


def _present(file: ModelFile | None, cache: ModelCache) -> ModelFile | None:
    """A file that is there and whole; a damaged one is removed, so that it can be pulled again."""
    if file is None:
        return None
    try:
        return _whole(file)
    except BadModelFile:
        with cache.lock(parse_ref(file.ref)):
            cache.remove(file)
        return None


def _known_file(known: KnownModel, cache: ModelCache) -> ModelFile | None:
    for ref in known.refs:
        found = cache.find(parse_ref(ref))
        if found is not None and found.sha256 == known.sha256:
            return replace(found, license=found.license or known.license)
    return None
