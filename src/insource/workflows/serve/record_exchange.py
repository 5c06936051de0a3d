"""An exchange while it is being answered. Recorded exactly once: at its end, its failure, or the client's leaving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from insource.core.ports import Clock
from insource.core.values import Exchange, JsonObject, Route
from insource.wire import chat

CLIENT_LEFT = 499
"""nginx's status for a client that closed the connection before its answer was whole; there is no official one."""


class Price(Protocol):
    def __call__(self, model: str, *, input_tokens: int, output_tokens: int, when: datetime) -> float | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Where exchanges go."""

    clock: Clock
    record: Callable[[Exchange], None]
    """Returns at once, never raises."""
    price: Price
    bodies: bool = True
    """False: figures only; requests and answers are not kept."""


@dataclass(slots=True, kw_only=True)
class OpenExchange:
    """Mutable, and owned by one request."""

    recorder: Recorder
    id: str
    request: JsonObject
    route: Route
    private_kinds: tuple[str, ...] | None = None
    metadata: JsonObject = field(default_factory=dict)
    created: datetime = field(init=False)
    _started_seconds: float = field(init=False)
    _finished: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.created = self.recorder.clock.now()
        self._started_seconds = self.recorder.clock.monotonic()

    def reroute(self, **changes: object) -> None:
        self.route = replace(self.route, **changes)  # pyright: ignore[reportArgumentType] - fields of Route by name

    def finish(self, status: int, response: JsonObject | None, *, incomplete: str | None = None) -> None:
        """Records; later calls do nothing. `incomplete` says how an answer that began was cut."""
        if self._finished:
            return
        self._finished = True
        if incomplete is not None:
            self.metadata["incomplete"] = incomplete
        request, kept = self.request, response
        if not self.recorder.bodies:
            request = {"model": request.get("model")}
            kept = None if response is None else {"model": response.get("model"), "usage": response.get("usage")}
        self.recorder.record(
            Exchange(
                id=self.id,
                created=self.created,
                request=request,
                response=kept,
                status=status,
                latency_seconds=self.recorder.clock.monotonic() - self._started_seconds,
                cost_usd=self._cost_usd(response),
                private_kinds=self.private_kinds,
                route=self.route,
                metadata=self.metadata,
            )
        )

    def _cost_usd(self, response: JsonObject | None) -> float | None:
        """Of the hosted call; a local answer costs no money. None: no price, or the answer held no token counts."""
        if not self.route.upstream.startswith("provider:"):
            return 0.0
        tokens = chat.usage_tokens(response)
        if tokens is None:
            return None
        return self.recorder.price(self.route.model, input_tokens=tokens[0], output_tokens=tokens[1], when=self.created)
