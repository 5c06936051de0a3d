"""Where requests go, as bands from tasks to what became of them: the geometry of a drawing. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from insource.core.log_figures import Way

ENDS = ("hosted", "answered here", "here, with private data", "refused or not answered")
_COLOURS = (0, 1, 4, 5)
_MOST_TASKS = 7
_REST = "other tasks"
_NONE = "no task yet"
_NARROW_PX = 360
_WIDE_PX = 1_000
_LETTER_PX = 7.4
"""Of the 13 px type, at most on average."""
_LABEL_PX = 18
"""Least distance of two labels."""
_GAP_PX = 10
_HEIGHT_PX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    x: float
    y: float
    height: float
    colour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    path: str
    colour: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    width: int
    height: int
    bands: tuple[Band, ...]
    blocks: tuple[Block, ...]
    labels: tuple[Label, ...]
    summary: str


def flows(ways: Iterable[Way], names: Mapping[str, str]) -> tuple[Flow, ...]:
    """The same for a wide and for a narrow page; none where nothing was asked."""
    counts = sums(ways, names)
    return tuple(_draw(counts, width) for width in (_WIDE_PX, _NARROW_PX)) if counts else ()


def sums(ways: Iterable[Way], names: Mapping[str, str]) -> dict[str, Counter[str]]:
    """Requests by task and end, the most frequent task first; what is rare is put together."""
    by_task: dict[str, Counter[str]] = {}
    for way in ways:
        counts = by_task.setdefault(names.get(way.task_id, _NONE), Counter())
        if way.upstream == "none":
            counts[ENDS[3]] += way.exchanges
        elif way.upstream.startswith("engine:"):
            counts[ENDS[2]] += way.private
            counts[ENDS[1]] += way.exchanges - way.private
        else:
            counts[ENDS[0]] += way.exchanges
    ranked = sorted(by_task.items(), key=lambda item: (-item[1].total(), item[0]))
    shown = dict(ranked[:_MOST_TASKS])
    for _, counts in ranked[_MOST_TASKS:]:
        shown.setdefault(_REST, Counter()).update(counts)
    return {name: counts for name, counts in shown.items() if counts.total()}


def _draw(counts: Mapping[str, Counter[str]], width: int) -> Flow:
    ends = [end for end in ENDS if any(each[end] for each in counts.values())]
    total = sum(each.total() for each in counts.values())
    side_px = 300 if width == _WIDE_PX else 118
    height = _HEIGHT_PX + (_GAP_PX + 2 * _LABEL_PX) * max(len(counts), len(ends))
    scale = (height - _GAP_PX * (max(len(counts), len(ends)) - 1)) / total
    left = _stacked([each.total() for each in counts.values()], scale, height)
    right = _stacked([sum(each[end] for each in counts.values()) for end in ends], scale, height)
    x, to = float(side_px), float(width - side_px)
    reached_left, reached_right = [y for y, _ in left], [y for y, _ in right]
    bands: list[Band] = []
    for row, (name, each) in enumerate(counts.items()):
        for column, end in enumerate(ends):
            if not each[end]:
                continue
            thick = each[end] * scale
            path = _band((x + 8, reached_left[row]), (to - 8, reached_right[column]), thick)
            title = f"{name}: {each[end]:,} {end}"
            bands.append(Band(path=path, colour=_COLOURS[ENDS.index(end)], title=title))
            reached_left[row] += thick
            reached_right[column] += thick
    blocks = [Block(x=x, y=y, height=h, colour=0) for y, h in left]
    blocks += [
        Block(x=to - 8, y=y, height=h, colour=_COLOURS[ENDS.index(end)])
        for (y, h), end in zip(right, ends, strict=True)
    ]
    most = int((side_px - 10) / _LETTER_PX)
    labels = _labels(left, list(counts), x - 6, anchor="end", most=most)
    said = [f"{end} {_share(each, total)}" for end, each in _by_end(counts, ends).items()]
    labels += _labels(right, said if width == _WIDE_PX else ends, to + 6, anchor="start", most=most)
    bottom = max([height, *(label.y + 8 for label in labels)])
    return Flow(
        width=width,
        height=round(bottom),
        bands=tuple(bands),
        blocks=tuple(blocks),
        labels=tuple(labels),
        summary=f"Of {total:,} requests: {', '.join(said)}.",
    )


def _by_end(counts: Mapping[str, Counter[str]], ends: Sequence[str]) -> dict[str, int]:
    return {end: sum(each[end] for each in counts.values()) for end in ends}


def _share(part: int, total: int) -> str:
    return f"{100 * part / total:.1f} %"


def _stacked(values: Sequence[int], scale: float, height: float) -> list[tuple[float, float]]:
    """(y, height) of each, spread over the whole height."""
    gap = (height - sum(values) * scale) / (len(values) - 1) if len(values) > 1 else 0.0
    placed: list[tuple[float, float]] = []
    y = 0.0
    for value in values:
        placed.append((round(y, 2), round(value * scale, 2)))
        y += value * scale + gap
    return placed


def _labels(
    places: Sequence[tuple[float, float]], texts: Sequence[str], x: float, *, anchor: str, most: int
) -> list[Label]:
    """Beside the middle of each block, and never closer than a line to the one above."""
    labels: list[Label] = []
    least = 0.0
    for (y, height), text in zip(places, texts, strict=True):
        at = max(y + height / 2 + 4, least, 12.0)
        least = at + _LABEL_PX
        shown = text if len(text) <= most else text[: most - 1].rstrip() + "…"
        labels.append(Label(x=x, y=round(at, 2), text=shown, anchor=anchor))
    return labels


def _band(start: tuple[float, float], end: tuple[float, float], thick: float) -> str:
    (x, y), (to_x, to_y) = start, end
    middle = (x + to_x) / 2
    return (
        f"M{x:.1f} {y:.1f}C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
        f"V{to_y + thick:.1f}C{middle:.1f} {to_y + thick:.1f} {middle:.1f} {y + thick:.1f} {x:.1f} {y + thick:.1f}Z"
    )
