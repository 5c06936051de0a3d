"""A language model of a few thousand random weights that the real engine loads: it answers at once, and nonsense."""

from __future__ import annotations

from pathlib import Path

from insource.adapt.files.gguf import Entry, text, texts, u32, write_gguf
from tests.quantize_models import Shape, drawn, entries, tensors

_TEMPLATE = "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"


def write_tiny_gguf(path: Path, *, seed: int = 0) -> Path:
    """The same bytes for the same seed."""
    tokens = [*_byte_tokens(), "ab", "<|end|>"]
    shape = Shape(layers=1, width=32, inner=32, heads=2, vocabulary=len(tokens), tied=True)
    facts: dict[str, Entry] = {
        **entries(shape),
        "general.name": text(f"tiny {seed}"),
        "general.license": text("apache-2.0"),
        "llama.context_length": u32(8192),
        "tokenizer.ggml.model": text("gpt2"),
        "tokenizer.ggml.pre": text("gpt-2"),
        "tokenizer.ggml.tokens": texts(tokens),
        "tokenizer.ggml.merges": texts(["a b"]),
        "tokenizer.ggml.eos_token_id": u32(len(tokens) - 1),
        "tokenizer.chat_template": text(_TEMPLATE),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(path, facts, [(t, drawn(t, seed + at)) for at, t in enumerate(tensors(shape))])
    return path


def _byte_tokens() -> list[str]:
    """GPT-2's stand-ins for the 256 bytes: those that print stand for themselves, the others come after them."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
