"""Discovery on mixtures of known jobs: V-measure, what of new requests the gateway recognises, rows a second.

    python -m bench.discovery_mixtures [PART OF A NAME]     prints a table; writes bench/results when all are run

The messages, answers and tool calls are recorded or labelled ones (shared data); the prompts around them are written
for the bench. New requests come after the log: other messages, other people, later dates, more documents. *Wrong*
counts those taken for another job, among them the requests of a job that is in no log and asks in the same frame."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.mixtures.build import Mixture, Sample, mixtures, same_prompt
from bench.mixtures.material import DATA
from bench.mixtures.more import more_mixtures, single_jobs

from insource.stats.agreement import v_measure
from insource.traffic.discovery import Discovery, DiscoveryInput, discover
from insource.traffic.matcher import compile_matchers

OUT = Path(__file__).parent / "results" / "discovery_mixtures.txt"
NAMES = OUT.with_name("discovery_names.txt")
NAMES_OF_EACH, ALL_NAMES = 3, 40
SIZES = (30, 300)
"""Requests of each job in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    rows: int
    jobs: int
    tasks: int
    v: float
    right: float
    wrong: float
    seconds: float

    @property
    def holds(self) -> bool:
        return self.v >= 0.95 and self.right >= 0.9 and self.wrong <= 0.01


def inputs(samples: Sequence[Sample]) -> list[DiscoveryInput]:
    return [
        DiscoveryInput(id=f"{n:06}", request=sample.request, answer=sample.answer, tool_call=sample.tool_call)
        for n, sample in enumerate(samples)
    ]


def recognised(
    found: Discovery, log: Sequence[Sample], new: Sequence[Sample], strangers: Sequence[Sample], chatter: frozenset[str]
) -> tuple[float, float]:
    """(share of the new requests taken for their own job, share of all taken for another one)."""
    owner: dict[str, str] = {}
    for task in found.tasks:
        labels = Counter(log[int(id)].label for id, task_id in found.task_of.items() if task_id == task.id)
        owner[task.id] = labels.most_common(1)[0][0] if labels else ""
    match = compile_matchers(found.tasks)
    taken = [(sample.label, owner.get(match(sample.request, None) or "")) for sample in (*new, *strangers)]
    shown = [label == task for label, task in taken[: len(new)] if label not in chatter]
    return sum(shown) / max(1, len(shown)), sum(task is not None and label != task for label, task in taken) / max(
        1, len(taken)
    )


def run(mixture: Mixture, each: int, *, seed: int = 0) -> tuple[Result, Discovery, list[Sample]]:
    log = mixture.samples(each=each, seed=seed, late=False)
    given = inputs(log)
    started = time.process_time()
    found = discover(given)
    seconds = time.process_time() - started
    new = mixture.samples(each=100, seed=seed, late=True)
    right, wrong = recognised(found, log, new, mixture.strangers(each=100, seed=seed), mixture.chatter)
    v = v_measure([sample.label for sample in log], [found.task_of[item.id] for item in given]).v
    labels = {sample.label for sample in log}
    return (
        Result(rows=len(log), jobs=len(labels), tasks=len(found.tasks), v=v, right=right, wrong=wrong, seconds=seconds),
        found,
        log,
    )


def table(chosen: Sequence[Mixture]) -> tuple[list[str], bool]:
    lines = [f"{'mixture':<44}{'rows':>7}{'jobs':>6}{'tasks':>6}{'V':>8}{'right':>8}{'wrong':>8}{'rows/s':>9}"]
    held = True
    for mixture in chosen:
        for each in SIZES:
            for answers in (True, False):
                one, _, _ = run(replace(mixture, answers=answers), each)
                name = mixture.name + ("" if answers else ", no answers")
                held &= one.holds
                lines.append(
                    f"{name:<44}{one.rows:>7}{one.jobs:>6}{one.tasks:>6}{one.v:>8.3f}{one.right:>8.1%}{one.wrong:>8.1%}"
                    f"{one.rows / one.seconds:>9,.0f}{'' if one.holds else '  <'}"
                )
                print(lines[-1], flush=True)
    return lines, held


def names(chosen: Sequence[Mixture]) -> list[str]:
    """Different names of discovered tasks, at most three of each mixture, with the job that each task mostly holds."""
    found: dict[str, str] = {}
    for mixture in chosen:
        _, discovered, log = run(mixture, SIZES[0])
        new = [task for task in discovered.tasks if task.name not in found][:NAMES_OF_EACH]
        for task in new:
            labels = Counter(log[int(id)].label for id, task_id in discovered.task_of.items() if task_id == task.id)
            found[task.name] = f"{task.name:<52}{labels.most_common(1)[0][0]:<24}{mixture.name}"
    heading = f"{'name':<52}{'job':<24}mixture"
    return [heading, *found.values()][: ALL_NAMES + 1]


def main() -> int:
    if not DATA.is_dir():
        print("skipped: shared data not found (set INSOURCE_DATA)")
        return 0
    part = " ".join(sys.argv[1:])
    chosen = [mixture for mixture in [*mixtures(), *more_mixtures(), *single_jobs()] if part in mixture.name]
    discover(inputs(chosen[0].samples(each=20, seed=9, late=False)))  # loads scikit-learn
    lines, _ = table(chosen)
    kinds, _, _ = run(same_prompt(), 300)
    lines.append(f"{same_prompt().name:<44}{kinds.rows:>7}{kinds.jobs:>6}{kinds.tasks:>6}{kinds.v:>8.3f}")
    print(lines[-1])
    if not part:
        OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
        listed = names([*more_mixtures(), *mixtures()])
        NAMES.write_text("\n".join(listed) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
