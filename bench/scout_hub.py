"""What `insource scout` asks of a synced Hub of 3,000,000 made-up models, and a third and a tenth of them.

    python bench/scout_hub.py        prints a table and writes bench/results/scout_hub.txt

The snapshot is that of `hub_snapshot.py`; its quantised copies are called GGUF here. Loading the archive and closing
the lineage is not in these seconds (`hub_scale.py` has them); `scout's own` is grouping and counting in Python what was
selected, the larger of the two selections. Each size is a new process.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from hub_snapshot import make_shape, write_snapshot

_RESULTS = Path(__file__).parent / "results" / "scout_hub.txt"
_SIZES = (0.1, 1 / 3, 1.0)
_COLUMNS = ("models", "offered as GGUF", "convertible too", "seconds", "seconds, convertible", "scout's own", "peak GB")


def measure(times: float) -> list[float]:
    from insource.core.catalogue import Wanted
    from insource.hub.activity import group_copies
    from insource.hub.activity import measure as count
    from insource.hub.archive_catalogue import ArchiveCatalogue
    from insource.hub.duck import connect
    from insource.hub.lineage.build import build_lineage
    from insource.hub.purpose import TEXT_PIPELINES, Purposes
    from insource.hub.snapshot import SnapshotCatalogue

    shape = make_shape(times)
    with tempfile.TemporaryDirectory() as folder, connect(Path(folder) / "work.duckdb") as connection:
        write_snapshot(connection, shape, Path(folder) / "models.parquet")
        connection.execute(f"""CREATE TABLE models AS SELECT * REPLACE (CASE WHEN len(list_filter(base_models,
            lambda b: b.relation = 'quantized')) > 0 THEN list_append(tags, 'gguf') ELSE tags END AS tags)
            FROM read_parquet('{folder}/models.parquet')""")
        build_lineage(connection)
        catalogue = ArchiveCatalogue(connection, as_of=date(2026, 10, 5), shipped=SnapshotCatalogue())
        found = [float(shape.models)]
        selected: list[int] = []
        spent: list[float] = []
        for convertible in (False, True):
            started = time.perf_counter()
            selection = catalogue.select(Wanted(pipelines=TEXT_PIPELINES, convertible=convertible))
            spent.append(time.perf_counter() - started)
            selected.append(len(selection.models))
            assert selection.listed == shape.models
        started = time.perf_counter()
        groups = group_copies(selection.models)
        Purposes(selection.models)
        count(groups, as_of=catalogue.as_of)
        own = time.perf_counter() - started
    return [*found, *selected, *spent, own, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(float(sys.argv[1]))))
        return
    lines = ["".join(f"{name:>22}" for name in _COLUMNS)]
    for times in _SIZES:
        done = subprocess.run([sys.executable, __file__, str(times)], capture_output=True, check=True)
        models, offered, convertible, *rest = json.loads(done.stdout)
        lines.append(
            "".join(f"{int(value):>22,}" for value in (models, offered, convertible))
            + "".join(f"{x:>22.2f}" for x in rest)
        )
    lines += ["", f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end, beside what else ran."]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    _RESULTS.write_text(text)


if __name__ == "__main__":
    main()
