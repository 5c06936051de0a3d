"""What heads are certified for on real intents, as their evidence comes, and how good they are on whole test sets.

A log is drawn from Banking77 or CLINC150 by a seed; a person's label stands in for the hosted answer. It goes through
the product's own functions: places and clusters, the fit, terms on the fit part alone, outcomes on evidence, the ledger
with the first candidate's budget. "fresh" is what was not drawn: what is answered there and wrong tests the bound.

    python -m bench.heads SECTION [SEEDS] [--embed]     one of ten, banking, clinc, clinc20, whole, few, time

`--embed` lets the fit choose the sentence encoder of the extra; without it the base install's features are used.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bench.adapt_data import INTENTS, data_folder

from insource.adapt import classifier as product
from insource.adapt import sentence_encoder
from insource.core.admission import not_admitted
from insource.core.evidence import Example, Outcome, Place, Terms
from insource.core.hashing import input_sha256
from insource.core.values import Familiar
from insource.evals.ledger import Stakes, look
from insource.evals.placing import Arrival, Placing, text_rules
from insource.evals.terms import FitPart, set_terms
from insource.stats.intervals import clopper_pearson
from insource.workflows.prove.attempts import alpha_of

MARGIN, ALPHA = 0.02, 0.05
START = datetime(2026, 1, 1, tzinfo=UTC)


class Labelled(NamedTuple):
    text: str
    label: str


# --------------------------------------------------------------------------------------------------------- data


def banking(folder: Path, part: str) -> list[Labelled]:
    with gzip.open(folder / "banking77" / f"{part}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [Labelled(row["text"], row["category"]) for row in csv.DictReader(file)]


def clinc(folder: Path, parts: Sequence[str]) -> list[Labelled]:
    with gzip.open(folder / "clinc150" / "data_full.json.gz", "rt", encoding="utf-8") as file:
        held = json.load(file)
    return [Labelled(text, label) for part in parts for text, label in held[part]]


# ------------------------------------------------------------------------------------------------ one log's proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    certified: bool
    coverage: float
    """Of the evidence's requests, answered here."""
    admitted: float
    """Of the evidence: familiar and like no wary label, whatever the confidence."""
    loss_upper: float | None
    fresh_wrong: int
    fresh_answered: int
    strangers: float | None
    """Share of out-of-scope requests answered here; None: the data has none, or nothing is certified."""
    strangers_whole: float | None
    """The same when the whole task is moved by hand."""
    encoder: bool
    seconds: float


def prove(log: Sequence[Labelled], fresh: Sequence[Labelled], strangers: Sequence[str], *, embed: bool) -> Proof:
    started = time.process_time()
    labels = tuple(sorted({each.label for each in log}))
    examples, places = placed(log)
    fit = [e for e in examples if places[e.exchange_id].part == "fit"]
    found = product.fit_classifier(fit, labels, encoder=None if embed else False)
    head = found.classifier
    terms = terms_of(found, fit, exchanges=sum(p.part in ("fit", "held out") for p in places.values()))
    if terms is None:
        raise SystemExit("The fit part promises nothing.")
    outcomes = [
        outcome(head, terms, e, places[e.exchange_id])
        for e in examples
        if places[e.exchange_id].part in ("evidence", "held out")
    ]
    looked = look(terms, outcomes, Stakes(margin=MARGIN, alpha=alpha_of(1, ALPHA)))
    new = [o for o in outcomes if o.stratum == "new"]
    gate = looked.gate
    answered = [] if gate is None else [each for each in fresh if answers(head, terms, each.text, gate)]
    return Proof(
        certified=gate is not None,
        coverage=looked.coverage,
        admitted=float(np.mean([o.admitted for o in new])),
        loss_upper=looked.loss_upper,
        fresh_wrong=sum(answer(head, each.text)[0] != each.label for each in answered),
        fresh_answered=len(answered),
        strangers=None if gate is None else share(strangers, lambda text: answers(head, terms, text, gate)),
        strangers_whole=share(strangers, lambda text: answers(head, terms, text, 0.0)),
        encoder=head.encoder,
        seconds=time.process_time() - started,
    )


def placed(log: Sequence[Labelled]) -> tuple[list[Example], dict[str, Place]]:
    """In the ledger's order."""
    arrivals = [
        Arrival(exchange_id=f"e{n:06}", created=START + timedelta(minutes=n), text=each.text, answer=each.label)
        for n, each in enumerate(log)
    ]
    places = {p.exchange_id: p for p in Placing(text_rules(arrivals), [a.text for a in arrivals]).place(arrivals)}
    held = [example(arrival, places[arrival.exchange_id].cluster) for arrival in arrivals]
    return sorted(held, key=lambda e: places[e.exchange_id].place), places


