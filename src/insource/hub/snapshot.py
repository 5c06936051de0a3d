"""The catalogue as one file: gzipped JSON lines, a header and one array a model. `bench/build_catalogue.py` makes it.

Every text in it was written by strangers: control characters go, lengths are capped, and figures that can't be true
become None (or 0 parameters). A line that is no model at all is left out and counted.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from datetime import date
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path

import msgspec

from insource.core.catalogue import CatalogueModel, Selection, Wanted
from insource.core.errors import BadInput
from insource.hub.copies import alters

_MAX_FILE_BYTES = 1 << 28
"""Of the unpacked file: a hundred times today's, far below what a bomb unpacks to."""
_MAX_NAME = 200
_MAX_WORD = 80
_MAX_ITEMS = 64
_MAX_PARAMETERS = 10**14
_MAX_CONTEXT = 1 << 27
_MAX_COUNT = 1 << 50
_MAX_SHAPE = 1 << 24
"""Of layers, heads, widths, vocabulary, experts."""

Number = int | None


class SnapshotHeader(msgspec.Struct, frozen=True):
    """The first line."""

    as_of: date
    source: str
    """Where the records come from, with their licence."""


class SnapshotRow(msgspec.Struct, array_like=True, frozen=True):
    """A model's line; the columns are only ever added to, at the end. Meanings: `core.catalogue.CatalogueModel`."""

    id: str
    parameters: Number = None
    active_parameters: Number = None
    model_type: str = ""
    pipeline_tag: str = ""
    capabilities: list[str] = []
    languages: list[str] = []
    context_tokens: Number = None
    license: str | None = None
    downloads: Number = None
    likes: Number = None
    released: str | None = None
    format: str = ""
    gguf_repositories: list[str] = []
    layers: Number = None
    attention_heads: Number = None
    kv_heads: Number = None
    head_width: Number = None
    embedding_width: Number = None
    vocabulary: Number = None
    experts: Number = None
    experts_used: Number = None
    expert_width: Number = None


def shipped_snapshot() -> Path:
    """The one in this package, which is always installed unpacked."""
    return Path(str(files("insource.hub") / "snapshot_2026_10.jsonl.gz"))


class SnapshotCatalogue:
    """`core.ports.Catalogue` over a file, which is read at the first question. Raises BadInput then."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or shipped_snapshot()

    @property
    def as_of(self) -> date:
        return self._content[0].as_of

    @property
    def source(self) -> str:
        return _clean(self._content[0].source, 4 * _MAX_NAME)

    @property
    def left_out(self) -> int:
        """Lines that are no model."""
        return self._content[2]

    def select(self, wanted: Wanted) -> Selection:
        """Everything: it is small, and its readers say why they leave a model out."""
        models = self.models()
        return Selection(models=models, listed=len(models), left_out={}, ancestry=None)

    def models(self) -> Sequence[CatalogueModel]:
        """In the order of the snapshot."""
        return self._content[1]

    def find(self, id: str) -> CatalogueModel | None:
        return self._by_id.get(id.strip().lower())

    @cached_property
    def _by_id(self) -> dict[str, CatalogueModel]:
        """Of names that differ in case alone, the more downloaded one."""
        ordered = sorted(self.models(), key=lambda model: model.downloads or 0)
        return {model.id.lower(): model for model in ordered}

    @cached_property
    def _content(self) -> tuple[SnapshotHeader, tuple[CatalogueModel, ...], int]:
        first, *lines = _read(self.path).split(b"\n")
        try:
            header = msgspec.json.decode(first, type=SnapshotHeader)
        except msgspec.MsgspecError as error:
            raise _bad(self.path, f"has no header ({error})") from error
        decode, model_of = msgspec.json.Decoder(SnapshotRow).decode, row_reader()
        models: list[CatalogueModel] = []
        left_out = 0
        for line in lines:
            if not line:
                continue
            try:
                models.append(model_of(decode(line)))
            except (msgspec.MsgspecError, UnicodeDecodeError, _NoModel):
                left_out += 1
        return header, tuple(models), left_out


class _NoModel(Exception):
    pass


def _read(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _bad(path, f"can't be read: {reason}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise _bad(path, f"unpacks to more than {_MAX_FILE_BYTES:,} bytes")
    return data


def _bad(path: Path, why: str) -> BadInput:
    return BadInput(
        f"The catalogue snapshot {str(path)!r} {why}.",
        next_step="Set `catalogue` to another snapshot, or leave it empty for the shipped one.",
    )


def _clean(text: str, most: int) -> str:
    if len(text) <= most and text.isprintable():
        return text
    return "".join(c for c in text[: 4 * most] if c.isprintable())[:most]


def _within(value: Number, most: int) -> Number:
    return value if value is not None and 0 < value <= most else None


def _count(value: Number) -> Number:
    return value if value is not None and 0 <= value <= _MAX_COUNT else None


@lru_cache(maxsize=8192)
def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def row_reader() -> Callable[[SnapshotRow], CatalogueModel]:
    """From a line's columns to a model. Words repeat a thousandfold in a catalogue; each is cleaned once."""
    word = lru_cache(maxsize=65536)(lambda text: _clean(text, _MAX_WORD).strip())

    def items(values: list[str], most: int = _MAX_WORD) -> tuple[str, ...]:
        cleaned = (word(value) if most == _MAX_WORD else _clean(value, most) for value in values[:_MAX_ITEMS])
        return tuple(value for value in cleaned if value)

    def model_of(row: SnapshotRow) -> CatalogueModel:
        id = _clean(row.id, _MAX_NAME)
        if not id.strip():
            raise _NoModel
        return CatalogueModel(
            id=id,
            parameters=_within(row.parameters, _MAX_PARAMETERS) or 0,
            active_parameters=_within(row.active_parameters, _MAX_PARAMETERS),
            model_type=word(row.model_type),
            pipeline_tag=word(row.pipeline_tag),
            capabilities=items(row.capabilities) if row.capabilities else (),
            languages=items(row.languages) if row.languages else (),
            context_tokens=_within(row.context_tokens, _MAX_CONTEXT),
            license=word(row.license) or None if row.license else None,
            downloads=_count(row.downloads),
            likes=_count(row.likes),
            released=_date(row.released) if row.released else None,
            format=word(row.format),
            gguf_repositories=tuple(
                repository for repository in items(row.gguf_repositories, _MAX_NAME) if not alters(id, repository)
            ),
            layers=_within(row.layers, _MAX_SHAPE),
            attention_heads=_within(row.attention_heads, _MAX_SHAPE),
            kv_heads=_within(row.kv_heads, _MAX_SHAPE),
            head_width=_within(row.head_width, _MAX_SHAPE),
            embedding_width=_within(row.embedding_width, _MAX_SHAPE),
            vocabulary=_within(row.vocabulary, _MAX_SHAPE),
            experts=_within(row.experts, _MAX_SHAPE),
            experts_used=_within(row.experts_used, _MAX_SHAPE),
            expert_width=_within(row.expert_width, _MAX_SHAPE),
        )

    return model_of
