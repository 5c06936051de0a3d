"""The trained model's own greedy answers to held-out requests: what the served file is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from insource.adapt.lora.job import Probe
from insource.adapt.lora.trainer.libraries import torch
from insource.adapt.lora.trainer.loop import Learner, padded
from insource.adapt.lora.trainer.render import Rendered, Renderer
from insource.core.values import JsonObject

_BATCH = 8


def answered(learner: Learner, renderer: Renderer, requests: Sequence[JsonObject], *, most_tokens: int) -> list[Probe]:
    """In float32, most probable token first, until the model ends its answer."""
    learner.model.eval()
    prompts = [renderer.prompt(request) for request in requests]
    ids = [renderer.prompt_ids(prompt) for prompt in prompts]
    found: dict[int, Probe] = {}
    order = sorted(range(len(ids)), key=lambda at: len(ids[at]))
    with torch.no_grad():
        for start in range(0, len(order), _BATCH):
            places = order[start : start + _BATCH]
            answers = _generated(learner, [ids[at] for at in places], renderer.end, most_tokens=most_tokens)
            ended = [bool(answer) and answer[-1] == renderer.end for answer in answers]
            rows = [
                Rendered(ids=(*ids[at], *answer), prompt=len(ids[at]))
                for at, answer in zip(places, answers, strict=True)
            ]
            for at, answer, done, logprob in zip(places, answers, ended, _logprobs(learner, rows), strict=True):
                found[at] = Probe(
                    prompt=prompts[at],
                    prompt_tokens=ids[at],
                    answer=renderer.text(answer[:-1] if done else answer),
                    ended=done,
                    logprob=logprob,
                    answer_tokens=len(answer),
                )
    return [found[at] for at in range(len(requests))]


def _generated(learner: Learner, prompts: Sequence[Sequence[int]], end: int, *, most_tokens: int) -> list[list[int]]:
    """Left-padded, so that every row goes on at the same place; its positions count from its own first token."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[learner.pad] * (width - len(p)) + list(p) for p in prompts], device=learner.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=learner.device)
    drawn = learner.model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=most_tokens,
        do_sample=False,
        eos_token_id=end,
        pad_token_id=end,
        temperature=None,
        top_p=None,
        top_k=None,
    )
    return [_until(row[width:].tolist(), end) for row in drawn]


def _until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end) + 1] if end in ids else ids


def _logprobs(learner: Learner, rows: Sequence[Rendered]) -> list[float]:
    batch: dict[str, Any] = padded(rows, learner.pad, learner.device)
    base = learner.model.get_base_model()
    hidden = base.base_model(input_ids=batch["ids"], attention_mask=batch["mask"], use_cache=False).last_hidden_state
    logits = base.get_output_embeddings()(hidden[batch["rows"], batch["columns"]]).float()
    each = torch.log_softmax(logits, dim=-1).gather(1, batch["targets"][:, None])[:, 0]
    sums = torch.zeros(len(rows), dtype=each.dtype, device=learner.device)
    return sums.index_add(0, batch["rows"], each).tolist()
