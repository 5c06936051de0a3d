"""The adapter that is trained: PEFT on the processor, the same through Unsloth where there is a CUDA device and it is
installed. Either way a PEFT model comes out, and the loop is the same."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from insource.adapt.lora.job import Hyperparameters
from insource.adapt.lora.trainer.base import Base, load_base, load_tokenizer
from insource.adapt.lora.trainer.libraries import peft, torch

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""All linear layers of a block: what `to_gguf.py` can name, and measured better than attention alone."""


def device_here() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def has_unsloth() -> bool:
    return find_spec("unsloth") is not None


def with_adapter(path: Path, workspace: Path, settings: Hyperparameters, *, seed: int) -> tuple[Base, Any]:
    """The base, and the PEFT model around it with a fresh adapter drawn by the seed."""
    torch.manual_seed(seed)
    if device_here() == "cuda" and has_unsloth():
        return _by_unsloth(path, workspace, settings, seed=seed)
    base = load_base(path)
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules=list(MODULES),
        task_type="CAUSAL_LM",
    )
    model = peft.get_peft_model(base.model, config)
    return base, model.to(device_here())


def _by_unsloth(path: Path, workspace: Path, settings: Hyperparameters, *, seed: int) -> tuple[Base, Any]:
    """Unsloth loads folders of safetensors, so a GGUF base is written as one first."""
    import unsloth  # pyright: ignore[reportMissingImports] - only where there is a GPU

    tokenizer, end_tokens = load_tokenizer(path)
    folder = path if path.is_dir() else _as_folder(path, workspace / "base", tokenizer)
    model, _ = unsloth.FastLanguageModel.from_pretrained(
        model_name=str(folder), max_seq_length=settings.most_tokens, dtype=None, load_in_4bit=False
    )
    around = unsloth.FastLanguageModel.get_peft_model(
        model,
        r=settings.rank,
        target_modules=list(MODULES),
        lora_alpha=settings.alpha,
        lora_dropout=0,
        bias="none",
        use_gradient_checkpointing="unsloth",
        random_state=seed,
    )
    return Base(model=model, tokenizer=tokenizer, end_tokens=end_tokens), around


def _as_folder(path: Path, folder: Path, tokenizer: Any) -> Path:
    if not (folder / "config.json").is_file():
        base = load_base(path)
        base.model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder
