"""A certified move is weighed: whether its licence is allowed, and how much of its load the machine carries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from insource.cli.main import app
from insource.cli.show_plan import money_lines
from insource.config import Settings
from insource.core.ecosystem import Ecosystem, EffectiveLicence
from insource.core.errors import RefusedByPolicy, UsageError
from insource.core.evidence import Verdict
from insource.core.fakes import FakeEngine
from insource.core.hardware import Machine
from insource.core.hashing import file_sha256
from insource.core.stores import EvidenceStore, Registry
from insource.core.values import Exchange, ModelFile, Stage
from insource.hub.licence_chain import chain, refusal
from insource.hub.licences import parse_policy
from insource.wiring import open_services
from insource.wiring_choose import open_ecosystem, open_fit
from insource.workflows.choose.licence import hub_name, licence_in_force
from insource.workflows.choose.shared_machine import Load, share_machine
from insource.workflows.plan import Plan, make_plan, plan_json
from insource.workflows.prove.move import move_task
from insource.workflows.services import Services
from insource.workflows.weigh import weigh
from tests.fakes.evidence import START, candidate
from tests.fakes.traffic import engine_that, exchanges, label_of

MODEL = "Qwen/Qwen2.5-7B-Instruct"
GPU = "rtx-4090"


def licensed(license: str | None, *, parent: str | None = None) -> EffectiveLicence:
    return chain("m", {"m": ["p"] if parent else []}, {"m": license, "p": parent}.get)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Plan]]:
    """One certified candidate whose model stands on the Hub, measured once for all tests."""
    folder = tmp_path_factory.mktemp("weigh")
    path = folder / "model.gguf"
    path.write_bytes(b"GGUF and more")
    file = ModelFile(ref=MODEL, path=path, sha256=file_sha256(path), size_bytes=13, source="hub")
    given: dict[str, Any] = {"home": folder / "home", "machine_watts": 400, "usd_per_kwh": 0.25}
    with open_services(Settings(**given)) as opened:
        services = replace(
            opened,
            find_model=lambda ref: file,
            open_licences=lambda: nullcontext(lambda ref: licensed("apache-2.0")),
            recipes={"prompt": opened.recipes["prompt"]},
            make_engine=lambda model, settings: FakeEngine(engine_that(label_of)),
        )
        services.exchanges.append(hourly(1_000))
        yield services, asyncio.run(make_plan(services))


def hourly(size: int) -> list[Exchange]:
    return [replace(each, created=START + timedelta(hours=number)) for number, each in enumerate(exchanges(size))]


@pytest.fixture
def services(measured: tuple[Services, Plan]) -> Services:
    return measured[0]


@pytest.fixture
def plan(measured: tuple[Services, Plan]) -> Plan:
    return measured[1]


def weighed(plan: Plan, services: Services, *, find_machine: Callable[[str], Machine] | None = None) -> Plan:
    with open_fit(services.settings) as fit:
        return weigh(plan, services, replace(fit, find_machine=find_machine or fit.find_machine), machine=GPU)


def with_settings(services: Services, **changes: Any) -> Services:
    return replace(services, settings=services.settings.model_copy(update=changes))


# ------------------------------------------------------------------------------------------------------- money


def test_a_move_that_the_machine_carries_saves_what_it_covers(services: Services, plan: Plan) -> None:
    plan = weighed(plan, services)
    (row,) = plan.rows
    assert row.verdict in (Verdict.MOVE, Verdict.MOVE_PART)
    assert row.evaluation is not None
    assert row.coverage == row.evaluation.coverage > 0.5
    shown = plan_json(plan)
    (task,) = shown["tasks"]
    days = 999 / 24
    assert shown["days"] == pytest.approx(days)
    assert shown["spend_usd_per_month"] == pytest.approx(500 / days * 365.25 / 12)
    assert shown["saving_usd_per_month"] == pytest.approx(shown["spend_usd_per_month"] * row.coverage)
    assert task["saving_usd_per_month"] == pytest.approx(shown["saving_usd_per_month"])
    assert (task["model"], task["licence"]["license"], task["licence"]["refused"]) == (MODEL, "apache-2.0", None)
    assert (task["machine"]["name"], task["machine"]["carried_share"]) == (GPU, 1.0)
    assert task["machine"]["requests_per_minute"] > task["machine"]["needed_per_minute"] > 0
    cost = 0.4 * 730.5 * 0.25
    assert shown["machine"]["usd_per_month"] == task["machine"]["usd_per_month"] == pytest.approx(cost)
    assert shown["net_saving_usd_per_month"] == pytest.approx(shown["saving_usd_per_month"] - cost)
    assert shown["break_even_share"] == pytest.approx(cost / shown["saving_usd_per_month"])
    text = "\n".join(money_lines(plan))
    assert "a month" in text
    assert "It pays for itself from" in text
    assert max(map(len, text.splitlines())) <= 80


# ---------------------------------------------------------------------------------------------------- capacity


def test_a_machine_that_is_too_slow_carries_nothing_and_says_why(services: Services, plan: Plan) -> None:
    plan = weighed(plan, with_settings(services, latency_seconds=0.001))
    (row,) = plan.rows
    assert (row.verdict, row.coverage, row.saving_usd) == (Verdict.KEEP, 0.0, 0.0)
    assert f"{GPU} takes" in row.reason
    assert "latency_seconds" in row.reason
    assert not plan.can_move


def test_a_load_beyond_the_machine_is_carried_in_part(services: Services, plan: Plan) -> None:
    (row,) = weighed(plan, services).rows
    assert row.serving is not None
    assert row.serving.carried is not None
    most = row.serving.carried.requests_per_minute
    assert most is not None
    # The same answers at a rate that is known to be beyond this machine.
    crowded = replace(plan.rows[0], busiest_per_minute=4 * most / row.coverage)
    (part,) = weighed(replace(plan, rows=(crowded,)), services).rows
    assert part.verdict is Verdict.MOVE_PART
    assert part.coverage == pytest.approx(row.coverage / 4, rel=0.01)
    assert f"{GPU} can serve 25% of it" in part.reason


def test_a_machine_that_is_too_small_says_what_it_would_take(services: Services, plan: Plan) -> None:
    def small(text: str) -> Machine:
        with open_fit(services.settings) as fit:
            found = fit.find_machine(text)
        return replace(found, devices=tuple(replace(each, memory_free_bytes=2**28) for each in found.devices))

    (row,) = weighed(plan, services, find_machine=small).rows
    assert (row.verdict, row.coverage) == (Verdict.KEEP, 0.0)
    assert f"does not fit {GPU}" in row.reason


def test_a_model_of_unknown_size_is_not_held_against_the_move(services: Services, plan: Plan) -> None:
    known = services.registry.candidates()
    nowhere = [replace(each, model_ref="file:/nowhere/own.gguf") for each in known]
    registry = SimpleNamespace(candidates=lambda task_id=None: nowhere)
    (row,) = weighed(plan, replace(services, registry=cast("Registry", registry))).rows
    assert row.coverage == plan.rows[0].coverage > 0
    assert "How much this machine can serve is unknown" in row.reason


def _file(services: Services) -> ModelFile:
    found = services.find_model("")
    assert isinstance(found, ModelFile)
    return found


LOADS = st.lists(
    st.builds(
        Load,
        task_id=st.uuids().map(str),
        model=st.sampled_from(["a", "b", "c"]),
        engine_share=st.floats(0, 3),
        value=st.floats(0, 100),
        bytes_by_device=st.just({"GPU": 10}),
    ),
    max_size=8,
    unique_by=lambda load: load.task_id,
)


@given(loads=LOADS, models=st.integers(0, 3))
def test_a_machine_is_never_given_more_than_it_has(loads: list[Load], models: int) -> None:
    shares = share_machine(loads, {"GPU": 10 * models})
    assert set(shares) == {load.task_id for load in loads}
    assert all(0 <= share <= 1 for share in shares.values())
    assert sum(load.engine_share * shares[load.task_id] for load in loads) <= 1 + 1e-9
    assert len({load.model for load in loads if shares[load.task_id] > 0}) <= models
    if models == 3 and sum(load.engine_share for load in loads) <= 1 - 1e-9:
        assert all(share == 1 for share in shares.values()), "what has room for all leaves out none"


@given(loads=LOADS)
def test_what_saves_most_for_the_time_comes_first(loads: list[Load]) -> None:
    shares = share_machine(loads, {"GPU": 30})

    def saved(of: Mapping[str, float]) -> float:
        return sum(load.value * of[load.task_id] for load in loads)

    wanted = sum(load.engine_share for load in loads)
    evenly = {load.task_id: min(1.0, 1 / wanted) if wanted else 1.0 for load in loads}
    assert saved(shares) >= saved(evenly) - 1e-6


# ----------------------------------------------------------------------------------------------------- licence


@pytest.mark.parametrize("license", ["cc-by-nc-4.0", "llama3.1", "acme-restricted-1.0"])
@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.CANARY, Stage.LIVE])
def test_a_licence_that_the_policy_refuses_stops_the_move(
    services: Services, plan: Plan, license: str, stage: Stage
) -> None:
    services = replace(services, open_licences=lambda: nullcontext(lambda ref: licensed(license)))
    before = services.registry.moves()
    told = weighed(plan, services)
    (row,) = told.rows
    assert (row.verdict, row.coverage, told.can_move) == (Verdict.KEEP, 0.0, False)
    assert license in row.reason
    shown = plan_json(told)["tasks"][0]
    assert shown["licence"]["refused"] == license
    assert shown["machine"]["requests_per_minute"] > 0, "what it would take is told all the same"
    for to in (None, "prompt"):
        with pytest.raises(RefusedByPolicy, match=license) as refused:
            move_task(services, row.report.task.id, to=to, stage=stage, without_certificate=True)
        assert "`licenses`" in refused.value.message
        assert f"INSOURCE_LICENSES=permissive,open-model,{license}" in refused.value.next_step
    assert services.registry.moves() == before
    allowed = with_settings(services, licenses=f"permissive,open-model,{license}")
    assert move_task(allowed, row.report.task.id, to=None, stage=stage).stage is stage


def test_what_it_is_built_on_counts_too_and_an_unknown_licence_does_not(services: Services, plan: Plan) -> None:
    built = replace(
        services, open_licences=lambda: nullcontext(lambda ref: licensed("apache-2.0", parent="cc-by-nc-4.0"))
    )
    (row,) = weighed(plan, built).rows
    assert row.verdict is Verdict.KEEP
    assert f"p, on which {MODEL} is built" in row.reason
    for nobody in (None, licensed(None)):
        unknown = replace(services, open_licences=lambda nobody=nobody: nullcontext(lambda ref: nobody))
        assert weighed(plan, unknown).can_move
        assert move_task(unknown, row.report.task.id, to=None, stage=Stage.LIVE).stage is Stage.LIVE


def test_what_is_known_of_models_is_opened_once_for_all_and_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    @contextmanager
    def counted(settings: Settings) -> Generator[Ecosystem]:
        opened.append("opened")
        with open_ecosystem(settings) as ecosystem:
            yield ecosystem
        opened.append("closed")

    monkeypatch.setattr("insource.wiring_choose.open_ecosystem", counted)
    given: dict[str, Any] = {"home": tmp_path}
    with open_services(Settings(**given)) as services:
        with services.open_licences():
            pass
        assert opened == []
        with services.open_licences() as find_licence:
            found = [find_licence(ref) for ref in (MODEL, "Qwen/Qwen3-8B", "nobody/knows-this", MODEL)]
            assert opened == ["opened"]
    assert opened == ["opened", "closed"]
    assert found[0] == found[3]
    assert found[0] is not None
    assert found[2] is None


def test_a_certified_candidate_that_is_allowed_stands_in_for_one_that_is_not(services: Services, plan: Plan) -> None:
    (row,) = plan.rows
    assert row.evaluation is not None
    other = candidate("head-1", task_id=row.report.task.id)
    second = replace(row.evaluation, id="e2", candidate_id="head-1", coverage=row.coverage / 2, whole=False)
    refusing = replace(
        services,
        open_licences=lambda: nullcontext(lambda ref: licensed("cc-by-nc-4.0")),
        registry=cast(
            "Registry",
            SimpleNamespace(
                candidates=lambda task_id=None: [*services.registry.candidates(), other],
            ),
        ),
        evidence=cast("EvidenceStore", SimpleNamespace(evaluations=lambda task_id: [row.evaluation, second])),
    )
    (chosen,) = weighed(plan, refusing).rows
    assert (chosen.verdict, chosen.recipe, chosen.coverage) == (Verdict.MOVE_PART, "head", row.coverage / 2)
    assert "cc-by-nc-4.0" in chosen.reason


CHAINS = st.lists(st.sampled_from([None, "", "mit", "llama3", "cc-by-nc-4.0", "other"]), min_size=1, max_size=5)


@given(licences=CHAINS)
def test_only_what_somebody_states_is_refused(licences: list[str | None]) -> None:
    ids = [f"m{n}" for n in range(len(licences))]
    parents = {child: [parent] for child, parent in pairwise(ids)}
    found = refusal(chain("m0", parents, dict(zip(ids, licences, strict=True)).get), parse_policy("permissive"))
    stated = {each for each in licences if each and each != "mit"}
    assert (found is not None) == bool(stated)
    assert found is None or found.license in stated


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        ("answers:Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("server:http://127.0.0.1:11434#llama3.1:8b", "meta-llama/Llama-3.1-8B"),
        ("ollama:qwen2.5:7b", "Qwen/Qwen2.5-7B"),
        ("org/name:Q4_K_M", "org/name"),
        ("file:/models/qwen2.5-7b.gguf", None),
        ("server:http://127.0.0.1:8000#", None),
        ("answers:our own", None),
    ],
)
def test_a_reference_names_a_model_where_its_name_says_so(ref: str, name: str | None) -> None:
    assert hub_name(ref) == name


def test_a_licence_in_the_file_counts_beside_that_of_its_name(services: Services) -> None:
    from insource.hub.archive import Archive
    from insource.hub.shipped import ShippedEcosystem
    from insource.hub.snapshot import SnapshotCatalogue

    shipped = ShippedEcosystem(SnapshotCatalogue(), Archive(services.settings.home / "hub"))

    def force(stated: str | None) -> EffectiveLicence | None:
        return licence_in_force(
            MODEL, find_model=lambda ref: replace(_file(services), license=stated), ecosystem=shipped
        )

    by_name, by_file = force(None), force("cc-by-nc-4.0")
    assert by_name is not None
    assert by_name.strictest.license == "apache-2.0"
    assert by_file is not None
    assert [link.license for link in by_file.links] == ["cc-by-nc-4.0", "apache-2.0"]
    assert by_file.strictest.license == "cc-by-nc-4.0"


# ------------------------------------------------------------------------------------------------------ --check


@pytest.mark.parametrize(("size", "code"), [(700, 0), (20, 3)])
def test_a_check_says_by_its_exit_status_whether_something_can_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, code: int
) -> None:
    monkeypatch.setenv("INSOURCE_HOME", str(tmp_path / "checked"))
    given: dict[str, Any] = {"home": tmp_path / "checked"}
    with open_services(Settings(**given)) as services:
        services.exchanges.append(hourly(size))
    done = CliRunner().invoke(app, ["plan", "--check", "--json", "--minutes", "0.1", "--price", "gpt-4=10/30"])
    assert done.exit_code == code, done.output
    shown = json.loads(done.stdout)
    assert shown["can_move"] is (code == 0)
    assert (shown["saving_usd_per_month"] is not None) == (size == 700), "twenty hours are no month"
    assert shown["spend_estimated_usd"] == pytest.approx(shown["spend_usd"]), "an assumed price is not a recorded one"


def test_what_is_no_machine_or_no_price_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    for wrong in (["--machine", "no such card"], ["--price", "gpt-4"]):
        done = CliRunner().invoke(app, ["plan", *wrong])
        assert isinstance(done.exception, UsageError), done.output
