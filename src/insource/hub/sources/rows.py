"""From what the Hub says of a repository to a snapshot's row: one SQL query, for whichever source has laid it out.

A source makes a relation with the columns of `RAW_COLUMNS`, named as the Hub's API names them; nested values are JSON
or a map, because their shapes grow (new dtypes, junk names). All texts were written by strangers: ids that are none
refuse the row, control and direction characters go, lists and lengths are capped. Nothing is rendered or executed.
"""

from __future__ import annotations

from collections.abc import Mapping

from insource.hub.schema import RepoType

RAW_COLUMNS: Mapping[str, str] = {
    "id": "VARCHAR",
    "createdAt": "TIMESTAMP",
    "lastModified": "TIMESTAMP",
    "downloads": "BIGINT",
    "downloadsAllTime": "BIGINT",
    "likes": "BIGINT",
    "trendingScore": "DOUBLE",
    "pipeline_tag": "VARCHAR",
    "library_name": "VARCHAR",
    "tags": "VARCHAR[]",
    "cardData": "JSON",
    "safetensors": "STRUCT(total BIGINT, parameters STRUCT(key VARCHAR, value BIGINT)[])",
    "gguf": "JSON",
    "baseModels": "JSON",
    "config": "JSON",
    "gated": "VARCHAR",
    "sha": "VARCHAR",
    "siblings": "VARCHAR[]",
    "context": "BIGINT",
    "active_parameters": "BIGINT",
    "sdk": "VARCHAR",
    "models": "VARCHAR[]",
    "datasets": "VARCHAR[]",
    "runtime": "JSON",
}
"""`context` and `active_parameters` are no names of the API's: `records` alone tell them."""

WRITTEN_SAFETENSORS = "STRUCT(total BIGINT, parameters MAP(VARCHAR, BIGINT))"
"""As JSON has it: of a growing set of dtypes."""

MOST_TAGS = 512
MOST_FILES = 2_000
MOST_CONTEXT = 1 << 27
"""Tokens; a larger one is no context."""
LONGEST_TEXT = 200
"""Characters of one tag, id or name. The longest tag among 4,167 real models has 118; they have up to 130 tags."""
_CARD_BYTES = 4_000_000
"""A longer card is not read at all: the largest real one of 4,167 has 312,451."""
_UNSEEN = r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]"
"""Control characters, and those that turn a text's direction or hide in it."""

IS_ID = rf"""regexp_full_match(id, '[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?') AND length(id) <= {LONGEST_TEXT}
    AND NOT contains(id, '..') AND NOT starts_with(id, '.') AND NOT contains(id, '/.')"""

IS_CUT = f"(len(tags) > {MOST_TAGS} OR len(siblings) > {MOST_FILES} OR strlen(cardData) > {_CARD_BYTES})"
"""Rows of which a part is left out."""


def raw_safetensors(written: str) -> str:
    """From `WRITTEN_SAFETENSORS` to `RAW_COLUMNS`."""
    return f"struct_pack(total := {written}.total, parameters := map_entries({written}.parameters))"


def _word(expression: str) -> str:
    """One cleaned text; an empty one is none."""
    return f"nullif(trim(left(regexp_replace({expression}, '{_UNSEEN}', '', 'g'), {LONGEST_TEXT})), '')"


def _words(expression: str, *, most: int) -> str:
    """A cleaned list, without repeats, in order of the alphabet. Repeats stand side by side in a sorted list: at the
    Hub's size, looking for them there takes a third of what `list_distinct` does."""
    bad = f"len(x) > {LONGEST_TEXT} OR x IS NULL OR x = '' OR regexp_matches(x, '{_UNSEEN}')"
    return f"""CASE WHEN {expression} IS NULL THEN NULL ELSE list_transform([list_sort(({expression})[:{most}])],
        lambda s: list_filter(s, lambda x, i: NOT ({bad}) AND x IS DISTINCT FROM s[i - 1]))[1] END"""


_RELATIONS = "'finetune', 'adapter', 'quantized', 'merge'"
_CARD_KEYS = ("license", "license_name", "language", "base_model")
_CARD_PATHS = ", ".join(f"'$.{key}'" for key in _CARD_KEYS)
_CARD = f"CASE WHEN strlen(cardData) <= {_CARD_BYTES} THEN TRY(json_extract(cardData, [{_CARD_PATHS}])) END"
"""The values of `_CARD_KEYS`: reading a card costs, so it is read once. One that is no JSON states none."""


def _of_card(key: str) -> str:
    return f"card[{_CARD_KEYS.index(key) + 1}]"


def cleaned(name: str, type: str) -> str:
    """A column of a snapshot that a stranger may have written."""
    if name == "license":
        return f"coalesce({_word(name)}, CASE WHEN trim({name}) = '' THEN {NONE_STATED} END)"
    if type == "VARCHAR":
        return name if name == "id" else _word(name)
    if type == "VARCHAR[]":
        return _words(name, most=MOST_FILES)
    if name == "base_models":
        return f"""list_filter({name}, lambda x: len(x.id) BETWEEN 1 AND {LONGEST_TEXT}
            AND NOT regexp_matches(x.id, '{_UNSEEN}') AND (x.relation IS NULL OR x.relation IN ({_RELATIONS})))"""
    return name


def _text_of_card(key: str) -> str:
    return f"CASE WHEN json_type({_of_card(key)}) = 'VARCHAR' THEN {_of_card(key)}->>'$' END"


def _one_or_list(key: str) -> str:
    """A card's value that is a text in one and a list in another."""
    value = _of_card(key)
    return f"""CASE json_type({value}) WHEN 'ARRAY' THEN TRY_CAST({value} AS VARCHAR[])
        WHEN 'VARCHAR' THEN [{value}->>'$'] END"""