def example(arrival: Arrival, cluster: str) -> Example:
    request = {"messages": [{"role": "user", "content": arrival.text}]}
    return Example(
        exchange_id=arrival.exchange_id,
        created=arrival.created,
        request=request,
        text=arrival.text,
        input_sha256=input_sha256(request),
        cluster=cluster,
        reference=arrival.answer,
        reference_kind="label",
    )


def terms_of(found: product.FittedClassifier, fit: Sequence[Example], *, exchanges: int) -> Terms | None:
    head = found.classifier
    rows = list({e.cluster: e for e in reversed(fit)}.values())
    logits = np.array([found.held_out[e.exchange_id] for e in rows])
    probabilities = head.probabilities(logits)
    place = {label: at for at, label in enumerate(head.labels)}
    label = np.array([place.get(e.reference, len(place)) for e in rows], dtype=np.int64)
    part = FitPart(
        confidence=probabilities.max(axis=1),
        difference=(probabilities.argmax(axis=1) != label).astype(np.float64),
        familiarity=logits.max(axis=1),
        left_out=found.left_out,
        labels=head.labels,
        label=label,
        probabilities=probabilities,
        exchanges=exchanges,
    )
    return set_terms(part, margin=MARGIN, alpha=alpha_of(1, ALPHA), familiarity_sha256="").terms


def answer(head: product.Classifier, text: str) -> tuple[str, float]:
    probabilities = head.probabilities(head.logits(text))
    best = int(probabilities.argmax())
    return head.labels[best], float(probabilities[best])


def admitted(head: product.Classifier, terms: Terms, text: str) -> bool:
    logits = head.logits(text)
    probabilities = dict(zip(head.labels, head.probabilities(logits).tolist(), strict=True))
    return not_admitted(terms, Familiar(score=float(logits.max()), probabilities=probabilities)) is None


def answers(head: product.Classifier, terms: Terms, text: str, gate: float) -> bool:
    return answer(head, text)[1] >= gate and admitted(head, terms, text)


def outcome(head: product.Classifier, terms: Terms, example: Example, place: Place) -> Outcome:
    said, confidence = answer(head, example.text)
    return Outcome(
        exchange_id=example.exchange_id,
        place=place.place,
        cluster=place.cluster,
        stratum="new" if place.part == "evidence" else "repeats",
        day=example.created.toordinal(),
        answer=said,
        confidence=confidence,
        admitted=admitted(head, terms, example.text),
        answered=True,
        label=example.reference,
        loss_local=float(said != example.reference),
        loss_hosted=0.0,
    )


def share(texts: Sequence[str], holds: Callable[[str], bool]) -> float | None:
    return sum(map(holds, texts)) / len(texts) if texts else None


# ----------------------------------------------------------------------------------------------------- sections


def prove_many(name: str, all_of: Sequence[Labelled], strangers: Sequence[str], *, size: int, run: Run) -> None:
    proofs: list[Proof] = []
    for seed in range(run.seeds):
        drawn = list(all_of)
        random.Random(seed).shuffle(drawn)
        proofs.append(prove(drawn[:size], drawn[size:], strangers, embed=run.embed))
        print(f"  seed {seed}: {said_of(proofs[-1])}", file=sys.stderr, flush=True)
    held = [p for p in proofs if p.certified]
    interval = clopper_pearson(len(held), len(proofs), confidence=0.95)
    print(f"{name}, {size:,} exchanges, {'base and encoder' if run.embed else 'base'}, {len(proofs)} seeds")
    print(f"  certified           {len(held)} of {len(proofs)} ({interval.low:.0%} to {interval.high:.0%})")
    print(f"  coverage, all seeds {mean([p.coverage for p in proofs])}")
    print(f"  admitted            {mean([p.admitted for p in proofs])}")
    wrong, answered = sum(p.fresh_wrong for p in held), sum(p.fresh_answered for p in held)
    if answered:
        error = clopper_pearson(wrong, answered, confidence=0.95)
        bound = mean([p.loss_upper for p in held if p.loss_upper is not None], digits=2)
        print(f"  wrong of covered    {wrong / answered:.2%} ({error.low:.2%} to {error.high:.2%}, n {answered:,})")
        print(f"  bound               {bound}")
    if strangers:
        gated = [p.strangers for p in held if p.strangers is not None]
        whole = [p.strangers_whole for p in proofs if p.strangers_whole is not None]
        print(f"  out of scope        {mean(gated)} answered here, {mean(whole)} forced whole ({len(strangers)} texts)")
    used = sum(p.encoder for p in proofs)
    print(f"  seconds of one core {mean_of([p.seconds for p in proofs]):.0f} a seed; encoder chosen {used} times\n")


def said_of(proof: Proof) -> str:
    return ", ".join(f"{name} {getattr(proof, name)!r}" for name in proof.__slots__)


