"""`insource review`: a person decides the disagreements that matter, in the ledger's order or at random.

Only disagreements are asked about: where both sides say the same, neither is worse. What was judged counts at once, for
every candidate that gives the same answer; it can be taken back.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from insource.core.errors import BadInput, UsageError
from insource.core.evidence import Evaluation, Example, Judgement
from insource.core.hashing import sha256_hex, unit_interval
from insource.core.values import Task
from insource.evals.checker import ReviewScorer
from insource.evals.examples import Scoring
from insource.traffic.resolve import resolve_task
from insource.workflows.prove.answers import Budget
from insource.workflows.prove.attempts import Contest, standing_attempt
from insource.workflows.prove.judging import JUDGE
from insource.workflows.prove.measure import pool_of
from insource.workflows.prove.task_log import TaskLog, read_task_log
from insource.workflows.services import Services, quiet

Choice = Literal["hosted", "local", "both", "neither"]
CHOICES: tuple[Choice, ...] = ("hosted", "local", "both", "neither")
Order = Literal["ledger", "random"]
_COLUMNS = ("exchange_id", "request", "reference", "local", "verdict")
_BLIND = ("exchange_id", "request", "a", "b", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Two answers to one request that do not count as the same."""

    exchange_id: str
    text: str
    reference: str
    """The hosted answer, or the label that stands for it."""
    answer: str
    """The candidate's."""

    @property
    def sides(self) -> tuple[str, str]:
        """Both answers in an order that tells nothing of where they are from."""
        return (self.answer, self.reference) if self._local_first else (self.reference, self.answer)

    def choice_of(self, side: Literal["a", "b"]) -> Choice:
        """Which answer is shown on a side."""
        return "local" if (side == "a") == self._local_first else "hosted"

    @property
    def _local_first(self) -> bool:
        return unit_interval("review side", self.exchange_id) < 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What there is to decide for one candidate of a task."""

    task: Task
    candidate_id: str
    waiting: tuple[Disagreement, ...]
    judged: int
    compared: int
    """Answers of the candidate that were compared."""
    blind: bool = False
    """Of free text: whoever decides must not know which answer is from where."""


def open_review(services: Services, task_name: str, *, candidate: str | None = None, order: Order = "ledger") -> Review:
    """Raises UsageError where nothing was measured yet, or no criterion tells a disagreement."""
    task = resolve_task(services.registry.tasks(), task_name)
    log = read_task_log(services, task)
    if log.scoring is None:
        raise UsageError(
            f"Nobody can tell yet what differs in {task.name!r}. {log.criterion.reason}",
            next_step=f"Let a person decide every answer that is not the same: insource criterion {task.id} --review",
        )
    contest = Contest(
        services=services, log=log, scoring=log.scoring, budget=Budget(now=lambda: 0.0, until=0.0), progress=quiet
    )
    attempt = standing_attempt(contest, _candidate_id(services, task, candidate))
    compared, waiting, judged = 0, list[Disagreement](), 0
    asked = attempt.answerer.kept([example for _, example in pool_of(contest, attempt)])
    for _, example in pool_of(contest, attempt):
        answer = asked[example.exchange_id].answer if example.exchange_id in asked else None
        if answer is None:
            continue
        compared += 1
        canonical = log.scoring.canonical(answer.text)
        if canonical in example.judged:
            judged += 1
        elif _differs(log.scoring, answer.text, example):
            waiting.append(_disagreement(log, example, canonical))
    blind = log.scoring.scorer.name in (JUDGE, ReviewScorer.name)
    if order == "random" or log.scoring.scorer.name == JUDGE:  # a judge is calibrated on a random part
        waiting.sort(key=lambda each: sha256_hex(f"review {each.exchange_id}".encode()))
    return Review(
        task=task,
        candidate_id=attempt.candidate.id,
        waiting=tuple(waiting),
        judged=judged,
        compared=compared,
        blind=blind,
    )


def _differs(scoring: Scoring, answer: str, example: Example) -> bool:
    """A judge is not asked here: what it says is what people check."""
    if scoring.scorer.name == JUDGE:
        return scoring.canonical(answer) != scoring.canonical(example.reference)
    return not scoring.agree(answer, example.reference, example)


def _candidate_id(services: Services, task: Task, wanted: str | None) -> str:
    evaluations = services.evidence.evaluations(task.id)
    candidates = {candidate.id: candidate for candidate in services.registry.candidates(task.id)}
    known = [e for e in evaluations if e.candidate_id in candidates]
    if wanted is not None:
        known = [e for e in known if wanted in (e.candidate_id, candidates[e.candidate_id].recipe)]
    if not known:
        named = "" if wanted is None else f" {wanted!r}"
        raise UsageError(
            f"No candidate{named} of {task.name!r} was measured yet.", next_step=f"Run `insource evaluate {task.id}`."
        )
    return max(known, key=_worth_reviewing).candidate_id


def _worth_reviewing(evaluation: Evaluation) -> tuple[bool, float, float]:
    lost = evaluation.overall.difference if evaluation.overall else 1.0
    return evaluation.end == "waiting", evaluation.coverage, -lost


def _disagreement(log: TaskLog, example: Example, canonical: str) -> Disagreement:
    return Disagreement(
        exchange_id=example.exchange_id, text=example.text, reference=example.reference, answer=canonical
    )


def judge(services: Services, task: Task, disagreement: Disagreement, *, choice: Choice) -> None:
    """Keeps what the person said of both answers."""
    judge_all(services, task, [(disagreement, choice)])


def judge_all(services: Services, task: Task, judged: Sequence[tuple[Disagreement, Choice]]) -> None:
    log = read_task_log(services, task)
    if log.scoring is None:
        raise UsageError(f"Task {task.name!r} has no criterion.", next_step=f"Run `insource criterion {task.id}`.")
    now = services.clock.now()
    rows: list[Judgement] = []
    for disagreement, choice in judged:
        reference = log.scoring.canonical(disagreement.reference)
        for answer, right in (
            (reference, choice in ("hosted", "both")),
            (disagreement.answer, choice in ("local", "both")),
        ):
            rows.append(Judgement(exchange_id=disagreement.exchange_id, answer=answer, right=right, judged=now))
    services.evidence.put_judgements(task.id, rows)


def take_back(services: Services, task: Task, disagreement: Disagreement) -> None:
    services.evidence.remove_judgements(task.id, disagreement.exchange_id)


# ------------------------------------------------------------------------------------------------------- as CSV


def write_csv(review: Review, path: Path) -> int:
    """A line for each disagreement, to fill in its `verdict`: hosted, local, both or neither."""
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(_BLIND if review.blind else _COLUMNS)
            for each in review.waiting:
                a, b = each.sides if review.blind else (each.reference, each.answer)
                rows.writerow((each.exchange_id, _cell(each.text), _cell(a), _cell(b), ""))
        path.chmod(0o600)
    except OSError as error:
        raise UsageError(
            f"{str(path)!r} can't be written: {error.strerror}.", next_step="Name another file."
        ) from error
    return len(review.waiting)


def _choice(disagreement: Disagreement, verdict: str) -> Choice:
    if verdict == "a" or verdict == "b":
        return disagreement.choice_of(verdict)
    return next(choice for choice in CHOICES if choice == verdict)


def _cell(text: str) -> str:
    """A spreadsheet would run what begins with one of these."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def read_csv(services: Services, review: Review, path: Path) -> int:
    """Takes up the filled lines; nothing when one of them is bad. Raises BadInput."""
    waiting = {each.exchange_id: each for each in review.waiting}
    judged: list[tuple[Disagreement, Choice]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"exchange_id", "verdict"} <= set(rows.fieldnames or ()):
                raise BadInput(
                    f"{path.name!r} has no columns exchange_id and verdict.",
                    next_step="Write one with `insource review TASK --out FILE`, and fill in its last column.",
                )
            for row in rows:
                verdict = (row["verdict"] or "").strip().lower()
                if not verdict:
                    continue
                known = ("a", "b", "both", "neither") if review.blind else CHOICES
                if verdict not in known:
                    raise BadInput(
                        f"Line {rows.line_num} of {path.name!r} says {verdict!r}.",
                        next_step=f"Write one of: {', '.join(known)}. Nothing was changed.",
                    )
                each = waiting.get(row["exchange_id"])
                if each is not None:
                    judged.append((each, _choice(each, verdict)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path.name!r} can't be read as CSV: {error}.", next_step="Check the file.") from error
    judge_all(services, review.task, judged)
    return len(judged)
