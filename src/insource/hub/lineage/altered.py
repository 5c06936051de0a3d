"""Edges that are declared as quantisations, of repositories that are not their original any more (`hub/copies.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from insource.core.altered_models import TELLING_TAGS, is_altered
from insource.hub.copies import ALTERED, LEAST_KEPT, MOST_KEPT, alters

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TELLS = f"len(list_filter({{}}, lambda tag: regexp_full_match(lower(tag), '{TELLING_TAGS}'))) > 0"
_QUANTISED = f"""
SELECT e.child, e.parent,
    p.id IS NOT NULL AND {_TELLS.format("m.tags")} AND NOT coalesce({_TELLS.format("p.tags")}, false) AS tagged,
    -- A GGUF's header counts what its file holds, and no packing distorts it; a GGUF is compared with plain weights.
    coalesce(m.gguf_parameters / p.parameters_stated NOT BETWEEN {LEAST_KEPT} AND {MOST_KEPT}
        AND p.parameters_by_type IS NOT NULL AND p.parameters_stated > 0
        AND len(list_filter(map_keys(p.parameters_by_type), lambda t: t IN ('U8', 'I8', 'I32', 'U32'))) = 0, false)
        AS resized
FROM edges e JOIN models m ON m.id = e.child LEFT JOIN models p ON p.id = e.parent WHERE e.kind = 'quantized'
"""
_MARK = f"""
UPDATE edges SET kind = '{ALTERED}' FROM altered_edges a WHERE edges.child = a.child AND edges.parent = a.parent
"""


def mark_altered(connection: DuckDBPyConnection) -> int:
    """Gives their edges the kind `altered`; says how many."""
    rows = connection.execute(_QUANTISED).fetchall()
    found = [
        (child, parent)
        for child, parent, tagged, resized in rows
        if (tagged and not is_altered(parent)) or resized or alters(parent, child)
    ]
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE altered_edges AS "
        "SELECT unnest(?::VARCHAR[]) AS child, unnest(?::VARCHAR[]) AS parent",
        [[child for child, _ in found], [parent for _, parent in found]],
    )
    connection.execute(_MARK)
    return len(found)
