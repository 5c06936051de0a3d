"""Exchanges as examples: what an answer is compared with, what the hosted answer lost, or why an exchange is no use."""

from __future__ import annotations

from collections.abc import Sequence

from insource.core.ports import Scorer
from insource.core.values import Example, Exchange, Interval, OutputProfile
from insource.evals.scorers import canonical_answer
from insource.evals.splits import input_sha256
from insource.stats.intervals import clopper_pearson
from insource.wire.chat import answer_or_calls, messages

_SESSION_KEYS = ("session_id", "session", "conversation_id", "thread_id", "trace_id")
_AGREES_BELOW = 0.5


def to_example(exchange: Exchange) -> Example | str:
    """The example, or a sentence that says why there is none."""
    if not messages(exchange.request):
        return "The request holds no messages (bodies are not logged?)."
    answered_here = exchange.route is not None and not exchange.route.upstream.startswith("provider:")
    whole = exchange.status < 400 and exchange.incomplete is None
    completion = exchange.response if whole and not answered_here else None
    hosted = answer_or_calls(completion)
    correct = exchange.reference_correct if hosted is not None else None
    reference, kind = exchange.reference, exchange.reference_kind or "label"
    if reference is None or kind == "hosted":
        if correct is False:
            return "The hosted answer is known to be wrong, and no right one is known."
        reference, kind = reference or hosted, "hosted"
    if reference is None or not reference.strip():
        return "It has neither a hosted answer nor a label."
    input_hash = input_sha256(exchange.request)
    session = next((str(exchange.metadata[key]) for key in _SESSION_KEYS if exchange.metadata.get(key)), None)
    return Example(
        exchange_id=exchange.id,
        created=exchange.created,
        request=exchange.request,
        input_sha256=input_hash,
        cluster=session or input_hash,
        reference=reference,
        reference_kind=kind,
        hosted_text=hosted,
        hosted_correct=correct,
    )


def loss_of(answer: str, example: Example, *, scorer: Scorer, output: OutputProfile) -> float:
    return scorer.loss(canonical_answer(answer, output), canonical_answer(example.reference, output))


def hosted_loss(example: Example, *, scorer: Scorer, output: OutputProfile) -> float:
    """What is known of the hosted answer beats what can be scored, and that beats nothing, which counts as right."""
    if example.reference_kind == "hosted" or (example.hosted_text is None and example.hosted_correct is None):
        return 0.0
    if example.hosted_correct is not None:
        return 0.0 if example.hosted_correct else 1.0
    return loss_of(example.hosted_text or "", example, scorer=scorer, output=output)


def self_agreement(
    examples: Sequence[Example], *, scorer: Scorer, output: OutputProfile, confidence: float
) -> Interval | None:
    """How often the hosted model repeats itself on the same input: the ceiling of any agreement with it.

    One pair an input (its first two answers by one model), so that pairs are independent and the interval exact.
    """
    answers: dict[tuple[str, str], list[str]] = {}
    for example in sorted(examples, key=lambda e: (e.created, e.exchange_id)):
        if example.hosted_text is not None:
            key = example.input_sha256, str(example.request.get("model"))
            answers.setdefault(key, []).append(canonical_answer(example.hosted_text, output))
    pairs = {key[0]: texts[:2] for key, texts in sorted(answers.items()) if len(texts) > 1}
    if not pairs:
        return None
    agreeing = sum(scorer.loss(b, a) < _AGREES_BELOW for a, b in pairs.values())
    return clopper_pearson(agreeing, len(pairs), confidence=confidence)
