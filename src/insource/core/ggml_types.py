"""How many bytes ggml's tensor types take. Source: `type_traits` in ggml.c and the block structs of ggml-common.h."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeLayout:
    name: str
    block_elements: int
    block_bytes: int
    """0: a type that is newer than this table."""

    def size_bytes(self, shape: tuple[int, ...]) -> int | None:
        """ggml_nbytes of a contiguous tensor; None where the type is unknown."""
        if self.block_bytes == 0:
            return None
        first, *others = shape or (1,)
        size = -(-first // self.block_elements) * self.block_bytes
        for length in others:
            size *= length
        return size


_LAYOUTS: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
}

_NUMBERS: Mapping[str, int] = {name: number for number, (name, _, _) in _LAYOUTS.items()}


def type_layout(number: int) -> TypeLayout:
    name, elements, size = _LAYOUTS.get(number, (f"type {number}", 1, 0))
    return TypeLayout(name=name, block_elements=elements, block_bytes=size)


def type_number(name: str) -> int:
    """The inverse of `type_layout`; KeyError for a name that is not in the table."""
    return _NUMBERS[name]
