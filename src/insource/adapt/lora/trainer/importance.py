"""The process behind `quantize/importance.py`: reads a task's requests and squares what flows into each matrix."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from insource.adapt.child import Say, serve
from insource.adapt.lora.job import Row
from insource.adapt.lora.to_gguf import gguf_name
from insource.adapt.lora.trainer.base import load_base
from insource.adapt.lora.trainer.libraries import torch
from insource.adapt.lora.trainer.render import Renderer
from insource.adapt.quantize.importance import write_importance
from insource.core.errors import BadInput
from insource.core.values import JsonObject

_MOST_TOKENS = 2048
"""Of one request; a longer one is read to here."""


class Squares:
    """Sums by input column, of every linear layer that GGUF has a name for."""

    def __init__(self, model: Any) -> None:
        self.sums: dict[str, Any] = {}
        for name, module in model.named_modules():
            known = gguf_name(name) if isinstance(module, torch.nn.Linear) else None
            if known is not None:
                module.register_forward_pre_hook(self._hook(known))

    def _hook(self, name: str) -> Any:
        def add(module: Any, inputs: Any) -> None:
            columns = inputs[0].detach().double().square().flatten(0, -2).sum(0)
            self.sums[name] = self.sums[name] + columns if name in self.sums else columns

        return add


def _work(document: JsonObject, say: Say) -> JsonObject:
    torch.set_num_threads(int(document["threads"]))
    base = load_base(Path(document["base"]))
    renderer, squares = Renderer(base.tokenizer, base.end_tokens), Squares(base.model)
    tokens = 0
    with torch.no_grad():
        for row in (Row(**told) for told in document["rows"]):
            ids = renderer.row(row.request, row.answer, weight=1.0).ids[:_MOST_TOKENS]
            base.model(input_ids=torch.tensor([ids]), use_cache=False, logits_to_keep=1)
            tokens += len(ids)
    if not squares.sums:
        raise BadInput(
            "None of the model's layers has a name in GGUF, or there was no request to read.",
            next_step="Choose a model of a known architecture, and give at least one request.",
        )
    sums = {name: np.asarray(values.float().numpy()) for name, values in squares.sums.items()}
    write_importance(Path(document["target"]), sums, tokens=tokens)
    return {"tokens": tokens, "tensors": len(sums)}


if __name__ == "__main__":
    sys.exit(serve(_work))
