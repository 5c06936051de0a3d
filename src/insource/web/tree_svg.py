"""A tree of descendants as an SVG picture: models from left to right by steps, one line of height for each end.

Colour is never alone: every model has its kind's letter beside it, and the legend says them. Names are escaped.
"""

from __future__ import annotations

from html import escape

from insource.core.ecosystem import TreeNode
from insource.web.tree_page import KIND_COLOURS, folded
from insource.workflows.ecosystem.names import safe_name

WIDTH_PX = 1200
"""Of up to seven steps; each further one widens the picture."""
_ROW_PX = 20
_TOP_PX = 64
_LEFT_PX = 16
_LONGEST_PX = 330
"""Of one step: names of up to 46 letters at this size."""
_SHORTEST_PX = 160
_LETTER_PX = 6.7
"""Of the 12 px type, on average."""


class _Place:
    """Where a line of the picture is."""

    def __init__(self, item: TreeNode | str, level: int, parent: int) -> None:
        self.node = None if isinstance(item, str) else item
        self.text = item if isinstance(item, str) else _label(item)
        self.count = "" if isinstance(item, str) else _count(item)
        self.level = level
        self.parent = parent
        self.row = 0.0


def tree_svg(root: TreeNode) -> str:
    places = _lay_out(root)
    levels = 1 + max(place.level for place in places)
    step = max(_SHORTEST_PX, min(_LONGEST_PX, (WIDTH_PX - 2 * _LEFT_PX) / levels))
    width = round(max(WIDTH_PX, step * levels + 2 * _LEFT_PX))
    rows = sum(1 for place in places if not _has_below(place))
    height = _TOP_PX + _ROW_PX * (rows + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{_LEFT_PX}" y="22" font-size="16" fill="#1c1f23">What was built on {escape(safe_name(root.id))}: '
        f"{root.direct:,} direct, {root.transitive:,} in all</text>",
        _legend(),
    ]
    parts += [_drawn_line(place, places[place.parent], step) for place in places if place.parent >= 0]
    parts += [_drawn(place, step) for place in places]
    return "".join(parts) + "</svg>\n"


def _lay_out(root: TreeNode) -> list[_Place]:
    """In the order of the picture's lines, without recursion; a parent stands in the middle of its children."""
    places: list[_Place] = []
    waiting: list[tuple[TreeNode | str, int, int]] = [(root, 0, -1)]
    while waiting:
        item, level, parent = waiting.pop()
        mine = len(places)
        places.append(_Place(item, level, parent))
        if isinstance(item, str):
            continue
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


def _has_below(place: _Place) -> bool:
    return place.node is not None and bool(place.node.children or (place.node.folded and not place.node.shown_above))


def _label(node: TreeNode) -> str:
    return (f"{node.kind[0].upper()} " if node.kind else "") + safe_name(node.id)


def _count(node: TreeNode) -> str:
    return (f" ({node.transitive:,})" if node.transitive else "") + (" ↑" if node.shown_above else "")


def _shown(place: _Place, step: float) -> str:
    """The label as long as there is room to the next step, or to the picture's end; the count is never cut off."""
    last = max(step, WIDTH_PX - _LEFT_PX - place.level * step)
    room = step - 22 if _has_below(place) else last - 12
    most = max(8, int(room / _LETTER_PX))
    if len(place.text) + len(place.count) <= most:
        return place.text + place.count
    return place.text[: max(3, most - 1 - len(place.count))] + "…" + place.count


def _drawn_line(place: _Place, above: _Place, step: float) -> str:
    """From the end of the upper label to the dot."""
    label_px = 12 + _LETTER_PX * len(_shown(above, step))
    from_x, from_y = _LEFT_PX + above.level * step + min(label_px, step - 30), _y(above)
    x, y = _LEFT_PX + place.level * step - 5, _y(place)
    middle = (from_x + x) / 2
    return (
        f'<path d="M{from_x:.1f} {from_y:.1f} C{middle:.1f} {from_y:.1f} {middle:.1f} {y:.1f} {x:.1f} {y:.1f}" '
        'fill="none" stroke="#c3c9d0"/>'
    )


def _drawn(place: _Place, step: float) -> str:
    x, y = _LEFT_PX + place.level * step, _y(place)
    colour = KIND_COLOURS.get(place.node.kind if place.node else "", KIND_COLOURS[""])
    style = ' font-style="italic" fill="#5b626b"' if place.node is None else ' fill="#1c1f23"'
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' if place.node else ""
    return (
        f"<g><title>{escape(place.text + place.count)}</title>{dot}"
        f'<text x="{x + 7:.1f}" y="{y + 4:.1f}"{style}>{escape(_shown(place, step))}</text></g>'
    )


def _y(place: _Place) -> float:
    return _TOP_PX + _ROW_PX * (place.row + 0.5)


def _legend() -> str:
    parts: list[str] = []
    x = _LEFT_PX
    for kind in ("finetune", "adapter", "quantized", "merge"):
        parts.append(
            f'<circle cx="{x + 4}" cy="42" r="4" fill="{KIND_COLOURS[kind]}"/>'
            f'<text x="{x + 12}" y="46" fill="#4a5058">{kind[0].upper()} {kind}</text>'
        )
        x += 110
    note = "in brackets: descendants over any number of steps; ↑ its own tree is at its other place"
    return "".join(parts) + f'<text x="{x}" y="46" fill="#4a5058">{note}</text>'
