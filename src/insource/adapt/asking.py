"""What the recipes that ask a model have in common: the body they send and the confidence they read off.

Nothing that the client sent is changed or dropped, except that a recipe asks for a whole completion: streaming is
between the client and the gateway.
"""

from __future__ import annotations

import json
import math
from typing import Any

from insource.core.errors import BadInput
from insource.core.hashing import canonical_json
from insource.core.ports import Ask
from insource.core.values import JsonObject


def whole_completion(request: JsonObject, **added: Any) -> Ask:
    """The request, asking for token probabilities. `added` fills in what the client did not send, never more."""
    body = {key: value for key, value in request.items() if key not in ("stream", "stream_options")}
    body = {**added, **body, "logprobs": True}
    if not body.get("top_logprobs"):
        body["top_logprobs"] = 1  # llama.cpp sorts 20 alternatives a token where this is absent, and gives none at 0
    return Ask(body=body)


def token_logprobs(completion: JsonObject) -> list[float]:
    """Natural logarithms of the probabilities of the answer's tokens; [] when the engine told none."""
    choices = completion.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    logprobs = first.get("logprobs") if isinstance(first, dict) else None
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    found: list[float] = []
    for token in content if isinstance(content, list) else []:
        value = token.get("logprob") if isinstance(token, dict) else None
        if isinstance(value, int | float) and not math.isnan(value):
            found.append(min(float(value), 0.0))
    return found


def mean_confidence(completion: JsonObject) -> float:
    """Geometric mean of the token probabilities; 0.0, which no gate but "all" covers, when the engine told none."""
    logprobs = token_logprobs(completion)
    return math.exp(sum(logprobs) / len(logprobs)) if logprobs else 0.0


def joint_confidence(completion: JsonObject) -> float:
    """Probability of the whole answer: the product of its tokens' probabilities; 0.0 when the engine told none."""
    logprobs = token_logprobs(completion)
    return math.exp(sum(logprobs)) if logprobs else 0.0


def artifact_header(recipe: str, fields: JsonObject) -> bytes:
    return canonical_json({"recipe": recipe, "version": 1, **fields})


def read_header(artifact: bytes, recipe: str) -> JsonObject:
    """Raises BadInput for bytes that are not an artifact of this recipe."""
    try:
        header = json.loads(artifact)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("recipe") != recipe or header.get("version") != 1:
        raise BadInput(
            f"These {len(artifact)} bytes are not an artifact of the recipe {recipe!r}.",
            next_step="Make the candidate again with `insource evaluate`.",
        )
    return header
