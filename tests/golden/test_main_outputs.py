"""What the main commands print on a terminal of 80 columns, word for word: tests/golden/outputs/.

`INSOURCE_TEST_WRITE_GOLDEN=1` writes the files anew; read what changed before it is committed. Ids, times, paths and
whatever else is this machine's own are masked.
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import count, islice
from pathlib import Path

import pytest

from insource.cli.main import app
from insource.cli.output import Output
from insource.cli.show_plan import show_plan
from insource.core.evidence import Verdict
from insource.core.ports import Call, Reply
from insource.core.values import Exchange, Pin, Stage
from insource.wire.chat import completion
from insource.workflows.plan import Plan, make_plan
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.prove.move import move_task
from insource.workflows.services import Services
from tests.fakes.evaluating import KNOWING, evaluating
from tests.fakes.evidence import START
from tests.fakes.traffic import exchange, message, reply

pytestmark = pytest.mark.usefixtures("_terminal")

FILES = Path(__file__).with_name("outputs")
WRITE = bool(os.environ.get("INSOURCE_TEST_WRITE_GOLDEN"))  # read before the isolating fixture clears it
COLUMNS, LINES = 80, 60
SORT, TONE, SHELF, PINNED, REPLY = "Sort the mail", "Judge the tone", "Find the shelf", "Sort by product", "Reply"
SIZES = {SORT: 600, TONE: 300, SHELF: 40, PINNED: 400, REPLY: 60}
"""Exchanges of the task that moves, of one that the model gets wrong, of one with too little traffic, of one that its
user pinned, and of one whose answers are free text."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def log() -> Iterator[Exchange]:
    numbers = count(1)
    for task, size in SIZES.items():
        for number in islice(numbers, size):
            text, label = message(number)
            asked = [{"role": "system", "content": f"{task}."}, {"role": "user", "content": text}]
            said = f"Dear customer, about your {label}: {text[::-1]}." if task == REPLY else label
            yield exchange(
                number,
                request={"model": "gpt-4", "messages": asked},
                response=completion(id="c", created=0, model="gpt-4", text=said),
                reference=None if task == REPLY else label,
                reference_kind=None if task == REPLY else "label",
                private_kinds=("email",) if number % 20 == 0 else (),
                cost_usd=0.01,
            )


def answer(call: Call) -> Reply:
    """Right, but for the tone: there it guesses."""
    if TONE.encode() not in call.body:
        return KNOWING(call)
    drawn = random.Random(call.body)
    return reply(drawn.choice(("card", "loan", "transfer")), logprob=-drawn.random())


def id_of(services: Services, name: str) -> str:
    return next(task.id for task in services.registry.tasks() if task.name.startswith(name))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """A home with a move and a pin, and its plan."""
    home = tmp_path_factory.mktemp("golden") / "home"
    with evaluating(home, answer, margin=0.05) as (services, _):
        services.exchanges.append(log())
        find_tasks(services)
        services.registry.put_pin(Pin(task_id=id_of(services, PINNED), changed=START, reason="by hand"))
        made = asyncio.run(make_plan(services))
        move_task(services, id_of(services, SORT), to=None, stage=Stage.LIVE)
    return home, made


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    for name, value in {"COLUMNS": str(COLUMNS), "LINES": "200", "TERM": "dumb", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)


def masked(text: str) -> str:
    """As wide as it was, so that tables stay tables."""
    text = re.sub(r"\b([a-z]+-)([0-9a-f]{8,16})\b", lambda found: found[1] + "0" * len(found[2]), text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-01-01 00:00", text)
    text = re.sub(r"\d\d [A-Z][a-z]{2} \d\d:\d\d", "01 Jan 00:00", text)
    text = re.sub(r"[\d,.]+ GB free for models *", lambda found: "1.0 GB free for models".ljust(len(found[0])), text)
    text = re.sub(r"^Plugins *\n.*?^(?=Changed settings)", "Plugins ...\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^\d+ others", "50 others", text, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def check(name: str, shown: str) -> None:
    lines, text, file = shown.splitlines(), masked(shown), FILES / f"{name}.txt"
    if WRITE:
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8")
    assert len(lines) <= LINES
    assert max(len(line.rstrip()) for line in lines) <= COLUMNS


def test_the_plan(measured: tuple[Path, Plan]) -> None:
    """What `insource plan` and `insource demo` show of it."""
    _, made = measured
    assert {row.verdict for row in made.rows} >= {
        Verdict.MOVE, Verdict.KEEP, Verdict.PIN, Verdict.MORE_DATA, Verdict.SAY_WHAT_COUNTS,
    }  # fmt: skip
    with redirect_stdout(Terminal()) as terminal:
        show_plan(made, Output(quiet=True))
    shown = " ".join(terminal.getvalue().split())
    for row in made.rows:
        assert f"{row.report.task.name} ({row.report.task.id}): {row.verdict.value}" in shown
        assert row.reason
        assert row.reason in shown
    check("plan", terminal.getvalue())


@pytest.mark.parametrize(
    "command",
    [
        ("tasks",),
        ("moves",),
        ("moves", "--events", "--days", "36500"),
        ("fit", "Qwen/Qwen3-8B", "--quantization", "Q4_K_M", "--machine", "rtx-4090", "--offline"),
        ("fit", "Qwen/Qwen3-235B-A22B", "--quantization", "Q8_0", "--machine", "rtx-4090", "--offline"),
    ],
    ids=["tasks", "moves", "events", "fit", "fit_not"],
)
def test_a_command(
    command: tuple[str, ...],
    request: pytest.FixtureRequest,
    measured: tuple[Path, Plan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INSOURCE_HOME", str(measured[0]))
    with redirect_stdout(Terminal()) as terminal:
        app([*command, "--quiet"], standalone_mode=False)
    check(request.node.callspec.id, terminal.getvalue())


def test_the_doctor(measured: tuple[Path, Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative folders, so that the text is the same wherever the test runs."""
    monkeypatch.chdir(measured[0].parent)
    for name in ("OLLAMA_MODELS", "LLAMACPP_CACHE", "LMSTUDIO_MODELS"):
        monkeypatch.delenv(f"INSOURCE_{name}")
    for name, value in {"HOME": "home", "MODEL_CACHE": "models", "PORT": "0"}.items():
        monkeypatch.setenv(f"INSOURCE_{name}", value)
    with redirect_stdout(Terminal()) as terminal:
        code = app(["doctor"], standalone_mode=False)
    assert code == 1, "the default model is not there"
    check("doctor", terminal.getvalue())
