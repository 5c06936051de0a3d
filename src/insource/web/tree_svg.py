"""A tree of descendants as an SVG picture: models from left to right by steps, one line of height for each end.

Colour is never alone: every model has its kind's letter beside it, and the legend says them. Names are escaped.
"""

from __future__ import annotations

from html import escape

from insource.web.tree_page import KIND_COLOURS, folded
from insource.workflows.hub_lineage import TreeNode, safe_name

WIDTH_PX = 1200
_ROW_PX = 20
_TOP_PX = 64
_LEFT_PX = 16
_LONGEST_PX = 330
"""Of one step: names of up to 46 letters at this size."""
_LETTER_PX = 6.7
"""Of the 12 px type, on average."""


class _Place:
    """Where a line of the picture is."""

    def __init__(self, node: TreeNode | None, text: str, level: int, parent: int) -> None:
        self.node = node
        self.text = text
        self.level = level
        self.parent = parent
        self.row = 0.0


def tree_svg(root: TreeNode) -> str:
    places = _lay_out(root)
    levels = 1 + max(place.level for place in places)
    step = min(_LONGEST_PX, (WIDTH_PX - 2 * _LEFT_PX) / levels)
    rows = sum(1 for place in places if not _has_below(places, place))
    height = _TOP_PX + _ROW_PX * (rows + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{height}" '
        f'viewBox="0 0 {WIDTH_PX} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH_PX}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT_PX}" y="22" font-size="16" fill="#1c1f23">What was built on {escape(safe_name(root.id))}: '
        f"{root.direct:,} direct, {root.transitive:,} in all</text>",
        _legend(),
    ]
    for place in places:
        parts.append(_drawn(place, places, step))
    return "".join(parts) + "</svg>\n"


def _lay_out(root: TreeNode) -> list[_Place]:
    """In the order of the picture's lines, without recursion; a parent stands in the middle of its children."""
    places: list[_Place] = []
    waiting: list[tuple[TreeNode | str, int, int]] = [(root, 0, -1)]
    while waiting:
        item, level, parent = waiting.pop()
        mine = len(places)
        if isinstance(item, str):
            places.append(_Place(None, item, level, parent))
            continue
        places.append(_Place(item, _label(item), level, parent))
        if item.folded and not item.shown_above:
            waiting.append((folded(item), level + 1, mine))
        waiting += [(child, level + 1, mine) for child in reversed(item.children)]
    below: dict[int, list[_Place]] = {}
    for place in places:
        below.setdefault(place.parent, []).append(place)
    row = 0
    for index, place in enumerate(places):
        if index not in below:
            place.row, row = float(row), row + 1
    for index in range(len(places) - 1, -1, -1):
        if index in below:
            places[index].row = (below[index][0].row + below[index][-1].row) / 2
    return places


def _has_below(places: list[_Place], place: _Place) -> bool:
    return place.node is not None and bool(place.node.children or (place.node.folded and not place.node.shown_above))


def _label(node: TreeNode) -> str:
    letter = f"{node.kind[0].upper()} " if node.kind else ""
    count = f" ({node.transitive:,})" if node.transitive else ""
    return f"{letter}{safe_name(node.id)}{count}{' …see its other place' if node.shown_above else ''}"


def _drawn(place: _Place, places: list[_Place], step: float) -> str:
    x, y = _LEFT_PX + place.level * step, _TOP_PX + _ROW_PX * (place.row + 0.5)
    colour = KIND_COLOURS.get(place.node.kind if place.node else "", KIND_COLOURS[""])
    line = ""
    if place.parent >= 0:
        above = places[place.parent]
        from_x, from_y = _LEFT_PX + above.level * step + 4, _TOP_PX + _ROW_PX * (above.row + 0.5)
        line = (
            f'<path d="M{from_x:.1f} {from_y:.1f} C{x - step / 4:.1f} {from_y:.1f} {x - step / 3:.1f} {y:.1f} '
            f'{x - 4:.1f} {y:.1f}" fill="none" stroke="#c3c9d0"/>'
        )
    room = WIDTH_PX - x - 12 if place.node is None or not _has_below(places, place) else step - 14
    most = max(6, int(room / _LETTER_PX))
    text = place.text if len(place.text) <= most else place.text[: most - 1] + "…"
    style = ' font-style="italic" fill="#5b626b"' if place.node is None else ' fill="#1c1f23"'
    halo = 'stroke="#fff" stroke-width="3" paint-order="stroke"'
    title = f"<title>{escape(place.text)}</title>"
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' if place.node else ""
    return f'<g>{title}{line}{dot}<text x="{x + 7:.1f}" y="{y + 4:.1f}"{style} {halo}>{escape(text)}</text></g>'


def _legend() -> str:
    parts: list[str] = []
    x = _LEFT_PX
    for kind in ("finetune", "adapter", "quantized", "merge"):
        parts.append(
            f'<circle cx="{x + 4}" cy="42" r="4" fill="{KIND_COLOURS[kind]}"/>'
            f'<text x="{x + 12}" y="46" fill="#4a5058">{kind[0].upper()} {kind}</text>'
        )
        x += 110
    note = "in brackets: descendants over any number of steps"
    return "".join(parts) + f'<text x="{x}" y="46" fill="#4a5058">{note}</text>'
