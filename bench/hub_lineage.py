"""Lineage inference against edges that are declared but hidden from it.

    python bench/hub_lineage.py             writes bench/results/hub_lineage.txt and the table in docs/lineage.md
    python bench/hub_lineage.py --august    part three alone: bench/results/hub_lineage_august.txt, its table in
                                            docs/lineage.md, docs/lineage_curve.csv and .svg

Part one: GGUF repositories of the October records, by name alone. Part two: half of the children of the hub-stats file
(seeded), by everything but their own declarations; the other half trains. Part three: derivatives of August 2026 beside
the October records; one random quarter of them trains, the parents of the others are hidden.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import altair as alt

from insource.core.ecosystem import Edge
from insource.hub.archive import Archive
from insource.hub.duck import connect
from insource.hub.lineage.inferred import infer_edges, scorer_of
from insource.hub.lineage.inferred_names import Namesakes, infer_copies
from insource.hub.lineage.inferred_pairs import FEATURES, GROUPS, Declared, is_merge, kind_of
from insource.hub.lineage.inferred_values import ModelFacts, facts_of
from insource.hub.sources.parquet import load_models
from insource.hub.sources.read import read_file

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ROOT = Path(__file__).parents[1]
_DATA = _ROOT.parent / "shared" / "data" / "hub"
_SEEDS = (0, 1, 2)
_POINTS = 40
_SURE = 0.9
_KINDS = ("finetune", "adapter", "quantized", "merge")
_WANTED = ("finetune", "adapter", "quantized")
_BEGIN, _END = "<!-- measured by bench/hub_lineage.py{} -->", "<!-- end -->"
_AUGUST = " --august"


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """One snapshot; the declared edges of half of the children are hidden."""

    models: Sequence[ModelFacts]
    visible: Sequence[Declared]
    hidden: Sequence[Declared]

    def truth(self, kinds: Collection[str]) -> Mapping[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for edge in self.hidden:
            if edge.kind in kinds:
                found[edge.child].add(edge.parent)
        return found


def read_halves(path: Path, *, seed: int) -> Halves:
    connection = connect()
    load_models(connection, path)
    models = facts_of(connection)
    edges = [edge for edge in _declared(connection) if edge.kind]
    children = sorted({edge.child for edge in edges})
    random.Random(seed).shuffle(children)
    hidden = set(children[: len(children) // 2])
    return Halves(
        models=models,
        visible=[edge for edge in edges if edge.child not in hidden],
        hidden=[edge for edge in edges if edge.child in hidden],
    )


def _declared(connection: DuckDBPyConnection) -> Sequence[Declared]:
    """The kind is "" where none is stated."""
    rows = connection.execute(
        "SELECT id, base.id, coalesce(base.relation, '') FROM (SELECT id, unnest(base_models) AS base FROM models)"
        " WHERE id <> base.id ORDER BY ALL"
    ).fetchall()
    return [Declared(child=child, parent=parent, kind=kind) for child, parent, kind in rows]


def read_quarter(folder: Path, *, seed: int) -> Halves:
    """Derivatives of August 2026 and the October records; the edges of one quarter of the derivatives are visible."""
    with connect() as connection, TemporaryDirectory() as scratch:
        archive = Archive(Path(scratch) / "hub")
        for name in ("radar_2026-08-22_half.jsonl.gz", "models_2026-10.json.gz"):
            read = read_file(connection, folder / name, scratch=Path(scratch))
            assert read.day is not None
            archive.add(connection, source=read.source, day=read.day, whole=False)
        archive.load(connection)
        models, edges = facts_of(connection), _declared(connection)
    children = sorted({edge.child for edge in edges})
    random.Random(seed).shuffle(children)
    known = set(children[: len(children) // 4])
    return Halves(
        models=models,
        visible=[edge for edge in edges if edge.child in known],
        hidden=[edge for edge in edges if edge.child not in known],
    )


def read_records(path: Path) -> tuple[Sequence[ModelFacts], set[tuple[str, str]]]:
    """Every row as a candidate, and the (GGUF repository, model) pairs that the rows state."""
    with gzip.open(path) as file:
        rows: list[dict[str, Any]] = json.load(file)
    models = [
        ModelFacts(
            id=row["name"],
            created=datetime.fromisoformat(row["release_date"]) if row["release_date"] else None,
            downloads=row["hf_downloads"],
            likes=row["hf_likes"],
        )
        for row in rows
    ]
    return models, {(one["repo"], row["name"]) for row in rows for one in row.get("gguf_sources") or ()}


def name_copies(models: Sequence[ModelFacts], pairs: set[tuple[str, str]]) -> Sequence[Edge]:
    return list(infer_copies([ModelFacts(id=id) for id in sorted({repo for repo, _ in pairs})], Namesakes(models)))


def longest_prefix(halves: Halves, children: Collection[str]) -> Sequence[tuple[str, str]]:
    """The baseline: the longest other name that the child's name begins with."""
    names = sorted(
        ((model.id.rpartition("/")[2].lower(), model.downloads or 0, model.id) for model in halves.models),
        key=lambda one: (-len(one[0]), -one[1], one[2]),
    )
    found: list[tuple[str, str]] = []
    for child in sorted(children):
        own = child.rpartition("/")[2].lower()
        parent = next((id for name, _, id in names if own.startswith(name) and id != child), None)
        if parent:
            found.append((child, parent))
    return found


