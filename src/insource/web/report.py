"""The plan as one self-contained HTML page: no script, no request to anywhere, text from the traffic always escaped."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec

from jinja2 import Environment
from markupsafe import Markup

from insource.core.evidence import Figures, Interval
from insource.web.shown import sentence
from insource.workflows.choose.offer import offer_line
from insource.workflows.plan import Plan


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _interval(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} – {100 * interval.high:.1f} %"


def _usd(value: float) -> str:
    return f"${value:,.2f}"


def _flips(figures: Figures) -> str:
    p_value = "" if figures.mcnemar_p is None else f", McNemar p = {figures.mcnemar_p:.3g}"
    return f"{figures.worse} worse, {figures.better} better{p_value}"


def render(plan: Plan) -> str:
    """The page as a string. Deterministic for a plan."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        percent=_percent, interval=_interval, usd=_usd, flips=_flips, line=offer_line, sentence=sentence
    )
    template = environment.from_string((files("insource.web") / "templates/report.html.j2").read_text("utf-8"))
    return template.render(plan=plan, **_drawn(plan))


def _drawn(plan: Plan) -> dict[str, Markup]:
    """The figures; none without the extra `charts`: the table says the same."""
    if any(find_spec(name) is None for name in ("altair", "vl_convert")):
        return {}
    from insource.web import charts

    # The SVGs are drawn by vl-convert from our own definitions; the texts in them are escaped by it.
    return {
        "requests_svg": Markup(charts.requests_chart(plan)),
        "difference_svg": Markup(charts.difference_chart(plan)),
        "spend_svg": Markup(charts.spend_chart(plan)),
    }
