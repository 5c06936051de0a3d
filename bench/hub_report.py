"""All figures of the report over a generated snapshot with the real one's shape: seconds of each, and peak memory.

python bench/hub_report.py [FILE]   (without one, makes the snapshot of `hub_snapshot.py`, 3,000,000 models)
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from hub_snapshot import make_shape, write_snapshot
from insource.hub.duck import connect
from insource.hub.report.figures import FIGURES, take
from insource.hub.report.prepare import read_organisations
from insource.hub.sources.parquet import load_models

RESULT = Path(__file__).parent / "results" / "hub_report.txt"
# The made-up accounts are org-0 to org-399999: these stand for the annotated ones.
ACCOUNTS = {f"org-{i}": ("company", ("China", "USA")[i % 2]) for i in range(150)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "models.parquet"
        if not path.exists():
            with connect(threads=2) as connection:
                write_snapshot(connection, make_shape(), path)
        with connect(threads=2) as connection:
            load_models(connection, path)
            start, cpu = time.monotonic(), time.process_time()
            taken = take(connection, FIGURES, organisations={**read_organisations(), **ACCOUNTS})
            seconds, cpu_seconds = time.monotonic() - start, time.process_time() - cpu
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    missing = ", ".join(item.figure.id for item in taken.missing)
    lines = [
        f"{taken.ground.models:,} models, 2 threads of a shared machine; loading is ingest's, not counted.",
        f"{'figures drawn':<34}{len(taken.drawn):>8}",
        f"{'not supported by this snapshot':<34}{len(taken.missing):>8}   {missing}",
        f"{'all figures, s (limit 20)':<34}{seconds:>8.1f}   {'met' if seconds <= 20 else 'NOT met'}",
        f"{'of the processor, s (two cores)':<34}{cpu_seconds:>8.1f}",
        f"{'peak with the loading, GB (2)':<34}{peak_gb:>8.2f}   {'met' if peak_gb <= 2 else 'NOT met'}",
    ]
    RESULT.write_text("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
