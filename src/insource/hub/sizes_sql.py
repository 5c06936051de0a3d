"""`sizes.parameters` for all models at once: the same patterns and the same decisions, in DuckDB's words."""

from __future__ import annotations

from insource.hub.sizes import (
    ABSURD,
    BITS,
    DRAFT_TYPE,
    FAR,
    FORMAT_TAGS,
    MOST,
    NEVER_UNPACKED,
    PACKED_TYPES,
    POINT,
    QUANTISED,
    SAME,
    SEPARATORS,
    SERVES_ANOTHER,
    SIZE,
    SMALL,
    UNITS,
    USUAL_BITS,
)

QUANTISED_KINDS = ("quantized", "altered")
"""Of edges whose child is declared to be a quantisation."""
_PADDED = f"'  ' || replace(translate({{}}, '{SEPARATORS}', '{' ' * len(SEPARATORS)}'), ' ', '  ') || '  '"
_POINTED = _PADDED.format(rf"regexp_replace(name, '{POINT}', '\1.\2', 'g')")
_PLAIN = _PADDED.format("name")
_TAGGED = _PADDED.format("array_to_string(format_tags, '    ')")
_TAGS = ", ".join(f"'{tag}'" for tag in FORMAT_TAGS)
_NEAR = f"({{0}} / value > {1 / FAR} AND {{0}} / value < {FAR})"
_PACKED = " OR ".join(f"coalesce(types['{name}'], 0) > 0" for name in PACKED_TYPES)
_EXTRA = " + ".join(
    f"coalesce(nullif(greatest(types['{name}'], 0), 0) * {size} // bits - types['{name}'], 0)"
    for name, size in PACKED_TYPES.items()
)
_NUMBER = "rtrim(word, 'bm')"

