"""A watched move on a real store: its traffic written as the gateway would, its clock moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from insource.config import Settings
from insource.core.evidence import Candidate, Certificate, Event
from insource.core.fakes import FakeClock, FakeUpstream
from insource.core.policy import WATCH
from insource.core.ports import Reply
from insource.core.scanning import Examined, ScanJob
from insource.core.values import Exchange, Marks, Matcher, Move, OutputKind, OutputProfile, Route, Stage, Task
from insource.evals.terms import whole_terms
from insource.routing.decide import RoutingTable
from insource.routing.share import SharePlan
from insource.wire import json_text
from insource.wire.chat import user_text
from insource.wiring import open_services
from insource.workflows.asking import Local
from insource.workflows.serve.ask_again import AskAgain
from insource.workflows.serve.check_privacy import PrivacyCheck
from insource.workflows.serve.conversations import Conversations
from insource.workflows.serve.live_routing import RoutingState
from insource.workflows.serve.record_exchange import Recorder
from insource.workflows.serve.share import Shares
from insource.workflows.services import Services
from insource.workflows.watch.watcher import Watcher
from tests.fakes.evidence import LABELS, START, ask
from tests.fakes.serving import completion, flat_price, says

TASK = Task(
    id="t1",
    name="Yes or no",
    matchers=(Matcher(kind="prefix", value="question"),),
    output=OutputProfile(kind=OutputKind.LABEL, labels=("no", "yes")),
)
MOVE = Move(
    task_id="t1",
    candidate_id="head-1",
    stage=Stage.LIVE,
    gate=0.5,
    certificate_id="cert-1",
    canary_share=0.1,
    changed=START + timedelta(days=1),
    reason="certified",
)


class Says:
    """A fitted recipe whose answers a test may change."""

    def __init__(self) -> None:
        self.answer: Callable[[str], str] = lambda text: "yes"

    def prepare(self, request: dict[str, Any]) -> Any:
        from insource.core.values import LocalAnswer

        return LocalAnswer(text=self.answer(user_text(request)), confidence=0.9)

    def read(self, completion: dict[str, Any]) -> Any:
        raise AssertionError("it asks no model")

    def artifact(self) -> bytes:
        return b"{}"


@dataclass(slots=True, kw_only=True)
class Watched:
    services: Services
    clock: FakeClock
    watcher: Watcher
    here: Says
    hosted: list[Callable[[str], str]]
    """One function: what the hosted model answers."""
    provider: FakeUpstream
    numbers: Iterable[int] = field(default_factory=lambda: iter(range(10**9)))

    @property
    def move(self) -> Move:
        (move,) = self.services.registry.moves()
        return move

    def events(self, *kinds: str) -> list[Event]:
        return [e for e in self.services.registry.events() if not kinds or e.kind in kinds]

    def pairs(self, differences: Iterable[float], *, days: float = 0.01, shadow: bool = False) -> None:
        """Requests that both sides answered; a difference of 1: only the answer from here is wrong."""
        rows: list[Exchange] = []
        for difference in differences:
            self.clock.advance(86_400 * days)
            rows += self.pair(difference, shadow=shadow)
        self.services.exchanges.append(rows)

    def pair(self, difference: float, *, shadow: bool = False) -> list[Exchange]:
        number = next(iter(self.numbers))
        hosted, here = "yes", "yes" if difference <= 0 else "no"
        first, second = f"live-{number}", f"live-{number}-{'shadow' if shadow else 'share'}"
        said = f"question {number} of the live traffic"
        if shadow:
            marks = Marks(shadow_of=first, covered=True)
            return [
                exchange(first, said, hosted, self.clock.now(), side="provider:x"),
                exchange(second, said, here, self.clock.now(), side="engine:head", marks=marks),
            ]
        return [
            exchange(first, said, here, self.clock.now(), side="engine:head"),
            exchange(second, said, hosted, self.clock.now(), side="provider:x", marks=Marks(share_of=first)),
        ]


def exchange(id: str, text: str, answer: str, created: datetime, *, side: str, **more: Any) -> Exchange:
    route = Route(upstream=side, model="m", reason="", task_id="t1", candidate_id="head-1", confidence=0.9)
    fields: dict[str, Any] = {"private_kinds": (), "cost_usd": 0.001, "cost_source": "list price", "route": route}
    request = ask(text, model="gpt-4o")
    return Exchange(id=id, created=created, request=request, response=completion(answer), **{**fields, **more})


def certificate(**more: Any) -> Certificate:
    fields: dict[str, Any] = {
        "id": "cert-1",
        "created": START + timedelta(days=1),
        "task_id": "t1",
        "candidate_id": "head-1",
        "criterion": LABELS,
        "n": 400,
        "clusters": 400,
        "margin": 0.02,
        "confidence": 0.95,
        "coverage": 1.0,
        "gate": 0.5,
        "serves": ("new", "repeats"),
        "loss_upper": 0.01,
        "quality": 1.0,
    }
    return Certificate(**{**fields, **more})


@contextmanager
def watching(
    home: Path, *, stage: Stage = Stage.LIVE, past: int = 200, budget_usd: float = 10.0, **settings: Any
) -> Generator[Watched]:
    """`past`: exchanges from before the move, of which the anchors are chosen."""
    clock, here = FakeClock(START + timedelta(days=1)), Says()
    hosted: list[Callable[[str], str]] = [lambda text: "yes"]
    with open_services(Settings(home=home, **settings)) as opened:
        services = replace(opened, clock=clock)
        _prepare(services, stage, past)
        provider = FakeUpstream(lambda call: _hosted(call.body, hosted))
        shares = Shares(SharePlan(share=0.02, usd_per_day=budget_usd), clock)
        local = Local(model="head-1", engine=None, fitted=here, recipe="head")
        state = RoutingState(
            revision=1, table=RoutingTable(), match=lambda request, declared: "t1", locals={"head-1": local}
        )

        async def unscanned(job: ScanJob) -> Examined:
            raise AssertionError("nothing is scanned while the policy only watches")

        asking = AskAgain(
            provider=provider,
            has_key=True,
            privacy=PrivacyCheck(policy=lambda: WATCH, scan=unscanned),
            recorder=Recorder(
                clock=clock,
                record=lambda exchange, body: _append(services, exchange),
                price=flat_price,
            ),
            shares=shares,
            state=lambda: state,
        )
        watcher = Watcher(services=services, asking=asking, conversations=Conversations())
        yield Watched(services=services, clock=clock, watcher=watcher, here=here, hosted=hosted, provider=provider)


def _append(services: Services, exchange: Exchange) -> None:
    services.exchanges.append([exchange])


def _hosted(body: bytes, answers: list[Callable[[str], str]]) -> Reply:
    from insource.core.ports import Call

    text = answers[0](user_text(json_text.decode(body)))
    return says(text)(Call(path="", body=body))


def _prepare(services: Services, stage: Stage, past: int) -> None:
    rows = [
        exchange(f"past-{n}", f"question {n}", "yes", START + timedelta(seconds=n), side="provider:x")
        for n in range(past)
    ]
    services.exchanges.append(rows)
    services.registry.put_tasks([TASK])
    services.exchanges.assign({row.id: "t1" for row in rows})
    candidate = Candidate(
        id="head-1",
        task_id="t1",
        recipe="head",
        artifact_sha256=services.registry.put_artifact(b"{}"),
        model_ref=None,
        model_sha256=None,
        settings=None,
        criterion=LABELS,
        terms=whole_terms(),
    )
    services.registry.put_candidate(candidate)
    services.evidence.put_certificate(certificate(), b"bundle")
    event = Event(created=MOVE.changed, task_id="t1", kind="moved", text="Moved.")
    services.registry.put_move(replace(MOVE, stage=stage), event)
