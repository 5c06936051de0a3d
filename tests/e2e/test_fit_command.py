"""`insource fit` as its users give it: files, names, a Hub that answers, one that does not, and what nobody knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from insource.cli.main import app
from insource.core.errors import InsourceError, UnknownModel, UsageError
from tests.demo_lines import lines_of, write_lines
from tests.fakes.gguf_writer import gguf_bytes
from tests.fakes.hub import FakeHub, FakeRepo, running_hub
from tests.oracle.cases import GEMMA_3_27B, QWEN3_8B

MIB = 1 << 20
Fit = Callable[..., dict[str, Any]]


@pytest.fixture
def fit() -> Fit:
    """Runs the command; its JSON, or the error it ended with."""

    def run(*args: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["fit", *args, "--json"])
        if isinstance(done.exception, InsourceError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return run


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setenv("INSOURCE_HUB_URL", "http://127.0.0.1:9")  # the discard port: refused at once


def test_a_name_alone_is_answered_without_network_or_file(fit: Fit) -> None:
    found = fit("Qwen/Qwen3-8B", "--offline", "--context", "32768", "--slots", "1", "--machine", "rtx-4090")
    assert found["kv_cache_bytes"] == 4608 * MIB
    assert found["fits"] is True
    assert found["unknown"] == []
    for speed in (found["decode_tokens_per_second"], found["prefill_tokens_per_second"]):
        assert 0 < speed["low"] < speed["mid"] < speed["high"]
    assert found["total_bytes"] == sum(found[k] for k in ("weights_bytes", "kv_cache_bytes", "compute_bytes"))
    assert found["total_bytes"] == sum(
        device[k] for device in found["devices"] for k in ("weights_bytes", "kv_cache_bytes", "compute_bytes")
    )


def test_a_packed_count_is_no_size_and_unknown_layers_have_no_speed(fit: Fit) -> None:
    found = fit("bearzi/Qwen3.6-35B-A3B-oQ8", "--offline", "--machine", "rtx-4090")  # its record counts 10.2 B
    assert (found["parameters"], found["active_parameters"]) == (35_000_000_000, 3_000_000_000)
    assert found["fits"] is None
    assert found["decode_tokens_per_second"] is None


@pytest.mark.parametrize("name", ["qwen3:8b", "unsloth/Qwen3-8B-GGUF", "qwen/qwen3-8b"])
def test_other_ways_to_name_it_are_the_same_model(fit: Fit, name: str) -> None:
    found = fit(name, "--offline", "--slots", "1", "--machine", "rtx-4090")
    assert found["kv_cache_bytes"] == 1152 * MIB


def test_a_file_is_read_by_its_header_alone(fit: Fit, tmp_path: Path) -> None:
    path = GEMMA_3_27B.write(tmp_path)  # a header and a hole: hashing 17 GB would show
    found = fit(f"file:{path}", "--context", "32768", "--slots", "1", "--machine", "2x h100")
    assert found["source"] == "header"
    assert found["kv_cache_bytes"] == 3184 * MIB


def test_a_hub_that_answers_is_asked_first_and_one_that_does_not_is_said(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = CliRunner().invoke(app, ["fit", "Qwen/Qwen3-8B", "--machine", "rtx-4090"])
    assert "The Hub did not answer" in refused.stdout
    with QWEN3_8B.write(tmp_path).open("rb") as file:
        header = file.read(2 * MIB)  # behind it lie 5 GB of hole
    with running_hub(FakeHub(repos={"me/Own-GGUF": FakeRepo(files={"own-Q4_K_M.gguf": header})})) as hub:
        monkeypatch.setenv("INSOURCE_HUB_URL", hub.url)
        found = fit("me/Own-GGUF", "--slots", "1", "--context", "32768", "--machine", "rtx-4090")
    assert (found["source"], found["kv_cache_bytes"], found["license"]) == ("header", 4608 * MIB, "apache-2.0")


def test_what_does_not_fit_says_what_to_change(fit: Fit) -> None:
    options = ("--machine", "rtx-3060", "--gpu-layers", "65", "--offline")
    found = fit("Qwen/Qwen3-32B", *options)
    assert found["fits"] is False
    assert found["missing_bytes"] > 0
    told = CliRunner().invoke(app, ["fit", "Qwen/Qwen3-32B", *options]).stdout
    assert "Does not fit" in told
    assert "It fits with as many layers on accelerators as fit" in told


def test_an_architecture_that_nobody_knows_is_not_guessed(fit: Fit, tmp_path: Path) -> None:
    path = replace(QWEN3_8B, arch="from-the-future").write(tmp_path)
    found = fit(f"file:{path}")
    assert found["fits"] is None
    assert found["unknown"]
    assert "Cannot say" in CliRunner().invoke(app, ["fit", f"file:{path}"]).stdout


def test_a_projector_counts_beside_the_model(fit: Fit, tmp_path: Path) -> None:
    model = f"file:{QWEN3_8B.write(tmp_path)}"
    projector = tmp_path / "mmproj.gguf"
    projector.write_bytes(gguf_bytes({"general.type": "mmproj", "general.architecture": "clip"}))
    alone, beside = fit(model), fit(model, "--with", f"file:{projector}")
    assert beside["weights_bytes"] - alone["weights_bytes"] == 256 * 4 + 2 * 2 * 20
    with pytest.raises(UsageError, match="model of its own"):
        fit(model, "--with", model)


def test_the_load_is_that_of_the_tasks_own_lengths(fit: Fit, tmp_path: Path) -> None:
    log = write_lines(tmp_path / "traffic.jsonl", lines_of("policy")[:60])
    for command in (["import", str(log)], ["tasks"]):
        assert CliRunner().invoke(app, [*command, "--json"]).exit_code == 0
    task = json.loads(CliRunner().invoke(app, ["tasks", "--json"]).stdout)["tasks"][0]
    asked = ("Qwen/Qwen3-8B", "--offline", "--task", task["id"])
    slow = fit(*asked, "--machine", "rtx-3060", "--latency", "20")["load"]
    fast = fit(*asked, "--machine", "h100-sxm", "--latency", "20")["load"]
    hasty = fit(*asked, "--machine", "rtx-3060", "--latency", "0.01")["load"]
    assert slow["exchanges"] == task["exchanges"]
    assert 0 < slow["requests_per_minute"] < fast["requests_per_minute"]
    assert slow["seconds"] <= 20
    assert (hasty["requests_per_minute"], hasty["bottleneck"]) == (0, "latency of one request")
    assert fit("Qwen/Qwen3-8B", "--offline", "--machine", "rtx-3060")["load"] is None


@pytest.mark.parametrize(
    ("args", "error", "says"),
    [
        (["nobody/Has-This-9B", "--offline"], UnknownModel, "neither the shipped table nor the catalogue"),
        (["Qwen/Qwen3-9B", "--offline", "--quantization", "Q9_X"], UsageError, "Q9_X"),
        (["Qwen/Qwen3-8B", "--offline", "--cache-type", "q3"], UsageError, "q3"),
        (["Qwen/Qwen3-8B", "--offline", "--machine", "rtx-9999"], UsageError, "rtx-9999"),
        (["Qwen/Qwen3-8B", "--offline", "--depth", "9000"], UsageError, "outside of a slot"),
        (["file:/nowhere/x.gguf"], UnknownModel, "/nowhere/x.gguf"),
        (["what is this"], UsageError, "not a reference"),
    ],
)
def test_bad_questions_get_a_sentence(fit: Fit, args: list[str], error: type[InsourceError], says: str) -> None:
    with pytest.raises(error) as raised:
        fit(*args)
    assert says in str(raised.value)
    assert raised.value.next_step


def test_the_picture_is_an_svg_with_every_part(tmp_path: Path) -> None:
    picture = tmp_path / "fit.svg"
    CliRunner().invoke(app, ["fit", "Qwen/Qwen3-8B", "--offline", "--machine", "2x rtx-3090", "--svg", str(picture)])
    text = picture.read_text()
    assert text.startswith("<svg")
    assert all(part in text for part in ("weights", "KV cache", "compute", "margin", "free", "CUDA0", "CUDA1", "CPU"))
