"""What a training is told and what it tells: plain values that cross the border between two processes as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from insource.core.values import JsonObject

Precision = Literal["float32", "bfloat16"]
BUDGET_USED = "the budget was used up"
"""Why a training ended that had no time for all of its epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One exchange to learn from: only the answer counts in the loss."""

    request: JsonObject
    """A chat body; its messages (and tools) are rendered by the model's own template."""
    answer: str
    weight: float = 1.0
    """Of its tokens in the loss: more than 1 for what is rare and must not be drowned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """Measured on restaurant8k and Banking77 (FACTS of the project's bench); part of a candidate's identity."""

    rank: int = 16
    alpha: int = 32
    learning_rate: float = 1e-3
    epochs: int = 4
    batch: int = 8
    warmup_share: float = 0.05
    most_tokens: int = 1024
    """A longer row is left out, and counted: cut, it would teach a cut answer."""
    held_share: float = 0.1
    """Of the rows: never trained on, and watched so that training ends before it only memorises."""
    most_held: int = 48
    patience: int = 2
    """Epochs in a row without a better held loss before training ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training. Equal jobs give equal adapters on one machine, also when killed in between."""

    base: str
    """Path of a GGUF file, or of a folder with config.json, safetensors and tokenizer."""
    workspace: str
    """Folder of its own: checkpoints, the adapter, the figures."""
    rows: Sequence[Row]
    probes: Sequence[JsonObject] = ()
    """Held-out chat bodies that the trained model answers at the end, for the gate (`equivalence.py`)."""
    settings: Hyperparameters = field(default_factory=Hyperparameters)
    seed: int = 0
    threads: int = 1
    budget_seconds: float | None = None
    """Epochs are cut to what fits; None: all of them."""
    precision: Precision | None = None
    """None: whichever is faster here."""
    most_answer_tokens: int = 256
    checkpoint_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What the trainer made of one held-out request."""

    prompt: str
    """As rendered, byte for byte."""
    prompt_tokens: Sequence[int]
    answer: str
    ended: bool
    """It closed its answer by itself, within the limit of tokens."""
    logprob: float
    """Of the answer with its end, natural logarithm."""
    answer_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """The log of what a training took. Watts are not measured here, so energy is not stated."""

    flops: float
    """Estimate: 4 × parameters × tokens forward and backward through frozen weights (2 for the forward pass, 2 for the
    gradients of the activations; the adapter's own are a hundredth of that), and the head on answer tokens alone."""
    seconds: float
    processor_seconds: float
    device: str
    watts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A finished training. The adapter, in PEFT's layout, lies in `adapter`."""

    adapter: str
    steps: int
    planned_steps: int
    """Fewer than all epochs have where the budget was short."""
    rows: int
    held: int
    too_long: int
    losses: Sequence[float]
    """Mean over each epoch."""
    held_losses: Sequence[float]
    best_epoch: int
    ended: str
    """Why: all epochs, the budget, or no better held loss."""
    precision: Precision
    compute: Compute
    versions: Mapping[str, str]
    probes: Sequence[Probe]
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a training is."""

    step: int
    steps: int
    loss: float
    seconds_left: float | None


OnProgress = Callable[[Progress], None]
OnCheckpoint = Callable[[Path], None]


def as_json(value: Any) -> str:
    return json.dumps(asdict(value), ensure_ascii=False)


def job_of(document: Mapping[str, Any]) -> Job:
    told: dict[str, Any] = dict(document)
    told["rows"] = [Row(**row) for row in document["rows"]]
    told["settings"] = Hyperparameters(**document["settings"])
    return Job(**told)


def trained_of(document: Mapping[str, Any]) -> Trained:
    known = {one.name for one in fields(Trained)}
    kept: dict[str, Any] = {key: value for key, value in document.items() if key in known}
    kept["compute"] = Compute(**document["compute"])
    kept["probes"] = [Probe(**probe) for probe in document["probes"]]
    return Trained(**kept)
