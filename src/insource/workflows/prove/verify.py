"""Deriving a certificate again from its bundle, and saying exactly what differs from the log and the disk as they are.

The bundle alone must give the verdict: what fails there is false. The log may have moved on since (new labels, pruned
exchanges); that is told, and nothing of it makes a certificate false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from insource.adapt.familiarity import load_familiarity
from insource.core.admission import not_admitted
from insource.core.errors import InsourceError, UsageError
from insource.core.evidence import Certificate, Example, Place, Terms
from insource.core.hashing import file_sha256, sha256_hex
from insource.core.stores import ExchangeFilter
from insource.core.values import JsonObject, ModelFile
from insource.evals.bundle import Bundle, Record, certificate_id, is_hash, read_bundle, short_form
from insource.evals.certainty import load_certainty
from insource.evals.examples import Scoring, to_example
from insource.evals.ledger import look
from insource.workflows.asking import Local
from insource.workflows.prove.answers import Answerer, Asked, Budget
from insource.workflows.prove.attempts import alpha_of
from insource.workflows.prove.task_log import scoring_by
from insource.workflows.services import Services, candidate_files

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
    identity += _misstated(services.evidence.certificate(id), bundle)
    checks = [
        _check("certificate", identity, "its id is the hash of its bundle, which says what it says"),
        _verdict(bundle),
        _budget(services, bundle),
        *_scores(services, bundle),
        _places(services, bundle),
        *_files(services, bundle),
    ]
    return VerifyReport(certificate_id=id, checks=tuple(checks))


def _misstated(certificate: Certificate | None, bundle: Bundle) -> list[str]:
    """Where the certificate, which is what people read, says something else than its bundle."""
    if certificate is None:
        return ["it is gone, and only its bundle is there"]
    pairs = {
        "task": (certificate.task_id, bundle.task_id),
        "candidate": (certificate.candidate_id, bundle.candidate.id),
        "n": (certificate.n, len(bundle.records)),
        "margin": (certificate.margin, bundle.stakes.margin),
        "confidence": (certificate.confidence, bundle.confidence),
        "gate": (certificate.gate, bundle.result.get("gate")),
        "coverage": (certificate.coverage, bundle.result.get("coverage")),
        "loss_upper": (certificate.loss_upper, bundle.result.get("loss_upper")),
    }
    return [f"{name}: it says {said}, its bundle {held}" for name, (said, held) in pairs.items() if said != held]


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
    """Where the bundle itself says what both sides lost: a person's word, or labels as they are."""
    o = record.outcome
    for side, stated, derived in (
        ("here", o.loss_local, _loss_local(record, scoring)),
        ("hosted", o.loss_hosted, _loss_hosted(record, scoring)),
    ):
        if derived is not None and abs(derived - stated) > 1e-9:
            return f"{o.exchange_id!r} scores {derived:g} {side}, not {stated:g}"
    return None


def _loss_local(record: Record, scoring: Scoring) -> float | None:
    """As `Scoring.loss_local`; None: only the log could tell."""
    if not record.outcome.answered:
        return 1.0
    said = record.judged.get(record.answer)
    if said is not None:
        return 0.0 if said else 1.0
    if record.reference_kind == "hosted" and record.hosted_correct is False:
        return 1.0
    return _loss(record.answer, record.reference, scoring)


def _loss_hosted(record: Record, scoring: Scoring) -> float | None:
    """As `Scoring.loss_hosted`; None: only the log could tell."""
    said = None if record.hosted is None else record.judged.get(record.hosted)
    said = record.hosted_correct if said is None else said
    if said is not None:
        return 0.0 if said else 1.0
    if record.reference_kind == "hosted" or record.hosted is None:
        return 0.0
    return _loss(record.hosted, record.reference, scoring)


def _loss(answer: str, reference: str, scoring: Scoring) -> float | None:
    if is_hash(answer) or is_hash(reference):
        return 0.0 if answer == reference else None
    return scoring.scorer.loss(answer, reference, request={}, arguments=scoring.criterion.arguments)


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
    """The candidate's answers again: made anew where it asks no model, else as they were kept."""
    candidate = bundle.candidate
    recipe = services.recipes.get(candidate.recipe)
    if recipe is None:
        yield Check(name="answers", state="note", detail=f"the recipe {candidate.recipe!r} is not installed")
        return
    try:
        fitted = recipe.load(services.registry.artifact(candidate.artifact_sha256))
        admission, sha256 = _admission(services, candidate.terms), candidate.terms.certainty_sha256
        certainty = None if sha256 is None else load_certainty(services.registry.artifact(sha256))
    except InsourceError:
        return  # the artifacts' own checks say so
    local = Local(
        model=candidate.model_ref or candidate.recipe,
        engine=None,
        fitted=fitted,
        recipe=candidate.recipe,
        certainty=None if certainty is None else certainty.sure,
    )
    answerer = Answerer(
        services=services,
        local=local,
        model=candidate.model_key,
        settings=candidate.settings,
        budget=Budget(now=services.clock.monotonic),
    )
    same = {r.outcome.exchange_id: r for r in bundle.records if _unchanged(r, examples)}
    kept = answerer.kept([examples[id] for id in same])
    wrong: list[str] = []
    for id, asked in kept.items():
        record = same[id]
        wrong.extend(f"{id!r} {said}" for said in _differing(record, asked, scoring))
        if admission(examples[id].request) != record.outcome.admitted:
            wrong.append(f"{id!r} is {'not ' if record.outcome.admitted else ''}admitted now")
    yield _check("answers", wrong, f"the candidate gives the same {len(kept)} answers again")


