"""A model file that is already on disk: used in place, never copied, never removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from insource.core.errors import BadModelFile, UnknownModel
from insource.core.values import ModelFile
from insource.engines.models.cache import ModelCache
from insource.engines.models.catalogue import PINS
from insource.engines.models.gguf import check_gguf
from insource.engines.models.refs import parse_ref


class FileSource:
    """`file:/path/x.gguf`. The reference that it returns is absolute."""

    def __init__(self, cache: ModelCache, *, pins: Mapping[str, str] = PINS) -> None:
        self._cache = cache
        self._pins = pins

    @property
    def scheme(self) -> str:
        return "file"

    def fetch(self, ref: str, *, progress: Callable[[int, int | None], None]) -> ModelFile:
        path = Path(parse_ref(ref).place).expanduser().absolute()
        if not path.is_file():
            raise UnknownModel(
                f"There is no file {str(path)!r}.",
                next_step="Check the path, or pull a model with `insource models pull`.",
            )
        header = check_gguf(path)
        progress(0, header.file_size_bytes)
        sha256 = self._cache.sha256(path)
        progress(header.file_size_bytes, header.file_size_bytes)
        pin = self._pins.get(f"file:{path}")
        if pin is not None and pin != sha256:
            self._cache.notes.drop(path)
            raise BadModelFile(
                f"The file {str(path)!r} has the sha256 {sha256}, not {pin}.", next_step="Name another file."
            )
        return ModelFile(
            ref=f"file:{path}",
            path=path,
            sha256=sha256,
            size_bytes=header.file_size_bytes,
            source="file",
            license=header.license,
        )
