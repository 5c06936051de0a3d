"""Models: the files on this machine, a search of the ecosystem, and one model with its facts and licence chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from starlette.responses import Response

from insource.core.ecosystem import LicenceClass, Page
from insource.core.ecosystem_search import Search
from insource.core.errors import InsourceError
from insource.web import lineage
from insource.web.desk import Ask, Desk
from insource.wiring import open_models
from insource.wiring_choose import open_ecosystem, open_fits
from insource.workflows.files.model_stores import list_models

_ROWS = 40
_REACH: Mapping[int, tuple[int, int]] = {lineage.FEW: (4, 12), lineage.MANY: (12, 400)}
"""Steps down, and children of each model, for so many models drawn."""


def listed(desk: Desk, ask: Ask) -> Response:
    settings = desk.services.settings
    search = _search(ask)
    hits, problem = None, None
    if ask.query.keys() & {"text", "licence", "growing", "least", "most"}:
        try:
            with open_ecosystem(settings) as ecosystem:
                hits = ecosystem.search(search)
        except InsourceError as error:
            problem = error
    files = desk.kept.get("model files", lambda: list_models(open_models(settings), fits=open_fits(settings)))
    return desk.page(
        "models",
        here="models",
        search=search,
        query=ask.query,
        classes=get_args(LicenceClass),
        hits=hits,
        problem=problem,
        files=files,
    )


def _search(ask: Ask) -> Search:
    licence: LicenceClass | None = next(
        (each for each in get_args(LicenceClass) if each == ask.query.get("licence")), None
    )
    return Search(
        text=ask.query.get("text", "").strip()[:200],
        licence_class=licence,
        least_parameters=_billions(ask.query.get("least", "")),
        most_parameters=_billions(ask.query.get("most", "")),
        by_growth="growing" in ask.query,
        rows=_ROWS,
    )


def _billions(text: str) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return round(value * 1e9) if 0 <= value < 1e6 else None


def show(desk: Desk, ask: Ask) -> Response:
    id = ask.path["model"]
    settings = desk.services.settings

    def read() -> Page:
        with open_ecosystem(settings) as ecosystem:
            return ecosystem.page(id)

    most = lineage.MANY if "all" in ask.query else lineage.FEW

    depth, children = _REACH[most]

    def draw() -> lineage.Lineage | InsourceError:
        try:
            with open_ecosystem(settings) as ecosystem:
                return lineage.draw(ecosystem.tree(id, depth=depth, most=children), most=most)
        except InsourceError as error:
            return error

    page = desk.kept.get(("model", id), read)
    drawn = desk.kept.get(("lineage", id, most), draw)
    if isinstance(drawn, InsourceError):
        return desk.page("model", here="models", page=page, drawn=None, problem=drawn, most=most)
    return desk.page("model", here="models", page=page, drawn=drawn, problem=None, most=most)
