"""The loop as a user goes round it: import, tasks, evaluate, move, and the official SDK through the gateway, with the
real engine and the real model; the hosted API is a responder on loopback that keeps what it was sent.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from tests.demo_lines import lines_of, write_lines
from tests.fakes.gateway_process import Installation
from tests.fakes.responder import Responder, running_responder

pytestmark = [pytest.mark.engine, pytest.mark.slow]

HOSTED = "hosted answer"
TO_ADA = "Write one word to ada.lovelace@posteo.net about lunch."


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    installation: Installation
    hosted: Responder
    url: str
    gateway_pid: int
    triage: str
    triage_request: dict[str, Any]

    def ask(self, *, stream: bool = False, text: str | None = None, **request: Any) -> tuple[str, dict[str, Any]]:
        """The answer's text and the route header's parts, through the official SDK."""
        if text is not None:
            request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **request}
        with openai.OpenAI(base_url=f"{self.url}/v1", api_key="sk-test", max_retries=0) as client:
            raw = client.chat.completions.with_raw_response.create(stream=stream, **request)
            route = json.loads(raw.headers["x-insource-route"])
            parsed: Any = raw.parse()
            if stream:
                return "".join(chunk.choices[0].delta.content or "" for chunk in parsed if chunk.choices), route
            return parsed.choices[0].message.content, route

    def settle(self, task_id: str, upstream: str, **request: Any) -> None:
        """Waits until the gateway has taken a change up: it looks twice a second."""
        deadline = time.monotonic() + 60
        while self.ask(**request)[1]["upstream"] != upstream:
            assert time.monotonic() < deadline, f"{task_id} was not moved to {upstream}"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def world(default_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    folder = tmp_path_factory.mktemp("loop")
    kept = lines_of("triage") + lines_of("policy")
    log = write_lines(folder / "traffic.jsonl", kept)
    with running_responder("--answer", HOSTED, "--any-model") as hosted:
        # Anchors would be asked, and recorded, between two requests of a test.
        settings = {"provider_url": hosted.url, "provider_key_env": "NO_SUCH_KEY", "anchors": "0"}
        installation = Installation(home=folder / "home", model=default_model_path, settings=settings)
        installation.run("import", str(log))
        (triage,) = [task for task in installation.json("tasks")["tasks"] if len(task["labels"]) == 12]
        with installation.serving() as serving:
            yield World(
                installation=installation,
                hosted=hosted,
                url=serving.url,
                gateway_pid=serving.process.pid,
                triage=triage["id"],
                triage_request=next(line for line in kept if line["reference"] == "invoice_copy")["request"],
            )


@pytest.fixture(scope="module")
def enforcing(world: World, default_model_path: Path) -> Generator[World]:
    """Another gateway on the same log, which keeps private requests here."""
    settings = {**world.installation.settings, "privacy": "enforce", "private_model": f"file:{default_model_path}"}
    installation = replace(world.installation, settings=settings)
    with installation.serving() as serving:
        yield replace(world, installation=installation, url=serving.url, gateway_pid=serving.process.pid)


def test_a_certified_task_moves_and_moves_back(world: World) -> None:
    run = world.installation
    text, route = world.ask(**world.triage_request)
    assert (text, route["upstream"]) == (HOSTED, "provider:openai")

    found = run.json("evaluate", world.triage, "--recipe", "head")
    assert found["verdict"] in ("MOVE", "MOVE PART"), found
    certificate = found["candidates"][0]["certificate"]
    assert run.json("evaluate", "--verify", certificate)["ok"]

    run.run("move", world.triage)
    world.settle(world.triage, "engine:head", **world.triage_request)
    seen = len(world.hosted.requests())
    for stream in (False, True):
        text, route = world.ask(stream=stream, **world.triage_request)
        assert text == "invoice_copy"
        assert route["upstream"] == "engine:head"
        assert route["certificate_id"] == certificate
    assert len(world.hosted.requests()) == seen, "nothing went to the provider"

    exported = [json.loads(line) for line in run.run("log", "export").stdout.splitlines()]
    routes = [line["route"] for line in exported if line.get("route")]
    assert [route["certificate_id"] for route in routes if route["upstream"] == "engine:head"][-2:] == [certificate] * 2

    run.run("rollback", world.triage)
    world.settle(world.triage, "provider:openai", **world.triage_request)


def test_what_the_fit_part_rules_out_is_no_candidate(world: World) -> None:
    """The small model is asked for real, and knows nothing of the shop's queues."""
    run = world.installation
    found = run.json("evaluate", world.triage, "--recipe", "constrained")
    (trial,) = found["candidates"]
    assert (trial["recipe"], trial["end"], trial["id"]) == ("constrained", "dropped", None), found
    assert found["verdict"] in ("ADAPT", "KEEP"), found
    for stage in ("shadow", "live"):
        refused = run.run("move", world.triage, "--to", "constrained", "--stage", stage, check=False)
        assert refused.returncode == 2
        assert "no candidate 'constrained'" in refused.stderr


