"""What of a task's exchanges is worth training on: each once, none that contradicts another, and what is rare not
drowned. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median

from insource.adapt.lora.job import Row
from insource.core.hashing import canonical_json
from insource.core.values import JsonObject
from insource.wire.chat import messages

_REPEATED = 5
"""Times that an answer comes on average, from which on answers are labels and their balance is a question."""
_MOST_WEIGHT = 4.0


def training_rows(pairs: Iterable[tuple[JsonObject, str]]) -> list[Row]:
    """(request, answer) as rows, in an order of their own. Of a request that was answered in several ways the most
    frequent answer is kept, and none where two are as frequent: a model can only learn one."""
    answers: dict[bytes, Counter[str]] = {}
    requests: dict[bytes, JsonObject] = {}
    for request, answer in pairs:
        key = canonical_json([messages(request), request.get("tools")])
        answers.setdefault(key, Counter())[answer] += 1
        requests.setdefault(key, request)
    kept: list[tuple[JsonObject, str]] = []
    for key in sorted(answers):
        (best, count), *others = answers[key].most_common(2)
        if not others or others[0][1] < count:
            kept.append((requests[key], best))
    counts = Counter(answer for _, answer in kept)
    weights = _weights(counts)
    return [Row(request=request, answer=answer, weight=weights[answer]) for request, answer in kept]


def _weights(counts: Counter[str]) -> dict[str, float]:
    """The root of how much rarer than the middle label one is: half of the way to balance, so that a handful of rare
    rows is not learnt by heart."""
    if not counts or counts.total() < _REPEATED * len(counts):
        return dict.fromkeys(counts, 1.0)
    middle = median(counts.values())
    return {answer: min(_MOST_WEIGHT, max(1.0, (middle / count) ** 0.5)) for answer, count in counts.items()}
