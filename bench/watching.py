"""What watching a move promises, simulated with a fixed seed; and what it costs a request, in one run.

Losses: the differences of live samples are drawn, 1,000 of them quiet and then worse by five points (or never). Causes:
anchors are asked again of both sides, one of which changed a share of its answers. Judges: of known agreement with
people (Cohen's kappa), who labelled a random part; a candidate exactly at the margin makes each certificate a false
one. Overhead: the handler with a scripted engine, in turn with and without share and conversations.

    python bench/watching.py [RUNS] > bench/results/watching.txt
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from bench.discovery import DATA, read
from tests.fakes.anchors import ANCHORS, NOISE, side
from tests.fakes.judging import Run, decided, flip_rate, judge_that
from tests.fakes.judging import run as judge_run
from tests.fakes.serving import Bench, FixedRecipe, candidate, moved, ready_engine, request, says

from insource.core.ports import Reply
from insource.evals.judge import JudgeScorer
from insource.routing.monitor import Again, diagnose
from insource.routing.share import SharePlan
from insource.stats.arrays import Floats, Integers
from insource.stats.change import detector, watch

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
QUIET, LATER, LONG = 1_000, 350, 5_000


def losses() -> Iterator[str]:
    by, drawn = detector(0.01), np.random.default_rng(1)
    yield f"margin 2%: k {by.reference:.3f}, h {by.threshold:.2f}"
    for base in (0.0, 0.005, 0.01):
        false = sum(watch((drawn.random(LONG) < base).astype(float), by).found for _ in range(RUNS))
        found, tries, took = 0, 0, list[int]()
        while tries < RUNS:
            quiet = watch((drawn.random(QUIET) < base).astype(float), by)
            if quiet.found:
                continue
            tries += 1
            after = watch((drawn.random(LATER) < base + 0.05).astype(float), by, seen=quiet)
            found += after.found
            took += [after.n - QUIET] if after.found else []
        yield (
            f"  base loss {base:.1%}: five points more found within {LATER} samples in {found / tries:.1%} "
            f"(median {statistics.median(took):.0f}); none found in {LONG:,} quiet samples in {1 - false / RUNS:.1%}"
        )
    for better in (0.01, 0.03):
        noisy = detector(0.01, better=better)
        found = sum(watch(_both(drawn, LATER, 0.06 + better, better), noisy).found for _ in range(RUNS))
        false = sum(watch(_both(drawn, LONG, 0.01 + better, better), noisy).found for _ in range(RUNS))
        yield (
            f"  base 1.0%, hosted wrong alone in {better:.0%}: found in {found / RUNS:.1%}, "
            f"none in {1 - false / RUNS:.1%}"
        )


def _both(drawn: np.random.Generator, n: int, worse: float, better: float) -> list[float]:
    u = drawn.random(n)
    return np.where(u < worse, 1.0, np.where(u < worse + better, -1.0, 0.0)).tolist()


def causes() -> Iterator[str]:
    for ambiguous in (0.0, 0.04, 0.2):
        yield f"  answers to {ambiguous:.0%} of the anchors are a matter of chance"
        for changed in (0.05, 0.06, 0.08, 0.12):
            for name, here, hosted in (("system", changed, 0.0), ("reference", 0.0, changed)):
                yield f"    {changed:.0%} of the answers changed: {_named(name, here, hosted, ambiguous=ambiguous)}"
        yield f"    neither changed: {_named('traffic', 0.0, 0.0, ambiguous=ambiguous)}"


def _named(cause: str, here: float, hosted: float, *, ambiguous: float) -> str:
    found = [
        diagnose(
            Again(
                here=side(here, seed, ambiguous=ambiguous),
                hosted=side(hosted, 1_000_000 + seed, ambiguous=ambiguous),
            )
        )
        for seed in range(RUNS)
    ]
    right, unknown = sum(f == (cause,) for f in found) / RUNS, sum(f == ("unknown",) for f in found) / RUNS
    return f"{cause} named in {right:.1%}, unknown {unknown:.1%}, wrong {1 - right - unknown:.1%}"


def judges() -> Iterator[str]:
    for kappa in (0.5, 0.7, 0.9):
        at_margin = [judge_run(seed, kappa=kappa, worse=0.15, margin=0.15) for seed in range(RUNS)]
        yield (
            f"  kappa {kappa}: bound holds in {sum(r.holds for r in at_margin) / RUNS:.1%}, "
            f"falsely certified {sum(r.certified for r in at_margin) / RUNS:.1%}"
        )
        for worse, labelled in ((0.03, 100), (0.03, 300), (0.08, 300)):
            good = [judge_run(s, kappa=kappa, worse=worse, margin=0.15, labelled=labelled) for s in range(RUNS)]
            yield (
                f"    a candidate of which {worse:.0%} is worse, {labelled} labelled: "
                f"certified in {sum(r.certified for r in good) / RUNS:.1%}"
            )


def recorded_judges() -> Iterator[str]:
    """Mixtral's recorded answers beside GPT-4's: worse where only they are wrong. A judge errs at a rate of its own,
    and is asked through the scorer, whose control of length and order adds its part."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in read("routellm/gsm8k.jsonl.gz")]
    people = np.array([float(r["gpt_4_1106_correct"] and not r["mixtral_8x7b_correct"]) for r in rows])
    says = np.array([[_judged(row, worse=worse) for worse in (False, True)] for row in rows])
    every, worse = np.arange(len(rows)), float(people.mean())
    tenth = np.concatenate([every[people == 0], every[people == 1][: int((people == 0).sum() / 9)]])
    for kappa in (0.5, 0.7, 0.9):
        runs = [_recorded(s, kappa=kappa, people=people, says=says, pool=every) for s in range(RUNS)]
        good = [_recorded(s, kappa=kappa, people=people, says=says, pool=tenth) for s in range(RUNS)]
        shown = statistics.mean(r.calibration.kappa.value for r in runs if r.calibration.kappa is not None)
        yield (
            f"  kappa {kappa} ({shown:.2f} through the scorer): "
            f"bound holds in {sum(r.holds for r in runs) / RUNS:.1%}; "
            f"certified with {worse:.1%} worse {sum(r.certified for r in runs) / RUNS:.1%}, "
            f"with 10% worse {sum(r.certified for r in good) / RUNS:.1%}"
        )