def test_private_requests_go_to_the_provider_and_are_known_to_be_private(world: World) -> None:
    """Nobody asked for anything else yet."""
    seen = len(world.hosted.requests())
    for stream in (False, True):
        text, route = world.ask(stream=stream, text=TO_ADA)
        assert (text, route["upstream"]) == (HOSTED, "provider:openai")
    assert len(world.hosted.requests()) == seen + 2
    assert "ada.lovelace" not in world.installation.run("log", "export").stdout


def test_a_model_of_this_machine_is_asked_for_by_name(world: World) -> None:
    seen = len(world.hosted.requests())
    for stream in (False, True):
        text, route = world.ask(stream=stream, text="Say hello.", model="local/default", max_tokens=8)
        assert text
        assert route["upstream"] == "engine:llamacpp"
    assert len(world.hosted.requests()) == seen


def test_private_requests_are_answered_by_the_named_model_and_reach_nobody(enforcing: World) -> None:
    seen = len(enforcing.hosted.requests())
    for stream in (False, True):
        text, route = enforcing.ask(stream=stream, text=TO_ADA)
        assert text
        assert route["upstream"] == "engine:llamacpp"
    assert len(enforcing.hosted.requests()) == seen
    assert enforcing.ask(text="Say hello.")[0] == HOSTED, "what is not private goes on as before"
    assert "ada.lovelace" not in enforcing.installation.run("log", "export").stdout


def test_a_private_request_with_tools_gets_no_answer_from_a_model_that_can_not_use_them(enforcing: World) -> None:
    seen = len(enforcing.hosted.requests())
    tools = [{"type": "function", "function": {"name": "pay", "parameters": {"type": "object", "properties": {}}}}]
    with pytest.raises(openai.APIStatusError, match="can't give tools") as caught:
        enforcing.ask(text=TO_ADA, tools=tools)
    assert caught.value.status_code == 503
    assert len(enforcing.hosted.requests()) == seen


def test_a_killed_worker_is_answered_for_and_comes_back(enforcing: World) -> None:
    """kill -9 of the worker: a private request gets an answer or a clear 503, never the provider; then it is back."""
    private: dict[str, Any] = {"text": "My phone is +44 20 7946 0958, say hello."}
    enforcing.settle("the private model", "engine:llamacpp", **private)
    seen = len(enforcing.hosted.requests())
    for worker in workers_of(enforcing.gateway_pid):
        os.kill(worker, signal.SIGKILL)
    refusals: list[openai.APIStatusError] = []
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            _, route = enforcing.ask(**private)
        except openai.APIStatusError as error:
            refusals.append(error)
            time.sleep(0.2)
            continue
        assert route["upstream"] == "engine:llamacpp"
        break
    assert all(error.status_code == 503 and "may not leave this machine" in str(error) for error in refusals)
    assert workers_of(enforcing.gateway_pid), "a new worker runs"
    assert len(enforcing.hosted.requests()) == seen, "no private request went out meanwhile"


def workers_of(pid: int) -> list[int]:
    children = psutil.Process(pid).children()
    return [child.pid for child in children if "insource.engines.worker" in " ".join(child.cmdline())]
