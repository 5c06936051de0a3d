"""An exchange under way. Recorded exactly once: at its end, its failure, or the client's leaving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from insource.core.evidence import Event
from insource.core.ports import Clock
from insource.core.values import CostSource, Exchange, JsonObject, Marks, Route
from insource.providers.prices import estimated_tokens
from insource.traffic.restoring import Restored
from insource.wire import chat
from insource.workflows.serve.check_privacy import Checked

CLIENT_LEFT = 499
"""nginx's status for a client that closed the connection before its answer was whole; there is no official one."""


class Price(Protocol):
    def __call__(self, model: str, *, input_tokens: int, output_tokens: int, when: datetime) -> float | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Where exchanges go."""

    clock: Clock
    record: Callable[[Exchange, bytes], None]
    """(exchange, the request's bytes where they are here). Returns at once, never raises."""
    price: Price
    bodies: bool = True
    """False: figures only; requests and answers are not kept."""
    note: Callable[[Event], None] = lambda event: None
    """What a privacy policy did. Returns at once, never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an exchange ended."""

    status: int
    response: JsonObject | None = None
    incomplete: str | None = None
    """Why the answer is not whole; None: it is, or the status says it."""


@dataclass(slots=True, kw_only=True)
class Underway:
    """Owned by one request. Its only change is that it was recorded; where it goes is passed along as a Route."""

    recorder: Recorder
    id: str
    endpoint: str
    request: JsonObject
    body: bytes = b""
    """The request's bytes; b"" where they went on in chunks."""
    private_kinds: tuple[str, ...] | None = None
    checked: Checked = field(default_factory=Checked)
    restored: Restored | None = None
    """What became of the placeholders in the provider's answer."""
    metadata: JsonObject = field(default_factory=dict)
    created: datetime = field(init=False)
    _started_seconds: float = field(init=False)
    _ended: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.created = self.recorder.clock.now()
        self._started_seconds = self.recorder.clock.monotonic()

    def end(self, route: Route, ending: Ending, marks: Marks | None = None) -> None:
        """Records; later calls do nothing."""
        if self._ended:
            return
        self._ended = True
        cost_usd, source = self._cost(route, ending)
        request, response = self.request, ending.response
        if not self.recorder.bodies:
            request = {"model": request.get("model")}
            response = None if response is None else {"model": response.get("model"), "usage": response.get("usage")}
        exchange = Exchange(
            id=self.id,
            created=self.created,
            request=request,
            response=response,
            status=ending.status,
            latency_seconds=self.recorder.clock.monotonic() - self._started_seconds,
            cost_usd=cost_usd,
            cost_source=source,
            private_kinds=self.private_kinds,
            route=route,
            metadata=self.metadata,
            endpoint=self.endpoint,
            incomplete=ending.incomplete,
            marks=marks or Marks(),
        )
        self.recorder.record(exchange, self.body)
        self._note(exchange, route)

    def _note(self, exchange: Exchange, route: Route) -> None:
        """Kinds and counts, never values."""
        checked = self.checked
        if checked.action == "watch" or exchange.marks.shadow_of is not None:
            return
        done = checked.action
        if done == "local" and not route.upstream.startswith("engine:"):
            done = "refuse"
        kinds = dict(checked.kinds or {})
        figures: JsonObject = {"exchange": self.id, "action": done, "kinds": kinds, "reason": checked.reason}
        if self.restored is not None:
            figures |= {"restored": self.restored.count, "not_restored": len(self.restored.lost)}
        said = {"mask": "Masked for the provider", "local": "Answered here", "refuse": "Refused"}[done]
        found = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        event = Event(
            created=self.created, task_id=route.task_id, kind="privacy", text=f"{said}: {found}.", figures=figures
        )
        self.recorder.note(event)

    def _cost(self, route: Route, ending: Ending) -> tuple[float | None, CostSource | None]:
        """Of the hosted call; a local answer costs no money. Of what was read: counted tokens at the list price, else
        estimated ones; (None, None) where nothing was answered or no price is known."""
        if route.upstream.startswith("engine:"):
            return 0.0, "recorded"
        if ending.response is None:
            return None, None
        counted = chat.usage_tokens(ending.response)
        tokens = counted or estimated_tokens(self.request, ending.response, None)
        if tokens is None:
            return None, None
        cost = self.recorder.price(route.model, input_tokens=tokens[0], output_tokens=tokens[1], when=self.created)
        if cost is None:
            return None, None
        return cost, "estimate" if counted is None else "list price"


def replace_id(underway: Underway, id: str) -> Underway:
    """A further exchange about the same request, which begins now."""
    return Underway(
        recorder=underway.recorder,
        id=id,
        endpoint=underway.endpoint,
        request=underway.request,
        body=underway.body,
        private_kinds=underway.private_kinds,
        checked=underway.checked,
    )
