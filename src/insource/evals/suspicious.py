"""What makes a task's references doubtful: wrong labels, a constant, a drift. Pure; for warnings, not certificates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from insource.stats.drift import categorical_shift, mean_shift

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_SURPRISE = 0.001
"""p below which a difference is said: one warning in a thousand healthy checks."""
_SORTED_RUN = 0.25
"""A log has about n * P(neighbours differ) changes of label when mixed; with a quarter of that it is sorted."""
_LEAST = 20
_SURE = 0.5
_SURE_SHARE = 0.5
"""Of the texts, those of which a classifier must find one label likelier than all others together, or its doubts are of
its own making."""
_MOST_NOISE = 0.3
"""Where more labels seem wrong, the words don't tell the label (an opinion, a guess), and none is suspected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelNoise:
    """Labels that a classifier, which did not see them, is sure are others."""

    share: float
    """Estimated of all labels."""
    suspects: tuple[int, ...]
    """Rows, the surest first."""


def label_noise(probabilities: Floats, given: Integers) -> LabelNoise:
    """`probabilities` (n, labels): held-out and calibrated; `given` (n,): index of each text's label.

    Confident learning (Northcutt, Jiang & Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR
    2021): a text counts as another label's when its probability of that one is at least what is usual among texts given
    it, and no less than that of its own. How many a label has in truth is the share of texts that count as its.

    That presumes a classifier that can tell the labels. Of one that can't, as where the words of a text say nothing
    of its label, what is usual is a guess and every second text passes it: it suspects nothing.
    """
    n, labels = probabilities.shape
    if not n:
        return LabelNoise(share=0.0, suspects=())
    if (probabilities.max(axis=1) >= _SURE).mean() < _SURE_SHARE:
        return LabelNoise(share=0.0, suspects=())
    usual = np.array([probabilities[given == y, y].mean() if (given == y).any() else np.inf for y in range(labels)])
    passing = probabilities >= usual[None, :]
    best = np.where(passing, probabilities, -1.0).argmax(axis=1)
    counted = passing.any(axis=1)
    # What is usual of a rare label is little: passing it says nothing while the given label is the likelier one.
    each_row = np.arange(n)
    best = np.where(probabilities[each_row, best] < probabilities[each_row, given], given, best)
    joint = np.zeros((labels, labels))
    np.add.at(joint, (given[counted], best[counted]), 1)
    rows = joint.sum(axis=1)
    sizes = np.bincount(given, minlength=labels)
    scaled = joint * np.divide(sizes, rows, out=np.zeros(labels), where=rows > 0)[:, None]
    total = scaled.sum()
    share = float(1 - np.trace(scaled) / total) if total else 0.0
    if share > _MOST_NOISE:
        return LabelNoise(share=0.0, suspects=())
    wrong = counted & (best != given)
    margin = probabilities.max(axis=1) - probabilities[each_row, given]
    order = np.argsort(-margin, kind="stable")
    return LabelNoise(share=share, suspects=tuple(int(at) for at in order if wrong[at]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One exchange, as far as these checks care."""

    created: datetime
    category: str
    """The reference in its comparable form."""
    hosted_loss: float


def warnings(seen: Sequence[Seen], *, has_labels: bool) -> tuple[str, ...]:
    """Sentences."""
    if not seen:
        return ()
    said: list[str] = []
    ordered = sorted(seen, key=lambda each: (each.created, each.category))
    categories = [each.category for each in ordered]
    if len(set(categories)) == 1 and len(seen) > 1:
        said.append(f"All {len(seen)} references are the same: a constant or a dummy.")
    if has_labels and len(set(categories)) > 1:
        said.extend(_label_warnings(categories))
    losses = [each.hosted_loss for each in ordered]
    half = len(losses) // 2
    if half and mean_shift(losses[:half], losses[half:]) < _SURPRISE:
        before, after = 1 - sum(losses[:half]) / half, 1 - sum(losses[half:]) / (len(losses) - half)
        said.append(f"The hosted answers changed: {before:.1%} right in the first half of the time, {after:.1%} after.")
    return tuple(said)


def _label_warnings(by_time: Sequence[str]) -> list[str]:
    said: list[str] = []
    n, half = len(by_time), len(by_time) // 2
    differ = 1 - sum((count / n) ** 2 for count in Counter(by_time).values())
    changes = sum(a != b for a, b in pairwise(by_time))
    if n >= _LEAST and changes < _SORTED_RUN * differ * (n - 1):
        said.append("The log is sorted by label. The first log's order does not matter to what is measured.")
    elif categorical_shift(by_time[:half], by_time[half:]) < _SURPRISE:
        said.append("What is asked changed over time: the labels of the first and the second half differ.")
    return said
