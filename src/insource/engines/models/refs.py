"""What a user calls a model file, and which file of a repository that means. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from insource.core.altered_models import is_altered
from insource.core.errors import UnknownModel, UsageError

_HUB = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?::(.+))?")
_PACKAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_SHARD = re.compile(r"-\d{5}-of-(\d{5})\.gguf$", re.IGNORECASE)
_USUAL_QUANT = "Q4_K_M"
"""What `org/name` means where a repository has several files: the same choice as llama.cpp's -hf and Ollama's."""
FORMS = (
    "`org/name`, `org/name:QUANT`, `org/name:file.gguf`, `file:/path/file.gguf`, `wheel:package`, `imported:name`, "
    "`ollama:model:tag`, `lmstudio:org/repo/file.gguf` or `llamacpp:file.gguf`"
)
STORES = ("ollama", "lmstudio", "llamacpp")
"""Schemes of the stores that other tools keep."""
_OLLAMA = re.compile(
    r"(?:(?:(?P<host>[A-Za-z0-9_][\w.:-]*)/)?(?P<namespace>[A-Za-z0-9_][\w-]*)/)?"
    r"(?P<model>[A-Za-z0-9_][\w.-]*)(?::(?P<tag>[A-Za-z0-9_][\w.-]*))?(?P<part>@(?:projector|adapter)\d*)?",
    re.ASCII,
)
"""As Ollama's types/model/name.go parses a name; `@part` is ours, for what goes with a model."""
_OLLAMA_HOST, _OLLAMA_NAMESPACE, _OLLAMA_TAG = "registry.ollama.ai", "library", "latest"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    scheme: str
    """`hub`, `file`, `wheel`, `imported`, or one of `STORES`."""
    place: str
    """`org/name`, a path, a package's normalised name, or what a store calls the model, with nothing left out that has
    no default there."""
    selector: str = ""
    """Hub only: a quant or a file name; empty: the repository's usual file."""


def parse_ref(ref: str) -> ModelRef:
    """Raises UsageError for anything that is not a reference; never touches the disk."""
    scheme, colon, rest = ref.partition(":")
    if colon and scheme == "file" and rest:
        return ModelRef(scheme="file", place=rest)
    if colon and scheme == "wheel" and _PACKAGE.fullmatch(rest):
        return ModelRef(scheme="wheel", place=re.sub(r"[-_.]+", "-", rest).lower())
    if colon and scheme == "imported" and _PACKAGE.fullmatch(rest) and "--" not in rest:
        return ModelRef(scheme="imported", place=rest)
    place = _place_in_store(scheme, rest) if colon and scheme in STORES else None
    if place:
        return ModelRef(scheme=scheme, place=place)
    found = _HUB.fullmatch(ref)
    if found and "--" not in found[1]:
        return ModelRef(scheme="hub", place=found[1], selector=found[2] or "")
    looks_like_path = ref.lower().endswith(".gguf") and not colon
    raise UsageError(
        f"{ref!r} is not a reference to a model file.",
        next_step=f"Write `file:{ref}` for a file on disk." if looks_like_path else f"Write {FORMS}.",
    )


def ollama_name(text: str) -> str | None:
    """`qwen3` -> `qwen3:latest`; host and namespace are left out where they are Ollama's own. None: no such name."""
    found = _OLLAMA.fullmatch(text)
    if found is None:
        return None
    host, namespace = found["host"] or _OLLAMA_HOST, found["namespace"] or _OLLAMA_NAMESPACE
    name = f"{found['model']}:{found['tag'] or _OLLAMA_TAG}{found['part'] or ''}"
    if host.lower() != _OLLAMA_HOST:
        return f"{host}/{namespace}/{name}"
    return name if namespace.lower() == _OLLAMA_NAMESPACE else f"{namespace}/{name}"


def _place_in_store(scheme: str, text: str) -> str | None:
    if scheme == "ollama":
        return ollama_name(text)
    repo, colon, name = text.partition(":") if scheme == "llamacpp" else ("", "", text)
    if colon and not (_HUB.fullmatch(repo) and "--" not in repo):
        return None
    path = safe_path(name or repo)
    return text if path is not None and path.as_posix() == (name or repo) else None


