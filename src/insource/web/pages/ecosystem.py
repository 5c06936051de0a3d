"""The Hub as figures: each with its definition, what was published, ours, and all numbers as a file."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from insource.core.ecosystem_report import Drawn, Taken
from insource.core.errors import UsageError
from insource.web.desk import Ask, Desk
from insource.web.hub_drawings import drawing
from insource.wiring_choose import open_ecosystem
from insource.workflows.ecosystem.report import compared, counted, csv_text, reasons

_CSV = ".csv"


def show(desk: Desk, ask: Ask) -> Response:
    taken = _taken(desk)
    figures = [
        (
            found,
            drawing(found),
            compared(found.figure, found.values),
            counted(found),
            reasons(taken, found.figure),
        )
        for found in taken.drawn
    ]
    return desk.page("ecosystem", here="ecosystem", taken=taken, figures=figures)


def download(desk: Desk, ask: Ask) -> Response:
    id = ask.path["figure"].removesuffix(_CSV)
    found = _figure(_taken(desk), id)
    headers = {"content-disposition": f'attachment; filename="{found.figure.id}.csv"'}
    return PlainTextResponse(csv_text(found.rows), media_type="text/csv", headers=headers)


def _figure(taken: Taken, id: str) -> Drawn:
    found = next((each for each in taken.drawn if each.figure.id == id), None)
    if found is None:
        raise UsageError(f"There is no figure {id[:100]!r}.", next_step="The page of the ecosystem lists them.")
    return found


def _taken(desk: Desk) -> Taken:
    def take() -> Taken:
        with open_ecosystem(desk.services.settings) as ecosystem:
            return ecosystem.report()

    return desk.kept.get("ecosystem", take)
