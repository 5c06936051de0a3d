"""Tables `models`: of a test's own rows, or of the real hub-stats Parquet, which few lines of their own read here: the
readers prove theirs."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from insource.hub.archive import Archive
from insource.hub.schema import MODEL_COLUMNS

VIEW_SQL = """
CREATE OR REPLACE TABLE models AS SELECT id, author, createdAt AS created, lastModified AS modified, downloads,
    downloadsAllTime AS downloads_all, likes, trendingScore AS trending, pipeline_tag, library_name AS library,
    CASE json_type(cardData, '$.license') WHEN 'ARRAY'
        THEN array_to_string(CAST(cardData->'$.license' AS VARCHAR[]), ',')
        ELSE cardData->>'$.license' END AS license,
    cardData->>'$.license_name' AS license_name,
    CASE json_type(cardData, '$.language') WHEN 'ARRAY' THEN CAST(cardData->'$.language' AS VARCHAR[])
        ELSE CASE WHEN cardData->>'$.language' IS NULL THEN NULL ELSE [cardData->>'$.language'] END END AS languages,
    tags, list_transform(baseModels.models, lambda m: {'relation': baseModels.relation, 'id': m.id}) AS base_models,
    CASE json_type(cardData, '$.base_model') WHEN 'ARRAY' THEN CAST(cardData->'$.base_model' AS VARCHAR[])
        WHEN 'VARCHAR' THEN [cardData->>'$.base_model'] END AS card_base_models, NULL::VARCHAR AS config_base_model,
    gguf->>'$.architecture' AS model_type, safetensors.total AS parameters_stated,
    CASE WHEN safetensors IS NULL THEN NULL ELSE map_from_entries(list_filter([
        {'k': 'BF16', 'v': safetensors.parameters.BF16}, {'k': 'F32', 'v': safetensors.parameters.F32},
        {'k': 'F16', 'v': safetensors.parameters.F16}, {'k': 'F8_E4M3', 'v': safetensors.parameters.F8_E4M3},
        {'k': 'F8_E8M0', 'v': safetensors.parameters.F8_E8M0}, {'k': 'I64', 'v': safetensors.parameters.I64},
        {'k': 'U8', 'v': safetensors.parameters.U8}, {'k': 'I8', 'v': safetensors.parameters.I8},
        {'k': 'I32', 'v': safetensors.parameters.I32}, {'k': 'U32', 'v': safetensors.parameters.U32}],
        lambda e: e.v IS NOT NULL)) END AS parameters_by_type,
    CAST(gguf->>'$.total' AS BIGINT) AS gguf_parameters, CAST(gguf->>'$.context_length' AS BIGINT) AS gguf_context,
    NULL::VARCHAR AS gated, NULL::VARCHAR AS sha, NULL::VARCHAR[] AS files, 'hub-stats' AS source
FROM read_parquet(?)
"""


def world(*rows: dict[str, Any]) -> Any:
    """A connection whose table `models` holds these rows; what a row leaves out is NULL."""
    connection = duckdb.connect()
    columns = [(c.name, c.type) for c in MODEL_COLUMNS]
    connection.execute(f"CREATE TABLE models ({', '.join(f'{name} {type}' for name, type in columns)})")
    for row in rows:
        row = {"author": row["id"].split("/")[0], **row}
        marks = ", ".join("?" for _ in row)
        connection.execute(f"INSERT INTO models ({', '.join(row)}) VALUES ({marks})", list(row.values()))
    return connection


def model(id: str, *parents: str, kind: str | None = "finetune", **columns: Any) -> dict[str, Any]:
    return {"id": id, "base_models": [{"relation": kind, "id": parent} for parent in parents], **columns}


def archived(folder: Path, *rows: dict[str, Any], day: date, whole: bool = True) -> Archive:
    """An archive with one snapshot of these rows."""
    archive = Archive(folder)
    with world(*({"source": "hub-stats", **row} for row in rows)) as connection:
        connection.execute("CREATE TEMP TABLE incoming AS FROM models")
        archive.add(connection, source="hub-stats", day=day, whole=whole)
    return archive


def real_models(shared_data: Path) -> Any:
    """A connection whose table `models` holds the 4,167 real rows."""
    connection = duckdb.connect()
    connection.execute(VIEW_SQL, [str(shared_data / "hub" / "hub_stats_frozen.parquet")])
    return connection
