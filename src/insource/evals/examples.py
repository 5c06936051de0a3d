"""Exchanges as examples: what an answer is compared with, what each side lost, or why an exchange is no use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from insource.core.evidence import Criterion, Example, Interval, Place
from insource.core.hashing import input_sha256
from insource.core.ports import Scorer
from insource.core.values import Exchange
from insource.evals.checker import ReviewScorer
from insource.stats.intervals import clopper_pearson
from insource.wire.chat import answer_or_calls, conversation_text, messages

_AGREES_BELOW = 0.5


def to_example(exchange: Exchange, judged: Mapping[str, bool] | None = None) -> Example | str:
    """The example, or a sentence that says why there is none. `judged`: what people said of answers to it."""
    if not messages(exchange.request):
        return "The request holds no messages (bodies are not logged?)."
    answered_here = exchange.route is not None and not exchange.route.upstream.startswith("provider:")
    whole = exchange.status < 400 and exchange.incomplete is None
    hosted = answer_or_calls(exchange.response if whole and not answered_here else None)
    correct = exchange.reference_correct if hosted is not None else None
    reference, kind = exchange.reference, exchange.reference_kind or "label"
    if reference is None or kind == "hosted":
        reference, kind = reference or hosted, "hosted"
    if reference is None or not reference.strip():
        return "It has neither a hosted answer nor a label."
    return Example(
        exchange_id=exchange.id,
        created=exchange.created,
        request=exchange.request,
        text=conversation_text(exchange.request),
        input_sha256=input_sha256(exchange.request),
        cluster=exchange.id,
        reference=reference,
        reference_kind=kind,
        hosted_text=hosted,
        hosted_correct=correct,
        judged=judged or {},
    )


@dataclass(frozen=True, slots=True)
class Scoring:
    """A task's criterion, ready to be applied."""

    scorer: Scorer
    criterion: Criterion

    def canonical(self, answer: str) -> str:
        """The form that answers are compared in; of labels, the label."""
        return self.scorer.canonical(answer, self.criterion.arguments)

    def loss_local(self, answer: str, example: Example) -> float:
        """What a person said of this very answer counts first. Where the hosted answer is the only reference and is
        wrong, nothing shows that another answer is right: it counts as wrong too, and so as no worse."""
        said = example.judged.get(self.canonical(answer)) if example.judged else None
        if said is not None:
            return 0.0 if said else 1.0
        return self._loss(answer, example) if example.teaches else 1.0

    def loss_hosted(self, example: Example) -> float:
        """What is known of the hosted answer beats what can be scored; what nobody knows counts as right."""
        if example.hosted_text is not None and example.judged:
            said = example.judged.get(self.canonical(example.hosted_text))
            if said is not None:
                return 0.0 if said else 1.0
        if example.hosted_correct is not None:
            return 0.0 if example.hosted_correct else 1.0
        if example.reference_kind == "hosted" or example.hosted_text is None:
            return 0.0
        return self._loss(example.hosted_text, example)

    def undecided(self, answer: str, example: Example) -> bool:
        """Whether only a person can say what this answer lost, and nobody did yet."""
        return (
            self.criterion.scorer == ReviewScorer.name
            and self.canonical(answer) not in example.judged
            and not self.agree(answer, example.reference, example)
        )

    def _loss(self, answer: str, example: Example) -> float:
        return self.scorer.loss(answer, example.reference, request=example.request, arguments=self.criterion.arguments)

    def agree(self, a: str, b: str, example: Example) -> bool:
        """Whether two answers to one request are the same answer."""
        loss = self.scorer.loss(a, b, request=example.request, arguments=self.criterion.arguments)
        return loss < _AGREES_BELOW


def self_agreement(
    examples: Sequence[Example], places: Mapping[str, Place], scoring: Scoring, *, confidence: float
) -> Interval | None:
    """How often the hosted model repeats itself on the same input: the ceiling of any agreement with it.

    One pair a cluster (the first two answers of one model to one input), so that pairs are independent and the
    interval exact.
    """
    answers: dict[tuple[str, str], list[Example]] = {}
    for example in sorted(examples, key=_by_time):
        if example.hosted_text is not None:
            answers.setdefault((example.input_sha256, str(example.request.get("model"))), []).append(example)
    pairs: dict[str, bool] = {}
    for group in answers.values():
        if len(group) > 1:
            a, b = group[:2]
            cluster = places[a.exchange_id].cluster if a.exchange_id in places else a.exchange_id
            pairs.setdefault(cluster, scoring.agree(b.hosted_text or "", a.hosted_text or "", a))
    if not pairs:
        return None
    return clopper_pearson(sum(pairs.values()), len(pairs), confidence=confidence)


def _by_time(example: Example) -> tuple[datetime, str]:
    return example.created, example.exchange_id
