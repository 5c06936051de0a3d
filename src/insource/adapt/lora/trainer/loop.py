"""The training loop: completion-only loss, AdamW under a cosine, an end by the held rows or the budget."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from insource.adapt.lora.job import BUDGET_USED, Job, OnCheckpoint
from insource.adapt.lora.trainer import checkpoint
from insource.adapt.lora.trainer.checkpoint import State
from insource.adapt.lora.trainer.libraries import torch, transformers
from insource.adapt.lora.trainer.plan import (
    TIMED_STEPS,
    common_beginning,
    epoch_batches,
    fitting_steps,
    learning_share,
)
from insource.adapt.lora.trainer.render import Rendered

_CLIP = 1.0
_WORTH_SHARING = 16

Report = Callable[[State, float, float | None], None]
"""(state, loss of the step, seconds left)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """The model under training, and what is needed to run one batch through it."""

    model: Any
    """PEFT's."""
    parameters: Mapping[str, Any]
    """The adapter's own, by name; nothing else is changed."""
    pad: int
    device: str

    def loss(self, rows: Sequence[Rendered], precision: str) -> Any:
        """Weighted mean over the answers' tokens. The head runs on those alone: it is most of a small model's work."""
        batch = padded(rows, self.pad, self.device)
        base = self.model.get_base_model()
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            hidden = self.hidden(batch, shared=shared_prefix(rows))
            logits = base.get_output_embeddings()(hidden[batch["rows"], batch["columns"]])
        cap = getattr(base.config, "final_logit_softcapping", None)
        logits = logits.float()
        logits = logits if cap is None else cap * torch.tanh(logits / cap)
        each = torch.nn.functional.cross_entropy(logits, batch["targets"], reduction="none")
        return (each * batch["weights"]).sum() / batch["weights"].sum()

    def hidden(self, batch: Mapping[str, Any], *, shared: int) -> Any:
        """(rows, columns, width), zeros before `shared`. What all rows begin with goes through the model once: a task's
        requests share their instructions, which are most of their tokens. Gradients flow through it as they would."""
        inner = self.model.get_base_model().base_model
        ids, mask = batch["ids"], batch["mask"]
        if not shared:
            return inner(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        past = transformers.DynamicCache(config=inner.config)
        name = "cache" if "cache" in inspect.signature(inner.forward).parameters else "past_key_values"
        inner(input_ids=ids[:1, :shared], use_cache=True, **{name: past})
        past.batch_repeat_interleave(len(ids))
        rest = inner(input_ids=ids[:, shared:], attention_mask=mask, use_cache=True, **{name: past})
        return torch.nn.functional.pad(rest.last_hidden_state, (0, 0, shared, 0))

    def flops(self, rows: Sequence[Rendered]) -> float:
        """See `job.Compute`."""
        base = self.model.get_base_model()
        head = base.get_output_embeddings().weight
        embedded = base.get_input_embeddings().weight
        total = sum(value.numel() for value in base.parameters())
        inner = total - embedded.numel() - (0 if head is embedded else head.numel())
        shared = shared_prefix(rows)
        tokens = shared + sum(len(row.ids) - shared for row in rows)
        answers = sum(len(row.ids) - row.prompt for row in rows)
        return 4.0 * (inner * tokens + head.numel() * answers)


def shared_prefix(rows: Sequence[Rendered]) -> int:
    """Tokens that all prompts begin with, short of the one whose state says the first token of an answer; 0 where
    sharing them is not worth a second pass."""
    shared = common_beginning([row.ids[: row.prompt - 1] for row in rows]) if len(rows) > 1 else 0
    return shared if shared >= _WORTH_SHARING else 0


def padded(rows: Sequence[Rendered], pad: int, device: str) -> dict[str, Any]:
    """Right-padded ids with their mask; and the places (row, column) whose hidden state must say the next token of an
    answer, with that token and its weight."""
    width = max(len(row.ids) for row in rows)
    ids = [[*row.ids, *[pad] * (width - len(row.ids))] for row in rows]
    mask = [[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows]
    places = [(at, column, row) for at, row in enumerate(rows) for column in range(row.prompt, len(row.ids))]
    columns = {
        "ids": ids,
        "mask": mask,
        "rows": [at for at, _, _ in places],
        "columns": [column - 1 for _, column, _ in places],
        "targets": [row.ids[column] for _, column, row in places],
    }
    batch = {name: torch.tensor(values, device=device) for name, values in columns.items()}
    batch["weights"] = torch.tensor([row.weight for _, _, row in places], dtype=torch.float32, device=device)
    return batch


class Loop:
    """One training from wherever it is to its end."""

    def __init__(self, job: Job, learner: Learner, state: State, *, report: Report, saved: OnCheckpoint) -> None:
        self._job = job
        self._learner = learner
        self._state = state
        self._report = report
        self._on_saved = saved
        self._folder = Path(job.workspace) / "checkpoints"
        self._best = Path(job.workspace) / "best.safetensors"
        settings = job.settings
        values = list(learner.parameters.values())
        self._optimizer = torch.optim.AdamW(values, lr=settings.learning_rate, weight_decay=0.0)

    def run(self, trained: Sequence[Rendered], held: Sequence[Rendered]) -> str:
        """Returns why it ended; the adapter then holds the best epoch's values."""
        state = self._resumed()
        lengths = [len(row.ids) for row in trained]
        per_epoch = math.ceil(len(lengths) / self._job.settings.batch)
        all_steps = per_epoch * self._job.settings.epochs
        state.planned_steps = state.planned_steps or all_steps
        self._learner.model.train()
        while state.step < state.planned_steps and not self._is_stuck():
            epoch, first = divmod(state.step, per_epoch)
            batches = epoch_batches(lengths, self._job.settings.batch, seed=self._job.seed, epoch=epoch)
            for batch in batches[first : first + state.planned_steps - state.step]:
                self._step([trained[place] for place in batch], all_steps)
                if state.step >= state.planned_steps:
                    break
            self._end_epoch(held, done=state.step - epoch * per_epoch)
        self._take_best()
        if self._is_stuck():
            return "the held rows got no better"
        return BUDGET_USED if state.planned_steps < all_steps else "all epochs are done"

    def _resumed(self) -> State:
        found = checkpoint.load(self._folder, self._state.key, self._learner.parameters, optimizer=self._optimizer)
        if found is not None:
            for name in State.__slots__:
                setattr(self._state, name, getattr(found, name))
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self._before = self._state.seconds, self._state.processor_seconds
        self._saved = time.monotonic()
        return self._state

    def _step(self, rows: Sequence[Rendered], all_steps: int) -> None:
        state, settings = self._state, self._job.settings
        rate = settings.learning_rate * learning_share(state.step, state.planned_steps, settings.warmup_share)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._learner.loss(rows, state.precision)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self._learner.parameters.values()), _CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        value = float(loss)
        if not math.isfinite(value):
            raise FloatingPointError("the loss is no longer a number")
        state.step += 1
        state.epoch_loss += value
        state.flops += self._learner.flops(rows)
        self._time()
        per_step = state.seconds / state.step
        if state.step == TIMED_STEPS:
            state.planned_steps = fitting_steps(
                all_steps, budget_seconds=self._job.budget_seconds, spent=state.seconds, step_seconds=per_step
            )
        left = (state.planned_steps - state.step) * per_step if state.step >= TIMED_STEPS else None
        self._report(state, value, left)
        if time.monotonic() - self._saved >= self._job.checkpoint_seconds:
            self._save()

    def _end_epoch(self, held: Sequence[Rendered], *, done: int) -> None:
        state = self._state
        state.losses.append(state.epoch_loss / max(1, done))
        state.epoch_loss = 0.0
        if held:
            state.held_losses.append(self._held_loss(held))
        if not held or state.held_losses[-1] <= min(state.held_losses):
            self._keep_best()
        self._time()
        self._save()

    def _held_loss(self, held: Sequence[Rendered]) -> float:
        total = weight = 0.0
        self._learner.model.eval()
        with torch.no_grad():
            for at in range(0, len(held), self._job.settings.batch):
                rows = held[at : at + self._job.settings.batch]
                tokens = sum(len(row.ids) - row.prompt for row in rows)
                total += float(self._learner.loss(rows, self._state.precision)) * tokens
                weight += tokens
        self._learner.model.train()
        return total / weight

    def _is_stuck(self) -> bool:
        """The best held loss lies `patience` epochs back."""
        losses = self._state.held_losses
        return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= self._job.settings.patience

    def _time(self) -> None:
        self._state.seconds = self._before[0] + time.monotonic() - self._began
        self._state.processor_seconds = self._before[1] + time.process_time() - self._cpu_began

    def _save(self) -> None:
        checkpoint.save(self._folder, self._state, self._learner.parameters, optimizer=self._optimizer)
        self._saved = time.monotonic()
        self._on_saved(self._folder)

    def _keep_best(self) -> None:
        from safetensors.torch import save_file  # pyright: ignore[reportMissingImports]

        partial = self._best.with_suffix(".partial")
        save_file({name: value.detach().contiguous() for name, value in self._learner.parameters.items()}, partial)
        partial.replace(self._best)

    def _take_best(self) -> None:
        from safetensors.torch import load_file  # pyright: ignore[reportMissingImports]

        with torch.no_grad():
            for name, value in load_file(self._best).items():
                self._learner.parameters[name].copy_(value)
