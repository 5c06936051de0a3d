"""The last look at what a reader found: every entry can be named in a command, and no two by the same name."""

from __future__ import annotations

from collections.abc import Iterable

from insource.core.errors import UsageError
from insource.core.stored_models import StoredModel, StoreListing
from insource.engines.models.refs import parse_ref


def checked(models: Iterable[StoredModel], skipped: Iterable[str] = ()) -> StoreListing:
    kept: dict[str, StoredModel] = {}
    said = list(skipped)
    for model in models:
        if not _can_be_named(model.ref):
            said.append(f"{model.ref!r} can't be named in a command: its file or folder has characters that mislead.")
            continue
        if model.ref in kept:
            said.append(f"{model.ref!r} is there twice; the first is listed.")
            continue
        kept[model.ref] = model
    return StoreListing(models=tuple(kept[ref] for ref in sorted(kept)), skipped=tuple(said))


def _can_be_named(ref: str) -> bool:
    try:
        parse_ref(ref)
    except UsageError:
        return False
    return ref.isprintable()
