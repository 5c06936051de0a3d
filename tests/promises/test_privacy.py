"""Promise 1: under `local` and `refuse` a request with private data sends nothing to a provider, under `mask` nothing
of what was found. Not by fallback, shadow, streaming, headers, query or encoding, nor when the detector crashes or
hangs.
`make promises` tries 10,000 requests of each.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from insource.core.errors import EngineFailed, UpstreamError
from insource.core.fakes import FakeEngine
from insource.core.headers import header
from insource.core.policy import ALL, UNREADABLE, Action, Policy, Rule
from insource.core.ports import Call, Demand, Reply
from insource.core.values import CHAT_ENDPOINT, JsonObject, Stage
from insource.providers.openai_compatible import OpenAICompatible
from insource.routing.decide import RoutingTable
from insource.traffic.scan_client import ScanProcess
from insource.wire.client import Client
from insource.workflows.serve.answer_locally import Local
from insource.workflows.serve.scans import Scans
from tests.fakes.plugins import install_moody_detector
from tests.fakes.servers import ServerThread
from tests.fakes.serving import Bench, FixedRecipe, candidate, fails, moved, says
from tests.faults.scripts import GOOD, answer
from tests.faults.upstream import FaultyUpstream
from tests.promises.private_requests import FORWARDED, TASKS, Planted, planted, said

CASES = int(os.environ.get("INSOURCE_PROMISE_CASES", "300"))
AT_ONCE = 8
DEAD = EngineFailed("The worker died.", next_step="It is restarted.")
HONOURS: frozenset[Demand] = frozenset({"tools", "files", "audio", "images"})


def acting(action: Action) -> Policy:
    return Policy(kinds={ALL: Rule(action=action), UNREADABLE: Rule(action=action)})


def table() -> RoutingTable:
    """A task at every stage; one whose engine is dead, one whose candidate is never sure enough."""
    stages = {
        "live": Stage.LIVE,
        "gate": Stage.LIVE,
        "shadow": Stage.SHADOW,
        "canary": Stage.CANARY,
        "dead": Stage.LIVE,
    }
    move = moved().moves["task-a"]
    moves = {
        task: replace(move, task_id=task, candidate_id=f"cand-{task}", stage=stage, gate=0.5)
        for task, stage in stages.items()
    }
    return RoutingTable(moves=moves)


def locals_() -> dict[str, Local]:
    made = {
        f"cand-{task}": candidate(
            FakeEngine(fails(DEAD) if task == "dead" else says("here")),
            FixedRecipe(confidence=0.1 if task == "gate" else 0.9),
            honours=HONOURS,
        )
        for task in TASKS
        if task != "none"
    }
    return {**made, "local/small": Local(model="small", engine=FakeEngine(says("here")), streams=True, honours=HONOURS)}


def task_of(request: JsonObject, declared: str | None) -> str | None:
    return declared if declared in TASKS else None


@dataclass(frozen=True, slots=True)
class Served:
    bench: Bench
    upstream: FaultyUpstream
    url: str


@contextmanager
def served(policy: Policy, *, detector: str = "patterns", cpu_seconds: float = 5.0) -> Generator[Served]:
    """A gateway over HTTP, with real scanner processes and a provider that keeps every byte it gets."""
    with FaultyUpstream({"good": (answer(GOOD),)}) as upstream:
        bench = Bench(
            provider=OpenAICompatible(upstream.url),  # pyright: ignore[reportArgumentType] - any upstream will do
            table=table(),
            locals=locals_(),
            private_model="small",
            scans=Scans(lambda: ScanProcess(detector, cpu_seconds=cpu_seconds, hung_seconds=2.0), processes=2),
            policy=policy,
            forward_headers=frozenset({FORWARDED, "x-fault", "x-seed"}),
            match=task_of,
        )
        with ServerThread(bench.app()) as server:
            yield Served(bench, upstream, server.url)


async def ask_all(url: str, requests: Sequence[Planted]) -> list[int]:
    """The status of each; eight at a time."""
    client, numbers = Client(url), iter(range(len(requests)))
    statuses = [0] * len(requests)

    async def ask_next() -> None:
        for number in numbers:
            asked = requests[number]
            target = f"{asked.path}?{asked.query}" if asked.query else asked.path
            headers = (*asked.headers, ("x-fault", "good"), ("x-seed", str(number)))
            reply = await client.send(Call(path=target, headers=headers, body=asked.body))
            with suppress(UpstreamError):
                await reply.read()
            statuses[number] = reply.status

    await asyncio.gather(*(ask_next() for _ in range(AT_ONCE)))
    await client.close()
    return statuses


def arrived(upstream: FaultyUpstream) -> dict[int, list[bytes]]:
    """All bytes that the provider got, by the number of the request."""
    got: dict[int, list[bytes]] = {}
    for each in upstream.got:
        seed = int(each.head.lower().partition(b"x-seed: ")[2].split(b"\r\n")[0])
        got.setdefault(seed, []).append(each.head + each.body)
    return got


@pytest.mark.parametrize("action", ["local", "refuse", "mask"])
def test_nothing_private_reaches_a_provider(action: Action) -> None:
    requests = [planted(seed) for seed in range(CASES)]
    with served(acting(action)) as it:
        statuses = asyncio.run(ask_all(it.url, requests))
        got = arrived(it.upstream)
    leaks = [
        (number, asked.path)
        for number, asked in enumerate(requests)
        if asked.values and number in got and (action != "mask" or _leaks(asked, got[number]))
    ]
    assert not leaks, [requests[number] for number, _ in leaks[:3]]
    for number, asked in enumerate(requests):
        if not asked.values:
            answered_here = asked.path == CHAT_ENDPOINT and statuses[number] == 200
            assert number in got or answered_here, "a harmless request passes"
            assert statuses[number] == 200
            if number in got:
                assert got[number][0].endswith(asked.body)
        elif action == "mask":
            assert statuses[number] in ((200,) if number in got else (200, 403)), "answered here, or refused"
        elif action == "refuse":
            assert statuses[number] == 403
        else:
            assert statuses[number] in ((200,) if _in_chat(asked) else (503,))
    masked = sum(bool(asked.values) and number in got for number, asked in enumerate(requests))
    assert (masked > CASES / 3) is (action == "mask"), "what keeps the test honest"
    kinds = {event.figures["action"] for event in it.bench.events}
    assert kinds <= {action, "refuse"}
    assert not [value for asked in requests for value in asked.values if value in repr(it.bench.events[:300])]


def _in_chat(asked: Planted) -> bool:
    return asked.path == CHAT_ENDPOINT


def _leaks(asked: Planted, sent: Sequence[bytes]) -> bool:
    return any(value in text for data in sent for text in said(data) for value in asked.values)


@pytest.mark.parametrize("action", ["local", "refuse", "mask"])
def test_a_detector_that_crashes_or_hangs_lets_nothing_out(
    action: Action, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(install_moody_detector(tmp_path)))
    moods = ("raise", "loop", "die", "exit", "sleep", "harmless")
    requests = [
        Planted("/v1/chat/completions", "", (("content-type", "application/json"),), body, ())
        for mood in moods
        for body in [f'{{"model":"m","messages":[{{"role":"user","content":"{mood} a secret"}}]}}'.encode()]
    ]
    requests[-1] = replace(requests[-1], body=requests[-1].body.replace(b" a secret", b""))
    with served(acting(action), detector="moody", cpu_seconds=0.3) as it:
        statuses = asyncio.run(ask_all(it.url, requests))
        got = arrived(it.upstream)
    assert list(got) == [len(moods) - 1]
    assert statuses == [200 if action == "local" else 403] * (len(moods) - 1) + [200]


def test_the_engine_of_another_machine_is_a_provider() -> None:
    """Named for private requests, moved to, asked for by name: it gets nothing private unless it is trusted."""
    away = FakeEngine(says("away"))
    away.is_here = False
    body = b'{"model":"m","messages":[{"role":"user","content":"I am ada@lovelace-mail.org"}]}'

    async def ask(action: Action, model: bytes, *, trusted: bool) -> tuple[Bench, Reply | Exception]:
        away.is_here = trusted
        locals_ = {
            "cand": candidate(away, FixedRecipe(), honours=HONOURS),
            "local/small": Local(model="small", engine=away, honours=HONOURS),
        }
        scans = Scans(lambda: ScanProcess("patterns", cpu_seconds=5.0), processes=1)
        bench = Bench(table=moved(), locals=locals_, private_model="small", scans=scans, policy=acting(action))
        await away.start()
        given = await bench.ask(body.replace(b'"m"', b'"' + model + b'"'))
        await bench.handler.close()
        return bench, given.reply

    for action in ("local", "refuse", "mask"):
        for model in (b"m", b"local/small"):
            away.calls.clear()
            bench, reply = asyncio.run(ask(action, model, trusted=False))
            assert away.calls == []
            assert all(b"ada@" not in call.body for call in bench.provider.calls)
            assert isinstance(reply, Reply) is (action == "mask" and model == b"m")
    _, reply = asyncio.run(ask("local", b"m", trusted=True))
    assert isinstance(reply, Reply)
    assert header(reply.headers, "content-type") == "application/json"
    assert away.calls
