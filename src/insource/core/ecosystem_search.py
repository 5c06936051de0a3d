"""What the ecosystem can be searched for, and what a search finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from insource.core.ecosystem import LicenceClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """All that is given must hold; "" and None ask nothing."""

    text: str = ""
    """Words that the id holds, in any order and case."""
    family: str = ""
    """The id of a model: it and what descends from it with it as its most downloaded root."""
    licence_class: LicenceClass | None = None
    """Of the model's own label; the page of one model tells its chain's."""
    task: str = ""
    language: str = ""
    least_parameters: int | None = None
    most_parameters: int | None = None
    by_growth: bool = False
    """Order: what is built upon fastest; else the most downloaded first."""
    rows: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    id: str
    parameters: int | None
    task: str | None
    license: str | None
    downloads: int | None
    """Of the last 30 days."""
    derivatives: int | None
    """All descendants; None: this source holds no lineage."""
    derivatives_a_week: float | None
    """Direct ones, over the last four weeks of which parents are stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    found: int
    """Models that match, shown or not."""
    listed: int
    unstated: int
    """Models that do not state what was asked for (size, task, language or licence), and so can't match."""
    hits: Sequence[Hit]
