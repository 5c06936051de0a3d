"""Deriving a certificate again from its bundle, and saying exactly what differs from the log and the disk as they are.

The bundle alone must give the verdict: what fails there is false. The log may have moved on since (new labels, pruned
exchanges); that is told, and nothing of it makes a certificate false.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from insource.core.errors import InsourceError, UsageError
from insource.core.evidence import Example, Place
from insource.core.hashing import file_sha256, sha256_hex
from insource.core.stores import ExchangeFilter
from insource.evals.bundle import Bundle, Record, certificate_id, read_bundle, short_form
from insource.evals.examples import Scoring, to_example
from insource.evals.ledger import look
from insource.workflows.asking import Local, prepare
from insource.workflows.prove.attempts import alpha_of
from insource.workflows.prove.task_log import scoring_by
from insource.workflows.services import Services

_SHOWN = 3
State = Literal["ok", "differs", "note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    state: State
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    certificate_id: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.state != "differs" for check in self.checks)


def verify(services: Services, id: str) -> VerifyReport:
    """Raises UsageError for an unknown id; everything else that is wrong is a check that differs."""
    raw = services.evidence.bundle(id)
    if raw is None:
        raise UsageError(f"There is no certificate {id!r}.", next_step="`insource plan` lists the certificates.")
    try:
        bundle, derived = read_bundle(raw), certificate_id(raw)
    except InsourceError as error:
        return VerifyReport(certificate_id=id, checks=(Check(name="bundle", state="differs", detail=error.message),))
    identity = [] if derived == id else [f"its bundle gives {derived}"]
    checks = [
        _check("certificate", identity, "its id is the hash of its bundle"),
        _verdict(bundle),
        _budget(services, bundle),
        *_scores(services, bundle),
        _places(services, bundle),
        *_files(services, bundle),
    ]
    return VerifyReport(certificate_id=id, checks=tuple(checks))


def _check(name: str, wrong: Sequence[str], fine: str, *, otherwise: State = "differs") -> Check:
    if not wrong:
        return Check(name=name, state="ok", detail=fine)
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return Check(name=name, state=otherwise, detail="; ".join(wrong[:_SHOWN]) + more)


def _verdict(bundle: Bundle) -> Check:
    found = look(bundle.candidate.terms, [record.outcome for record in bundle.records], bundle.stakes)
    wrong = bundle.differs(found)
    if found.gate is None:
        wrong.append("its outcomes certify no gate")
    upper = "" if found.loss_upper is None else f", loses at most {found.loss_upper:.4f}"
    return _check("verdict", wrong, f"{len(bundle.records)} outcomes give the same gate and bound{upper}")


def _budget(services: Services, bundle: Bundle) -> Check:
    wrong: list[str] = []
    expected = alpha_of(bundle.rank, round(1 - bundle.confidence, 12))
    if abs(expected - bundle.stakes.alpha) > 1e-12:
        wrong.append(f"candidate {bundle.rank} may spend {expected:.6g}, not {bundle.stakes.alpha:.6g}")
    stored = services.evidence.ranks(bundle.task_id).get(bundle.candidate.id)
    if stored != bundle.rank:
        wrong.append(f"it is candidate {stored} of its task, not {bundle.rank}")
    fine = f"candidate {bundle.rank} of its task, which may spend {bundle.stakes.alpha:.4g} of the error budget"
    return _check("error budget", wrong, fine)


# ----------------------------------------------------------------------------------------- against the log


def _scores(services: Services, bundle: Bundle) -> Iterator[Check]:
    """Losses from what the bundle says where it says it, and from the log where an answer is kept there only."""
    try:
        scoring = scoring_by(services, bundle.candidate.criterion)
    except InsourceError as error:
        yield Check(name="scores", state="note", detail=f"not scored again: {error.message}")
        return
    if scoring is None:
        yield Check(name="scores", state="differs", detail="its candidate has no criterion")
        return
    ids = frozenset(record.outcome.exchange_id for record in bundle.records)
    read = [to_example(exchange) for exchange in services.exchanges.read(ExchangeFilter(ids=ids))]
    examples = {example.exchange_id: example for example in read if isinstance(example, Example)}
    wrong = [said for record in bundle.records if (said := _wrong_loss(record, scoring)) is not None]
    yield _check("scores", wrong, f"{len(bundle.records)} outcomes score the same")
    changed, gone = _changes(bundle, examples, scoring)
    fine = f"{len(examples)} exchanges are in the log as they were"
    yield _check("log", [*gone, *changed], fine, otherwise="note")
    yield from _answers(services, bundle, examples, scoring=scoring)


def _wrong_loss(record: Record, scoring: Scoring) -> str | None:
    """Where labels stand in the bundle as they are, and nobody judged the answer."""
    outcome = record.outcome
    if outcome.label is None or record.judged or not outcome.answered or record.answer.startswith("sha256:"):
        return None
    if record.reference_kind == "hosted" and record.hosted_correct is False:
        return None
    arguments = scoring.criterion.arguments
    loss = scoring.scorer.loss(record.answer, record.reference, request={}, arguments=arguments)
    if abs(loss - outcome.loss_local) < 1e-9:
        return None
    return f"{outcome.exchange_id!r} scores {loss:g}, not {outcome.loss_local:g}"


def _changes(bundle: Bundle, examples: dict[str, Example], scoring: Scoring) -> tuple[list[str], list[str]]:
    changed: list[str] = []
    missing = 0
    for record in bundle.records:
        example = examples.get(record.outcome.exchange_id)
        if example is None:
            missing += 1
        elif example.input_sha256 != record.input_sha256:
            changed.append(f"{example.exchange_id!r} has another request now")
        elif short_form(example.reference, scoring) != record.reference:
            changed.append(f"{example.exchange_id!r} has another reference now")
    gone = [f"{missing} of {len(bundle.records)} exchanges are not in the log any more"] if missing else []
    return changed, gone


def _answers(services: Services, bundle: Bundle, examples: dict[str, Example], *, scoring: Scoring) -> Iterator[Check]:
    """A candidate that asks no model is asked again."""
    candidate = bundle.candidate
    recipe = services.recipes.get(candidate.recipe)
    if recipe is None or candidate.model_ref is not None or recipe.asks_model:
        return
    try:
        fitted = recipe.load(services.registry.artifact(candidate.artifact_sha256))
    except InsourceError:
        return  # the artifact's own check says so
    local = Local(model=candidate.id, engine=None, fitted=fitted, recipe=candidate.recipe)
    wrong: list[str] = []
    asked = 0
    for record in bundle.records:
        example = examples.get(record.outcome.exchange_id)
        if example is None or example.input_sha256 != record.input_sha256:
            continue
        asked += 1
        answer = prepare(local, example.request)
        text = getattr(answer, "text", None)
        if text is None or short_form(text, scoring) != record.answer:
            wrong.append(f"{example.exchange_id!r} is answered otherwise now")
    yield _check("answers", wrong, f"the candidate gives the same {asked} answers again")


def _places(services: Services, bundle: Bundle) -> Check:
    stored = {place.exchange_id: place for place in services.evidence.places(bundle.task_id)}
    wrong: list[str] = []
    for record in bundle.records:
        place = stored.get(record.outcome.exchange_id)
        if place is None:
            wrong.append(f"{record.outcome.exchange_id!r} has no place in the ledger")
        elif (place.place, place.cluster) != (record.outcome.place, record.outcome.cluster):
            wrong.append(f"{record.outcome.exchange_id!r} stands at place {place.place} of {place.cluster!r}")
        elif not _may_count(place, record, bundle):
            wrong.append(f"{record.outcome.exchange_id!r} was fitted on")
    return _check("ledger", wrong, f"{len(bundle.records)} outcomes stand where they stood, and none was fitted on")


def _may_count(place: Place, record: Record, bundle: Bundle) -> bool:
    if bundle.candidate.terms.familiarity_sha256 is None:
        return True
    return place.part == ("evidence" if record.outcome.stratum == "new" else "held out")


def _files(services: Services, bundle: Bundle) -> Iterator[Check]:
    candidate, terms = bundle.candidate, bundle.candidate.terms
    names = {
        "artifact": candidate.artifact_sha256,
        "novelty floor": terms.familiarity_sha256,
        "repeats": terms.repeats_sha256,
    }
    for name, wanted in names.items():
        if wanted is None:
            continue
        try:
            yield _file(name, sha256_hex(services.registry.artifact(wanted)), wanted)
        except (InsourceError, KeyError) as error:
            yield Check(name=name, state="differs", detail=f"it can't be read: {error}")
    if candidate.model_ref is None or candidate.model_sha256 is None:
        return
    try:
        file = services.find_model(candidate.model_ref)
        yield _file("model file", file_sha256(file.path), candidate.model_sha256)
    except (InsourceError, OSError) as error:
        yield Check(name="model file", state="note", detail=f"it is not here: {error}")


def _file(name: str, found: str, wanted: str) -> Check:
    same = found == wanted
    detail = f"sha256:{found}" if same else f"sha256:{found}, not sha256:{wanted}"
    return Check(name=name, state="ok" if same else "differs", detail=detail)
