"""What `plan` may ask, in which order, and the open models that it names."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.config import Settings
from insource.core.errors import UsageError
from insource.evals.suspicious import label_noise
from insource.hub.snapshot import SnapshotCatalogue, SnapshotRow
from insource.wiring import open_services
from insource.wiring_choose import model_finder, open_scout
from insource.workflows.choose.offer import offer_line, offers_json, offers_of
from insource.workflows.choose.scout import ScoutQuestion, scout
from insource.workflows.choose.scout_fit import make_fits
from insource.workflows.choose.serving_cost import cheapest_first
from insource.workflows.files.usable_models import MOST, choose_models
from insource.workflows.prove.find_tasks import find_tasks
from tests.fakes.tiny_gguf import write_tiny_gguf
from tests.fakes.traffic import LABELS, exchange

REFS = st.lists(st.sampled_from("abcdefghij"), unique=True)


@given(REFS, st.sets(st.sampled_from("abcdefghij")))
def test_the_configured_and_the_certified_models_are_always_asked(refs: Sequence[str], certified: set[str]) -> None:
    chosen = choose_models(["", *refs], configured="", certified=certified)
    assert [ref for ref in ["", *refs] if ref in chosen] == list(chosen), "the order stays"
    assert {"", *(certified & set(refs))} <= set(chosen)
    assert len(chosen) <= max(MOST, 1 + len(certified & set(refs)))
    assert len(chosen) >= min(MOST, 1 + len(refs)), "no place is left empty"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A catalogue of two models, of which somebody offers one as GGUF."""
    rows = (("maker/Open-1B", ["maker/Open-1B-GGUF"]), ("maker/Other-1B", []))
    known = SnapshotCatalogue().find("Qwen/Qwen3-0.6B")
    assert known is not None
    fields = {name: getattr(known, name) for name in SnapshotRow.__struct_fields__}
    lines = [json.dumps({"as_of": "2026-01-01", "source": "a test"})]
    lines += [json.dumps([*{**fields, "id": id, "gguf_repositories": r}.values()], default=str) for id, r in rows]
    (tmp_path / "own.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    given: dict[str, Any] = {"home": tmp_path / "home", "catalogue": str(tmp_path / "own.gz")}
    return Settings(**given)


def test_an_offer_says_size_memory_licence_and_is_gone_when_it_was_tried(settings: Settings) -> None:
    with open_scout(settings) as parts:
        report = scout(ScoutQuestion(machine="rtx-4090"), parts, make_fits=make_fits)
    (offer,) = offers_of(report)
    assert offer.ref == f"maker/Open-1B-GGUF:{offer.quantization}"
    assert offer.needed_bytes > offer.parameters / 2
    assert offer.decode_tokens_per_second is not None
    for part in ("maker/Open-1B", offer.quantization, "GiB", "tokens/s", "apache-2.0"):
        assert part in offer_line(offer)
    assert offers_json([offer])[0]["license"] == "apache-2.0"
    assert offers_of(report, tried=["maker/Open-1B-GGUF:Open-1B-Q8_0.gguf"]) == ()


def test_the_cheapest_to_serve_is_asked_first_and_the_unknown_last(settings: Settings) -> None:
    server = "server:http://127.0.0.1:9#"
    refs = [f"{server}nobody-knows", f"{server}qwen2.5:7b", f"{server}qwen2.5:0.5b"]
    assert cheapest_first(refs, model_finder(settings)) == tuple(reversed(refs))


def test_a_classifier_that_can_not_tell_the_labels_suspects_none() -> None:
    drawn = np.random.default_rng(0)
    guesses = drawn.dirichlet([8.0, 8.0, 8.0], size=600)
    assert label_noise(guesses, drawn.integers(0, 3, 600)).suspects == ()
    given = drawn.integers(0, 3, 600)
    sure = np.full((600, 3), 0.02)
    sure[np.arange(600), given] = 0.96
    wrong = given.copy()
    wrong[:60] = (given[:60] + 1) % 3
    assert set(label_noise(sure, wrong).suspects) == set(range(60)), "one that can finds the wrong ones"


def test_the_ladder_names_the_next_larger_model_and_how_to_get_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from insource.cli.main import app

    drawn = random.Random(0)
    with open_services(settings) as services:
        services.exchanges.append(exchange(number, label=drawn.choice(LABELS)) for number in range(400))
        find_tasks(services)
        (task,) = services.registry.tasks()
    given = {"home": settings.home, "catalogue": settings.catalogue, "hub_url": "http://127.0.0.1:9", "margin": 0.1}
    given["latency_seconds"] = 1e6  # however slow the machine is that the test runs on
    given["model"] = f"file:{write_tiny_gguf(tmp_path / 'tiny.gguf')}"
    for name, value in given.items():
        monkeypatch.setenv(f"INSOURCE_{name.upper()}", str(value))
    command = ["adapt", task.id, "--recipe", "head"]
    assert json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["open_models"] == []
    found = json.loads(CliRunner().invoke(app, [*command, "--pull", "--json"]).stdout)
    assert found["open_models"], found["no_open_model"]
    (offer,) = found["open_models"]
    assert offer["ref"].startswith("maker/Open-1B-GGUF:")
    assert found["no_open_model"].startswith("It was not pulled")
    assert [rung["recipe"] for rung in found["rungs"]] == ["head"]
    shown = CliRunner().invoke(app, [*command, "--pull"])
    assert f"insource models pull {offer['ref']}" in " ".join(shown.output.split())
    table = shown.stdout.splitlines()
    assert max(map(len, table)) <= 80, shown.stdout


def test_models_are_not_pulled_for_another_machine() -> None:
    from typer.testing import CliRunner

    from insource.cli.main import app

    done = CliRunner().invoke(app, ["plan", "--pull", "--machine", "rtx-4090"])
    assert isinstance(done.exception, UsageError), done.output