def mean_of(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def mean(values: Sequence[float], *, digits: int = 1) -> str:
    """With the standard error over seeds."""
    if len(values) < 2:
        return f"{mean_of(values):.{digits}%}" if values else "none"
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{mean_of(values):.{digits}%} ± {error:.{digits}%}"


def test_set(name: str, train: Sequence[Labelled], test: Sequence[Labelled], *, run: Run) -> None:
    """Accuracy, and the largest share, surest first, of which at most 2 % are wrong."""
    examples, _ = placed(train)
    labels = tuple(sorted({each.label for each in train}))
    head = product.fit_classifier(examples, labels, encoder=None if run.embed else False).classifier
    said = [(answer(head, each.text), each.label) for each in test]
    right = np.array([label == truth for (label, _), truth in said])
    order = np.argsort([-confidence for (_, confidence), _ in said], kind="stable")
    risk = np.cumsum(~right[order]) / np.arange(1, len(right) + 1)
    within = np.flatnonzero(risk <= MARGIN)
    n = int(within[-1]) + 1 if len(within) else 0
    accuracy = clopper_pearson(int(right.sum()), len(right), confidence=0.95)
    covered = clopper_pearson(n, len(right), confidence=0.95)
    used = "used" if head.encoder else "not used"
    print(f"{name}, whole test set ({len(test):,}), {len(train):,} texts, encoder {used}")
    print(f"  accuracy            {right.mean():.1%} ({accuracy.low:.1%} to {accuracy.high:.1%})")
    print(f"  covered at 2 % risk {n / len(right):.1%} ({covered.low:.1%} to {covered.high:.1%})\n", flush=True)


def few_a_class(train: Sequence[Labelled], most: int) -> list[Labelled]:
    shuffled = list(train)
    random.Random(0).shuffle(shuffled)
    held: defaultdict[str, list[Labelled]] = defaultdict(list)
    for each in shuffled:
        if len(held[each.label]) < most:
            held[each.label].append(each)
    return [each for group in held.values() for each in group]


def request_time(train: Sequence[Labelled], test: Sequence[Labelled], *, run: Run) -> None:
    examples, _ = placed(few_a_class(train, 20))
    labels = tuple(sorted({each.label for each in train}))
    head = product.fit_classifier(examples, labels, encoder=run.embed).classifier
    head = product.load_classifier(head.artifact())
    head.logits("warm")
    took: list[float] = []
    for each in test[:300]:
        started = time.thread_time()
        head.logits(each.text)
        took.append(1_000 * (time.thread_time() - started))
    middle, high = np.quantile(took, [0.5, 0.95])
    used = "with the encoder" if run.embed else "base"
    print(f"A request, Banking77, {used}: {middle:.2f} ms in the middle, 95 % within {high:.2f} ms of one core\n")


class Run(NamedTuple):
    seeds: int
    embed: bool


def remember_encodings() -> None:
    """The same text is drawn by many seeds; each is encoded once."""
    known: dict[str, sentence_encoder.Vectors] = {}
    encode = sentence_encoder.encode

    def remembered(texts: Sequence[str]) -> sentence_encoder.Vectors:
        for text in texts:
            if text not in known:
                known[text] = encode([text])[0]
        return np.array([known[text] for text in texts], dtype=np.float32)

    sentence_encoder.encode = remembered


def sections(folder: Path, run: Run) -> Iterator[tuple[str, Callable[[], None]]]:
    parts = ("train", "val", "test")

    def known() -> list[Labelled]:
        return clinc(folder, parts)

    def strangers() -> list[str]:
        return [each.text for each in clinc(folder, [f"oos_{part}" for part in parts])]

    def both() -> list[Labelled]:
        return banking(folder, "train") + banking(folder, "test")

    def ten() -> list[Labelled]:
        return [each for each in both() if each.label in INTENTS]

    yield "ten", lambda: prove_many("Ten intents of Banking77", ten(), [], size=1_000, run=run)
    yield "banking", lambda: prove_many("Banking77", both(), [], size=5_000, run=run)
    yield "clinc", lambda: prove_many("CLINC150", known(), strangers(), size=5_000, run=run)
    yield "clinc20", lambda: prove_many("CLINC150", known(), strangers(), size=20_000, run=run)
    train, test = banking(folder, "train"), banking(folder, "test")
    yield "whole", lambda: test_set("Banking77", train, test, run=run)
    yield "few", lambda: test_set("Banking77, 20 a class", few_a_class(train, 20), test, run=run)
    yield "time", lambda: request_time(train, test, run=run)


def main() -> None:
    folder = data_folder()
    if folder is None:
        sys.exit("skipped: shared data not found (set INSOURCE_DATA)")
    words = [word for word in sys.argv[1:] if word != "--embed"]
    run = Run(seeds=int(words[1]) if len(words) > 1 else 3, embed="--embed" in sys.argv)
    if words[0] != "time":
        remember_encodings()
    dict(sections(folder, run))[words[0]]()


if __name__ == "__main__":
    main()
