"""`insource scout`: which open models could do a task, or chat in general, on a machine. Needs no network.

Joins the catalogue (`hub/`), the task's traffic, the fit (`scout_fit.py`), the filters (`sift.py`) and the ranking
(`shortlist.py`). Nothing of the log or the store is changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from insource.config import Settings
from insource.core.catalogue import CatalogueModel, Wanted
from insource.core.errors import UsageError
from insource.core.evidence import Candidate, Evaluation
from insource.core.hardware import Machine
from insource.core.ports import Catalogue
from insource.core.stores import EvidenceStore, ExchangeStore, Registry
from insource.core.values import SERVER_PREFIX, Task
from insource.engines.models.catalogue import DEFAULT_MODEL
from insource.hub.activity import group_copies, measure
from insource.hub.arena import ArenaScore, read_arena
from insource.hub.licences import parse_policy
from insource.hub.names import model_key
from insource.hub.published import read_published
from insource.hub.purpose import EMBEDDING_PIPELINES, TEXT_PIPELINES, Purposes
from insource.workflows.choose.licence import hub_name
from insource.workflows.choose.purposes import PurposeName, purpose_of_task
from insource.workflows.choose.shortlist import Evidence, Measurement, Ranked, rank, shortlist
from insource.workflows.choose.sift import FitSummary, Found, Needs, Removed, sift
from insource.workflows.choose.task_traffic import LONG, TaskTraffic, find_traffic, quantile

DEFAULT_ROWS = 6
_PADDING = 256
"""llama.cpp rounds a slot's context up to this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoutQuestion:
    """None: the task's own, or the setting."""

    task: str | None = None
    machine: str = "here"
    licenses: str = ""
    """A policy (`hub/licences.py`); empty: the setting."""
    purpose: PurposeName | None = None
    languages: tuple[str, ...] | None = None
    """ISO 639-1; (): whatever they state."""
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    """Of a long request."""
    context_tokens: int | None = None
    """Of one request with its answer."""
    images: bool = False
    tools: bool = False
    specialised: bool = False
    convertible: bool = False
    floor: str = "Q4_K_M"
    """The quantisation with the fewest bits that is still wanted."""
    spill: bool = False
    """On a machine with accelerators, layers may lie in the system's memory."""
    latency_seconds: float | None = None
    requests_per_minute: float | None = None
    arena: Path | None = None
    evidence: Path | None = None
    """Tables of published scores (`hub/published.py`), beside those in the home."""
    rows: int = DEFAULT_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoutParts:
    """What a scout asks; `wiring.open_scout` joins them."""

    settings: Settings
    catalogue: Catalogue
    find_machine: Callable[[str], Machine]
    registry: Registry | None
    """None: there is no store yet, so nothing was measured or recorded here."""
    exchanges: ExchangeStore | None
    evidence: EvidenceStore | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FitQuestion:
    """What the fit of every model is asked with."""

    machine: Machine
    needs: Needs
    slots: int
    floor: str
    spill: bool
    prompt_tokens: tuple[int, ...]
    """Of the task's requests; one value where there is no task."""
    answer_tokens: tuple[int, ...]


