"""Tasks, and one task: what it is, what was measured, how surely, and where its requests go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from starlette.responses import Response

from insource.core.errors import InsourceError, UsageError
from insource.core.evidence import Candidate, Certificate, Criterion, Evaluation, Figures
from insource.core.values import Stage, Task
from insource.evals.story import Story
from insource.web import plots, shown
from insource.web.desk import Ask, Desk
from insource.web.pages.overview import task_rows
from insource.web.plots import Scale
from insource.workflows.prove.criterion import choose_criterion, infer_again
from insource.workflows.prove.move import move_task, rollback_task
from insource.workflows.prove.story import story_of
from insource.workflows.saved_plan import read_plan

_STAGES = (Stage.SHADOW, Stage.CANARY, Stage.LIVE)
_SCORERS = ("label", "number", "json", "tools", "exact", "review")
_DAYS = 90
_MOST_READ = 20_000
"""Exchanges of a task that are read for a page where no certificate holds the evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRow:
    evaluation: Evaluation
    candidate: Candidate | None
    figures: Figures | None
    low: float
    mid: float
    high: float
    """Of its quality, in the drawing."""
    hosted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line in a drawing, with its axes in words."""

    points: str
    limit: float
    """Height of the margin."""
    mark: float | None
    """Where the gate or the certificate stands on the x axis."""
    top: str
    left: str
    right: str


def listed(desk: Desk, ask: Ask) -> Response:
    plan = read_plan(desk.services.settings)
    return desk.page(
        "tasks", here="tasks", tasks=task_rows(desk, plan), planned=None if plan is None else plan.get("created")
    )


def show(desk: Desk, ask: Ask) -> Response:
    services = desk.services
    task = desk.task(ask.path["task"])
    plan = read_plan(services.settings)
    row = next(each for each in task_rows(desk, plan) if each.task.id == task.id)
    candidates = {each.id: each for each in services.registry.candidates(task.id)}
    evaluations = sorted(services.evidence.evaluations(task.id), key=_by_merit)
    best = evaluations[0] if evaluations else None
    exchanges = row.use.exchanges if row.use else 0
    story = None if best is None else _story(desk, task, best, exchanges=exchanges)
    certificate = (
        None if best is None or not best.certificate_id else services.evidence.certificate(best.certificate_id)
    )
    log = services.exchanges.figures
    since = None if row.use is None else row.use.last_day - timedelta(days=_DAYS - 1)
    days = desk.kept.get(("days", task.id), lambda: log.days(since=since, task_id=task.id))
    return desk.page(
        "task",
        here="tasks",
        row=row,
        task=task,
        plan=row.plan,
        criterion=services.registry.criteria().get(task.id) or (best and _criterion(candidates, best)),
        scorers=_SCORERS,
        rows=[_candidate_row(each, candidates.get(each.candidate_id)) for each in evaluations],
        best=best,
        story=story,
        risk=None if story is None else _risk_curve(story),
        bound=None if story is None else _bound_curve(story),
        certificate=None if certificate is None else certificate_words(certificate, candidates),
        chart=plots.bars_by_day(days, lambda f: f.exchanges, shown.number) if days else None,
        stages=_STAGES,
        history=services.registry.move_history(task.id)[::-1],
        events=services.registry.events(task_id=task.id, newest=10)[::-1],
        done=ask.query.get("done", ""),
    )


def _by_merit(evaluation: Evaluation) -> tuple[bool, float, float]:
    """Certified ones first, by coverage, then those that lose least."""
    loss = evaluation.overall.difference if evaluation.overall else 1.0
    return evaluation.certificate_id is None, -evaluation.coverage, loss


def _criterion(candidates: dict[str, Candidate], best: Evaluation) -> Criterion | None:
    found = candidates.get(best.candidate_id)
    return None if found is None else found.criterion


def _story(desk: Desk, task: Task, best: Evaluation, *, exchanges: int) -> Story | None:
    """A story that can't be told leaves the rest of the page as it is; so does one that would take long."""
    if best.certificate_id is None and exchanges > _MOST_READ:
        return None
    try:
        return desk.kept.get(("story", best.id, best.created), lambda: story_of(desk.services, task, best))
    except InsourceError:
        return None


def _candidate_row(evaluation: Evaluation, candidate: Candidate | None) -> CandidateRow:
    figures = evaluation.covered or evaluation.overall
    scale = Scale(low=0.0, high=1.0)
    interval = figures.quality_interval if figures else None
    return CandidateRow(
        evaluation=evaluation,
        candidate=candidate,
        figures=figures,
        low=scale.at(interval.low) if interval else 0.0,
        mid=scale.at(figures.quality) if figures else 0.0,
        high=scale.at(interval.high) if interval else 0.0,
        hosted=scale.at(figures.hosted_quality) if figures else 0.0,
    )