def _tagged(prefix: str) -> str:
    return f"""list_transform(list_filter(tags, lambda x: starts_with(x, '{prefix}')),
        lambda x: substr(x, {len(prefix) + 1}))"""


_PARENTS = f"""
    list_sort(list_distinct(list_filter(list_concat(
        list_transform(
            list_filter(tagged_parents, lambda x: list_contains([{_RELATIONS}], split_part(x, ':', 1))),
            lambda x: {{'relation': split_part(x, ':', 1), 'id': substr(x, strpos(x, ':') + 1)}}),
        list_transform(
            list_filter(tagged_parents, lambda x: NOT contains(x, ':')
                AND len(list_filter(tagged_parents, lambda y: ends_with(y, concat(':', x)))) = 0),
            lambda x: {{'relation': NULL::VARCHAR, 'id': x}})
    ), lambda x: x.id <> '')))"""
"""The Hub writes every parent as two tags, `base_model:ID` and `base_model:RELATION:ID`; one alone has no relation."""

_NESTED_PARENTS = f"""
    list_sort(list_distinct(list_transform(
        list_filter(TRY_CAST(json_extract_string(baseModels, '$.models[*].id') AS VARCHAR[]),
            lambda x: len(x) BETWEEN 1 AND {LONGEST_TEXT} AND NOT regexp_matches(x, '{_UNSEEN}')),
        lambda x: {{'relation': CASE WHEN (baseModels->>'relation') IN ({_RELATIONS}) THEN baseModels->>'relation' END,
            'id': x}})))"""

_NO_PARENTS = "[]::STRUCT(relation VARCHAR, id VARCHAR)[]"

_BY_TYPE = """CASE WHEN safetensors.parameters IS NOT NULL THEN map_from_entries(list_sort(list_filter(
    safetensors.parameters, lambda x: x.value IS NOT NULL AND len(x.key) <= 40))) END"""


NONE_STATED = "''"
"""The licence of a repository whose tags, which repeat its licence, are known and hold none."""

_COLUMNS: Mapping[str, str] = {
    "id": "id",
    "author": "CASE WHEN contains(id, '/') THEN split_part(id, '/', 1) END",
    "created": "createdAt",
    "modified": "lastModified",
    "downloads": "CASE WHEN downloads >= 0 THEN downloads END",
    "downloads_all": "CASE WHEN downloadsAllTime >= 0 THEN downloadsAllTime END",
    "likes": "CASE WHEN likes >= 0 THEN likes END",
    "trending": "CASE WHEN isfinite(trendingScore) THEN trendingScore END",
    "pipeline_tag": _word("pipeline_tag"),
    "library": _word("library_name"),
    "license": f"""coalesce({_word("array_to_string(list_sort(licences[:8]), ',')")},
        CASE WHEN len(tags) > 0 THEN {NONE_STATED} END)""",
    "license_name": _word(_text_of_card("license_name")),
    "languages": _words(_one_or_list("language"), most=MOST_TAGS),
    "tags": "tags",
    "base_models": f"""CASE WHEN len(tagged_parents) > 0 THEN {_PARENTS}
        WHEN baseModels IS NOT NULL THEN coalesce({_NESTED_PARENTS}, {_NO_PARENTS})
        WHEN tags IS NOT NULL THEN {_NO_PARENTS} END""",
    "card_base_models": _words(_one_or_list("base_model"), most=MOST_TAGS),
    "config_base_model": _word("config->>'$.peft.base_model_name_or_path'"),
    "model_type": _word("coalesce(config->>'model_type', gguf->>'architecture')"),
    "parameters_stated": "safetensors.total",
    "parameters_by_type": _BY_TYPE,
    "gguf_parameters": "TRY_CAST(gguf->>'total' AS BIGINT)",
    "gguf_context": "TRY_CAST(gguf->>'context_length' AS BIGINT)",
    "context": f"CASE WHEN context BETWEEN 1 AND {MOST_CONTEXT} THEN context END",
    "active_parameters": "CASE WHEN active_parameters > 0 THEN active_parameters END",
    "gated": """CASE lower(gated) WHEN 'false' THEN 'no' WHEN 'no' THEN 'no'
        WHEN 'auto' THEN 'auto' WHEN 'manual' THEN 'manual' END""",
    "sha": _word("sha"),
    "files": _words("siblings", most=MOST_FILES),
    "sdk": _word("sdk"),
    "models": _words("models", most=MOST_TAGS),
    "datasets": _words("datasets", most=MOST_TAGS),
    "stage": _word("runtime->>'stage'"),
    "hardware": _word("coalesce(runtime->>'$.hardware.current', runtime->>'$.hardware')"),
}
"""Of every type, over the relation `told`."""


def select_rows(raw: str, *, source: str, repo_type: RepoType) -> str:
    """The query that gives the type's columns from a relation with `RAW_COLUMNS`. All arguments are constants."""
    expressions = {**_COLUMNS, "source": f"'{source}'"}
    named = ", ".join(f"{expressions[column.name]} AS {column.name}" for column in repo_type.columns)
    return f"""
    WITH cleaned AS (
        SELECT * REPLACE ({_words("tags", most=MOST_TAGS)} AS tags), {_CARD} AS card
        FROM {raw} WHERE {IS_ID}
    ), told AS (
        SELECT *,
            CASE WHEN len(tags) > 0 THEN {_tagged("base_model:")} END AS tagged_parents,
            coalesce(nullif({_one_or_list("license")}, []), {_tagged("license:")}) AS licences
        FROM cleaned
    )
    SELECT {named} FROM told"""