def _unchanged(record: Record, examples: dict[str, Example]) -> bool:
    example = examples.get(record.outcome.exchange_id)
    return example is not None and example.input_sha256 == record.input_sha256


def _admission(services: Services, terms: Terms) -> Callable[[JsonObject], bool]:
    sha256 = terms.familiarity_sha256
    familiarity = None if sha256 is None else load_familiarity(services.registry.artifact(sha256))
    return lambda request: not_admitted(terms, None if familiarity is None else familiarity.look(request)) is None


def _differing(record: Record, asked: Asked, scoring: Scoring) -> Iterator[str]:
    if asked.answer is None:
        return  # an engine's fault is kept nowhere
    if not record.outcome.answered or short_form(asked.answer.text, scoring) != record.answer:
        yield "is answered otherwise now"
    elif abs(asked.answer.confidence - record.outcome.confidence) > 1e-6:
        yield f"is answered with confidence {asked.answer.confidence:g}, not {record.outcome.confidence:g}"


def _places(services: Services, bundle: Bundle) -> Check:
    places = services.evidence.places(bundle.task_id)
    stored = {place.exchange_id: place for place in places}
    wrong: list[str] = []
    for record in bundle.records:
        place = stored.get(record.outcome.exchange_id)
        if place is None:
            wrong.append(f"{record.outcome.exchange_id!r} has no place in the ledger")
        elif (place.place, place.cluster) != (record.outcome.place, record.outcome.cluster):
            wrong.append(f"{record.outcome.exchange_id!r} stands at place {place.place} of {place.cluster!r}")
        elif not _may_count(place, record, bundle):
            wrong.append(f"{record.outcome.exchange_id!r} was fitted on")
    wrong.extend(f"{id!r} is left out" for id in _left_out(services, bundle, places))
    return _check("ledger", wrong, f"{len(bundle.records)} outcomes stand where they stood, none left out or fitted on")


def _left_out(services: Services, bundle: Bundle, places: Sequence[Place]) -> list[str]:
    """New inputs of the log that stand before the last outcome and have none: nobody may pick what counts."""
    new = [record.outcome for record in bundle.records if record.outcome.stratum == "new"]
    last, known = max((o.place for o in new), default=-1), {o.cluster for o in new}
    whole = bundle.candidate.terms.familiarity_sha256 is None
    parts = ("fit", "held out", "evidence") if whole else ("evidence",)
    missing = [p.exchange_id for p in places if p.place < last and p.part in parts and p.cluster not in known]
    if not missing:
        return []
    read = services.exchanges.read(ExchangeFilter(ids=frozenset(missing)))
    return [exchange.id for exchange in read if isinstance(to_example(exchange), Example)]


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
        "certainty": terms.certainty_sha256,
    }
    for name, wanted in names.items():
        if wanted is None:
            continue
        try:
            yield _file(name, sha256_hex(services.registry.artifact(wanted)), wanted)
        except (InsourceError, KeyError) as error:
            yield Check(name=name, state="differs", detail=f"it can't be read: {error}")
    if candidate.adapter_sha256 is not None:
        try:
            yield _file(
                "adapter",
                file_sha256(candidate_files(services).find(candidate.adapter_sha256)),
                candidate.adapter_sha256,
            )
        except InsourceError as error:
            yield Check(name="adapter", state="differs", detail=f"it can't be read: {error}")
    if candidate.model_ref is None or candidate.model_sha256 is None:
        return
    try:
        model = services.find_model(candidate.model_ref)
        if isinstance(model, ModelFile):
            yield _file("model file", file_sha256(model.path), candidate.model_sha256)
        else:
            yield Check(name="model", state="note", detail=f"what {model.url} runs is the server's word")
    except (InsourceError, OSError) as error:
        yield Check(name="model file", state="note", detail=f"it is not here: {error}")


def _file(name: str, found: str, wanted: str) -> Check:
    same = found == wanted
    detail = f"sha256:{found}" if same else f"sha256:{found}, not sha256:{wanted}"
    return Check(name=name, state="ok" if same else "differs", detail=detail)