def share(edges: Sequence[tuple[str, str]], truth: Mapping[str, set[str]]) -> tuple[int, int, float, float]:
    """Emitted, right, precision, recall."""
    right = sum(parent in truth[child] for child, parent in edges)
    return len(edges), right, right / max(len(edges), 1), right / max(sum(map(len, truth.values())), 1)


def _records_table() -> list[str]:
    models, pairs = read_records(_DATA / "models_2026-10.json.gz")
    edges = name_copies(models, pairs)
    by_name = Counter(model.id.rpartition("/")[2].lower() for model in models)
    lines = [
        f"GGUF repository -> model: {len(pairs):,} pairs of {len({repo for repo, _ in pairs}):,} repositories; "
        f"{len(models):,} candidates (all rows)",
        f"  pairs whose model has a namesake: {sum(by_name[m.rpartition('/')[2].lower()] > 1 for _, m in pairs):,}; "
        f"one parent a repository can reach a recall of {len({repo for repo, _ in pairs}) / len(pairs):.3f}",
        "  confidence >=   edges   right   precision   recall",
    ]
    for least in (0.0, 0.5, 0.9, 0.95):
        kept = [edge for edge in edges if edge.confidence >= least]
        right = sum((edge.child, edge.parent) in pairs for edge in kept)
        lines.append(
            f"  {least:13.2f}   {len(kept):5}   {right:5}   {right / len(kept):9.3f}   {right / len(pairs):6.3f}"
        )
    return lines


def _hidden_table(halves: Halves, seed: int) -> list[str]:
    started = time.perf_counter()
    hidden = {edge.child for edge in halves.hidden}
    edges = infer_edges(halves.models, halves.visible, seed=seed)
    seconds = time.perf_counter() - started
    undeclared = sum(edge.child not in hidden for edge in edges)
    lines = [f"\nHidden half, seed {seed}: {seconds:.0f} s for {len(halves.models):,} models; beside it {undeclared} "
             "edges of models that declare nothing"]  # fmt: skip
    return [*lines, *_compared(halves, edges)]


def _august() -> tuple[list[str], list[dict[str, object]]]:
    """The table of part three, and its curve by kind, of one training."""
    halves = read_quarter(_DATA, seed=0)
    hidden = {edge.child for edge in halves.hidden}
    children = [model for model in halves.models if model.id in hidden and not is_merge(model)]
    table, scorer = scorer_of(halves.models, halves.visible, seed=0)
    assert scorer is not None
    kinds = {model.id: kind_of(model) for model in children}
    ranked = sorted(scorer.rank(table, children), key=lambda one: (-one.strength, one.child))
    edges = [
        Edge(child=one.child, parent=one.parents[0], kind=kinds[one.child], evidence="",
             confidence=round(worth.confidence(one), 4))
        for one in ranked
        if one.strength >= (worth := scorer.worth(kinds[one.child])).threshold
    ]  # fmt: skip
    best = [(one.child, one.parents[0]) for one in ranked]
    lines = [
        f"Derivatives of August 2026 beside the October records: {len(halves.models):,} models; "
        f"{len({edge.child for edge in halves.visible}):,} children train, {len(hidden):,} are hidden",
        *_compared(halves, edges),
    ]
    return lines, [row for kind in _KINDS for row in _curve(kind, best, halves.truth((kind,)))]


def _compared(halves: Halves, edges: Sequence[Edge]) -> list[str]:
    """With the declared edges, by kind and by confidence."""
    hidden = {edge.child for edge in halves.hidden}
    lines = ["  kind                    hidden   edges   right   precision   recall"]
    listed = {model.id for model in halves.models}
    wanted = [edge for edge in halves.hidden if edge.kind in _WANTED]
    reachable = sum(edge.parent in listed for edge in wanted)
    lines.append(f"  parents that the file lists at all, of the three together: {reachable} of {len(wanted)}")
    for name, kinds in (("the three together", _WANTED), *((kind, (kind,)) for kind in _KINDS)):
        truth = halves.truth(kinds)
        ours = share([(edge.child, edge.parent) for edge in edges if edge.child in truth], truth)
        lines.append(_line(name, truth, ours))
        if name != "merge":
            lines.append(_line("  longest name prefix", truth, share(longest_prefix(halves, truth.keys()), truth)))
    lines.append("  confidence stated, and the share that was right:")
    bins: dict[int, list[Edge]] = defaultdict(list)
    for edge in edges:
        if edge.child in hidden:
            bins[min(int(edge.confidence * 20), 19)].append(edge)
    truth = halves.truth(_KINDS)
    apart = 0.0
    for bin, found in sorted(bins.items()):
        right = sum(edge.parent in truth[edge.child] for edge in found)
        mean = sum(edge.confidence for edge in found) / len(found)
        lines.append(
            f"    {bin / 20:.2f}-{bin / 20 + 0.05:.2f}   {len(found):4} edges   stated {mean:.3f}"
            f"   right {right / len(found):.3f}"
        )
        apart += abs(sum(edge.confidence for edge in found) - right)
    sure = [edge for edge in edges if edge.child in hidden and edge.confidence >= _SURE]
    right = sum(edge.parent in truth[edge.child] for edge in sure)
    lines.append(f"  stated >= {_SURE}: {len(sure)} edges, right {right / max(len(sure), 1):.3f}; expected calibration "
                 f"error {apart / max(sum(map(len, bins.values())), 1):.3f}")  # fmt: skip
    return lines


