"""Is what is served what was trained? Held-out requests through both, before a file may become a candidate. Pure but
for `served`, which asks.

The trainer's side (`lora.job.Probe`) was written down when the training ended. The served side is asked for the same
three things: the prompt as it renders it, the prompt's token ids, and its greedy answer. Prompts and ids must be equal
to the last byte: a model that sees another template than it was trained on answers as if it had not been trained.
Answers may differ where two tokens are nearly as likely, because the two sides multiply in different precision; how far
the probabilities moved tells such a tie from another set of weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from insource.adapt.asking import token_logprobs
from insource.adapt.llama_server import posted, rendered_prompt, token_ids
from insource.adapt.lora.job import Probe
from insource.core.ports import Upstream
from insource.core.values import JsonObject
from insource.wire.chat import answer_text

_LEAST_PROBES = 16
"""Fewer say too little."""
_ROOM_TOKENS = 16
"""More tokens than the trainer's answer took: what does not end by then has lost its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the served file made of one held-out request."""

    prompt: str
    prompt_tokens: Sequence[int]
    answer: str
    ended: bool
    logprob: float
    """Of the answer with its end, natural logarithm; NaN where the engine gave no probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far a served file may be from the trainer. `exact` for 16 bit, wider for quantised files, whose change of
    answers has an evaluation of its own."""

    least_same: float = 0.99
    """Share of equal answers."""
    most_logprob_change: float = 0.05
    """Median over the equal answers of |difference of log-probability|, in nats: F16 files of the default model lie
    at .005, the same weights in four bits at .2 and more (bench/lora_here.py)."""


EXACT = Tolerance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """The gate's figures, and why the file is refused; `reason` None: it is what was trained."""

    probes: int
    same_prompts: int
    same_tokens: int
    same_answers: int
    median_logprob_change: float | None
    reason: str | None


def compare(trained: Sequence[Probe], served: Sequence[Served], *, tolerance: Tolerance = EXACT) -> Equivalence:
    """Pairs by place."""
    pairs = list(zip(trained, served, strict=True))
    same_prompts = sum(t.prompt == s.prompt for t, s in pairs)
    same_tokens = sum(list(t.prompt_tokens) == list(s.prompt_tokens) for t, s in pairs)
    same = [(t, s) for t, s in pairs if t.answer == s.answer and t.ended == s.ended]
    changes = [abs(t.logprob - s.logprob) for t, s in same if math.isfinite(t.logprob) and math.isfinite(s.logprob)]
    change = median(changes) if changes else None
    figures = Equivalence(
        probes=len(pairs),
        same_prompts=same_prompts,
        same_tokens=same_tokens,
        same_answers=len(same),
        median_logprob_change=change,
        reason=None,
    )
    return replace(figures, reason=_reason(figures, pairs, tolerance))


def _reason(figures: Equivalence, pairs: Sequence[tuple[Probe, Served]], tolerance: Tolerance) -> str | None:
    n = figures.probes
    if n < _LEAST_PROBES:
        return f"Only {n} held-out requests were compared; at least {_LEAST_PROBES} are needed."
    if figures.same_prompts < n:
        shown = next((t.prompt, s.prompt) for t, s in pairs if t.prompt != s.prompt)
        return (
            f"The served prompt differs from the trained one in {n - figures.same_prompts} of {n} requests "
            f"({_first_difference(*shown)}): the chat template is not the one it was trained with."
        )
    if figures.same_tokens < n:
        return (
            f"The served prompt has other token ids in {n - figures.same_tokens} of {n} requests: the two sides' "
            f"tokenizers differ."
        )
    unended = sum(not t.ended for t, _ in pairs)
    if unended > (1 - tolerance.least_same) * n:
        return (
            f"The trained model itself does not end its answer in {unended} of {n} requests: it never learnt to, or "
            f"was given too few tokens."
        )
    endless = sum(t.ended and not s.ended for t, s in pairs)
    if endless > (1 - tolerance.least_same) * n:
        return f"The served answer does not end in {endless} of {n} requests where the trained one does."
    if figures.same_answers < tolerance.least_same * n:
        return (
            f"The served answer equals the trained one in {figures.same_answers} of {n} requests "
            f"({figures.same_answers / n:.1%}); {tolerance.least_same:.0%} are needed."
        )
    change = figures.median_logprob_change
    if change is None or change > tolerance.most_logprob_change:
        told = "are not told" if change is None else f"differ by {change:.3f} nats in the median"
        return (
            f"The answers are equal, but their log-probabilities {told} "
            f"(at most {tolerance.most_logprob_change:g}): these are not the weights that were trained."
        )
    return None


def _first_difference(trained: str, served: str) -> str:
    differ = (at for at, (one, other) in enumerate(zip(trained, served, strict=False)) if one != other)
    at = next(differ, min(len(trained), len(served)))
    return f"at character {at}: {trained[at : at + 20]!r} was trained, {served[at : at + 20]!r} is served"


async def served(engine: Upstream, requests: Sequence[JsonObject], trained: Sequence[Probe]) -> list[Served]:
    """Asks llama.cpp's server. Raises UpstreamError where it gives no answer, BadInput where it refuses a request."""
    return [
        await _asked(engine, request, most_tokens=probe.answer_tokens + _ROOM_TOKENS)
        for request, probe in zip(requests, trained, strict=True)
    ]


async def _asked(engine: Upstream, request: JsonObject, *, most_tokens: int) -> Served:
    prompt = await rendered_prompt(engine, request)
    body = {key: value for key, value in request.items() if key not in ("stream", "stream_options")}
    body |= {"temperature": 0, "max_tokens": most_tokens, "logprobs": True, "top_logprobs": 1}
    completion = await posted(engine, "/v1/chat/completions", body)
    choice = (completion.get("choices") or [{}])[0]
    logprobs = token_logprobs(completion)
    return Served(
        prompt=prompt,
        prompt_tokens=await token_ids(engine, prompt),
        answer=answer_text(completion) or "",
        ended=choice.get("finish_reason") == "stop",
        logprob=sum(logprobs) if logprobs else math.nan,
    )
