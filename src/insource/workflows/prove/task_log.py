"""A task's part of the log as evidence: its examples, each with its place, and what counts as right among them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from insource.core.errors import UsageError
from insource.core.evidence import SURE, Criterion, Example, Part, Place, TextRules
from insource.core.hashing import content_address
from insource.core.ports import Scorer
from insource.core.stores import ExchangeFilter
from insource.core.values import Exchange, JsonObject, OutputKind, Task
from insource.evals.criterion import infer_criterion
from insource.evals.examples import Scoring, to_example
from insource.evals.judge import JudgeScorer
from insource.evals.placing import Arrival, Placing, text_rules
from insource.workflows.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLog:
    """Everything of a task that an evaluation rests on, at one time."""

    task: Task
    criterion: Criterion
    scoring: Scoring | None
    """None: nobody can tell right from wrong yet."""
    examples: Mapping[str, Example]
    """By exchange id."""
    places: Sequence[Place]
    """Of the examples, in their order."""
    place_of: Mapping[str, Place]
    """By exchange id."""
    requests: Mapping[str, int]
    """How many exchanges each cluster holds that may be evidence."""
    rules: TextRules
    unusable: Mapping[str, int]
    """Why exchanges are no examples, and how many."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Of a task whose answers are a closed set."""
        found = self.criterion.arguments.get("labels")
        return tuple(str(label) for label in found) if isinstance(found, list | tuple) else ()

    def of(self, *parts: Part) -> list[Example]:
        """In the ledger's order, each with its cluster."""
        return [self.examples[place.exchange_id] for place in self.places if place.part in parts]

    def canonical(self, example: Example) -> str:
        return example.reference if self.scoring is None else self.scoring.canonical(example.reference)


def read_task_log(services: Services, task: Task) -> TaskLog:
    """Gives every example that has none its place, and keeps it."""
    examples, unusable = _examples(services, task.id)
    criterion = criterion_of(services, task, list(examples.values()))
    scoring = scoring_by(services, criterion)
    rules, places = _place(services, task.id, examples, scoring=scoring)
    clusters = {place.exchange_id: place.cluster for place in places}
    return TaskLog(
        task=task,
        criterion=criterion,
        scoring=scoring,
        examples={
            id: replace(example, cluster=clusters[id], judged=_comparable(example, scoring))
            for id, example in examples.items()
        },
        places=places,
        place_of={place.exchange_id: place for place in places},
        requests=Counter(place.cluster for place in places if place.part in ("evidence", "held out")),
        rules=rules,
        unusable=unusable,
    )


def _comparable(example: Example, scoring: Scoring | None) -> dict[str, bool]:
    """By the form that answers are compared in now: what was said may be older than the criterion."""
    return {answer if scoring is None else scoring.canonical(answer): right for answer, right in example.judged.items()}


def criterion_of(services: Services, task: Task, examples: Sequence[Example]) -> Criterion:
    """The one that a user chose, else the one that the answers show; one that is not sure enough names no scorer."""
    chosen = services.registry.criteria().get(task.id)
    if chosen is not None:
        return chosen
    found = infer_criterion(task.output, [example.reference for example in examples if example.teaches])
    if found.scorer is not None and found.confidence < SURE:
        return Criterion(scorer=None, confidence=found.confidence, reason=found.reason)
    return found


def scoring_by(services: Services, criterion: Criterion) -> Scoring | None:
    """Raises UsageError when the scorer is not installed any more."""
    if criterion.scorer is None:
        return None
    if criterion.scorer == JudgeScorer.name:
        from insource.workflows.prove.judging import judge_of

        return Scoring(_Remembered(judge_of(services, criterion.arguments), services), criterion)
    scorer: Scorer | None = services.scorers.get(criterion.scorer)
    if scorer is None:
        raise UsageError(
            f"The scorer {criterion.scorer!r} is not installed.",
            next_step="Install the package that provides it, or choose another: `insource criterion TASK`.",
        )
    return Scoring(_Remembered(scorer, services) if scorer.costly else scorer, criterion)


