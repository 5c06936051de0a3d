"""The ecosystem's data at its real size: ingest, full closure, look-ups and memory, and how they grow.

    python bench/hub_scale.py           prints a table and writes bench/results/hub_scale.txt

The snapshot is made up (`hub_snapshot.py`, seeded) with the real one's shape. Every size is measured in a process of
its own, whose peak of resident memory is the one shown; making the snapshot is not measured. The machine's cores may be
shared with other work: the ratios (to NetworkX, from one size to the next) hold better than the seconds do. The
figures of the report have a bench of their own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from hub_snapshot import CHAIN_LEVELS, make_shape, write_snapshot

_RESULTS = Path(__file__).parent / "results" / "hub_scale.txt"
_TIMES = (1.0, 2.0, 4.0)
_CORES = 2
_LIMITS = {"ingest": 60.0, "closure": 2.0, "show": 0.2, "peak": 2.0}


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = act()
    return time.perf_counter() - started, result


def measure(times: float, folder: Path) -> dict[str, float]:
    """Of one size, in this process, which must be new: from the file of the source to an answer."""
    from insource.hub.archive import Archive
    from insource.hub.duck import connect
    from insource.hub.lineage.counts import build_counts, close, load_graph
    from insource.hub.lineage.declared import build_declared
    from insource.hub.lineage.families import build_families
    from insource.hub.sources.read import read_file
    from insource.workflows.hub_lineage import tree_of

    found: dict[str, float] = {}
    archive = Archive(folder / "archive")
    with connect(folder / "work.duckdb", threads=_CORES) as connection:
        found["read"], _ = _timed(lambda: read_file(connection, folder / "models.parquet", scratch=folder))
        found["store"], _ = _timed(lambda: archive.add(connection, source="records", day=date(2026, 10, 5)))
        connection.execute("DROP TABLE incoming")
        found["load"], _ = _timed(lambda: archive.load(connection))
        found["edges"], counts = _timed(lambda: build_declared(connection))
        found["ingest"] = sum(found.values())
        found["edges_count"] = counts.edges
        found["numbers"], graph = _timed(lambda: load_graph(connection))
        found["closure"], closure = _timed(lambda: close(graph))
        found["largest"] = int(closure.transitive.max())
        found["deepest"] = int(closure.generation.max())
        found["tables"], _ = _timed(lambda: (build_counts(connection), build_families(connection)))
        biggest = int(closure.transitive.argmax())
        root = connection.execute("SELECT id FROM lineage_nodes WHERE node = ?", [biggest]).fetchall()[0][0]
        deep = connection.execute("SELECT id FROM lineage_counts ORDER BY generation DESC LIMIT 1").fetchall()[0][0]
        found["show"] = max(_timed(lambda: _show(connection, root))[0], _timed(lambda: _show(connection, deep))[0])
        found["tree"], _ = _timed(lambda: tree_of(connection, root))
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return found


def _show(connection: Any, id: str) -> None:
    """What `hub show` asks: the row, its counts, its parents, all its ancestors, its children by kind."""
    from insource.hub.lineage.families import ancestors_of

    for query in (
        "SELECT * FROM models WHERE id = ?",
        "SELECT * FROM lineage_counts WHERE id = ?",
        "SELECT parent, kind, evidence, confidence FROM edges WHERE child = ?",
        "SELECT kind, count(*) FROM edges WHERE parent = ? GROUP BY 1",
    ):
        connection.execute(query, [id]).fetchall()
    ancestors_of(connection, id)


def peer() -> tuple[float, float, int]:
    """Seconds of NetworkX and of ours for every model's transitive count, on one lineage; its edges."""
    from insource.hub.lineage.closure import condense, descendant_counts

    shape = make_shape()
    graph = nx.DiGraph()
    graph.add_edges_from(zip(shape.parent.tolist(), shape.child.tolist(), strict=True))
    theirs, wanted = _timed(lambda: {node: len(nx.descendants(graph, node)) for node in graph})
    ours, counts = _timed(lambda: descendant_counts(condense(shape.child, shape.parent, models=shape.models)))
    nodes = np.fromiter(wanted, dtype=np.int64)
    if not np.array_equal(counts[nodes], np.fromiter(wanted.values(), dtype=np.int64)):
        raise SystemExit("The closure differs from NetworkX's.")
    return theirs, ours, len(shape.child)


def _in_new_process(times: float) -> dict[str, float]:
    from insource.hub.duck import connect

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with connect(threads=_CORES) as connection:
            write_snapshot(connection, make_shape(times), folder / "models.parquet")
        size = (folder / "models.parquet").stat().st_size
        done = subprocess.run(
            [sys.executable, __file__, "--measure", str(times), name],
            capture_output=True, text=True, check=False, env=os.environ,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr)
        return {**json.loads(done.stdout), "file_mb": size / 1e6}


_ROWS = (
    ("rows read from the file, s", "read", "{:.1f}"),
    ("stored as a snapshot, s", "store", "{:.1f}"),
    ("loaded again, s", "load", "{:.1f}"),
    ("edges declared, repaired, s", "edges", "{:.1f}"),
    ("ingest, all of the above, s", "ingest", "{:.1f}"),
    ("models numbered, s", "numbers", "{:.2f}"),
    ("full closure, s", "closure", "{:.2f}"),
    ("counts and families as tables, s", "tables", "{:.2f}"),
    ("one hub show, s", "show", "{:.3f}"),
    ("one hub tree, s", "tree", "{:.2f}"),
    ("peak resident memory, GB", "peak", "{:.2f}"),
    ("edges", "edges_count", "{:,.0f}"),
    ("most descendants of one model", "largest", "{:,.0f}"),
    ("longest way to a root", "deepest", "{:,.0f}"),
    ("file, MB", "file_mb", "{:.0f}"),
)


def main() -> None:
    found = [_in_new_process(times) for times in _TIMES]
    theirs, ours, edges = peer()
    lines = [
        f"1x: 3,000,000 models, {found[0]['edges_count']:,.0f} edges; {_CORES} threads of a shared machine.",
        f"Made up with the real shape; chains of merges {CHAIN_LEVELS} levels deep; seeded.",
        "",
        f"{'':36}" + "".join(f"{f'{times:g}x':>13}" for times in _TIMES) + f"{'4x/1x':>9}{'limit':>8}  met",
    ]
    for title, key, form in _ROWS:
        values = [one[key] for one in found]
        limit = _LIMITS.get(key)
        ratio = f"{values[-1] / values[0]:.1f}" if values[0] else ""
        said = f"{limit:g}".rjust(8) + ("  yes" if values[0] <= limit else "  NO") if limit else ""
        lines.append(f"{title:36}" + "".join(f"{form.format(value):>13}" for value in values) + f"{ratio:>9}{said}")
    lines += [
        "",
        "Full closure: of every model the exact number of distinct descendants, its generation, family and main root.",
        f"Counts alone, of the same {edges:,} edges from arrays: NetworkX (descendants of every model) {theirs:.1f} s,"
        f" ours {ours:.2f} s: {theirs / ours:,.0f}x faster, and every count is equal.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    _RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(float(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()
