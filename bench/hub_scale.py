"""The ecosystem's data at its real size: ingest, full closure, one model's page, the report, memory, and their growth.

    python bench/hub_scale.py           prints a table and writes bench/results/hub_scale.txt

The file is made up (`hub_snapshot.py`, seeded) in hub-stats' own nested form with the real one's shape. Every size is
measured in a process of its own, whose peak of resident memory is the one shown; making the file is not measured. The
machine's cores may be shared with other work: seconds of the processor and the ratios (to NetworkX, from one size to
the next) hold better than the seconds of the clock do.
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
from dataclasses import replace
from datetime import date
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from hub_snapshot import CHAIN_LEVELS, make_shape, write_hub_stats

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from insource.hub.archive import Archive
    from insource.hub.lineage.closure import Dag

_RESULTS = Path(__file__).parent / "results" / "hub_scale.txt"
_TIMES = (1.0, 2.0, 4.0)
_CORES = 2
_LIMITS = {"ingest": 60.0, "closure": 2.0, "show": 0.2, "report": 20.0, "peak": 2.0}
# The made-up accounts are org-0 to org-399999: these stand for the annotated ones.
_ACCOUNTS = {f"org-{i}": ("company", ("China", "USA")[i % 2]) for i in range(150)}


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = act()
    return time.perf_counter() - started, result


def measure(folder: Path) -> dict[str, float]:
    """Of one size, in this process, which must be new: from the file of the source to the answers."""
    from insource.hub.archive import Archive

    archive = Archive(folder / "archive")
    found = {**_ingest(archive, folder / "models.parquet", date(2026, 10, 5)), **_answer(archive)}
    return {**found, "peak": _peak_gb()}


def measure_next_day(folder: Path) -> dict[str, float]:
    """Of the archive that `measure` left, in a new process too: another day, of which the changes are stored."""
    from insource.hub.archive import Archive

    archive = Archive(folder / "archive")
    found = _ingest(archive, folder / "next_day.parquet", date(2026, 10, 6))
    first, then = archive.snapshots()
    return {**found, "peak": _peak_gb(), "changed": then.changed, "size": then.size_bytes / first.size_bytes}


def measure_inference(folder: Path) -> dict[str, float]:
    """What can be inferred at this size, in a new process: one in eight models without a parent is called like a copy
    of another, for the file's names state no formats."""
    from insource.hub.archive import Archive
    from insource.hub.lineage.files_to_ask import find_files_to_ask
    from insource.hub.lineage.inferred import infer_told
    from insource.hub.prepared import open_prepared
    from insource.hub.repo_files import FilesLog

    archive = Archive(folder / "archive")
    connection, _ = open_prepared(archive)
    with connection:
        connection.execute(f"SET threads = {_CORES}")
        connection.execute("""
            CREATE TEMP TABLE renamed AS SELECT * REPLACE (CASE WHEN hash(id) % 8 = 0 AND id NOT IN (SELECT child FROM
                edges) THEN concat(author, '/', split_part(lag(id) OVER (ORDER BY id), '/', -1), '-GGUF') ELSE id END AS
                id) FROM models""")
        connection.execute("CREATE TEMP VIEW models AS FROM renamed")
        FilesLog(archive.folder).load(connection)
        choosing, chosen = _timed(lambda: find_files_to_ask(connection))
        naming, edges = _timed(lambda: infer_told(connection, ()))
    return {"choosing": choosing, "chosen": chosen, "naming": naming, "edges": len(edges), "peak": _peak_gb()}


