"""Asking a fitted recipe for its answers: each input once, as many at a time as the engine has slots, in bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence

from insource.core.errors import BadInput, EngineFailed, UpstreamError
from insource.core.hashing import canonical_json
from insource.core.headers import JSON
from insource.core.ports import Ask, Call, Engine, Fitted, Scorer
from insource.core.values import CHAT_ENDPOINT, Example, JsonObject, LocalAnswer, Outcome, OutputProfile, Part
from insource.evals.examples import hosted_loss, loss_of
from insource.wire.chat import usage_tokens

ANSWER_TOKENS = 256
"""Longest answer an evaluation waits for. One that it cuts counts as wrong and surest of all, the worst that the whole
answer could have been: the bound stays a bound."""
_REFUSED = LocalAnswer(text="", confidence=0.0)
"""The engine can't take this request, as one over the context: it escalates when served, and counts as wrong here."""
_LIMITS = ("max_tokens", "max_completion_tokens")


class Answerer:
    """Answers by one fitted recipe. The same input is asked once, however often it is in the log."""

    def __init__(self, fitted: Fitted, engine: Engine | None, *, slots: int) -> None:
        self._fitted = fitted
        self._engine = engine
        self._slots = asyncio.Semaphore(slots)
        self._known: dict[str, LocalAnswer] = {}
        self.tokens = 0
        """Answer tokens that were generated, as the engine counted them."""

    @property
    def asked(self) -> int:
        return len(self._known)

    async def answers(
        self, examples: Sequence[Example], *, progress: Callable[[int], None] = lambda done: None
    ) -> list[LocalAnswer]:
        """In the order of the examples."""
        new = {e.input_sha256: e for e in examples if e.input_sha256 not in self._known}
        done = 0

        async def one(key: str, example: Example) -> None:
            nonlocal done
            async with self._slots:
                self._known[key] = await self._answer(example.request)
            done += 1
            progress(done)

        async with asyncio.TaskGroup() as group:
            for key, example in new.items():
                group.create_task(one(key, example))
        return [self._known[e.input_sha256] for e in examples]

    async def _answer(self, request: JsonObject) -> LocalAnswer:
        prepared = self._fitted.prepare(request)
        if isinstance(prepared, LocalAnswer):
            return prepared
        if self._engine is None:
            raise EngineFailed("This recipe needs an engine, and none is there.", next_step="Run `insource doctor`.")
        body, capped = bounded(prepared)
        try:
            reply = await self._engine.send(Call(path=CHAT_ENDPOINT, body=canonical_json(body), headers=JSON))
        except BadInput:
            return _REFUSED
        data = await reply.read()
        if reply.status >= 500:
            raise UpstreamError(
                f"The engine answered {reply.status}: {data[:200].decode(errors='replace')!r}.",
                next_step="Run the evaluation again; `insource doctor` looks at the engine.",
            )
        if reply.status >= 400:
            return _REFUSED
        completion: JsonObject = json.loads(data)
        self.tokens += (usage_tokens(completion) or (0, 0))[1]
        if capped and _was_cut(completion):
            return LocalAnswer(text="", confidence=1.0)
        return self._fitted.read(completion)


def bounded(ask: Ask) -> tuple[JsonObject, bool]:
    """The body with at most ANSWER_TOKENS to generate, and whether that is less than the client allowed."""
    limits = [ask.body[key] for key in _LIMITS if isinstance(ask.body.get(key), int)]
    if limits and min(limits) <= ANSWER_TOKENS:
        return ask.body, False
    return {**{k: v for k, v in ask.body.items() if k not in _LIMITS}, "max_tokens": ANSWER_TOKENS}, True


def _was_cut(completion: JsonObject) -> bool:
    choices = completion.get("choices")
    return bool(choices) and isinstance(choices, list) and choices[0].get("finish_reason") == "length"


def outcome(answer: LocalAnswer, example: Example, part: Part, *, scorer: Scorer, output: OutputProfile) -> Outcome:
    return Outcome(
        exchange_id=example.exchange_id,
        part=part,
        cluster=example.cluster,
        answer=answer.text,
        confidence=answer.confidence,
        loss_local=loss_of(answer.text, example, scorer=scorer, output=output),
        loss_hosted=hosted_loss(example, scorer=scorer, output=output),
    )
