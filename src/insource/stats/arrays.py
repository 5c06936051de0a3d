"""What every function here accepts as numbers, and the one place where they are checked."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from insource.core.errors import BadInput

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Numbers = Sequence[float] | Floats | npt.NDArray[np.bool_]
Clusters = Sequence[Hashable] | Integers

_ROUNDING = 1e-9
"""How far outside its range a value may lie: sums of losses round, wrong scales do not hide in 1e-9."""


def checked(values: Numbers, *, low: float, high: float, name: str) -> Floats:
    """The values as an array, all finite and in [low, high]; a bound for bounded values is void outside."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise BadInput(f"{name} has {array.ndim} dimensions, not 1.", next_step="Pass one number per exchange.")
    inside = (array >= low - _ROUNDING) & (array <= high + _ROUNDING)
    if not inside.all():
        raise BadInput(
            f"{name} holds {array[~inside][0]!r}, which is not in [{low!r}, {high!r}].",
            next_step="Scale losses to [0, 1] and their differences to [-1, 1].",
        )
    return np.clip(array, low, high)


def check_level(value: float, name: str) -> None:
    """Error rates and confidences lie strictly between 0 and 1."""
    if not 0 < value < 1:
        raise BadInput(f"{name} is {value!r}, which is not between 0 and 1.", next_step=f"Set {name} to 0.05, say.")


def cluster_codes(clusters: Clusters, n: int) -> Integers:
    """Clusters numbered 0, 1, … in order of appearance."""
    if len(clusters) != n:
        raise BadInput(
            f"{n} values came with {len(clusters)} clusters.", next_step="Pass the cluster of every exchange."
        )
    numbers: dict[Hashable, int] = {}
    return np.fromiter((numbers.setdefault(cluster, len(numbers)) for cluster in clusters), np.int64, n)


def is_binary(array: Floats) -> bool:
    return bool(np.all((array == 0.0) | (array == 1.0)))
