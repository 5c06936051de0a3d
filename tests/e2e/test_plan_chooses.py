"""`plan` with models from everywhere at once, as its users run it: a model in Ollama's store, two behind a server that
runs, answers made elsewhere, and one that is pulled from the Hub. It is killed in the middle and started again.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from insource.config import Settings
from insource.core.evidence import Evaluation
from insource.core.values import Exchange, JsonObject
from insource.hub.snapshot import SnapshotCatalogue, SnapshotRow
from insource.wire.chat import completion, user_text
from insource.wiring import open_services
from insource.workflows.services import Services
from tests.fakes.evidence import START
from tests.fakes.gateway_process import Installation
from tests.fakes.hub import FakeHub, FakeRepo, running_hub
from tests.fakes.servers import FakeProvider, ServerThread
from tests.fakes.stores import FakeOllama
from tests.fakes.tiny_gguf import write_tiny_gguf
from tests.fakes.traffic import LABELS, exchange

pytestmark = pytest.mark.slow

CHEAP, BETTER = "qwen2.5:0.5b", "qwen2.5:7b"
WRONG = {CHEAP: 20, BETTER: 1}
"""Of a hundred answers."""
ELSEWHERE = "Qwen/Qwen2.5-32B-Instruct"
STORED = "ollama:tiny:latest"
PULLED = "maker/Open-1B-GGUF:Open-1B-Q8_0.gguf"
SIZES = {"desk": 450, "vault": 150, "attic": 90}
"""Exchanges by task: one for the server's models, one for the answers made elsewhere, one for nobody."""
KILLED_AFTER = 300
"""Answers of the server, while the better model gathers evidence."""
SLOTS = 4


def drawn(text: str) -> int:
    return zlib.crc32(text.encode())


def label(text: str) -> str:
    """Nothing about the words tells it, so only a model that knows it can be right."""
    return LABELS[drawn(text) % len(LABELS)]


def says(model: str, text: str) -> str:
    right, wrong = label(text), LABELS[(drawn(text) + 1) % len(LABELS)]
    return wrong if drawn(f"{model} {text}") % 100 < WRONG[model] else right


def log(task: str, *, start: int = 0) -> Iterable[Exchange]:
    for number in range(start, start + SIZES[task]):
        asked = exchange(number)
        text = user_text(asked.request)
        system = {"role": "system", "content": f"Sort by the secret rule of the {task}."}
        request = {
            "model": "gpt-4",
            "messages": [system, {"role": "user", "content": text}],
            "max_tokens": 4,
            "temperature": 0,
        }
        created = START + timedelta(hours=number)
        yield exchange(number, label=label(text), request=request, created=created)


def answer(path: str, body: bytes) -> tuple[int, dict[str, str], list[bytes | None]]:
    """Of the server: both models know the rule of the desk, neither that of another task."""
    if path == "/v1/models":
        return reply({"object": "list", "data": [{"id": name, "object": "model"} for name in (BETTER, CHEAP)]})
    if path != "/v1/chat/completions":
        return 404, {}, [b"{}"]
    request = json.loads(body)
    told = says(request["model"], user_text(request)) if "desk" in body.decode() else "unknown"
    made = completion(id="c", created=0, model=request["model"], text=told)
    made["choices"][0]["logprobs"] = {
        "content": [{"token": told, "logprob": -0.01 - drawn(told + str(body)) % 100 / 1e3}]
    }
    return reply(made)


def reply(value: Any) -> tuple[int, dict[str, str], list[bytes | None]]:
    return 200, {"content-type": "application/json"}, [json.dumps(value).encode()]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    folder: Path
    server: FakeProvider
    url: str
    hub: FakeHub
    settings: dict[str, str]

    def plan(self) -> list[str]:
        """The better model is named first: which is cheaper, insource knows by their sizes."""
        models = [f"server:{self.url}#{BETTER}", f"server:{self.url}#{CHEAP}", STORED]
        named = [part for model in models for part in ("--model", model)]
        return ["plan", "--pull", *named, "--answers", str(self.folder / "answers.jsonl"), "--json"]

    def environment(self, home: Path) -> dict[str, str]:
        return Installation(home=home, model=self.folder / "none.gguf", settings=self.settings).environment()

    def asked(self) -> list[bytes]:
        return [heard.body for heard in self.server.calls if heard.target == "/v1/chat/completions"]


@contextmanager
def a_world(folder: Path) -> Generator[World]:
    ollama, tiny = folder / "ollama", write_tiny_gguf(folder / "tiny.gguf").read_bytes()
    FakeOllama(ollama).pull("tiny/latest", tiny)
    pulled = write_tiny_gguf(folder / "pulled.gguf", seed=1).read_bytes()
    hub = FakeHub(repos={"maker/Open-1B-GGUF": FakeRepo(files={"Open-1B-Q8_0.gguf": pulled})})
    server = FakeProvider(answer=answer)
    with ExitStack() as stack:
        stack.enter_context(running_hub(hub))
        thread = stack.enter_context(ServerThread(server))
        settings = {
            "ollama_models": str(ollama),
            "hub_url": hub.url,
            "catalogue": str(catalogue(folder / "catalogue.gz")),
            "margin": "0.1",
            "latency_seconds": "86400",
            "slots": str(SLOTS),
            "threads": "1",
        }
        yield World(folder=folder, server=server, url=thread.url, hub=hub, settings=settings)


