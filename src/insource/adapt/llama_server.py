"""What fitting asks of llama.cpp's server beyond chat: how it renders a prompt, its token ids, the next token's
probabilities. Through the port, so our worker and a server of the user's own answer alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from insource.core.errors import BadInput, UpstreamError
from insource.core.ports import Call, Upstream
from insource.core.values import JsonObject

LogProbs = Mapping[int, float]
"""Token id -> natural logarithm of its probability, of the most probable tokens."""


async def rendered_prompt(engine: Upstream, request: JsonObject) -> str:
    """The prompt that a chat body becomes, by the template of the served file."""
    return str((await posted(engine, "/apply-template", request)).get("prompt", ""))


async def token_ids(engine: Upstream, prompt: str) -> list[int]:
    """As the server reads a rendered prompt."""
    body = {"content": prompt, "add_special": True, "parse_special": True}
    return [int(token) for token in (await posted(engine, "/tokenize", body)).get("tokens", [])]


async def greedy_ids(engine: Upstream, ids: Sequence[int], *, most_tokens: int) -> list[int]:
    """The most probable answer to a prompt."""
    body = {"prompt": list(ids), "n_predict": most_tokens, "temperature": 0, "return_tokens": True}
    return [int(token) for token in (await posted(engine, "/completion", body)).get("tokens", [])]


async def next_token(engine: Upstream, ids: Sequence[int], *, top: int) -> LogProbs | None:
    """Of the token that follows, before any sampling. One whose probability is 0 in 32 bit has no logarithm in JSON,
    and is left out. None: the server gives none, as where the most probable token is a part of a character."""
    body = {"prompt": list(ids), "n_predict": 1, "temperature": 0, "n_probs": top, "cache_prompt": True, "id_slot": 0}
    told = (await posted(engine, "/completion", body)).get("completion_probabilities")
    first = told[0] if isinstance(told, list) and told else None
    found = first.get("top_logprobs") if isinstance(first, dict) else None
    pairs = [(one.get("id"), one.get("logprob")) for one in found] if isinstance(found, list) else []
    kept = {token: float(logprob) for token, logprob in pairs if isinstance(token, int) and logprob is not None}
    return kept or None


async def posted(engine: Upstream, path: str, body: JsonObject) -> JsonObject:
    """The answer's object. Raises UpstreamError where there is none, BadInput where the request is refused."""
    headers = (("content-type", "application/json"),)
    reply = await engine.send(Call(path=path, body=json.dumps(body).encode(), headers=headers))
    data = await reply.read()
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise UpstreamError(f"{engine.name} answered {path} without JSON.", next_step="Start it again.")
    if reply.status != 200:
        raise BadInput(
            f"{engine.name} refused a request at {path} with status {reply.status}: {str(answer)[:300]}",
            next_step="Leave that request out, or raise the context.",
        )
    return answer
