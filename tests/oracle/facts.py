"""The facts of a model as its `config.json` states them, and the GGUF that llama.cpp's converter makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.gguf_writer import Value
from tests.oracle.headers import Tensor, write_header


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model. The peers' scorer reads the facts; llama.cpp and our formulas read the file."""

    name: str
    hub_id: str
    kind: str
    """dense, GQA, sliding window, MLA, hybrid, recurrent, MoE, shared KV, large vocabulary: what it stands for."""
    source: str
    """Where the facts were checked; `parameters as published`: `test_fit_config_headers.py` counts them, too."""
    arch: str
    """llama.cpp's name."""
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward: int
    vocabulary: int
    context: int
    tensors: Callable[[Case], Sequence[Tensor]]
    tied: bool = False
    keys: Mapping[str, Value] = field(default_factory=dict[str, Value])
    """Further metadata, without the architecture's prefix."""
    window: int | None = None
    experts: int = 0
    experts_used: int = 0
    expert_width: int = 0
    shared_expert_width: int = 0
    """Of all shared experts together."""
    dense_layers: int = 0
    """That come before the first layer with experts."""
    facts: Mapping[str, int] = field(default_factory=dict[str, int])
    """What only this family has, by the builder's names."""
    attention_layers: frozenset[int] | None = None
    """Of a hybrid; None: all."""

    def metadata(self) -> dict[str, Value]:
        fields: dict[str, Value] = {
            "context_length": self.context,
            "embedding_length": self.hidden,
            "block_count": self.layers,
            "feed_forward_length": self.feed_forward,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv_heads
            if self.attention_layers is None
            else [self.kv_heads if i in self.attention_layers else 0 for i in range(self.layers)],
            "attention.key_length": self.head_width,
            "attention.value_length": self.head_width,
            "attention.layer_norm_rms_epsilon": 1e-6,
            "attention.layer_norm_epsilon": 1e-6,
            "rope.dimension_count": self.head_width,
            "vocab_size": self.vocabulary,
        }
        if self.window is not None:
            fields["attention.sliding_window"] = self.window
        if self.experts:
            fields |= {"expert_count": self.experts, "expert_used_count": self.experts_used}
            fields["expert_feed_forward_length"] = self.expert_width
            if self.dense_layers:
                fields["leading_dense_block_count"] = self.dense_layers
            if self.shared_expert_width:
                fields["expert_shared_feed_forward_length"] = self.shared_expert_width
        fields |= self.keys
        general: dict[str, Value] = {
            "general.architecture": self.arch,
            "general.name": self.name,
            "general.file_type": 15,
            "tokenizer.ggml.model": "no_vocab",
        }
        return general | {f"{self.arch}.{key}": value for key, value in fields.items()}

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.name}.gguf"
        write_header(path, self.metadata(), self.tensors(self))
        return path