def catalogue(path: Path) -> Path:
    """Of one model, which somebody offers as GGUF."""
    known = SnapshotCatalogue().find("Qwen/Qwen3-0.6B")
    assert known is not None
    fields = {name: getattr(known, name) for name in SnapshotRow.__struct_fields__}
    row = [*{**fields, "id": "maker/Open-1B", "gguf_repositories": ["maker/Open-1B-GGUF"]}.values()]
    lines = (json.dumps({"as_of": "2026-01-01", "source": "a test"}), json.dumps(row, default=str))
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def write_answers(path: Path, exchanges: Iterable[Exchange]) -> None:
    """All right: what a large model said on another machine."""
    said = ({"id": each.id, "answer": each.reference, "model": ELSEWHERE} for each in exchanges)
    path.write_text("".join(json.dumps(line) + "\n" for line in said))


def test_a_plan_over_models_from_everywhere_is_killed_and_goes_on(tmp_path: Path) -> None:
    home, whole = tmp_path / "plan", tmp_path / "in one go"
    logs: dict[str, list[Exchange]] = {}
    for task in SIZES:
        logs[task] = list(log(task, start=sum(map(len, logs.values()))))
    write_answers(tmp_path / "answers.jsonl", logs["vault"])
    with opened(home) as services:
        services.exchanges.append(each for exchanges in logs.values() for each in exchanges)
    shutil.copytree(home, whole)
    with a_world(tmp_path) as world:
        kill_after(KILLED_AFTER, world, home)
        with started(world, whole) as other:
            resumed, in_one_go = ended(started(world, home)), ended(other)
        asked, pulled = Counter(world.asked()), world.hub.ranges()
    twice = [body for body, times in asked.items() if times != 2]
    assert len(twice) <= SLOTS, "each plan asks once, but for what was under way when it was killed"
    assert spent(home) == spent(whole), "the ledger knows of no kill"
    for task in ("desk", "vault"):
        assert verdict(resumed, task) == verdict(in_one_go, task)
    assert 1 <= len(pulled) <= 2, "by each plan at most"
    check(resumed, f"server:{world.url}#")


def check(plan: JsonObject, server: str) -> None:
    """Which model carries which task, and what became of the others before it."""
    desk, vault, attic = (task_of(plan, name) for name in SIZES)
    assert desk["verdict"] in ("MOVE", "MOVE PART")
    assert desk["model"] == server + BETTER
    tried = [each for each in desk["candidates"] if each["model"]]
    order = list(dict.fromkeys(each["model"] for each in tried))
    assert order[:3] == [STORED, server + CHEAP, server + BETTER], "the cheapest to serve first"
    ends = {model: {each["end"] for each in tried if each["model"] == model} for model in order}
    assert "certified" in ends[server + BETTER]
    assert "certified" not in ends[STORED] | ends[server + CHEAP]
    assert (vault["verdict"], vault["model"], vault["recipe"]) == ("MOVE", f"answers:{ELSEWHERE}", "answers")
    assert attic["coverage"] == 0
    assert PULLED in {each["model"] for each in attic["candidates"]}
    refused = [each["end"] for each in attic["candidates"] if each["model"] == f"answers:{ELSEWHERE}"]
    assert refused == ["refused"], "the file answers nothing of this task"
    assert attic["open_models"] == [], "the only one there is was measured"


def task_of(plan: JsonObject, name: str) -> JsonObject:
    return next(task for task in plan["tasks"] if task["name"].endswith(name))


def verdict(plan: JsonObject, name: str) -> tuple[Any, ...]:
    kept = ("verdict", "model", "recipe", "candidate", "coverage", "quality", "loss_upper", "n_test")
    task = task_of(plan, name)
    # What random weights answer depends on what the engine answers beside it, so those ends may differ.
    candidates = [each for each in task["candidates"] if each["model"] not in (STORED, PULLED)]
    ends = [(each["model"], each["recipe"], each["end"]) for each in candidates]
    return *(task[field] for field in kept), ends


def opened(home: Path) -> AbstractContextManager[Services]:
    given: dict[str, Any] = {"home": home}
    return open_services(Settings(**given))


def spent(home: Path) -> dict[str, Any]:
    """By task, the ledger: whose outcomes were seen in which place, and what they came to."""
    with opened(home) as services:
        return {
            task.id: (services.evidence.ranks(task.id), [figures(e) for e in services.evidence.evaluations(task.id)])
            for task in services.registry.tasks()
        }


def figures(evaluation: Evaluation) -> tuple[Any, ...]:
    return evaluation.candidate_id, evaluation.n, evaluation.loss_upper, evaluation.coverage, evaluation.end


def started(world: World, home: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "insource.cli.main", *world.plan()]
    environment = world.environment(home)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def kill_after(answers: int, world: World, home: Path) -> None:
    with started(world, home) as process:
        try:
            deadline = time.monotonic() + 60
            while len(world.asked()) < answers:
                assert process.poll() is None, "it ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.002)
        finally:
            process.kill()


def ended(process: subprocess.Popen[bytes]) -> JsonObject:
    said, _ = process.communicate()
    assert process.returncode == 0
    return json.loads(said)
