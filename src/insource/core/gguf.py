"""What the header of a GGUF file says, as values. Read by `engines/models/gguf.py`; understood by `fit/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufArray:
    """An array of metadata; only its first items are kept."""

    length: int
    first: tuple[GgufValue, ...]


GgufValue = str | int | float | bool | None | GgufArray
"""None: a text too long to keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    name: str
    shape: tuple[int, ...]
    """In ggml's order: the contiguous dimension first."""
    type_name: str
    offset_bytes: int
    """From the start of the data."""
    size_bytes: int | None
    """None: a type that this reader does not know."""

    @property
    def elements(self) -> int:
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeSummary:
    type_name: str
    tensors: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    version: int
    metadata: Mapping[str, GgufValue]
    tensors: tuple[TensorInfo, ...]
    data_start_bytes: int
    file_size_bytes: int

    @property
    def expected_size_bytes(self) -> int:
        """The end of the last tensor: a file that is smaller is truncated."""
        ends = [tensor.offset_bytes + (tensor.size_bytes or 0) for tensor in self.tensors]
        return self.data_start_bytes + max(ends) if ends else self.data_start_bytes

    @property
    def name(self) -> str | None:
        return self._text("general.name")

    @property
    def architecture(self) -> str | None:
        return self._text("general.architecture")

    @property
    def license(self) -> str | None:
        return self._text("general.license")

    @property
    def tags(self) -> tuple[str, ...]:
        """What its maker's card says of it, one word or few each."""
        value = self.metadata.get("general.tags")
        return tuple(tag for tag in value.first if isinstance(tag, str)) if isinstance(value, GgufArray) else ()

    @property
    def kind(self) -> str:
        """`model`, `adapter`, `mmproj`, `imatrix`, ..."""
        return self._text("general.type") or "model"

    @property
    def parameters(self) -> int:
        """Elements of all tensors: counted, not read from the name."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def context_tokens(self) -> int | None:
        """The context that the model was trained with."""
        value = self.metadata.get(f"{self.metadata.get('general.architecture')}.context_length")
        return value if isinstance(value, int) else None

    def types(self) -> list[TypeSummary]:
        """By tensor type, the most bytes first. File names lie about it (FACTS), tensors don't."""
        names = {tensor.type_name for tensor in self.tensors}
        rows = [
            TypeSummary(
                type_name=name,
                tensors=sum(tensor.type_name == name for tensor in self.tensors),
                size_bytes=sum(tensor.size_bytes or 0 for tensor in self.tensors if tensor.type_name == name),
            )
            for name in names
        ]
        return sorted(rows, key=lambda row: (-row.size_bytes, row.type_name))

    def _text(self, key: str) -> str | None:
        """A short text made safe to show: one line, printable, at most 200 characters."""
        value = self.metadata.get(key)
        if not isinstance(value, str):
            return None
        return "".join(c if c.isprintable() else " " for c in value[:200]).strip() or None


def joined(shards: Sequence[GgufHeader]) -> GgufHeader:
    """The shards of one model, in order, as one: the first one's metadata, every one's tensors."""
    if len(shards) == 1:
        return shards[0]
    return replace(
        shards[0],
        tensors=tuple(tensor for shard in shards for tensor in shard.tensors),
        file_size_bytes=sum(shard.file_size_bytes for shard in shards),
    )
