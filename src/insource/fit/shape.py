"""A model as matrices: what its parameters and the bytes of any quantisation are summed over.

A *block* is one repeating layer. Equal blocks are one object, so that what is computed for one holds for all of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from insource.core.architecture import Layer

Role = Literal[
    "embedding", "output", "q", "k", "v", "qkv", "attention_output", "gate", "up", "down",
    "expert_gate", "expert_up", "expert_down", "other", "kept", "half", "vector",
]  # fmt: skip
"""As llama.cpp's quantiser tells tensors apart; expert_*: routed experts; kept: never quantised (F32); half: never
quantised but stored as 16 bit; vector: norms and biases (F32)."""


@dataclass(frozen=True, slots=True)
class Matrix:
    role: Role
    columns: int
    """The contiguous dimension (ggml's ne[0]), on which block quantisation depends."""
    rows: int = 1
    """All other dimensions."""

    @property
    def elements(self) -> int:
        return self.columns * self.rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Compared by identity: equal layers are one object."""

    layer: Layer
    matrices: tuple[Matrix, ...]

    @property
    def parameters(self) -> int:
        return sum([matrix.columns * matrix.rows for matrix in self.matrices])

    @property
    def expert_parameters(self) -> int:
        return sum([matrix.elements for matrix in self.matrices if matrix.role.startswith("expert")])

    def has(self, *roles: Role) -> bool:
        return any(matrix.role in roles for matrix in self.matrices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    architecture: str
    """llama.cpp's name: its quantiser treats some architectures apart."""
    blocks: tuple[Block, ...]
    inputs: tuple[Matrix, ...]
    """Token and position embeddings."""
    outputs: tuple[Matrix, ...]
    """Output head, unless tied, and final norm."""
    tied: bool
    queries_per_kv_head: int = 1
    experts: int = 0
    experts_stay_mxfp4: bool = False
    """The published weights are MXFP4 already, and every conversion keeps them (gpt-oss)."""

    @property
    def parameters(self) -> int:
        ends = sum(matrix.elements for matrix in (*self.inputs, *self.outputs))
        return ends + sum(block.parameters * count for block, count in Counter(self.blocks).items())

    @property
    def expert_parameters(self) -> int:
        return sum(block.expert_parameters * count for block, count in Counter(self.blocks).items())
