"""Which repositories are worth a request for their files.

Those are models that declare no parent (nor, as adapters, name one in the listing), the most used first, each with
the models that it may be a copy of: of exactly as many parameters of each dtype (or of one GGUF architecture and
count), the most used and the oldest. Who was asked is not asked again until it changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ORIGINALS = 16
"""The most used, and as many of the oldest, of one shape: a family's thousands would take all requests."""
_TO_ASK = f"""
CREATE OR REPLACE TEMP TABLE files_to_ask AS
WITH shaped AS (
    SELECT id, created, modified, coalesce(downloads, 0) AS downloads,
        config_base_model IS NULL AND id NOT IN (SELECT child FROM edges) AS orphan,
        CASE WHEN len(map_keys(parameters_by_type)) > 0 THEN hash(parameters_by_type)
            WHEN gguf_parameters IS NOT NULL THEN hash(gguf_parameters, model_type)
            WHEN parameters_stated IS NOT NULL THEN hash(parameters_stated, model_type) END AS shape
    FROM models
), originals AS (  -- only where an orphan of the shape is younger
    SELECT s.id, s.modified, s.shape, o.downloads, s.created FROM shaped s JOIN (
        SELECT shape, max(downloads) AS downloads, max(created) AS youngest FROM shaped
        WHERE orphan AND shape IS NOT NULL GROUP BY shape) o ON o.shape = s.shape AND s.created < o.youngest
    QUALIFY row_number() OVER (PARTITION BY s.shape ORDER BY s.downloads DESC, s.id) <= {_ORIGINALS}
        OR row_number() OVER (PARTITION BY s.shape ORDER BY s.created, s.id) <= {_ORIGINALS}
), wanted AS (
    SELECT id, max(modified) AS modified, max(downloads) AS downloads, any_value(shape) AS shape,
        min(created) AS created FROM (
        SELECT id, modified, downloads, shape, created FROM shaped WHERE orphan
        UNION ALL SELECT id, modified, downloads, shape, created FROM originals) GROUP BY id
)
SELECT w.id, w.downloads, w.shape, w.created, coalesce(f.asked >= w.modified, f.id IS NOT NULL) AS answered
FROM wanted w LEFT JOIN repo_files f USING (id)
"""


def find_files_to_ask(connection: DuckDBPyConnection) -> int:
    """Makes the table `files_to_ask` of `models`, `edges` and `repo_files` (`FilesLog.load`); how many of it have not
    answered yet."""
    connection.execute(_TO_ASK)
    return int(connection.execute("SELECT count(*) FROM files_to_ask WHERE NOT answered").fetchall()[0][0])


def next_to_ask(connection: DuckDBPyConnection, *, limit: int) -> list[str]:
    """Ids of `files_to_ask`, a shape's together, so that what was asked can be compared at once."""
    rows = connection.execute(
        """SELECT id FROM files_to_ask WHERE NOT answered
        ORDER BY downloads DESC, shape NULLS LAST, created, id LIMIT ?""",
        [limit],
    ).fetchall()
    return [str(id) for (id,) in rows]


def to_ask_about(connection: DuckDBPyConnection, id: str, *, limit: int) -> list[str]:
    """Of `files_to_ask`: the model, then older ones of its shape, the oldest first; nothing where all have answered."""
    rows = connection.execute(
        """SELECT f.id FROM files_to_ask f JOIN (FROM files_to_ask WHERE id = $id) m
        ON f.id = m.id OR (f.shape = m.shape AND f.created < m.created)
        WHERE NOT f.answered ORDER BY f.id = $id DESC, f.created, f.id LIMIT $limit""",
        {"id": id, "limit": limit},
    ).fetchall()
    return [str(id) for (id,) in rows]
