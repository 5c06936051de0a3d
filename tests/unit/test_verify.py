"""Certificates derived again from their bundles: what holds, and every kind of tampering that is found out."""

from __future__ import annotations

import asyncio
import json
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from insource.core.evidence import Candidate, Certificate
from insource.core.hashing import canonical_json
from insource.core.stores import ExchangeFilter
from insource.core.values import JsonObject, Stage
from insource.evals.bundle import certificate_id
from insource.workflows.prove.criterion import choose_criterion
from insource.workflows.prove.label import label_exchange
from insource.workflows.prove.move import move_task
from insource.workflows.prove.verify import VerifyReport, verify
from insource.workflows.services import Services
from tests.fakes.evaluating import evaluate, evaluating, only_task
from tests.fakes.evidence import START
from tests.fakes.traffic import exchange, exchanges

RECIPES = ("head", "prompt")


@pytest.fixture(scope="module", params=RECIPES)
def certified(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A home with a certificate, its id, and the recipe that it is of: one that asks no model, and one that does."""
    home = tmp_path_factory.mktemp("certified") / "home"
    with evaluating(home, recipes=(request.param,)) as (services, _):
        found = asyncio.run(evaluate(services, _log()))
    assert found.best is not None, found.reason
    assert found.best.certificate_id is not None
    return home, found.best.certificate_id, request.param


def _log() -> list[Any]:
    """Some hosted answers are wrong, and some exchanges only have them."""
    log = exchanges(1_000)
    for n in range(0, 1_000, 40):
        log[n] = exchange(n, response=log[n + 1].response)
    for n in range(1, 1_000, 10):
        log[n] = exchange(n, reference=None, reference_kind=None)
    return log


@pytest.fixture
def services(certified: tuple[Path, str, str], tmp_path: Path) -> Iterator[Services]:
    home = shutil.copytree(certified[0], tmp_path / "home")
    with evaluating(home, recipes=(certified[2],)) as (opened, _):
        yield opened


@pytest.fixture
def id(certified: tuple[Path, str, str]) -> str:
    return certified[1]


def differing(report: VerifyReport) -> set[str]:
    return {check.name for check in report.checks if check.state == "differs"}


def noted(report: VerifyReport) -> set[str]:
    return {check.name for check in report.checks if check.state == "note"}


# ------------------------------------------------------------------------------------------------- what holds


def test_a_certificate_derives_again(services: Services, id: str) -> None:
    report = verify(services, id)
    assert report.ok, report
    assert noted(report) == set()
    assert {"certificate", "verdict", "error budget", "scores", "log", "answers", "ledger"} <= {
        check.name for check in report.checks
    }


async def test_it_holds_after_a_year_of_new_log_labels_and_settings(
    certified: tuple[Path, str, str], services: Services, id: str
) -> None:
    task = only_task(services)
    move_task(services, task.id, to=None, stage=Stage.LIVE)
    for row in rows_of(document_of(services, id))[:10]:
        label_exchange(services, task.id, row["exchange"], reference="fraud")
    later = [exchange(n, created=START + timedelta(days=300, minutes=n)) for n in range(2_000, 2_150)]
    later += [exchange(n, label="fraud") for n in range(2_150, 2_250)]
    with evaluating(services.settings.home, recipes=(certified[2],), margin=0.05, seed=3) as (other, _):
        again = await evaluate(other, later)
        assert set(only_task(other).output.labels) >= {"card", "fraud"}
        for certificate in {id, *(e.certificate_id for e in again.evaluations if e.certificate_id)}:
            report = verify(other, certificate)
            assert report.ok, report
        assert "log" in noted(verify(other, id)), "labels that changed since are told"
    assert services.evidence.certificate(id) is not None, "a move stands on it"


def test_it_holds_when_the_log_was_pruned(services: Services, id: str) -> None:
    services.exchanges.prune(START + timedelta(minutes=500))
    report = verify(services, id)
    assert report.ok, report
    assert noted(report) == {"log"}


# ------------------------------------------------------------------------------------------------- tampering


def document_of(services: Services, id: str) -> JsonObject:
    raw = services.evidence.bundle(id)
    assert raw is not None
    return json.loads(zlib.decompress(raw))


def put(services: Services, id: str, document: JsonObject, *, under: str | None = None) -> VerifyReport:
    """Verifies the altered bundle: under its own id, as one that forges both would do, unless another is given."""
    raw = zlib.compress(canonical_json(document))
    known = services.evidence.certificate(id)
    assert isinstance(known, Certificate)
    forged = replace(known, id=under or certificate_id(raw))
    services.evidence.put_certificate(forged, raw)
    return verify(services, forged.id)


def rows_of(document: JsonObject) -> list[JsonObject]:
    return [dict(zip(document["columns"], row, strict=True)) for row in document["records"]]


def test_an_altered_bundle_does_not_match_its_id(services: Services, id: str) -> None:
    document = document_of(services, id)
    assert put(services, id, document, under=id).ok
    document["insource"] = "another"
    assert differing(put(services, id, document, under=id)) == {"certificate"}


NO_BUNDLES = [b"", b"{}", zlib.compress(b"{}"), zlib.compress(b"[1]"), zlib.compress(b'{"format":"x"}'), b"\xff" * 50]


@pytest.mark.parametrize("raw", NO_BUNDLES, ids=range(len(NO_BUNDLES)))
def test_what_is_no_bundle_differs_and_nothing_dies(services: Services, id: str, raw: bytes) -> None:
    known = services.evidence.certificate(id)
    assert known is not None
    services.evidence.put_certificate(known, raw)
    assert differing(verify(services, id)) == {"bundle"}


def _right(row: JsonObject) -> bool:
    return row["loss_local"] == 0.0 and row["admitted"] and row["kind"] == "label"


def _other_label(label: str) -> str:
    return "loan" if label != "loan" else "card"


COLUMNS: dict[str, tuple[Callable[[JsonObject], bool], Callable[[JsonObject], Any], set[str]]] = {
    "exchange": (_right, lambda row: "nobody", {"ledger"}),
    "place": (_right, lambda row: row["place"] + 1, {"ledger"}),
    "cluster": (_right, lambda row: "another", {"ledger"}),
    "reference": (_right, lambda row: _other_label(row["reference"]), {"scores"}),
    "answer": (_right, lambda row: _other_label(row["answer"]), {"scores", "answers"}),
    "confidence": (_right, lambda row: row["confidence"] / 2, {"answers"}),
    "admitted": (_right, lambda row: False, {"answers"}),
    "loss_local": (_right, lambda row: 1.0, {"scores"}),
    "loss_hosted": (_right, lambda row: 1.0 - row["loss_hosted"], {"scores"}),
    "hosted": (_right, lambda row: _other_label(row["hosted"]), {"scores"}),
    "judged": (_right, lambda row: {row["answer"]: False}, {"scores"}),
    "hosted_correct": (_right, lambda row: row["loss_hosted"] > 0, {"scores"}),
    "answered": (_right, lambda row: False, {"scores", "answers"}),
}


@pytest.mark.parametrize(
    "stated",
    [{"margin": 0.01}, {"loss_upper": 0.0}, {"coverage": 1.0}, {"n": 9}, {"gate": 0.001}, {"confidence": 0.99}],
)
def test_a_certificate_says_what_its_bundle_says(services: Services, id: str, stated: JsonObject) -> None:
    known, raw = services.evidence.certificate(id), services.evidence.bundle(id)
    assert known is not None
    assert raw is not None
    services.evidence.put_certificate(replace(known, **stated), raw)
    assert differing(verify(services, id)) == {"certificate"}


@pytest.mark.parametrize("column", COLUMNS)
def test_an_altered_outcome_is_found_out(services: Services, id: str, column: str) -> None:
    chosen, alter, found = COLUMNS[column]
    document = document_of(services, id)
    at = next(at for at, row in enumerate(rows_of(document)) if chosen(row))
    document["records"][at][document["columns"].index(column)] = alter(rows_of(document)[at])
    assert found <= differing(put(services, id, document))


def test_an_outcome_that_was_left_out_is_missed(services: Services, id: str) -> None:
    """The losing ones would be the first to go."""
    document = document_of(services, id)
    del document["records"][len(document["records"]) // 2]
    assert "ledger" in differing(put(services, id, document))


def _gate(document: JsonObject) -> None:
    document["result"]["gate"] = 0.001


def _bound(document: JsonObject) -> None:
    document["result"]["loss_upper"] /= 2


def _coverage(document: JsonObject) -> None:
    document["result"]["coverage"] = 1.0


def _alpha(document: JsonObject) -> None:
    document["budget"]["alpha"] *= 2


def _rank(document: JsonObject) -> None:
    document["budget"] |= {"rank": 2, "alpha": 0.05 / 6}


def _margin(document: JsonObject) -> None:
    document["budget"]["margin"] = 0.5


def _artifact(document: JsonObject) -> None:
    document["candidate"]["artifact_sha256"] = "0" * 64


def _no_records(document: JsonObject) -> None:
    document["records"] = []


@pytest.mark.parametrize(
    ("alter", "found"),
    [
        (_gate, "verdict"),
        (_bound, "verdict"),
        (_coverage, "verdict"),
        (_alpha, "error budget"),
        (_rank, "error budget"),
        (_margin, "certificate"),
        (_artifact, "artifact"),
        (_no_records, "verdict"),
    ],
)
def test_an_altered_result_or_budget_is_found_out(
    services: Services, id: str, alter: Callable[[JsonObject], None], found: str
) -> None:
    document = document_of(services, id)
    alter(document)
    assert found in differing(put(services, id, document))


def test_a_model_file_that_is_another_differs(services: Services, certified: tuple[Path, str, str], id: str) -> None:
    if certified[2] == "head":
        assert not any(check.name == "model file" for check in verify(services, id).checks)
        return
    (services.settings.home / "model.gguf").write_bytes(b"GGUF and another")
    assert differing(verify(services, id)) == {"model file"}
    (services.settings.home / "model.gguf").unlink()
    assert noted(verify(services, id)) == {"model file"}


# ------------------------------------------------------------------------------------------- a plugin's scorer


class FirstLetters:
    """A plugin's: right when the first letters are the same. Arguments: `letters`."""

    name, costly = "first letters", False

    def canonical(self, answer: str, arguments: JsonObject) -> str:
        return answer[: arguments["letters"]]

    def loss(self, answer: str, reference: str, *, request: JsonObject, arguments: JsonObject) -> float:
        return float(self.canonical(answer, arguments) != self.canonical(reference, arguments))


async def test_a_plugins_scorer_is_recorded_with_its_arguments(tmp_path: Path) -> None:
    with evaluating(tmp_path, recipes=("head",)) as (opened, _):
        services = replace(opened, scorers={**opened.scorers, "first letters": FirstLetters()})
        await evaluate(services, exchanges(1_000))
        choose_criterion(services, only_task(services).id, "first letters", arguments={"letters": 2})
        found = await evaluate(services)
        assert found.best is not None, found.reason
        certificate = services.evidence.certificate(found.best.certificate_id or "")
        assert certificate is not None
        for criterion in (certificate.criterion, _candidate(services, certificate).criterion):
            assert (criterion.scorer, criterion.arguments, criterion.chosen_by) == (
                "first letters",
                {"letters": 2},
                "user",
            )
        assert document_of(services, certificate.id)["candidate"]["criterion"]["arguments"] == {"letters": 2}
        assert verify(services, certificate.id).ok
        without = verify(opened, certificate.id)
        assert without.ok
        assert "scores" in noted(without), "the package is not installed any more"


def _candidate(services: Services, certificate: Certificate) -> Candidate:
    return next(each for each in services.registry.candidates() if each.id == certificate.candidate_id)


def test_the_log_holds_what_the_bundle_speaks_of(services: Services, id: str) -> None:
    """The bundle keeps no text of a request, so that what the log's retention takes is gone."""
    text = json.dumps(document_of(services, id))
    kept = next(iter(services.exchanges.read(ExchangeFilter(newest=1))))
    assert kept.request["messages"][-1]["content"] not in text