class _Remembered:
    """A costly scorer whose losses are kept in the store: no answer is scored twice."""

    def __init__(self, scorer: Scorer, services: Services) -> None:
        self._scorer = scorer
        self._services = services
        self.name = scorer.name
        self.costly = True

    def canonical(self, answer: str, arguments: JsonObject) -> str:
        return self._scorer.canonical(answer, arguments)

    def loss(self, answer: str, reference: str, *, request: JsonObject, arguments: JsonObject) -> float:
        key = content_address(["loss", self.name, arguments, request, answer, reference])
        evidence = self._services.evidence
        kept = evidence.completions([key]).get(key)
        if kept is not None:
            return float(kept["loss"])
        loss = self._scorer.loss(answer, reference, request=request, arguments=arguments)
        evidence.put_completion(key, {"loss": loss}, created=self._services.clock.now())
        return loss


def _examples(services: Services, task_id: str) -> tuple[dict[str, Example], Counter[str]]:
    judged: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for judgement in services.evidence.judgements(task_id):
        judged[judgement.exchange_id][judgement.answer] = judgement.right
    examples: dict[str, Example] = {}
    unusable: Counter[str] = Counter()
    exchanges = [e for e in services.exchanges.read(ExchangeFilter(task_id=task_id)) if _may_count(e)]
    shared = {e.marks.share_of for e in exchanges if e.marks.share_of is not None and e.is_whole}
    said = {e.id: e for e in exchanges if e.id in shared}
    for exchange in exchanges:
        if exchange.marks.is_biased:
            # Only what a candidate can't do or was not sure of came back from the provider: not a sample of the task.
            unusable["A move sent it to the provider for what it is, so it is not a sample of the task."] += 1
            continue
        if exchange.id in shared:  # its share stands for it
            continue
        exchange, judgements = _with_word(exchange, said, judged)
        found = to_example(exchange, judgements)
        if isinstance(found, Example):
            examples[found.exchange_id] = found
        else:
            unusable[found] += 1
    return examples, unusable


def _may_count(exchange: Exchange) -> bool:
    return exchange.marks.shadow_of is None and exchange.marks.anchor_of is None


def _with_word(
    share: Exchange, answered_here: Mapping[str, Exchange], judged: Mapping[str, Mapping[str, bool]]
) -> tuple[Exchange, Mapping[str, bool] | None]:
    """A share with what was said of the exchange that it stands for: a label, a user's feedback. Any other exchange as
    it is."""
    of = share.marks.share_of
    first = answered_here.get(of) if of is not None else None
    if first is None:
        return share, judged.get(share.id)
    said = {**judged.get(first.id, {}), **judged.get(share.id, {})}
    if share.reference is None and first.reference is not None:
        share = replace(share, reference=first.reference, reference_kind=first.reference_kind)
    return share, said or None


def _place(
    services: Services, task_id: str, examples: Mapping[str, Example], *, scoring: Scoring | None
) -> tuple[TextRules, list[Place]]:
    known = services.evidence.places(task_id)
    placed = {place.exchange_id for place in known}
    arrivals = [
        Arrival(
            exchange_id=example.exchange_id,
            created=example.created,
            text=example.text,
            answer=example.reference if scoring is None else scoring.canonical(example.reference),
        )
        for example in examples.values()
        if example.exchange_id not in placed
    ]
    rules = services.evidence.rules(task_id) or text_rules(arrivals)
    here = [place for place in known if place.exchange_id in examples]
    if not arrivals:
        return rules, here
    placing = Placing(rules, (example.text for example in examples.values()))
    for place in known:  # one whose exchange was pruned keeps its number, but nothing can be compared with it
        text = examples[place.exchange_id].text if place.exchange_id in examples else None
        placing.know(place, text)
    new = placing.place(arrivals)
    services.evidence.put_places(task_id, rules, new)
    return rules, [*here, *new]


def has_labels(log: TaskLog) -> bool:
    return log.task.output.kind is OutputKind.LABEL and len(log.labels) > 1
