"""The figures of the report: one Vega-Lite definition each (Altair), drawn to SVG by vl-convert. Colour is never the
only carrier of a meaning: every bar and point has its words beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import vl_convert

from insource.core.evidence import Verdict
from insource.workflows.plan import Plan, PlanRow

Row = dict[str, str | float]

_WIDTH_PX = 620
_ROW_PX = 30
_GROUND = "transparent"
WHERE = ("answered here, certified", "answered here, pinned", "hosted")
_WHERE_COLOURS = ("#1b7f5c", "#5b4b9a", "#b9bec7")


def _label(row: PlanRow) -> str:
    return row.report.task.name if len(row.report.task.name) <= 34 else row.report.task.name[:33] + "…"


def _svg(chart: alt.TopLevelMixin) -> str:
    return vl_convert.vegalite_to_svg(chart.to_json())


def _height(rows: Sequence[object]) -> int:
    return _ROW_PX * max(len(rows), 1)


def requests_chart(plan: Plan) -> str:
    """Where each task's requests go after the plan, as shares of all exchanges."""
    data: list[Row] = []
    for row in plan.rows:
        pinned = float(row.verdict is Verdict.PIN)
        here = row.coverage
        for where, share in zip(WHERE, (here, pinned, 1 - here - pinned), strict=True):
            data.append({"task": _label(row), "where": where, "exchanges": share * row.exchanges})
    chart = (
        alt.Chart(alt.Data(values=data))
        .mark_bar()
        .encode(
            x=alt.X("exchanges:Q", title="exchanges in the log"),
            y=alt.Y("task:N", title=None, sort=[_label(row) for row in plan.rows]),
            color=alt.Color(
                "where:N",
                title="after the moves",
                scale=alt.Scale(domain=list(WHERE), range=list(_WHERE_COLOURS)),
                legend=alt.Legend(orient="top"),
            ),
            order=alt.Order("where:N"),
        )
        .properties(width=_WIDTH_PX, height=_height(plan.rows), background=_GROUND)
    )
    return _svg(chart)


def difference_chart(plan: Plan) -> str:
    """Quality lost against the hosted answers, measured, with its interval, and the margin that is accepted."""
    data: list[Row] = []
    margin = 0.0
    for row in plan.rows:
        evaluation = row.evaluation
        figures = evaluation and (evaluation.covered or evaluation.overall)
        if evaluation is None or figures is None:
            continue
        margin = evaluation.margin
        data.append(
            {
                "task": _label(row),
                "verdict": row.verdict.value,
                "low": 100 * figures.difference_interval.low,
                "mid": 100 * figures.difference,
                "high": 100 * figures.difference_interval.high,
            }
        )
    base = alt.Chart(alt.Data(values=data)).encode(
        y=alt.Y("task:N", title=None, sort=[str(item["task"]) for item in data])
    )
    title = "quality lost when answered here (points; left of the dashed line is within the margin)"
    line = base.mark_rule(strokeWidth=2, color="#5a6270").encode(x=alt.X("low:Q", title=title), x2="high:Q")
    point = base.mark_point(filled=True, size=90, color="#1d2430", opacity=1).encode(x="mid:Q", shape="verdict:N")
    words = base.mark_text(align="left", dx=8, dy=-9, color="#5a6270").encode(x="mid:Q", text="verdict:N")
    at_margin = (
        alt.Chart(alt.Data(values=[{"margin": 100 * margin}]))
        .mark_rule(strokeDash=[5, 4], color="#b3261e")
        .encode(x="margin:Q")
    )
    chart = (line + point + words + at_margin).properties(width=_WIDTH_PX, height=_height(data), background=_GROUND)
    return _svg(chart)


def spend_chart(plan: Plan) -> str:
    """What each task's hosted calls cost now and after the moves."""
    data: list[Row] = []
    for row in plan.rows:
        data.append({"task": _label(row), "when": "now", "usd": row.spend.total_usd})
        data.append({"task": _label(row), "when": "after", "usd": row.spend_after_usd})
    chart = (
        alt.Chart(alt.Data(values=data))
        .mark_bar()
        .encode(
            x=alt.X("usd:Q", title="US dollars for the exchanges in the log"),
            y=alt.Y("task:N", title=None, sort=[_label(row) for row in plan.rows]),
            yOffset=alt.YOffset("when:N", sort=["now", "after"]),
            color=alt.Color(
                "when:N",
                title="hosted calls",
                sort=["now", "after"],
                scale=alt.Scale(domain=["now", "after"], range=["#b9bec7", "#1b7f5c"]),
                legend=alt.Legend(orient="top"),
            ),
        )
        .properties(width=_WIDTH_PX, height=int(1.3 * _height(plan.rows)), background=_GROUND)
    )
    return _svg(chart)