def _risk_curve(story: Story) -> Curve | None:
    if len(story.risks) < 2:
        return None
    top = plots.round_up(max(*(each.loss for each in story.risks), 2 * story.margin))
    x, y = Scale(low=0.0, high=1.0), Scale(low=0.0, high=top)
    points = plots.polyline([(each.coverage, each.loss) for each in story.risks], x, y)
    mark = None if story.gate is None else x.at(story.gate.coverage)
    return Curve(
        points=points,
        limit=y.up(story.margin),
        mark=mark,
        top=shown.percent(top, 0),
        left="0 % answered here",
        right="100 %",
    )


def _bound_curve(story: Story) -> Curve | None:
    steps = story.narrowing
    if len(steps) < 2:
        return None
    top = plots.round_up(max(2 * story.margin, min(max(each.loss_upper for each in steps), 0.5)))
    x, y = Scale(low=0.0, high=steps[-1].bets), Scale(low=0.0, high=top)
    certified = next((each.bets for each in steps if each.certified), None)
    return Curve(
        points=plots.polyline([(each.bets, each.loss_upper) for each in steps], x, y),
        limit=y.up(story.margin),
        mark=None if certified is None else x.at(certified),
        top=shown.percent(top, 0),
        left="0 examples",
        right=f"{steps[-1].bets:,} examples",
    )


def certificate_words(certificate: Certificate, candidates: dict[str, Candidate]) -> dict[str, object]:
    """The certificate as plain sentences, and the hashes that it stands on."""
    candidate = candidates.get(certificate.candidate_id)
    which = {"new": "new inputs only", "repeats": "repeats of inputs that it learnt from only"}
    inputs = which[certificate.serves[0]] if len(certificate.serves) == 1 else "new inputs and repeats"
    sentences = [
        f"{certificate.candidate_id} may answer {shown.percent(certificate.coverage)} of this task's requests here "
        f"({inputs}). The others go to the hosted model.",
        f"Of what it may answer, {shown.percent(certificate.quality)} was right. It was measured on "
        f"{certificate.n:,} examples in {certificate.clusters:,} groups of similar inputs that it had not learnt.",
        f"Its loss against the reference is at most {shown.percent(certificate.loss_upper, 2)}, with "
        f"{shown.percent(certificate.confidence, 0)} confidence; {shown.percent(certificate.margin)} was allowed. The "
        "bound holds however often somebody looked.",
        f"What counts as right: {certificate.criterion.scorer}"
        + (", which you chose." if certificate.criterion.chosen_by == "user" else ", inferred from the answers."),
    ]
    if certificate.licences:
        sentences.append(f"Licences, the model's own first: {', '.join(certificate.licences)}.")
    hashes = [("certificate", certificate.id)]
    if candidate is not None:
        hashes.append(("fitted recipe, sha256", candidate.artifact_sha256))
        if candidate.model_sha256:
            hashes.append(("model file, sha256", candidate.model_sha256))
    return {"id": certificate.id, "created": certificate.created, "sentences": sentences, "hashes": hashes}


# ------------------------------------------------------------------------------------------------------- changes


def ask_move(desk: Desk, ask: Ask) -> Response:
    """The question before a move: what it would do."""
    task, stage = desk.task(ask.path["task"]), _stage(ask.query.get("stage", ""))
    return desk.page(
        "confirm_move", here="tasks", task=task, stage=stage, to=ask.query.get("to", ""), words=_WORDS[stage]
    )


_WORDS: Mapping[Stage, str] = {
    Stage.SHADOW: "The hosted model goes on answering. The candidate's answers are measured and thrown away.",
    Stage.CANARY: "The candidate answers a small share of what its gate lets through; the hosted model the rest.",
    Stage.LIVE: "The candidate answers every request that its gate lets through. The others escalate.",
}


def _stage(name: str) -> Stage:
    found = next((stage for stage in _STAGES if stage.value == name), None)
    if found is None:
        raise UsageError(f"There is no stage {name!r}.", next_step="Choose shadow, canary or live.")
    return found


def move(desk: Desk, ask: Ask) -> Response:
    task = desk.task(ask.path["task"])
    move_task(desk.services, task.id, to=ask.form.get("to") or None, stage=_stage(ask.form.get("stage", "")))
    return desk.go_to(f"tasks/{task.id}?done=moved")


def ask_rollback(desk: Desk, ask: Ask) -> Response:
    return desk.page("confirm_rollback", here="tasks", task=desk.task(ask.path["task"]))


def rollback(desk: Desk, ask: Ask) -> Response:
    task = desk.task(ask.path["task"])
    rollback_task(desk.services, task.id)
    return desk.go_to(f"tasks/{task.id}?done=rolled-back")


def set_criterion(desk: Desk, ask: Ask) -> Response:
    task = desk.task(ask.path["task"])
    scorer = ask.form.get("scorer", "")
    if scorer == "":
        infer_again(desk.services, task.id)
    elif scorer in _SCORERS:
        choose_criterion(desk.services, task.id, scorer)
    else:
        raise UsageError(f"There is no criterion {scorer!r} to choose here.", next_step="`insource criterion TASK`.")
    return desk.go_to(f"tasks/{task.id}?done=criterion")
