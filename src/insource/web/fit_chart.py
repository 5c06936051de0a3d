"""What a model takes on each device, as one Vega-Lite definition drawn to SVG: the picture of `insource fit`."""

from __future__ import annotations

import altair as alt
import vl_convert

from insource.fit.values import PARTS, MemoryPrediction

_COLOURS = ("#1b7f5c", "#5b4b9a", "#c77d1e", "#b9bec7", "#eef0f3")
_GIB = 2**30
_WIDTH_PX = 620
_ROW_PX = 44

Row = dict[str, str | float]


def memory_svg(memory: MemoryPrediction, *, title: str) -> str:
    """One bar a device, in GiB, with the memory that is free now as a dashed line."""
    data: list[Row] = [
        {"device": device.device, "part": part, "order": order, "gib": size / _GIB}
        for device in memory.devices
        for order, (part, size) in enumerate(zip(PARTS, device.part_bytes, strict=True))
    ]
    free: list[Row] = [{"device": device.device, "gib": device.free_bytes / _GIB} for device in memory.devices]
    names = [device.device for device in memory.devices]
    y_axis = alt.Y("device:N", title=None, sort=names)
    bars = (
        alt.Chart(alt.Data(values=data))
        .mark_bar()
        .encode(
            x=alt.X("sum(gib):Q", title="memory (GiB); the dashed line is what is free now"),
            y=y_axis,
            color=alt.Color(
                "part:N",
                title=None,
                sort=list(PARTS),
                scale=alt.Scale(domain=list(PARTS), range=list(_COLOURS)),
                legend=alt.Legend(orient="top"),
            ),
            order=alt.Order("order:Q"),
        )
    )
    line = (
        alt.Chart(alt.Data(values=free))
        .mark_tick(color="#b3261e", thickness=2, size=_ROW_PX * 0.8, strokeDash=[4, 3])
        .encode(x="gib:Q", y=y_axis)
    )
    chart = (bars + line).properties(
        width=_WIDTH_PX, height=_ROW_PX * len(names), background="white", title=alt.TitleParams(title, anchor="start")
    )
    return vl_convert.vegalite_to_svg(chart.to_json())
