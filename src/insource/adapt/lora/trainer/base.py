"""The model to train, out of a GGUF file or a folder of safetensors, with its tokenizer and its template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insource.adapt.files.gguf import read_gguf
from insource.adapt.lora.trainer.libraries import torch, transformers
from insource.core.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    model: Any
    """transformers' causal model, float32, on the CPU."""
    tokenizer: Any
    end_tokens: frozenset[int]
    """Tokens that end an answer where it is served."""


def load_base(path: Path) -> Base:
    tokenizer, end_tokens = load_tokenizer(path)
    return Base(model=load_model(path), tokenizer=tokenizer, end_tokens=end_tokens)


def load_model(path: Path) -> Any:
    place, more = _place(path)
    model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, **more)
    forget_quantization(model)
    return model.eval()


def load_tokenizer(path: Path) -> tuple[Any, frozenset[int]]:
    place, more = _place(path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(place, **more)
    if path.is_file():
        file = read_gguf(path)
        tokenizer.chat_template = file.value("tokenizer.chat_template", tokenizer.chat_template)
        ends = {file.value(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")}
        end_tokens = frozenset(int(token) for token in ends if token is not None)
    else:
        told = transformers.GenerationConfig.from_pretrained(place) if _has_generation_config(path) else None
        ends = told.eos_token_id if told is not None and told.eos_token_id is not None else tokenizer.eos_token_id
        end_tokens = frozenset(ends if isinstance(ends, list) else [ends]) - {None}
    if tokenizer.chat_template is None:
        raise BadInput(
            f"The model {str(path)!r} has no chat template, so nobody knows how the engine will write its prompt.",
            next_step="Train a chat model (an `instruct` one).",
        )
    if not end_tokens:
        raise BadInput(
            f"The model {str(path)!r} names no token that ends an answer.", next_step="Choose another model."
        )
    return tokenizer, end_tokens


def forget_quantization(model: Any) -> None:
    """A model loaded out of a GGUF is dequantised, but says that it is quantised, and then refuses to be saved."""
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _place(path: Path) -> tuple[str, dict[str, Any]]:
    """The Hub's client treats a blob's name without ending as no GGUF, so the link's own name is kept."""
    if path.is_dir():
        return str(path), {"local_files_only": True}
    return str(path.parent), {"gguf_file": path.name, "local_files_only": True}


def _has_generation_config(path: Path) -> bool:
    return (path / "generation_config.json").is_file()
