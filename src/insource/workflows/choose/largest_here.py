"""Up to which size models run on a machine. A search over millions of models knows their sizes, not their shapes, so it
takes the shapes of the shipped table as examples of each size; `insource fit` answers for one model. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

from insource.core.hardware import Machine
from insource.fit.families import model_ids, spec_of_family
from insource.fit.memory import predict_memory
from insource.fit.values import RunSettings

QUANTIZATION = "Q4_K_M"
RUN = RunSettings(context_tokens=4096, slots=1)


def largest_here(machine: Machine) -> int:
    """In parameters; 0: not even the smallest fits. What can't be said of a model of the table counts for nothing."""
    specs = (spec_of_family(name, quantization=QUANTIZATION) for name in model_ids())
    judged = ((spec.parameters, predict_memory(spec, machine, RUN).fits) for spec in specs if spec is not None)
    return best_cut((size, fits) for size, fits in judged if fits is not None)


def best_cut(judged: Iterable[tuple[int, bool]]) -> int:
    """The size up to which most fit and above which fewest do; of several, the smallest."""
    rows = sorted(judged)
    wrong = sum(fits for _, fits in rows)
    cut, least = 0, wrong
    for size, group in groupby(rows, key=itemgetter(0)):
        wrong += sum(-1 if fits else 1 for _, fits in group)
        if wrong < least:
            cut, least = size, wrong
    return cut
