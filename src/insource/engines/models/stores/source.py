"""A model that another tool keeps, used where it lies: never copied, never changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from insource.core.errors import BadModelFile, UnknownModel
from insource.core.hashing import file_sha256
from insource.core.ports import ModelStore
from insource.core.stored_models import StoredModel
from insource.core.values import ModelFile
from insource.engines.models.gguf import check_gguf
from insource.engines.models.notes import Note, Notes
from insource.engines.models.refs import parse_ref
from insource.engines.models.stores.ggufs import split
from insource.engines.models.stores.headers import kind_of

_SETTINGS: Mapping[str, str] = {
    "ollama": "INSOURCE_OLLAMA_MODELS",
    "lmstudio": "INSOURCE_LMSTUDIO_MODELS",
    "llamacpp": "INSOURCE_LLAMACPP_CACHE",
}
"""Scheme -> what names the folder."""


class StoreSource:
    """`core.ports.ModelSource` over the folders of one tool, the first that has the model counts."""

    def __init__(self, scheme: str, stores: Sequence[ModelStore], *, notes: Notes) -> None:
        self._scheme = scheme
        self._stores = tuple(stores)
        self._notes = notes

    @property
    def scheme(self) -> str:
        return self._scheme

    def fetch(self, ref: str, *, progress: Callable[[int, int | None], None]) -> ModelFile:
        """Raises UnknownModel; BadModelFile for what is there and can't be run from one whole file."""
        model = self._entry(ref)
        problem = model.problem or split(model)
        if problem is not None:
            raise BadModelFile(
                f"The model {model.ref!r} can't be used: {problem}",
                next_step="Choose another: `insource models list` shows what there is.",
            )
        path = model.paths[0]
        header = check_gguf(path)
        if kind_of(header) != "model":
            raise BadModelFile(
                f"{model.ref!r} is not a language model: its header says {header.kind!r} ({header.architecture}).",
                next_step="Name the model that it belongs to.",
            )
        progress(0, model.size_bytes)
        sha256 = model.sha256 or self._sha256(path)
        progress(model.size_bytes, model.size_bytes)
        return ModelFile(
            ref=model.ref,
            path=path,
            sha256=sha256,
            size_bytes=model.size_bytes,
            source=self._scheme,
            license=model.license or header.license,
        )

    def _entry(self, ref: str) -> StoredModel:
        wanted = parse_ref(ref)
        for store in self._stores:
            for model in store.read().models:
                if parse_ref(model.ref) == wanted:
                    return model
        places = " or ".join(repr(str(store.folder)) for store in self._stores) or "any place that is known"
        raise UnknownModel(
            f"There is no model {ref!r} in {places}.",
            next_step=f"`insource models list` shows what there is; {_SETTINGS[self._scheme]} names the folder.",
        )

    def _sha256(self, path: Path) -> str:
        note = self._notes.of(path)
        if note is None:
            note = Note.about(path, sha256=file_sha256(path), license=None)
            self._notes.put(path, note)
        return note.sha256
