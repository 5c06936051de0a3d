"""Fakes of the ports, small because the ports are. They ship with the product: a plugin's tests use them too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from insource.core.errors import EngineFailed
from insource.core.hashing import canonical_json
from insource.core.headers import JSON
from insource.core.ports import Call, Demand, Reply
from insource.core.values import EngineState, JsonObject, PrivacySpan


class FakeClock:
    """A clock that moves only when told."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._seconds = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._seconds += seconds


async def _iterate(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def json_reply(body: JsonObject, *, status: int = 200) -> Reply:
    return Reply(status=status, headers=JSON, chunks=_iterate([canonical_json(body)]))


class FakeUpstream:
    """Answers every call with `answer(call)` and keeps the calls: what was sent, and that nothing was."""

    def __init__(self, answer: Callable[[Call], Reply], *, name: str = "provider:fake") -> None:
        self._answer = answer
        self._name = name
        self.calls: list[Call] = []
        self.closed = False

    @property
    def name(self) -> str:
        return self._name

    async def send(self, call: Call) -> Reply:
        self.calls.append(call)
        return self._answer(call)

    async def close(self) -> None:
        self.closed = True


class FakeEngine(FakeUpstream):
    """A FakeUpstream with the five states; `fail_start` makes `start` fail."""

    def __init__(self, answer: Callable[[Call], Reply], *, fail_start: bool = False) -> None:
        super().__init__(answer, name="engine:fake")
        self.honours: frozenset[Demand] = frozenset()
        self.is_here = True
        self._fail_start = fail_start
        self._state = EngineState.STOPPED

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def model(self) -> str:
        return "fake-model"

    async def send(self, call: Call) -> Reply:
        if self._state is not EngineState.READY:
            raise EngineFailed(f"The engine is {self._state}.", next_step="Start it first.")
        return await super().send(call)

    async def start(self) -> None:
        if self._fail_start:
            self._state = EngineState.FAILED
            raise EngineFailed("The engine did not start.", next_step="Read its log.")
        self._state = EngineState.READY

    async def stop(self) -> None:
        self._state = EngineState.STOPPED


class FakeDetector:
    """Finds one fixed word, or raises."""

    linear_time = True

    def __init__(self, word: str = "secret", *, error: Exception | None = None) -> None:
        self._word = word
        self._error = error

    def scan(self, text: str) -> Sequence[PrivacySpan]:
        if self._error is not None:
            raise self._error
        at = text.find(self._word)
        return [] if at < 0 else [PrivacySpan(start=at, end=at + len(self._word), kind="word", confidence=1.0)]
