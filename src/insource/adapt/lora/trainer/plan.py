"""Which rows are trained on, in which order, how fast and how long: by a seed, the same in every process. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

TIMED_STEPS = 4
"""After which the time of a step is known well enough to plan by."""
_RESERVE = 0.1
"""Of the budget: kept for the held rows, the probes and the writing."""
_POOL = 8
"""Batches whose rows are sorted by length together: little padding, and still a shuffled order."""


def held_apart(count: int, *, share: float, most: int, seed: int) -> tuple[list[int], list[int]]:
    """(trained on, held): places. Too few rows to spare any: all are trained on."""
    held = min(most, int(share * count)) if count >= 40 else 0
    places = list(range(count))
    random.Random(f"held:{seed}").shuffle(places)
    return sorted(places[held:]), sorted(places[:held])


def epoch_batches(lengths: Sequence[int], size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Places of each batch; every place once."""
    drawn = random.Random(f"order:{seed}:{epoch}")
    places = list(range(len(lengths)))
    drawn.shuffle(places)
    batches: list[list[int]] = []
    for start in range(0, len(places), size * _POOL):
        pool = sorted(places[start : start + size * _POOL], key=lambda place: lengths[place])
        batches += [pool[at : at + size] for at in range(0, len(pool), size)]
    drawn.shuffle(batches)
    return batches


def common_beginning(rows: Sequence[tuple[int, ...]]) -> int:
    """How many items all rows begin with: the first and the last in order differ soonest."""
    first, last = min(rows), max(rows)
    differ = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return next(differ, min(len(first), len(last)))


def learning_share(step: int, steps: int, warmup_share: float) -> float:
    """Of the highest learning rate, at a step that counts from 0: up in a line, down in a cosine."""
    warmup = max(1, round(warmup_share * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def fitting_steps(all_steps: int, *, budget_seconds: float | None, spent: float, step_seconds: float) -> int:
    """Steps in all that the budget has room for; at least those already timed."""
    if budget_seconds is None:
        return all_steps
    room = int((budget_seconds * (1 - _RESERVE) - spent) / max(step_seconds, 1e-9))
    return max(TIMED_STEPS, min(all_steps, TIMED_STEPS + room))
