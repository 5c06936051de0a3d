"""How far a smaller file's next tokens are from the original's: an alarm, not a verdict. Whether a task's answers
survive is for its evaluation to say.

At every position of given texts both are asked for the most probable next tokens. Tokens outside of either's list are
one rest, so the figure is a lower bound of the divergence over the whole vocabulary (merging outcomes never raises it);
with 512 of 49,152 tokens it is within 1 % of it (bench/quantize.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from insource.adapt.llama_server import LogProbs, greedy_ids, next_token, rendered_prompt, token_ids
from insource.core.errors import UpstreamError
from insource.core.ports import Upstream
from insource.core.values import JsonObject

TOP = 512
_LEAST = 1e-12
"""Of a rest: rounding may leave it at nothing or below."""

Position = tuple[int, ...]
"""The tokens up to the one that is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """Over all positions; Kullback and Leibler's, from the original to the smaller file, in nats."""

    positions: int
    mean: float
    p99: float
    same_top: int
    """Positions at which the most probable token is the same."""


def divergence(original: LogProbs, smaller: LogProbs) -> float:
    """Between two next tokens' distributions."""
    shared = original.keys() & smaller.keys()
    total = sum(math.exp(original[token]) * (original[token] - smaller[token]) for token in shared)
    rests = [max(_LEAST, 1 - sum(math.exp(one[token]) for token in shared)) for one in (original, smaller)]
    return max(0.0, total + rests[0] * math.log(rests[0] / rests[1]))


def compare(original: Sequence[LogProbs | None], smaller: Sequence[LogProbs | None]) -> Divergence:
    """By place, where both sides told theirs."""
    pairs = told_by_both(original, smaller)
    each = np.array([divergence(one, other) for one, other in pairs], dtype=np.float64)
    return Divergence(
        positions=len(pairs),
        mean=float(each.mean()) if pairs else 0.0,
        p99=float(np.quantile(each, 0.99)) if pairs else 0.0,
        same_top=sum(_top(one) == _top(other) for one, other in pairs),
    )


def told_by_both(
    original: Sequence[LogProbs | None], smaller: Sequence[LogProbs | None]
) -> list[tuple[LogProbs, LogProbs]]:
    pairs = zip(original, smaller, strict=True)
    return [(one, other) for one, other in pairs if one is not None and other is not None]


def _top(one: LogProbs) -> int:
    return max(one, key=lambda token: one[token])


async def positions(
    original: Upstream, requests: Sequence[JsonObject], *, prompt_tokens: int = 16, answer_tokens: int = 16
) -> list[Position]:
    """Of a task's own requests: the last tokens of each prompt, and the original's own greedy answer."""
    found: list[Position] = []
    for request in requests:
        prompt = await token_ids(original, await rendered_prompt(original, request))
        answer = await greedy_ids(original, prompt, most_tokens=answer_tokens)
        whole = (*prompt, *answer)
        first = max(1, len(prompt) - prompt_tokens)
        found += [whole[:end] for end in range(first, len(whole))]
    return found


async def asked(engine: Upstream, places: Sequence[Position], *, top: int = TOP) -> list[LogProbs | None]:
    """One after the other: each position begins with the last one's tokens, which the server remembers. Raises
    UpstreamError for a server that tells no probabilities at all."""
    found = [await next_token(engine, place, top=top) for place in places]
    if places and not any(found):
        raise UpstreamError(
            f"{engine.name} gives no probabilities of tokens.", next_step="Use insource's own engine for this."
        )
    return found
