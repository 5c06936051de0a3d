"""All figures, and how they are taken of a connection with the view `models`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from insource.core.ecosystem_report import Cell, Drawn, Ground, Missing, Row, Taken
from insource.core.errors import UsageError
from insource.hub.report import descent, growth, usage
from insource.hub.report.figure import Figure
from insource.hub.report.prepare import count_stating, prepare
from insource.hub.report.reach import build_reach

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FIGURES: tuple[Figure, ...] = (*growth.FIGURES, *usage.FIGURES, *descent.FIGURES)


def choose(ids: Sequence[str]) -> tuple[Figure, ...]:
    """All of them, or those of the ids. Raises UsageError."""
    known = {figure.id: figure for figure in FIGURES}
    strangers = [id for id in ids if id not in known]
    if strangers:
        raise UsageError(f"There is no figure {strangers[0]!r}.", next_step=f"Choose of: {', '.join(known)}.")
    return tuple(known[id] for id in dict.fromkeys(ids)) or FIGURES


def take(
    connection: DuckDBPyConnection,
    figures: Sequence[Figure],
    *,
    organisations: Mapping[str, tuple[str, str]],
    source: str = "",
) -> Taken:
    """Rows and measures of each figure that the snapshot supports, and what is missing for the others."""
    ground = prepare(connection, organisations)
    drawn: list[Drawn] = []
    missing: list[Missing] = []
    reaching = False
    for figure in figures:
        lacks = tuple(ground.lacks[need] for need in figure.needs if need in ground.lacks)
        if not lacks and "base_models" in figure.needs and not reaching:
            build_reach(connection)
            reaching = True
        found = None if lacks else _draw(connection, figure, ground)
        if found is None or not found.rows:
            lacks = lacks or ("no model of the snapshot states all that it needs together",)
            missing.append(Missing(figure=figure, what=lacks))
        else:
            drawn.append(found)
    return Taken(source=source, ground=ground, drawn=tuple(drawn), missing=tuple(missing))


def _draw(connection: DuckDBPyConnection, figure: Figure, ground: Ground) -> Drawn:
    rows = _rows(connection, figure.sql)
    # Again as a part of the query, not as a table: a table does not keep the order of its rows.
    headline = f"WITH rows AS ({figure.sql}) FROM ({figure.headline})"
    values = _rows(connection, headline)[0] if figure.headline and rows else {}
    other = next((ground.others[need] for need in figure.needs if need in ground.others), None)
    stated = count_stating(connection, figure.needs) if other is None else other
    return Drawn(
        figure=figure, rows=rows, values=values, stated=stated, listed=ground.models if other is None else other
    )


def _rows(connection: DuckDBPyConnection, sql: str) -> tuple[Row, ...]:
    result = connection.execute(sql)
    names = [str(column[0]) for column in result.description or ()]
    return tuple(dict(zip(names, map(_cell, row), strict=True)) for row in result.fetchall())


def _cell(value: Any) -> Cell:
    if isinstance(value, Decimal | float):
        return float(f"{value:.14g}")  # the last digits of a sum hang on the order of its parts
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value