def is_gguf(name: str) -> bool:
    return name.lower().endswith(".gguf")


def safe_path(name: str) -> PurePosixPath | None:
    """A file name from a stranger as a path below a folder of ours; None when it points elsewhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or re.search(r'[\\:*?"<>|\x00-\x1f]', name):
        return None
    return path


def pick_file(place: str, names: Sequence[str], selector: str) -> str:
    """The one GGUF of a repository that is meant. Raises UnknownModel, and lists what there is.

    A file whose name says that it is altered ("abliterated") is meant only where the repository's name or the selector
    says so too."""
    files = sorted(name for name in names if is_gguf(name))
    whole = [name for name in files if not _SHARD.search(name)]
    if is_gguf(selector):
        found = [name for name in files if name == selector] or [
            name for name in files if name.lower() == selector.lower()
        ]
    else:
        found = [name for name in files if _means(name, selector)]
        if not (is_altered(place) or is_altered(selector)):
            found = [name for name in found if not _is_altered_file(name)]
        if not selector and len(found) > 1:
            found = [name for name in found if _has_quant(name, _USUAL_QUANT)]
    if len(found) == 1 and not _SHARD.search(found[0]):
        return found[0]
    raise UnknownModel(
        _why_not(place, selector, files=files, found=found),
        next_step=_what_else(place, files=files, whole=whole),
    )


def pick_shards(place: str, names: Sequence[str], selector: str) -> list[str]:
    """As `pick_file`, to look at only: of a model that is split, all its files in order."""
    parts: dict[str, list[str]] = {}
    for name in sorted(filter(is_gguf, names)):
        parts.setdefault(_SHARD.sub(".gguf", name), []).append(name)
    chosen = pick_file(place, list(parts), _SHARD.sub(".gguf", selector))
    found = parts[chosen]
    if chosen in found:
        return [chosen]
    stated = _SHARD.search(found[0])
    if stated is None or int(stated[1]) != len(found):
        raise UnknownModel(
            f"Of the files that {chosen!r} in {place!r} is split into, only {len(found)} are there.",
            next_step="Choose another file or another repository.",
        )
    return found


def _means(name: str, selector: str) -> bool:
    """A model, of that quantisation where one is selected."""
    beside = PurePosixPath(name).name.lower().startswith(("mmproj", "imatrix"))
    return not beside and (not selector or _has_quant(name, selector))


def _is_altered_file(name: str) -> bool:
    """By its own name or its folder's."""
    return is_altered(name.replace("/", "-"))


def _has_quant(name: str, quant: str) -> bool:
    """`model-Q4_K_M.gguf`, `model.q4_k_m.gguf`, `Q4_K_M/model-Q4_K_M-00001-of-00002.gguf`; not `IQ4_1` for `Q4_1`."""
    stem = _SHARD.sub(".gguf", name)[: -len(".gguf")].lower()
    return stem.endswith(quant.lower()) and re.search(r"[-._/]$", stem[: -len(quant)] or "-") is not None


def _why_not(place: str, selector: str, *, files: Sequence[str], found: Sequence[str]) -> str:
    if not files:
        return f"The repository {place!r} holds no GGUF file."
    shards = [name for name in found if _SHARD.search(name)]
    if shards:
        return (
            f"{selector or place!r} is split into {len(shards)} files or more in {place!r}; "
            "insource runs a model from one file, whose one hash a certificate can name."
        )
    meant = [name for name in files if _means(name, selector)]
    if not found and meant and all(map(_is_altered_file, meant)):
        return f"{place!r} holds only altered copies of the model: {', '.join(meant[:20])}."
    if not found:
        wanted = f"no file for {selector!r}" if selector else f"several files and none is {_USUAL_QUANT}"
        return f"The repository {place!r} has {wanted}."
    return f"{selector or place!r} means more than one file of {place!r}: {', '.join(found)}."


def _what_else(place: str, *, files: Sequence[str], whole: Sequence[str]) -> str:
    if whole:
        return f"Choose one file: {_listed(place, whole)}."
    if files:
        return "Choose another repository."
    return f"`insource hub show {place}` lists repositories that offer it as GGUF, without altered copies."


def _listed(place: str, names: Sequence[str]) -> str:
    shown = ", ".join(f"`{place}:{name}`" for name in names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
