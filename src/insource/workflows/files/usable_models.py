"""Which models on this machine an evaluation may ask: the configured one, files that fit, and what servers run."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from insource.core.stored_models import FoundServer, StoredModel
from insource.core.values import ServedModel
from insource.workflows.files.model_stores import ListedModel, ModelList

MOST = 4
"""Models that are asked unless others are named or already certified: each that is looked at on evidence makes the
next proof harder."""
_ENCODERS = ("bert", "nomic-bert", "jina-bert-v2", "t5encoder", "clip", "gemma-embedding", "whisper")
"""Beginnings of architectures that answer nothing."""


def choose_models(
    refs: Sequence[str], *, configured: str, certified: Collection[str] = (), most: int = MOST
) -> tuple[str, ...]:
    """Of references in the order in which they are tried: the configured one, those that a certificate stands on, and
    the first of the others, `most` in all unless more are certified. Pure."""
    kept = {configured, *certified}
    room = most - sum(ref in kept for ref in refs)
    kept.update([ref for ref in refs if ref not in kept][: max(0, room)])
    return tuple(ref for ref in refs if ref in kept)


def usable_models(listed: ModelList, servers: Sequence[FoundServer], *, configured: str) -> tuple[str, ...]:
    """References, the configured one first ("" is the default), then files by size, then what servers run. Pure.

    A file that several stores hold counts once; a model of Ollama that lies on this disk is asked as a file.
    """
    files = sorted((each for each in listed.models if _usable(each)), key=lambda each: _cost(each.model))
    chosen: dict[str, str] = {}
    for each in files:
        chosen.setdefault(each.model.sha256 or str(each.model.paths), each.model.ref)
    refs = [ref for ref in chosen.values() if not _is_configured(ref, files, configured)]
    known = {each.model.ref for each in listed.models}
    for server in servers:
        prefix = f"{server.kind}:"
        refs += [ServedModel(url=server.url, name=name).ref for name in server.models if prefix + name not in known]
    return tuple(dict.fromkeys((configured, *refs)))


def _usable(each: ListedModel) -> bool:
    model = each.model
    tried = each.trial is None or each.trial.runs
    answers = not (model.architecture or "").startswith(_ENCODERS)
    return model.kind == "model" and model.problem is None and each.fits is not False and tried and answers


def _cost(model: StoredModel) -> tuple[int, str]:
    """A decoded token reads every byte of a dense model."""
    return model.size_bytes, model.ref


def _is_configured(ref: str, files: Sequence[ListedModel], configured: str) -> bool:
    if ref == configured:
        return True
    return configured == "" and any(each.model.ref == ref and each.model.source == "wheel" for each in files)