MakeFits = Callable[[FitQuestion], Callable[[CatalogueModel], FitSummary]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoutReport:
    question: ScoutQuestion
    purpose: PurposeName
    task: Task | None
    traffic: TaskTraffic | None
    needs: Needs
    fit: FitQuestion
    as_of: date
    listed: int
    """Rows of the catalogue."""
    left_out: Mapping[str, int]
    """Repositories that the catalogue did not even give, by the reason."""
    models: int
    """What is left of the others when copies are one model."""
    chain_read: bool
    """Licences were read over the whole chain; False: the catalogue holds no lineage, so the label alone was."""
    lineage_as_of: date | None
    """The last day of which parents are known; what is recent counts back from it."""
    stating_parents: int
    """Repositories that state their parents, or that they have none."""
    removed: tuple[Removed, ...]
    ranked: tuple[Ranked, ...]
    shortlist: tuple[Ranked, ...]
    arena_given: bool

    @property
    def machine(self) -> Machine:
        return self.fit.machine

    @property
    def cannot_say(self) -> int:
        return sum(item.cannot_say for item in self.removed)


def scout(question: ScoutQuestion, parts: ScoutParts, *, make_fits: MakeFits) -> ScoutReport:
    """Raises UnknownTask, EmptyLog for a task without exchanges, UsageError, BadInput."""
    task, traffic = _task(question, parts)
    purpose = question.purpose or purpose_of_task(task, traffic)
    needs = _needs(question, parts.settings, traffic, purpose=purpose)
    fit = _fit_question(
        question, parts.settings, machine=parts.find_machine(question.machine), needs=needs, traffic=traffic
    )
    arena = read_arena(question.arena) if question.arena is not None else {}
    published = read_published(parts.settings.home, question.evidence)
    pipelines = EMBEDDING_PIPELINES if purpose == "embedding" else TEXT_PIPELINES
    selection = parts.catalogue.select(Wanted(pipelines=pipelines, convertible=needs.convertible))
    groups = group_copies(selection.models)
    found, removed = sift(
        groups,
        needs=needs,
        purpose_of=Purposes(selection.models).of,
        fits=make_fits(fit),
        ancestry=selection.ancestry,
    )
    activity = measure(groups, as_of=parts.catalogue.as_of)
    measured = _measurements(parts.registry, parts.evidence)

    def evidence(item: Found) -> Evidence:
        here = measured.get(item.group.key, ())
        return Evidence(
            activity=activity[item.group.key],
            this_task=tuple(m for m in here if task is not None and m.task_id == task.id),
            other_tasks=tuple(m for m in here if task is None or m.task_id != task.id),
            arena=_arena(arena, item),
            published=published.of(item.model.id),
        )

    ranked = rank(found, evidence)
    return ScoutReport(
        question=question,
        purpose=purpose,
        task=task,
        traffic=traffic,
        needs=needs,
        fit=fit,
        as_of=parts.catalogue.as_of,
        listed=selection.listed,
        left_out=selection.left_out,
        models=len(groups),
        chain_read=selection.ancestry is not None,
        lineage_as_of=selection.lineage_as_of,
        stating_parents=selection.stating_parents,
        removed=tuple(removed),
        ranked=tuple(ranked),
        shortlist=tuple(shortlist(ranked, question.rows)),
        arena_given=question.arena is not None,
    )


def _task(question: ScoutQuestion, parts: ScoutParts) -> tuple[Task | None, TaskTraffic | None]:
    if question.task is None:
        return None, None
    return find_traffic(question.task, registry=parts.registry, exchanges=parts.exchanges)


def _needs(question: ScoutQuestion, settings: Settings, traffic: TaskTraffic | None, *, purpose: PurposeName) -> Needs:
    if question.requests_per_minute is not None and question.latency_seconds is None:
        raise UsageError(
            "A rate means something only within a latency: a queue can always be longer.",
            next_step="Give --latency SECONDS together with --rate.",
        )
    own = quantile(traffic.total_tokens, 0.99) if traffic is not None else settings.context_tokens // settings.slots
    prompt, answer = question.prompt_tokens, question.answer_tokens
    if prompt is not None or answer is not None:
        own = (prompt or own // 2) + (answer or own // 2)
    return Needs(
        context_tokens=question.context_tokens or max(1, own),
        images=question.images or purpose == "vision" or (traffic is not None and traffic.images),
        tools=question.tools or purpose == "tools" or (traffic is not None and traffic.tools),
        specialised=question.specialised or (question.task is not None and question.purpose is None),
        field="code" if purpose == "code" else None,
        embeddings=purpose == "embedding",
        languages=_languages(question, traffic),
        convertible=question.convertible,
        licences=parse_policy(question.licenses or settings.licenses),
        latency_seconds=question.latency_seconds,
        requests_per_minute=question.requests_per_minute,
    )


def _languages(question: ScoutQuestion, traffic: TaskTraffic | None) -> tuple[str, ...]:
    if question.languages is not None:
        return question.languages
    return traffic.languages if traffic is not None else ()


def _fit_question(
    question: ScoutQuestion, settings: Settings, *, machine: Machine, needs: Needs, traffic: TaskTraffic | None
) -> FitQuestion:
    # Without a task: half of the context to read, half to write, unless one of them was given.
    context = needs.context_tokens
    usual = 1 if needs.embeddings else context // 2
    prompt = question.prompt_tokens or max(1, context - (question.answer_tokens or usual))
    answer = question.answer_tokens or max(1, context - prompt)
    lengths = traffic if question.prompt_tokens is None and question.answer_tokens is None else None
    return FitQuestion(
        machine=machine,
        needs=needs,
        slots=settings.slots,
        floor=question.floor,
        spill=question.spill,
        prompt_tokens=lengths.prompt_tokens if lengths is not None else (prompt,),
        answer_tokens=lengths.answer_tokens if lengths is not None else (answer,),
    )


def long_request(question: FitQuestion) -> tuple[int, int]:
    """Prompt and answer tokens."""
    return quantile(question.prompt_tokens, LONG), max(1, quantile(question.answer_tokens, LONG))


def slot_tokens(needs: Needs) -> int:
    """A slot's context, as llama.cpp rounds it."""
    return -(-needs.context_tokens // _PADDING) * _PADDING


# ----------------------------------------------------------------------------------------- own measurements


def _measurements(registry: Registry | None, evidence: EvidenceStore | None) -> dict[str, tuple[Measurement, ...]]:
    """By model key, the oldest first."""
    if registry is None or evidence is None:
        return {}
    found: defaultdict[str, list[Measurement]] = defaultdict(list)
    evaluations = evidence.evaluations()
    candidates = {item.id: item for item in registry.candidates()} if evaluations else {}
    for evaluation in evaluations:
        candidate = candidates.get(evaluation.candidate_id)
        figures = evaluation.covered or evaluation.overall
        key = None if candidate is None else key_of_candidate(candidate)
        if candidate is not None and key is not None and figures is not None:
            found[key].append(_measurement(evaluation, candidate))
    return {key: tuple(items) for key, items in found.items()}


def _measurement(evaluation: Evaluation, candidate: Candidate) -> Measurement:
    figures = evaluation.covered or evaluation.overall
    assert figures is not None
    return Measurement(
        task_id=evaluation.task_id,
        candidate_id=candidate.id,
        recipe=candidate.recipe,
        end=evaluation.end,
        n=figures.n,
        quality=figures.quality,
        quality_interval=figures.quality_interval,
        coverage=evaluation.coverage,
        certificate_id=evaluation.certificate_id,
    )


def key_of_candidate(candidate: Candidate) -> str | None:
    """The key of the model that a candidate runs; None for a recipe that runs none. Known bytes go by their hash,
    whatever they were called."""
    ref = candidate.model_ref
    return None if ref is None else key_of_model(ref, sha256=candidate.model_sha256)


def key_of_model(ref: str, *, sha256: str | None = None) -> str:
    """Of the model of a reference; "" is the default one."""
    if sha256 == DEFAULT_MODEL.sha256 or not ref or ref in DEFAULT_MODEL.refs:
        ref = DEFAULT_MODEL.refs[0]
    named = hub_name(ref)
    if named is not None:
        return model_key(named)
    if ref.startswith(SERVER_PREFIX):
        return model_key(ref.partition("#")[2] or ref)
    scheme, _, place = ref.partition(":") if "/" not in ref.partition(":")[0] else ("", "", ref)
    if scheme:
        return model_key(Path(place).stem)
    return model_key(place.partition(":")[0])


def _arena(scores: dict[str, ArenaScore], item: Found) -> ArenaScore | None:
    return scores.get(item.group.key)


def closing_steps(report: ScoutReport) -> Sequence[str]:
    """What to do when nothing is left: the next step of every filter that took something, the last one first."""
    return [item.next_step for item in reversed(report.removed) if item.removed or item.cannot_say]
