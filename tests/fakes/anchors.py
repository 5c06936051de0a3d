"""A side that is asked anchors again: it changed a share of its answers, and is not quite deterministic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from insource.routing.monitor import SideAgain
from insource.workflows.watch.anchors import TRIES

ANCHORS = 300
NOISE = 0.02
"""Share of answers that are not the first one, by chance."""


def side(changed: float, seed: int, *, asked: int = ANCHORS, noise: float = NOISE, ambiguous: float = 0.0) -> SideAgain:
    """`ambiguous`: the share of anchors that are answered one way or the other, equally often."""
    rng = np.random.default_rng(seed)
    unlike_first = np.where(rng.random(asked) < ambiguous, 0.5, noise)

    def repeats() -> NDArray[np.bool]:
        return np.any(rng.random((TRIES, asked)) >= unlike_first, axis=0)

    then = repeats()
    now = repeats() & (rng.random(asked) >= changed)
    return SideAgain(asked=asked, turned=int((then & ~now).sum()), returned=int((~then & now).sum()))
