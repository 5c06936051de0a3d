"""The model on this machine that a reference means, whichever tool keeps it."""

from __future__ import annotations

from pathlib import Path

from insource.core.errors import UnknownModel
from insource.core.stored_models import StoredModel
from insource.engines.models.refs import parse_ref
from insource.workflows.files.model_stores import Models
from insource.workflows.files.models import find


def find_stored(ref: str, models: Models) -> StoredModel:
    """An entry of a store, or a file of the user's own. Raises UnknownModel; BadModelFile for one that is no GGUF."""
    parsed = parse_ref(ref)
    if parsed.scheme == "file":
        return _own(Path(parsed.place).expanduser().absolute())
    for store in models.stores:
        for model in store.read().models:
            if parse_ref(model.ref) == parsed and model.paths:
                return model
    file = find(ref, cache=models.cache, sources=models.sources)  # a quantisation, or a repository's usual file
    return StoredModel(
        ref=file.ref,
        source=file.source,
        paths=(file.path,),
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        license=file.license,
    )


def _own(path: Path) -> StoredModel:
    if not path.is_file():
        raise UnknownModel(
            f"There is no file {str(path)!r}.", next_step="Check the path; `insource models list` shows what there is."
        )
    return StoredModel(ref=f"file:{path}", source="file", paths=(path,), size_bytes=path.stat().st_size)