def _judged(row: dict[str, Any], *, worse: bool) -> float:
    here, hosted = row["mixtral_8x7b_answer"], row["gpt_4_1106_answer"]
    scorer = JudgeScorer(judge_that(lambda one, two: (2 if one == here[:20_000] else 1) if worse else 0))
    return scorer.loss(here, hosted, request={"messages": [{"role": "user", "content": row["prompt"]}]}, arguments={})


def _recorded(seed: int, *, kappa: float, people: Floats, says: Floats, pool: Integers) -> Run:
    """At a margin as large as the share of worse answers, or a quarter where that is less."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(pool, 600, replace=False)
    worse = float(people[pool].mean())
    believed = (people[drawn] > 0) ^ (rng.random(600) < flip_rate(kappa, worse))
    judged = says[drawn, believed.astype(int)]
    return decided(judged, people[drawn], worse=worse, margin=max(worse, 0.25))


async def overhead() -> Iterator[str]:
    engine = await ready_engine(says("local"))
    locals_ = {"cand": candidate(engine, FixedRecipe())}
    plain = Bench(table=moved(), locals=locals_, may_switch=True)
    watched = Bench(table=moved(), locals=locals_, plan=SharePlan(share=0.02, usd_per_day=1e9))
    took: dict[str, list[float]] = {"without": [], "with": []}
    for number in range(6_000):
        for name, bench in (("without", plain), ("with", watched)):
            began = time.perf_counter()
            answer = await bench.ask(request(f"{number} " + "a word " * 100), exchange_id=f"{name}-{number}")
            assert isinstance(answer.reply, Reply)
            await answer.reply.read()
            took[name].append(1e3 * (time.perf_counter() - began))
        if number % 100 == 0:
            await asyncio.sleep(0)
    await watched.settle()
    p50 = {name: statistics.median(each) for name, each in took.items()}
    shares = sum(e.marks.share_of is not None for e in watched.log.exchanges)
    return iter(
        [
            f"  p50 of the handler: {p50['without']:.3f} ms without, {p50['with']:.3f} ms with; "
            f"{p50['with'] - p50['without']:+.3f} ms",
            f"  {shares} of 6,000 requests went to the provider too",
        ]
    )


def main() -> None:
    print(f"Watching a move; {RUNS} runs of each, fixed seeds.\n\nlosses")
    print(*losses(), sep="\n", flush=True)
    print(f"\ncauses, {ANCHORS} anchors; {NOISE:.0%} of each side's answers vary")
    print(*causes(), sep="\n", flush=True)
    print("\njudges, 600 outcomes, 300 of them labelled unless said, margin 15%, confidence 95%")
    print(*judges(), sep="\n", flush=True)
    print("\njudges of recorded free text (GSM8K, answers of two models), margin 25% or the share of worse ones")
    print(*(recorded_judges() if DATA.is_dir() else ["  skipped: shared data not found"]), sep="\n", flush=True)
    print("\noverhead, one run, in turn")
    print(*asyncio.run(overhead()), sep="\n")


if __name__ == "__main__":
    main()
