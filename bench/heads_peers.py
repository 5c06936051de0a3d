"""What a log of ten real intents is certified for, beside tracer-llm's gate on the same draws.

    python -m bench.heads_peers PYTHON [DRAWS] [PEER_DRAWS]

PYTHON is that of an environment with tracer-llm, which needs an older NumPy. It takes forty times longer, so it may get
only the first PEER_DRAWS of the draws.

Each draw takes 1,000 of the messages as the log; what was not drawn is answered afterwards and tests the promise: at
most 2 % wrong among what is answered here. insource fits its head and certifies it with the first candidate's budget,
as in bench/heads.py. tracer-llm gets the same messages as WordLlama's vectors, the features of insource's base install
that it can take, and is asked for 98 % agreement. A person's label stands in for the hosted answer.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bench.adapt_data import INTENTS, data_folder
from bench.heads import MARGIN, Labelled, banking, mean, mean_of, prove

from insource.adapt.static_embeddings import embed
from insource.stats.intervals import clopper_pearson

SIZE = 1_000
PEER = Path(__file__).parent / "peers" / "tracer_router.py"


class Draw(NamedTuple):
    """What became of the messages that were not in the log."""

    wrong: int
    answered: int
    fresh: int
    seconds: float

    @property
    def share(self) -> float:
        return self.answered / self.fresh

    @property
    def breaks(self) -> bool:
        """More than the promise was wrong."""
        return self.answered > 0 and self.wrong / self.answered > MARGIN

    @property
    def surely_breaks(self) -> bool:
        """Also where luck is allowed for: the lower end of the 95 % interval."""
        return self.answered > 0 and clopper_pearson(self.wrong, self.answered, confidence=0.95).low > MARGIN


def ours(log: Sequence[Labelled], fresh: Sequence[Labelled]) -> Draw:
    proof = prove(log, fresh, [], embed=False)
    return Draw(proof.fresh_wrong, proof.fresh_answered, len(fresh), proof.seconds)


def theirs(python: str, draws: Sequence[tuple[Sequence[Labelled], Sequence[Labelled]]]) -> tuple[str, list[Draw]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for at, (log, fresh) in enumerate(draws):
            train, answers = embed([each.text for each in log]), np.array([each.label for each in log])
            np.savez(folder / f"{at}.npz", train=train, labels=answers, fresh=embed([each.text for each in fresh]))
        subprocess.run([python, str(PEER), name], check=True, stdout=subprocess.DEVNULL)
        found = [json.loads((folder / f"{at}.json").read_text()) for at in range(len(draws))]
    drawn: list[Draw] = []
    for one, (_, fresh) in zip(found, draws, strict=True):
        said = [(label, each.label) for label, each in zip(one["said"], fresh, strict=True) if label is not None]
        wrong = sum(label != truth for label, truth in said)
        drawn.append(Draw(wrong, len(said), len(fresh), one["seconds"]))
    return found[0]["version"], drawn


def show(name: str, draws: Sequence[Draw]) -> None:
    wrong, answered = sum(d.wrong for d in draws), sum(d.answered for d in draws)
    broken = sum(d.breaks for d in draws)
    interval = clopper_pearson(broken, len(draws), confidence=0.95)
    print(name)
    print(f"  answers anything    {sum(d.answered > 0 for d in draws)} of {len(draws)} draws")
    print(f"  share answered      {mean([d.share for d in draws])} of fresh messages, all draws")
    print(f"  wrong of answered   {wrong / answered:.2%} (n {answered:,})" if answered else "  nothing answered")
    print(f"  above 2 % wrong     {broken} of {len(draws)} draws ({interval.low:.0%} to {interval.high:.0%})")
    print(f"  surely above 2 %    {sum(d.surely_breaks for d in draws)} of {len(draws)} draws")
    print(f"  seconds of one core {mean_of([d.seconds for d in draws]):.1f} a draw\n")


def main() -> None:
    folder = data_folder()
    if folder is None:
        sys.exit("skipped: shared data not found (set INSOURCE_DATA)")
    python, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
    known = [each for part in ("train", "test") for each in banking(folder, part) if each.label in INTENTS]
    draws: list[tuple[list[Labelled], list[Labelled]]] = []
    for seed in range(count):
        drawn = list(known)
        random.Random(seed).shuffle(drawn)
        draws.append((drawn[:SIZE], drawn[SIZE:]))
    print(f"Ten intents of Banking77, {SIZE:,} messages as the log, {len(known) - SIZE:,} fresh, {count} draws\n")
    show(
        "insource, base install, 2 % at 95 % confidence over all looks and candidates", [ours(*each) for each in draws]
    )
    version, found = theirs(python, draws[: int(sys.argv[3]) if len(sys.argv) > 3 else count])
    show(f"tracer-llm {version}, 98 % agreement, WordLlama's vectors", found)


if __name__ == "__main__":
    main()
