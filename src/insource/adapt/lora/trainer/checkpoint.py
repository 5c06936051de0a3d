"""What a killed training goes on from: the adapter, the optimizer and the counts, all of one step.

Tensors are safetensors and counts are JSON, so a checkpoint holds no code. A checkpoint is a folder of its own that
becomes the current one by the rename of a one-line file: a kill leaves the former one or the new one, never a mixture.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from insource.adapt.lora.trainer.libraries import torch

_CURRENT = "current"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
"""Of AdamW."""


@dataclass(slots=True, kw_only=True)
class State:
    """Counts of a training in work."""

    key: str
    """Hash of the job: a checkpoint of another job is never gone on with."""
    step: int = 0
    planned_steps: int = 0
    precision: str = "float32"
    losses: list[float] = field(default_factory=list[float])
    held_losses: list[float] = field(default_factory=list[float])
    epoch_loss: float = 0.0
    """Sum over the steps of the epoch in work."""
    seconds: float = 0.0
    processor_seconds: float = 0.0
    flops: float = 0.0


def save(folder: Path, state: State, parameters: Mapping[str, Any], *, optimizer: Any) -> None:
    from safetensors.torch import save_file  # pyright: ignore[reportMissingImports] - comes with transformers

    place = folder / f"step-{state.step}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    save_file({name: value.detach().contiguous() for name, value in parameters.items()}, place / "adapter.safetensors")
    moments: dict[str, Any] = {}
    for name, value in parameters.items():
        for moment in _MOMENTS:
            kept = optimizer.state.get(value, {}).get(moment)
            if kept is not None:
                moments[f"{name}|{moment}"] = kept.detach().contiguous()
    save_file(moments, place / "optimizer.safetensors")
    (place / "state.json").write_text(json.dumps(asdict(state)))
    partial = folder / f"{_CURRENT}.partial"
    partial.write_text(place.name)
    partial.replace(folder / _CURRENT)
    for other in folder.glob("step-*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


def load(folder: Path, key: str, parameters: Mapping[str, Any], *, optimizer: Any) -> State | None:
    """Puts the last checkpoint of this job back; None when there is none."""
    from safetensors.torch import load_file  # pyright: ignore[reportMissingImports]

    try:
        place = folder / (folder / _CURRENT).read_text()
        state = State(**json.loads((place / "state.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    if state.key != key:
        return None
    adapter = load_file(place / "adapter.safetensors")
    moments = load_file(place / "optimizer.safetensors")
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(adapter[name])
            kept = {moment: moments[f"{name}|{moment}"] for moment in _MOMENTS if f"{name}|{moment}" in moments}
            if kept:
                optimizer.state[value] = {
                    moment: tensor.clone() if moment == "step" else tensor.to(value.device).clone()
                    for moment, tensor in kept.items()
                }
    return state


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
