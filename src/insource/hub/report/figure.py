"""What `hub/` adds to a figure's text: the SQL that answers its question."""

from __future__ import annotations

from dataclasses import dataclass

from insource.core import ecosystem_report as values


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure(values.Figure):
    sql: str
    """Over the tables of `prepare.py`; its rows are the figure's data, in their order."""
    headline: str | None = None
    """SQL of one row, with a column for each measure; over `rows` too, the figure's own data."""