def measure_files(folder: Path) -> dict[str, float]:
    """What the answers of the Hub about 75,000 models cost, in a new process: they are pairs of the same bytes, and the
    the configurations of 25,000 name another model too, which counts only where bytes tell nothing."""
    from insource.hub.archive import Archive
    from insource.hub.lineage.inferred_files import SAME_BYTES
    from insource.hub.page import page_of
    from insource.hub.prepared import open_prepared
    from insource.hub.repo_files import MODEL_CONFIG

    archive = Archive(folder / "archive")
    log = archive.folder / "files.jsonl"
    connection, _ = open_prepared(archive)
    with connection:
        connection.execute(f"""
            COPY (WITH drawn AS (SELECT id, row_number() OVER (ORDER BY hash(id)) AS place FROM models
                    WHERE id NOT IN (SELECT child FROM edges) ORDER BY place LIMIT 75000)
                SELECT id, '2026-10-06T00:00:00Z' AS asked, true AS found, 500000000 AS stored_bytes,
                    [{{'size_bytes': 500000000, 'sha256': sha256((place // 2)::VARCHAR)}}] AS weights,
                    CASE WHEN place > 50000 THEN '{MODEL_CONFIG}' END AS config,
                    CASE WHEN place > 50000 THEN lag(id) OVER (ORDER BY place) END AS names FROM drawn)
            TO '{log}' (FORMAT json)""")

    def page(id: str) -> None:
        opened, day = open_prepared(archive, files=True)
        with opened:
            page_of(opened, id, as_of=day)

    found = {"first": _timed(lambda: open_prepared(archive, files=True)[0].close())[0]}
    connection, _ = open_prepared(archive, files=True)
    with connection:
        counts = "SELECT count(*), count_if(evidence = ?), any_value(child) FROM file_edges"
        found["edges"], found["copies"], child = connection.execute(counts, [SAME_BYTES]).fetchall()[0]
    found["page"] = _timed(lambda: page(child))[0]
    log.unlink()
    return {**found, "peak": _peak_gb()}


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _ingest(archive: Archive, file: Path, day: date) -> dict[str, float]:
    from insource.hub.duck import connect
    from insource.hub.prepared import prepare
    from insource.hub.sources.read import read_file

    found: dict[str, float] = {}
    with connect(threads=_CORES) as connection:
        found["read"], read = _timed(lambda: read_file(connection, file, scratch=file.parent))
        found["store"], _ = _timed(lambda: archive.add(connection, source=read.source, day=day))
    found["prepare"], _ = _timed(lambda: prepare(archive))
    return {**found, "ingest": sum(found.values()), "ingest_cpu": time.process_time()}


def _answer(archive: Archive) -> dict[str, float]:
    from insource.hub.lineage.counts import close, load_graph
    from insource.hub.lineage.tree import tree_of
    from insource.hub.page import page_of
    from insource.hub.prepared import open_prepared
    from insource.hub.report.figures import FIGURES, take
    from insource.hub.report.prepare import read_organisations

    def page(id: str) -> None:
        connection, day = open_prepared(archive, files=True)
        with connection:
            page_of(connection, id, as_of=day)

    found: dict[str, float] = {}
    connection, _ = open_prepared(archive)
    with connection:
        found["edges_count"] = connection.execute("SELECT count(*) FROM edges").fetchall()[0][0]
        found["numbers"], graph = _timed(lambda: load_graph(connection))
        # It has no cache to warm, and other work on the machine makes it up to half slower: the middle of three.
        started = time.process_time()
        runs = sorted((_timed(lambda: close(graph)) for _ in range(3)), key=itemgetter(0))
        found["closure"], closure = runs[1]
        found["closure_cpu"] = (time.process_time() - started) / 3
        found["pairs"] = _merge_pairs(closure.dag)
        found["largest"] = int(closure.transitive.max())
        found["deepest"] = int(closure.generation.max())
        biggest = int(closure.transitive.argmax())
        root = connection.execute("SELECT id FROM lineage_nodes WHERE node = ?", [biggest]).fetchall()[0][0]
        deep = connection.execute("SELECT id FROM lineage_counts ORDER BY generation DESC LIMIT 1").fetchall()[0][0]
        found["tree"], _ = _timed(lambda: tree_of(connection, root))
    found["show"] = _timed(lambda: page(root))[0]
    found["show_deep"] = _timed(lambda: page(deep))[0]
    connection, _ = open_prepared(archive)
    with connection:
        accounts = {**read_organisations(), **_ACCOUNTS}
        found["report"], taken = _timed(lambda: take(connection, FIGURES, organisations=accounts))
    return {**found, "figures": len(taken.drawn)}


def _merge_pairs(dag: Dag) -> int:
    """Pairs of a model with several parents and an ancestor of it: what a closure can't do without looking at."""
    from insource.hub.lineage.closure import descendant_counts

    merges = np.bincount(dag.child, minlength=dag.nodes) > 1
    of_merges = replace(dag, sizes=merges.astype(np.int64), node_of=np.arange(dag.nodes))
    return int((descendant_counts(of_merges) + 1).sum() - merges.sum())


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


