"""A candidate's answers to many requests: each asked once and kept, faults asked again, in bounds.

What an engine said is kept by the hash of model file, settings and request, the moment that it is there: an evaluation
that is killed goes on where it was, and no request is asked twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from insource.core.errors import BadInput, ContextOverflow, InsourceError
from insource.core.evidence import Example
from insource.core.hashing import content_address
from insource.core.ports import Ask
from insource.core.values import EngineSettings, JsonObject, LocalAnswer
from insource.evals.documents import plain
from insource.wire.chat import usage_tokens
from insource.workflows.asking import Local, complete, prepare, read
from insource.workflows.services import Services

ANSWER_TOKENS = 256
"""Longest answer an evaluation waits for. One that it cuts counts as wrong and surest of all, the worst that the whole
answer could have been: the bound stays a bound."""
_LIMITS = ("max_tokens", "max_completion_tokens")
_TRIES = 3
_PAUSE_SECONDS = 0.5
"""Before the second try, and twice as long before each further one."""
_ALL_FAIL = 8
"""Requests in a row that fail, each as often as it is tried, before the engine is said to be unable."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one request."""

    answer: LocalAnswer | None
    """None: nothing answered it, so served it would escalate."""
    fault: str | None = None
    """Why the engine failed at it; None with no answer: the engine can't take this request, as one over its context."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """Until when an evaluation may ask engines."""

    now: Callable[[], float]
    """Seconds from an arbitrary start."""
    until: float | None = None

    @property
    def spent(self) -> bool:
        return self.until is not None and self.now() >= self.until


@dataclass(slots=True, kw_only=True)
class Answerer:
    """Answers by one fitted recipe."""

    services: Services
    local: Local
    model: str | None
    """What the engine runs, by its hash; of a server that tells none, its address and the model's name."""
    settings: EngineSettings | None
    budget: Budget
    asked: int = 0
    """Requests that the engine was asked now, not taken from what is kept."""
    tokens: int = 0
    """Answer tokens that it generated for them."""
    _known: dict[str, Asked] = field(default_factory=dict[str, Asked], init=False)
    faults: int = field(default=0, init=False)
    """Requests at which the engine failed, each as often as it was tried."""
    last_fault: str = field(default="", init=False)
    _failed_in_a_row: int = field(default=0, init=False)

    @property
    def unable(self) -> bool:
        """The engine fails at everything: to ask on would only take time."""
        return self._failed_in_a_row >= _ALL_FAIL

    async def answers(
        self, examples: Sequence[Example], *, progress: Callable[[int], None] = lambda done: None
    ) -> Mapping[str, Asked]:
        """By exchange id. Those that the budget left unasked are absent."""
        new = {e.input_sha256: e for e in examples if e.input_sha256 not in self._known}
        bodies: dict[str, tuple[JsonObject, bool]] = {}
        for key, example in new.items():
            found = self._prepared(example.request)
            if isinstance(found, Asked):
                self._known[key] = found
            else:
                bodies[key] = found
        await self._ask_all(bodies, progress)
        return {e.exchange_id: self._known[e.input_sha256] for e in examples if e.input_sha256 in self._known}

    def kept(self, examples: Sequence[Example]) -> Mapping[str, Asked]:
        """By exchange id: what needs no engine, or was answered before. Nothing is asked."""
        found: dict[str, Asked] = {}
        keys: dict[str, tuple[str, bool]] = {}
        for example in examples:
            prepared = self._prepared(example.request)
            if isinstance(prepared, Asked):
                found[example.exchange_id] = prepared
            else:
                body, capped = prepared
                keys[example.exchange_id] = (self._key(body), capped)
        completions = self.services.evidence.completions(key for key, _ in keys.values())
        for exchange_id, (key, capped) in keys.items():
            if key in completions:
                found[exchange_id] = self._read(completions[key], capped)
        return found

    def _prepared(self, request: JsonObject) -> Asked | tuple[JsonObject, bool]:
        try:
            prepared = prepare(self.local, request)
        except (BadInput, ContextOverflow):
            return Asked(None)
        except InsourceError as error:
            return Asked(None, fault=error.message)
        return Asked(prepared) if isinstance(prepared, LocalAnswer) else bounded(prepared)

    async def _ask_all(self, bodies: Mapping[str, tuple[JsonObject, bool]], progress: Callable[[int], None]) -> None:
        keys = {key: self._key(body) for key, (body, _) in bodies.items()}
        kept = self.services.evidence.completions(keys.values())
        slots = asyncio.Semaphore(self.services.settings.slots)
        done = 0

        async def one(key: str, body: JsonObject, capped: bool) -> None:
            nonlocal done
            completion = kept.get(keys[key])
            if completion is None:
                async with slots:
                    if self.budget.spent or self.unable:
                        return
                    found = await self._ask(body, keys[key])
                if isinstance(found, Asked):
                    self._known[key] = found
                    return
                completion = found
            self._known[key] = self._read(completion, capped)
            done += 1
            progress(done)

        async with asyncio.TaskGroup() as group:
            for key, (body, capped) in bodies.items():
                group.create_task(one(key, body, capped))

    async def _ask(self, body: JsonObject, key: str) -> JsonObject | Asked:
        """The completion, kept; or why there is none. A fault is never kept: it is asked again the next time."""
        fault = ""
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                completion = await complete(self.local, Ask(body=body))
            except (BadInput, ContextOverflow):
                return Asked(None)
            except InsourceError as error:
                fault = error.message
                continue
            self._failed_in_a_row = 0
            self.asked += 1
            self.tokens += (usage_tokens(completion) or (0, 0))[1]
            self.services.evidence.put_completion(key, completion, created=self.services.clock.now())
            return completion
        self._failed_in_a_row += 1
        self.faults += 1
        self.last_fault = fault
        return Asked(None, fault=fault)

    def _read(self, completion: JsonObject, capped: bool) -> Asked:
        if capped and _was_cut(completion):
            return Asked(LocalAnswer(text="", confidence=1.0))
        try:
            return Asked(read(self.local, completion))
        except InsourceError as error:
            return Asked(None, fault=error.message)

    def _key(self, body: JsonObject) -> str:
        return content_address([self.model, plain(self.settings), body])


def bounded(ask: Ask) -> tuple[JsonObject, bool]:
    """The body with at most ANSWER_TOKENS to generate, and whether that is less than the client allowed."""
    limits = [ask.body[key] for key in _LIMITS if isinstance(ask.body.get(key), int)]
    if limits and min(limits) <= ANSWER_TOKENS:
        return ask.body, False
    return {**{k: v for k, v in ask.body.items() if k not in _LIMITS}, "max_tokens": ANSWER_TOKENS}, True


def _was_cut(completion: JsonObject) -> bool:
    choices = completion.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and first.get("finish_reason") == "length"
