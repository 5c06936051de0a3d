"""Labels that look wrong: a classifier that did not see them is sure that they are others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from insource.adapt.familiarity import FittedFamiliarity, fit_familiarity
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.evals.suspicious import label_noise
from insource.traffic.resolve import resolve_task
from insource.workflows.prove.task_log import TaskLog, has_labels, read_task_log
from insource.workflows.services import Services

NAMED = 0.02
"""Estimated share of wrong labels from which it is said."""
_LEAST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    exchange_id: str
    text: str
    label: str
    looks_like: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Of the fit part, which may be looked at."""

    share: float = 0.0
    """Estimated."""
    suspects: tuple[Suspect, ...] = ()
    """The surest first."""
    looked_at: int = 0

    @property
    def sentence(self) -> str | None:
        if self.share < NAMED:
            return None
        listed = f"{len(self.suspects)} of {self.looked_at} looked at"
        return f"About {self.share:.1%} of the labels look wrong ({listed})."


def suspects_of(services: Services, task_name: str) -> tuple[Suspect, ...]:
    log = read_task_log(services, resolve_task(services.registry.tasks(), task_name))
    return noise_of(log).suspects


def noise_of(log: TaskLog) -> Noise:
    fit = [example for example in log.of("fit") if example.teaches]
    if not has_labels(log) or len(fit) < _LEAST:
        return Noise()
    try:
        return _noise(log, fit, fit_familiarity(fit, log.labels))
    except BadInput:
        return Noise()


def _noise(log: TaskLog, fit: Sequence[Example], familiar: FittedFamiliarity) -> Noise:
    known = [(e, probabilities) for e in fit if (probabilities := familiar.held_out[e.exchange_id].probabilities)]
    labels = list(next((probabilities for _, probabilities in known), {}))
    rows = [(e, probabilities) for e, probabilities in known if log.canonical(e) in labels]
    if len(rows) < _LEAST:
        return Noise()
    matrix = np.array([list(probabilities.values()) for _, probabilities in rows])
    given = np.array([labels.index(log.canonical(e)) for e, _ in rows], dtype=np.int64)
    found = label_noise(matrix, given)
    suspects = tuple(
        Suspect(
            exchange_id=rows[at][0].exchange_id,
            text=rows[at][0].text,
            label=labels[int(given[at])],
            looks_like=labels[int(matrix[at].argmax())],
            probability=float(matrix[at].max()),
        )
        for at in found.suspects
    )
    return Noise(share=found.share, suspects=suspects, looked_at=len(rows))
