"""The report on the Hub as pictures and as a page: one Vega-Lite definition a figure (Altair), drawn by vl-convert.

The page is self-contained: pictures are inline, there is no script, nothing is fetched. Names of accounts and models
are strangers' text: the template escapes them, and vl-convert escapes them inside of the pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import altair as alt
import vl_convert
from jinja2 import Environment
from markupsafe import Markup

from insource.core.ecosystem_report import Cell, Drawn, Row, Scale, Taken
from insource.hub.report.prepare import BAND_NAMES
from insource.workflows.ecosystem.report import compared, counted, csv_text, reasons, report_json

Made = alt.Chart | alt.LayerChart | alt.FacetChart

_WIDTH_PX = 900
_HEIGHT_PX = 380
_ROW_PX = 22
_LONGEST_LABEL = 42
_COLOURS = ("#1b7f5c", "#5b4b9a", "#c77d1e", "#3b6fb6", "#b3261e", "#7a8793", "#8c6d31", "#c25b92")
_BLUE = "#3b6fb6"
_SHADES = ("#cfe8dd", "#8cc7ae", "#f0c27b", "#c77d1e", "#7d3f00")
"""Of sizes, small to large."""


def chart(found: Drawn, *, basis: str) -> alt.TopLevelMixin:
    """The figure's Vega-Lite definition with its data. `basis`, of what it is drawn, stands under its title: pictures
    travel without their page."""
    drawn = found.figure.chart
    data = alt.Data(values=[_shown(row) for row in found.rows])
    base = alt.Chart(data)
    made = {"bar": _bars, "stacked": _stacked, "line": _lines, "points": _points, "cells": _cells}[drawn.kind](
        base, found
    )
    return (
        made.configure_axis(labelLimit=330, labelFontSize=12, titleFontSize=12, grid=True)
        .configure_view(strokeOpacity=0)
        .configure_legend(labelLimit=300, labelFontSize=12)
        .configure_title(fontSize=16, subtitleFontSize=12, subtitleColor="#5a6270", anchor="start", offset=12)
        .properties(background="white", width=_WIDTH_PX, title=alt.TitleParams(text=found.figure.title, subtitle=basis))
    )


def _shown(row: Row) -> dict[str, Cell]:
    return {name: _short(value) if isinstance(value, str) else value for name, value in row.items()}


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"


def _names(found: Drawn, column: str) -> list[str]:
    """In the order of the rows, as they are shown."""
    return list(dict.fromkeys(_short(str(row[column])) for row in found.rows))


def _scale(kind: Scale) -> alt.Scale:
    return alt.Scale(type="log", nice=False) if kind == "log" else alt.Scale(zero=True)


def _colour(found: Drawn) -> alt.Color | alt.ColorValue:
    drawn = found.figure.chart
    if drawn.colour is None:
        return alt.ColorValue(_BLUE)
    names = list(drawn.order) or sorted(_names(found, drawn.colour))
    colours = _COLOURS
    if set(names) <= set(BAND_NAMES):
        names, colours = list(BAND_NAMES), _SHADES
    scale = alt.Scale(domain=names, range=[colours[i % len(colours)] for i in range(len(names))])
    legend = alt.Legend(orient="top", columns=6)
    return alt.Color(drawn.colour, type="nominal", title=drawn.colour_title, scale=scale, legend=legend)


def _bars(base: alt.Chart, found: Drawn) -> Made:
    drawn, rows = found.figure.chart, _names(found, found.figure.chart.y)
    grouped = drawn.colour is not None and bool(drawn.order)
    each = len(drawn.order) if grouped else 1
    y = alt.Y(drawn.y, type="nominal", title=drawn.y_title, sort=rows)
    # A logarithmic bar has no zero to begin at: points on lines don't pretend one.
    log = drawn.scale == "log"
    x = alt.X(drawn.x, type="quantitative", title=drawn.x_title, scale=_scale(drawn.scale), axis=_axis())
    encoded = base.encode(x=x, y=y, color=_colour(found))
    if grouped:
        encoded = encoded.encode(yOffset=alt.YOffset(drawn.colour or "", type="nominal", sort=list(drawn.order)))
    marks = encoded.mark_circle(size=90, opacity=1) if log else encoded.mark_bar()
    words = encoded.mark_text(align="left", dx=8 if log else 4, fontSize=11).encode(
        text=alt.Text(drawn.x, type="quantitative", format=",.3~r"), color=alt.value("#1d2430")
    )
    return alt.layer(marks, words).properties(height=_ROW_PX * len(rows) * (1 if each == 1 else 0.75 * each))


def _axis() -> alt.Axis:
    """1,500 as it is, 15k, 1.5M; and 0.04, which a format with prefixes calls 40m."""
    short = "datum.value < 10000 ? format(datum.value, ',.3~r') : format(datum.value, '~s')"
    return alt.Axis(labelExpr=short, labelOverlap="greedy", labelSeparation=8, tickCount=10)


def _stacked(base: alt.Chart, found: Drawn) -> Made:
    """Shares of a whole, whose number of models stands beside its name: one of five models is no trend."""
    drawn = found.figure.chart
    counts = Counter[str]()
    for row in found.rows:
        counts[_short(str(row[drawn.y]))] += int(row["models"] or 0)
    named = {name: f"{name} ({count:,})" for name, count in counts.items()}
    order = {name: at for at, name in enumerate(BAND_NAMES)}
    rows = [
        {**shown, "_name": named[str(shown[drawn.y])], "_order": order.get(str(shown[drawn.colour or ""]), 0)}
        for shown in map(_shown, found.rows)
    ]
    return (
        base.properties(data=alt.Data(values=rows))
        .mark_bar()
        .encode(
            x=alt.X(
                drawn.x,
                type="quantitative",
                title=drawn.x_title,
                scale=alt.Scale(domain=[0, 100], nice=False),
                axis=alt.Axis(tickCount=10),
            ),
            y=alt.Y("_name", type="nominal", title=f"{drawn.y_title} (models)", sort=list(named.values())),
            color=_colour(found),
            order=alt.Order("_order", type="quantitative"),
        )
        .properties(height=_ROW_PX * len(named))
    )


def _lines(base: alt.Chart, found: Drawn) -> Made:
    drawn = found.figure.chart
    temporal = drawn.x in ("month", "week", "year")
    form, ticks = ("%Y", alt.TimeInterval("year")) if drawn.x == "year" else ("%b %Y", alt.Undefined)
    dates = alt.Axis(format=form, tickCount=ticks, labelOverlap="greedy", labelSeparation=8)
    x = (
        alt.X(drawn.x, type="temporal", title=drawn.x_title, axis=dates)
        if temporal
        else alt.X(drawn.x, type="quantitative", title=drawn.x_title, scale=_scale("log"), axis=_axis())
    )
    y = alt.Y(drawn.y, type="quantitative", title=drawn.y_title, scale=_scale(drawn.scale), axis=_axis())
    mark = base.mark_line(point=len(found.rows) < 120, strokeWidth=2)
    return mark.encode(x=x, y=y, color=_colour(found)).properties(height=_HEIGHT_PX)


def _points(base: alt.Chart, found: Drawn) -> Made:
    drawn = found.figure.chart
    encoded = base.encode(
        x=alt.X(drawn.x, type="quantitative", title=drawn.x_title, scale=_scale(drawn.scale), axis=_axis()),
        y=alt.Y(drawn.y, type="quantitative", title=drawn.y_title, scale=_scale(drawn.scale), axis=_axis()),
        color=_colour(found),
    )
    marks = encoded.mark_point(filled=True, size=80, opacity=0.9).encode(
        shape=alt.Shape(
            drawn.colour or "",
            type="nominal",
            title=drawn.colour_title,
            scale=alt.Scale(domain=sorted(_names(found, drawn.colour or ""))),
            legend=alt.Legend(orient="top", columns=6),
        )
    )
    words = (
        encoded.transform_filter(f"datum['{drawn.label}'] != null")
        .mark_text(align="left", dx=8, fontSize=11, limit=260)
        .encode(text=alt.Text(drawn.label or "", type="nominal"), color=alt.value("#1d2430"))
    )
    return alt.layer(marks, words).properties(height=480)


def _cells(base: alt.Chart, found: Drawn) -> Made:
    drawn, rows = found.figure.chart, _names(found, found.figure.chart.y)
    x = alt.X(
        drawn.x, type="nominal", title=drawn.x_title, sort=list(drawn.order), axis=alt.Axis(labelAngle=0, grid=False)
    )
    y = alt.Y(drawn.y, type="nominal", title=drawn.y_title, sort=rows, axis=alt.Axis(grid=False))
    encoded = base.encode(x=x, y=y)
    colour = alt.Color(
        drawn.colour or "",
        type="quantitative",
        title=drawn.colour_title,
        scale=alt.Scale(type="log", scheme="greens"),
        legend=None,
    )
    words = encoded.mark_text(fontSize=11).encode(
        text=alt.Text(drawn.colour or "", type="quantitative", format=".2~g"), color=alt.value("#1d2430")
    )
    return alt.layer(encoded.mark_rect(opacity=0.6).encode(color=colour), words).properties(
        height=_ROW_PX * len(rows) + 10
    )


def svg(definition: str) -> str:
    return vl_convert.vegalite_to_svg(definition)


def png(definition: str) -> bytes:
    return vl_convert.vegalite_to_png(definition, scale=1.0)


def render(report: Taken, pictures: Mapping[str, str]) -> str:
    """The page. Pictures: SVG by figure id."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files("insource.web") / "templates/hub_report.html.j2").read_text("utf-8"))
    inline = {id: Markup(picture) for id, picture in pictures.items()}
    return template.render(
        report=report,
        pictures=inline,
        compared=compared,
        counted=counted,
        reasons=reasons,
        head=report_json(report)["snapshot"],
    )