SIZES_SQL = f"""
WITH named_rows AS (
    SELECT id, lower(regexp_extract(id, '[^/]*$')) AS name, tags,
        parameters_by_type AS types, parameters_stated AS stated,
        greatest(coalesce(gguf_parameters, 0), 0) AS gguf,
        len(list_filter(coalesce(base_models, []), lambda base: base.relation = 'adapter')) > 0
            OR coalesce(regexp_matches(model_type, '{DRAFT_TYPE}'), false) AS serves_another,
        coalesce(list_sum(list_transform(map_values(parameters_by_type), lambda n: greatest(n, 0))), 0)::BIGINT AS total
    FROM models
), counted_rows AS (
    SELECT *, greatest(coalesce(stated, 0), total) AS counted, {_PACKED} AS packed,
        regexp_matches(name, '[0-9][bm]') AS has_size
    FROM named_rows
), spelled AS (
    -- Only a packed type or a bare total asks whether it is quantised: for 3 M names a pattern costs seconds.
    SELECT * EXCLUDE (tags), packed OR (counted > 0 AND total = 0) AS asks,
        CASE WHEN asks OR has_size
             THEN CASE WHEN contains(name, '_') THEN {_POINTED} ELSE '' END || {_PLAIN} END AS name_words,
        CASE WHEN asks THEN list_sort(list_filter(tags, lambda tag: tag IN ({_TAGS}))) END AS format_tags,
        CASE WHEN len(format_tags) > 0 THEN {_TAGGED} ELSE '' END AS tag_words
    FROM counted_rows
), read AS (
    SELECT *, CASE WHEN asks THEN regexp_matches(name_words || tag_words, '{QUANTISED}') ELSE false END AS quantised,
        CASE WHEN packed THEN coalesce(nullif(regexp_extract(name_words || tag_words, '{BITS}', 1), ''),
                 nullif(regexp_extract(name_words || tag_words, '{BITS}', 2), ''), '{USUAL_BITS}')::BIGINT END AS bits,
        CASE WHEN has_size AND NOT serves_another AND NOT regexp_matches(name_words, '{SERVES_ANOTHER}')
             THEN list_filter(regexp_extract_all(name_words, '{SIZE}', 1), lambda word: word <> '')
             ELSE [] END AS size_words,
        len(size_words) > 1 AND contains(name_words, concat(' ', size_words[1], '  ', size_words[1], ' ')) AS are_twins,
        list_transform(size_words, lambda word: CASE WHEN contains(word, 'x')
                THEN split_part({_NUMBER}, 'x', 1)::DOUBLE * split_part({_NUMBER}, 'x', 2)::DOUBLE
                ELSE {_NUMBER}::DOUBLE END
            * CASE WHEN ends_with(word, 'b') THEN {UNITS["b"]} ELSE {UNITS["m"]} END) AS all_sizes
    FROM spelled
), sized AS (
    SELECT *,
        list_filter(CASE WHEN are_twins THEN list_transform(all_sizes, lambda size:
                CASE WHEN size = all_sizes[1] THEN 2 * size ELSE size END) ELSE all_sizes END,
            lambda size: size > 0 AND size < {MOST}) AS sizes,
        list_filter(sizes, lambda size: size >= {SMALL} OR list_max(sizes) < {SMALL}) AS named,
        CASE WHEN quantised AND packed
             THEN total + {_EXTRA} ELSE 0 END AS unpacked
    FROM read
), measured AS (
    SELECT *, CASE WHEN unpacked > 0 AND len(named) > 0 THEN
            list_min(list_transform(named, lambda size: abs(ln(size / unpacked))))
            < list_min(list_transform(named, lambda size: abs(ln(size / counted)))) END AS unpacked_is_nearer,
        CASE WHEN counted > 0 AND total = 0 AND len(named) > 0 THEN list_sort(list_transform(named, lambda size:
            {{'far': abs(ln(size / counted)), 'size': size}}))[1].size END AS nearest
    FROM sized
), decided AS (
    SELECT *, CASE
        WHEN counted = 0 THEN CASE WHEN gguf > 0 THEN 'gguf' WHEN len(named) > 0 THEN 'name' ELSE 'none' END
        WHEN unpacked > 0 THEN CASE
            WHEN CASE WHEN len(named) > 0 THEN unpacked_is_nearer
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
    SELECT *, CASE WHEN gguf > 0 AND method <> 'gguf' THEN {_NEAR.format("gguf")} END AS gguf_agrees,
        CASE WHEN method = 'name' THEN CASE WHEN counted > 0 THEN {_NEAR.format("counted")} END
            WHEN len(named) > 0 THEN len(list_filter(named, lambda size: {_NEAR.format("size")})) > 0
            END AS name_agrees
    FROM valued
)
SELECT id, value::BIGINT AS parameters, method, CASE WHEN value IS NULL THEN 'none'
    WHEN gguf_agrees IS NULL AND name_agrees IS NULL THEN 'one source'
    WHEN coalesce(gguf_agrees, true) AND coalesce(name_agrees, true) THEN 'agree' ELSE 'differ' END AS agreement
FROM compared
"""
"""`id, parameters, method, agreement` of every row of the view `models`."""

COMPARED_SQL = f"""
UPDATE sizes SET agreement = CASE
    WHEN o.size / sizes.parameters NOT BETWEEN {1 / SAME} AND {SAME} THEN 'differ'
    WHEN sizes.agreement = 'one source' THEN 'agree' ELSE sizes.agreement END
FROM (
    SELECT e.child, arg_min(p.parameters, abs(ln(p.parameters / c.parameters))) AS size
    FROM edges e JOIN sizes p ON p.id = e.parent JOIN sizes c ON c.id = e.child
    WHERE e.kind IN {QUANTISED_KINDS} AND p.parameters > 0 AND c.parameters > 0 GROUP BY e.child
) o WHERE sizes.id = o.child
"""
"""`sizes.compared` for all rows of the table `sizes`: of several originals the nearest counts."""