def _line(name: str, truth: Mapping[str, set[str]], figures: tuple[int, int, float, float]) -> str:
    emitted, right, precision, recall = figures
    return (
        f"  {name:22}   {sum(map(len, truth.values())):6}   {emitted:5}   {right:5}   {precision:9.3f}   {recall:6.3f}"
    )


def _ablations(halves: Halves, seed: int) -> list[str]:
    """Without one group of features."""
    hidden = {edge.child for edge in halves.hidden}
    children = [model for model in halves.models if model.id in hidden]
    truth = halves.truth(_WANTED)
    lines = [
        "\nRecall of the three kinds at a precision of 0.90"
        " (seed 0; threshold read off the hidden half, so only to compare)"
    ]
    for left_out in ("nothing", *GROUPS):
        kept = [name for name in FEATURES if name not in GROUPS.get(left_out, ())]
        table, scorer = scorer_of(halves.models, halves.visible, seed=seed, features=kept)
        assert scorer is not None
        ranked = sorted(scorer.rank(table, children), key=lambda one: (-one.strength, one.child))
        best = [(one.child, one.parents[0]) for one in ranked]
        lines.append(f"  without {left_out:14}   {_recall_at(best, truth, 0.90):.3f}")
    return lines


def _recall_at(best: Sequence[tuple[str, str]], truth: Mapping[str, set[str]], precision: float) -> float:
    edges = [pair for pair in best if pair[0] in truth]
    points = [share(edges[: n + 1], truth) for n in range(19, len(edges))]
    return max((recall for _, _, found, recall in points if found >= precision), default=0.0)


def _curve(kind: str, best: Sequence[tuple[str, str]], truth: Mapping[str, set[str]]) -> list[dict[str, object]]:
    edges = [pair for pair in best if pair[0] in truth]
    counts = sorted({max(1, round(len(edges) * point / _POINTS)) for point in range(1, _POINTS + 1)})
    rows = [(count, *share(edges[:count], truth)[2:]) for count in counts]
    return [{"kind": kind, "edges": n, "precision": round(p, 4), "recall": round(r, 4)} for n, p, r in rows]


def _draw(curve: Sequence[Mapping[str, object]]) -> None:
    with (_ROOT / "docs" / "lineage_curve.csv").open("w", newline="") as file:
        writer: csv.DictWriter[str] = csv.DictWriter(
            file, ("kind", "edges", "precision", "recall"), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(curve)
    percent = alt.Axis(format="%")
    lines = (
        alt.Chart(alt.Data(values=list(curve)), title="Inferred parents of August 2026 against declared ones")
        .mark_line(point=True)
        .encode(
            x=alt.X("recall:Q", title="Recall: share of the hidden edges found", axis=percent),
            y=alt.Y("precision:Q", title="Precision: share of the inferred edges that are declared", axis=percent,
                    scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("kind:N", title="Kind of edge", sort=list(_KINDS)),
            order="edges:Q",
        )
        .properties(width=900, height=420)
    )  # fmt: skip
    wanted = alt.Chart(alt.Data(values=[{"precision": 0.9}])).mark_rule(strokeDash=[6, 4]).encode(y="precision:Q")
    (lines + wanted).save(str(_ROOT / "docs" / "lineage_curve.svg"))


def _write(lines: Sequence[str], *, part: str = "") -> None:
    """The results and the table in the docs."""
    text = "\n".join(lines) + "\n"
    name = f"hub_lineage{part.strip().replace('--', '_')}.txt"
    (_ROOT / "bench" / "results" / name).write_text(text)
    page = _ROOT / "docs" / "lineage.md"
    begin = _BEGIN.format(part)
    before, rest = page.read_text("utf-8").split(begin)
    page.write_text(f"{before}{begin}\n```\n{text}```\n{_END}{rest.split(_END, 1)[1]}", "utf-8")
    sys.stdout.write(text)


def main() -> None:
    lines, curve = _august()
    _write(lines, part=_AUGUST)
    _draw(curve)
    if _AUGUST.strip() in sys.argv:
        return
    lines = _records_table()
    for seed in _SEEDS:
        lines += _hidden_table(read_halves(_DATA / "hub_stats_frozen.parquet", seed=seed), seed)
    lines += _ablations(read_halves(_DATA / "hub_stats_frozen.parquet", seed=0), 0)
    _write(lines)


if __name__ == "__main__":
    main()