def _basis(report: Taken, found: Drawn) -> str:
    ground, figure = report.ground, found.figure
    other = next((name for name in ground.others if name in figure.needs), None)
    if other is not None:
        return f"{ground.others[other]:,} {other} of their newest snapshot"
    sample = ", a sample" if ground.is_sample else ""
    uses = f"; uses: {ground.basis}" if "uses" in figure.needs else ""
    return f"{found.stated:,} of {ground.models:,} models of {report.source}{sample}{uses}"


def write(report: Taken, folder: Path) -> Path:
    """The page, and of each figure the Vega-Lite definition, SVG, PNG and CSV. Returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, str] = {}
    for found in report.drawn:
        definition, id = chart(found, basis=_basis(report, found)).to_json(), found.figure.id
        pictures[id] = svg(definition)
        (folder / f"{id}.vl.json").write_text(definition, "utf-8")
        (folder / f"{id}.svg").write_text(pictures[id], "utf-8")
        (folder / f"{id}.png").write_bytes(png(definition))
        (folder / f"{id}.csv").write_text(csv_text(found.rows), "utf-8")
    for item in report.missing:  # of a run before, which would pass for this one's
        for kind in ("vl.json", "svg", "png", "csv"):
            (folder / f"{item.figure.id}.{kind}").unlink(missing_ok=True)
    page = folder / "report.html"
    page.write_text(render(report, pictures), "utf-8")
    return page
