"""`sizes.parameters` for all models at once: the same patterns and the same decisions, in DuckDB's words."""

from __future__ import annotations

from insource.hub.sizes import (
    ABSURD,
    BILLIONS,
    BITS,
    FAR,
    FORMAT_TAGS,
    MILLIONS,
    MOST,
    NEVER_UNPACKED,
    PACKED_TYPES,
    POINT,
    QUANTISED,
    SERVES_ANOTHER,
    SPLIT,
    USUAL_BITS,
)

_PADDED = f"'  ' || regexp_replace({{}}, '{SPLIT}', '  ', 'g') || '  '"
_POINTED = _PADDED.format(rf"regexp_replace(name, '{POINT}', '\1.\2', 'g')")
_PLAIN = _PADDED.format("name")
_TAGGED = _PADDED.format("array_to_string(format_tags, '    ')")
_TAGS = ", ".join(f"'{tag}'" for tag in FORMAT_TAGS)
_NAMES = ", ".join(f"'{name}'" for name in PACKED_TYPES)
_EXTRA = " + ".join(
    f"coalesce(nullif(greatest(types['{name}'], 0), 0) * {size} // bits - types['{name}'], 0)"
    for name, size in PACKED_TYPES.items()
)

SIZES_SQL = f"""
WITH named_rows AS (
    SELECT id, lower(regexp_extract(id, '[^/]*$')) AS name,
        coalesce(list_sort(list_filter(tags, lambda tag: tag IN ({_TAGS}))), []) AS format_tags,
        parameters_by_type AS types, parameters_stated AS stated,
        greatest(coalesce(gguf_parameters, 0), 0) AS gguf,
        len(list_filter(coalesce(base_models, []), lambda base: base.relation = 'adapter')) > 0 AS adapter,
        coalesce(list_sum(list_transform(map_values(parameters_by_type), lambda n: greatest(n, 0))), 0)::BIGINT AS total
    FROM models
), spelled AS (
    SELECT *, greatest(coalesce(stated, 0), total) AS counted,
        {_POINTED} || {_PLAIN} AS name_words,
        CASE WHEN len(format_tags) = 0 THEN '' ELSE {_TAGGED} END AS tag_words
    FROM named_rows
), read AS (
    SELECT *, regexp_matches(name_words || tag_words, '{QUANTISED}') AS quantised,
        coalesce(nullif(regexp_extract(name_words || tag_words, '{BITS}', 1), ''),
                 nullif(regexp_extract(name_words || tag_words, '{BITS}', 2), ''), '{USUAL_BITS}')::BIGINT AS bits,
        CASE WHEN adapter OR regexp_matches(name_words, '{SERVES_ANOTHER}') THEN []::VARCHAR[]
             ELSE regexp_extract_all(name_words, '{BILLIONS}') END AS billions,
        CASE WHEN adapter OR regexp_matches(name_words, '{SERVES_ANOTHER}') THEN []::VARCHAR[]
             ELSE regexp_extract_all(name_words, '{MILLIONS}') END AS millions
    FROM spelled
), sized AS (
    SELECT *, list_filter(CASE WHEN len(billions) > 0
            THEN list_transform(billions, lambda word: CASE WHEN contains(word, 'x')
                THEN split_part(trim(word, ' b'), 'x', 1)::DOUBLE * split_part(trim(word, ' b'), 'x', 2)::DOUBLE
                ELSE trim(word, ' b')::DOUBLE END * 1e9)
            ELSE list_transform(millions, lambda word: trim(word, ' m')::DOUBLE * 1e6) END,
            lambda size: size > 0 AND size < {MOST}) AS named,
        CASE WHEN quantised AND len(list_filter(map_entries(types),
                lambda entry: entry.key IN ({_NAMES}) AND entry.value > 0)) > 0
             THEN total + {_EXTRA} ELSE 0 END AS unpacked
    FROM read
), measured AS (
    SELECT *, list_sort(list_transform(named, lambda size: abs(ln(size / nullif(counted, 0))))) [1] AS far_counted,
        list_sort(list_transform(named, lambda size: abs(ln(size / nullif(unpacked, 0)))))[1] AS far_unpacked,
        list_sort(list_transform(named, lambda size:
            {{'far': abs(ln(size / nullif(counted, 0))), 'size': size}}))[1].size AS nearest
    FROM sized
), decided AS (
    SELECT *, CASE
        WHEN counted = 0 THEN CASE WHEN gguf > 0 THEN 'gguf' WHEN len(named) > 0 THEN 'name' ELSE 'none' END
        WHEN unpacked > 0 THEN CASE
            WHEN CASE WHEN len(named) > 0 THEN far_unpacked < far_counted
                 ELSE coalesce(types['{NEVER_UNPACKED}'], 0) > 0 OR coalesce(stated, 0) < total END
            THEN 'safetensors unpacked' ELSE 'safetensors' END
        WHEN len(named) > 0 AND total = 0 AND (nearest / counted >= {ABSURD}
            OR (quantised AND NOT (nearest / counted > {1 / FAR} AND nearest / counted < {FAR}))) THEN 'name'
        ELSE 'safetensors' END AS method
    FROM measured
), valued AS (
    SELECT *, CASE method WHEN 'gguf' THEN gguf WHEN 'safetensors' THEN counted
        WHEN 'safetensors unpacked' THEN unpacked
        WHEN 'name' THEN floor(CASE WHEN counted = 0 THEN list_min(named) ELSE nearest END)::BIGINT END AS value
    FROM decided
), compared AS (
    SELECT *, list_filter([CASE WHEN gguf > 0 AND method <> 'gguf' THEN gguf::DOUBLE END,
        CASE WHEN method = 'name' THEN nullif(counted, 0)::DOUBLE ELSE list_sort(list_transform(named, lambda size:
            {{'far': abs(ln(size / value)), 'size': size}}))[1].size END], lambda other: other IS NOT NULL) AS others
    FROM valued
)
SELECT id, value::BIGINT AS parameters, method, CASE WHEN value IS NULL THEN 'none'
    WHEN len(others) = 0 THEN 'one source'
    WHEN len(list_filter(others, lambda other: other / value > {1 / FAR} AND other / value < {FAR})) = len(others)
    THEN 'agree' ELSE 'differ' END AS agreement
FROM compared
"""
"""`id, parameters, method, agreement` of every row of the view `models`."""
