"""What the store of evidence keeps, on every database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import inf, nextafter

import pytest

from insource.core.evidence import Certificate, Judgement, LabelFigures, Place, TextRules
from insource.core.values import Exchange
from insource.evals.comparison import figures
from insource.store.database import Database
from insource.store.evidence import SqlEvidence
from insource.store.exchanges import SqlExchangeStore
from tests.fakes.evidence import LABELS, START, ask, evaluation, outcome

RULES = TextRules(prefix="Say \ud800", suffix="!", drop_digits=True)


@pytest.fixture
def evidence(database: Database) -> SqlEvidence:
    return SqlEvidence(database)


def _place(number: int, id: str | None = None) -> Place:
    return Place(exchange_id=id or f"e{number}", place=number, cluster=f"c{number // 2}", part="evidence")


def _certificate(id: str, task_id: str = "t") -> Certificate:
    label = LabelFigures(label="no", n=3, covered=1.0, wrong=0.0, recall=None, low=0.0, high=1.0)
    return Certificate(
        id=id,
        created=START,
        task_id=task_id,
        candidate_id="head-1",
        criterion=LABELS,
        n=200,
        clusters=190,
        margin=0.02,
        confidence=0.95,
        coverage=nextafter(0.5, 1.0),
        gate=0.25,
        serves=("new",),
        loss_upper=0.019,
        quality=0.98,
        labels=(label,),
        licences=("apache-2.0", "mit"),
    )


def test_places_are_added_in_any_order_and_a_tasks_rules_stay(evidence: SqlEvidence) -> None:
    assert evidence.rules("t") is None
    evidence.put_places("t", RULES, [_place(2), _place(0)])
    evidence.put_places("t", replace(RULES, drop_digits=False), [_place(1)])
    evidence.put_places("u", replace(RULES, prefix=""), [_place(0)])
    evidence.put_places("t", RULES, [])
    assert evidence.rules("t") == RULES
    assert evidence.places("t") == [_place(0), _place(1), _place(2)]
    assert evidence.places("nowhere") == []


@pytest.mark.parametrize("twice", [_place(0, "another"), _place(9, "e0")], ids=["place", "exchange"])
def test_a_place_and_an_exchange_are_given_once(evidence: SqlEvidence, twice: Place) -> None:
    evidence.put_places("t", RULES, [_place(0)])
    with pytest.raises(Exception, match=r"failed"):
        evidence.put_places("t", RULES, [_place(5), twice])
    assert evidence.places("t") == [_place(0)], "nothing of it is kept"


def test_a_rank_is_given_once_and_to_one_candidate(evidence: SqlEvidence) -> None:
    assert [evidence.rank("t", id) for id in ("b", "a", "b", "c", "a")] == [1, 2, 1, 3, 2]
    assert evidence.rank("u", "a") == 1
    assert evidence.ranks("t") == {"b": 1, "a": 2, "c": 3}
    assert evidence.ranks("nowhere") == {}


def test_completions_are_found_by_key_however_many(evidence: SqlEvidence) -> None:
    for number in range(3):
        evidence.put_completion(f"k{number}", {"n": number, "text": "\ud800\x00ü"}, created=START)
    evidence.put_completion("k1", {"n": 9}, created=START)
    wanted = [f"k{number}" for number in range(1_200)]
    assert evidence.completions(wanted) == {
        "k0": {"n": 0, "text": "\ud800\x00ü"},
        "k1": {"n": 9},
        "k2": {"n": 2, "text": "\ud800\x00ü"},
    }
    assert evidence.completions([]) == {}


def test_old_completions_go_with_the_log(evidence: SqlEvidence) -> None:
    for number in range(3):
        evidence.put_completion(f"k{number}", {}, created=START + timedelta(seconds=number))
    evidence.prune(START + timedelta(seconds=2))
    assert set(evidence.completions(["k0", "k1", "k2"])) == {"k2"}


def test_judgements_are_replaced_by_answer_taken_back_by_exchange_and_go_with_it(
    evidence: SqlEvidence, store: SqlExchangeStore
) -> None:
    store.append(Exchange(id=id, created=START, request=ask(id)) for id in ("e1", "e2", "e3"))
    said = [
        Judgement(exchange_id=id, answer=answer, right=right, judged=START)
        for id, answer, right in (
            ("e2", "yes\ud800", True),
            ("e1", "no", False),
            ("e2", "no", False),
            ("e3", "a", True),
        )
    ]
    evidence.put_judgements("t", said)
    evidence.put_judgements("u", said[:1])
    changed = replace(said[1], right=True)
    evidence.put_judgements("t", [changed])
    found = evidence.judgements("t")
    assert [each.exchange_id for each in found] == ["e1", "e2", "e2", "e3"]
    assert {(each.answer, each.right) for each in found} == {
        ("no", True),
        ("yes\ud800", True),
        ("no", False),
        ("a", True),
    }
    evidence.remove_judgements("t", "e2")
    assert [each.exchange_id for each in evidence.judgements("t")] == ["e1", "e3"]
    assert evidence.judgements("u") == said[:1]
    store.prune(START + timedelta(seconds=1))
    assert evidence.judgements("t") == evidence.judgements("u") == [], "of what is not in the log any more"


def test_an_evaluation_is_replaced_by_the_next_look(evidence: SqlEvidence) -> None:
    shown = figures([outcome(n, loss=float(n == 3)) for n in range(9)], margin=0.02, alpha=0.05, confidence=0.95)
    assert shown is not None
    full = evaluation(
        "new",
        task_id="t",
        created=START + timedelta(minutes=5),
        covered=replace(shown, minimum_detectable_difference=inf),
        serves=("new", "repeats"),
        warnings=("small",),
    )
    evidence.put_evaluation(replace(full, n=1))
    evidence.put_evaluation(evaluation("old", task_id="t"))
    evidence.put_evaluation(evaluation("other", task_id="u"))
    evidence.put_evaluation(full)
    assert evidence.evaluations("t") == [evaluation("old", task_id="t"), full]
    assert [each.id for each in evidence.evaluations()] == ["old", "other", "new"]


def test_certificates_are_kept_with_their_bundles(evidence: SqlEvidence) -> None:
    for id, task_id in (("cert-2", "t"), ("cert-1", "t"), ("cert-3", "u")):
        evidence.put_certificate(_certificate(id, task_id), f"\x00{id}".encode())
    evidence.put_certificate(_certificate("cert-1"), b"\xff again")
    assert evidence.certificate("cert-1") == _certificate("cert-1")
    assert evidence.bundle("cert-1") == b"\xff again"
    assert evidence.certificates("t") == [_certificate("cert-1"), _certificate("cert-2")]
    evidence.remove_certificates(["cert-1", "never there"])
    assert (evidence.certificate("cert-1"), evidence.bundle("cert-1")) == (None, None)
    assert [each.id for each in evidence.certificates()] == ["cert-2", "cert-3"]
