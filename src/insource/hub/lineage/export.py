"""The edges as a file, with the inferred ones where they are wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from insource.core.errors import StorageError
from insource.hub.duck import quoted
from insource.hub.lineage.declared import EDGE_COLUMNS, merge_edges

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_INFERRED = """
CREATE OR REPLACE TEMP TABLE inferred_edges AS
SELECT f.*, m.created AS first_seen FROM found_edges f LEFT JOIN models m ON m.id = f.child
"""


def add_inferred(connection: DuckDBPyConnection, *, learned: bool = True) -> Mapping[str, int]:
    """Adds to `edges` the parents inferred of models that declare none; how many by what told them: `files` (those in
    `file_edges`), `name`, `learned`. Counts are those of before."""
    from insource.hub.lineage.inferred import infer_edges, infer_told
    from insource.hub.lineage.inferred_pairs import Declared
    from insource.hub.lineage.inferred_values import facts_of, store_edges, stored_edges

    connection.execute("CREATE OR REPLACE TEMP TABLE edges AS FROM edges")  # what was prepared stays as it is
    told = stored_edges(connection, table="file_edges")
    if learned:
        stated = connection.execute("SELECT child, parent, kind FROM edges ORDER BY child, parent").fetchall()
        declared = [Declared(child=child, parent=parent, kind=kind) for child, parent, kind in stated]
        found = infer_edges(facts_of(connection), declared, from_files=told)
    else:
        found = infer_told(connection, told)
    store_edges(connection, found, table="found_edges")
    connection.execute(_INFERRED)
    merge_edges(connection)
    return Counter(edge.evidence.partition(":")[0] for edge in found)


def export_edges(connection: DuckDBPyConnection, out: Path) -> int:
    """Writes child, parent, kind, evidence, confidence as Parquet; how many. Raises StorageError."""
    columns = ", ".join(name for name in EDGE_COLUMNS if name != "first_seen")
    import duckdb

    try:
        written = connection.execute(
            f"COPY (SELECT {columns} FROM edges ORDER BY child, parent) TO {quoted(str(out))} (FORMAT parquet)"
        ).fetchall()
    except (duckdb.Error, OSError) as error:
        raise StorageError(
            f"The edges can't be written to {str(out)!r}: {str(error).splitlines()[0][:200]}",
            next_step="Give a file in a folder that can be written: insource hub edges --out edges.parquet",
        ) from error
    return int(written[0][0])