def _measured(times: float) -> dict[str, float]:
    from insource.hub.duck import connect

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with connect(threads=_CORES) as connection:
            write_hub_stats(connection, make_shape(times), folder / "models.parquet")
            found = _in_new_process("--measure", folder)
            found["file_mb"] = (folder / "models.parquet").stat().st_size / 1e6
            if times == 1:
                found |= {f"told_{key}": value for key, value in _in_new_process("--inference", folder).items()}
                found |= {f"files_{key}": value for key, value in _in_new_process("--files", folder).items()}
                _write_next_day(connection, folder)
                found |= {f"next_{key}": value for key, value in _in_new_process("--next-day", folder).items()}
        return found


def _write_next_day(connection: DuckDBPyConnection, folder: Path) -> None:
    """A fifth of the models has other counts, one in a thousand is gone, as many are new."""
    connection.execute(f"""
        COPY (
            SELECT * EXCLUDE (part) REPLACE (CASE WHEN part = 0 THEN id || '-new' ELSE id END AS id,
                CASE WHEN part <= 200 THEN downloadsAllTime + 7 ELSE downloadsAllTime END AS downloadsAllTime)
            FROM (SELECT *, hash(id) % 1000 AS part FROM '{folder}/models.parquet')
        ) TO '{folder}/next_day.parquet' (FORMAT parquet, COMPRESSION zstd)""")


def _in_new_process(act: str, folder: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, act, str(folder)], capture_output=True, text=True, check=False, env=os.environ
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


_ROWS = (
    ("hub-stats rows read, s", "read", "{:.1f}"),
    ("stored as a snapshot, s", "store", "{:.1f}"),
    ("lineage, counts, sizes prepared, s", "prepare", "{:.1f}"),
    ("ingest, all of the above, s", "ingest", "{:.1f}"),
    ("  of the processor (2 cores), s", "ingest_cpu", "{:.1f}"),
    ("models numbered, s", "numbers", "{:.2f}"),
    ("full closure, middle of three, s", "closure", "{:.2f}"),
    ("  of the processor, s", "closure_cpu", "{:.2f}"),
    ("  pairs of a merge and an ancestor", "pairs", "{:,.0f}"),
    ("one hub show: the largest root, s", "show", "{:.3f}"),
    ("  a merge below many levels, s", "show_deep", "{:.3f}"),
    ("one hub tree: the largest root, s", "tree", "{:.2f}"),
    ("all figures of the report, s", "report", "{:.1f}"),
    ("peak resident memory, GB", "peak", "{:.2f}"),
    ("edges", "edges_count", "{:,.0f}"),
    ("most descendants of one model", "largest", "{:,.0f}"),
    ("longest way to a root", "deepest", "{:,.0f}"),
    ("figures drawn", "figures", "{:.0f}"),
    ("file, MB", "file_mb", "{:.0f}"),
)


def main() -> None:
    found = [_measured(times) for times in _TIMES]
    day, told, files = (
        {key.removeprefix(of): value for key, value in found[0].items() if key.startswith(of)}
        for of in ("next_", "told_", "files_")
    )
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
        f"A next day of 1x, {day['changed']:,.0f} rows new, changed or gone: read {day['read']:.1f} s, its changes"
        f" stored {day['store']:.1f} s ({day['size']:.2f} of the first day's bytes), prepared {day['prepare']:.1f} s,"
        f" peak {day['peak']:.2f} GB.",
        "",
        f"Without learning, on 1x: {told['chosen']:,.0f} models whose files are worth a request chosen in"
        f" {told['choosing']:.1f} s; {told['edges']:,.0f} copies led to their originals by name in"
        f" {told['naming']:.1f} s; peak {told['peak']:.2f} GB.",
        "",
        f"The Hub's answers about 75,000 models of 1x: {files['copies']:,.0f} copies and"
        f" {files['edges'] - files['copies']:,.0f} parents in configurations, worked out in {files['first']:.1f} s at"
        f" the first question after they came; then a page {files['page']:.3f} s; peak {files['peak']:.2f} GB.",
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
        print(json.dumps(measure(Path(sys.argv[2]))))
    elif sys.argv[1:2] == ["--inference"]:
        print(json.dumps(measure_inference(Path(sys.argv[2]))))
    elif sys.argv[1:2] == ["--files"]:
        print(json.dumps(measure_files(Path(sys.argv[2]))))
    elif sys.argv[1:2] == ["--next-day"]:
        print(json.dumps(measure_next_day(Path(sys.argv[2]))))
    else:
        main()
