"""Parquet files: hub-stats' nested rows, or snapshots of our own. Columns are read by their names; what is missing is
NULL, what is new is left alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from insource.core.errors import BadInput
from insource.hub.duck import paths_list, quoted
from insource.hub.schema import DATASETS, MODELS, SPACES, RepoType
from insource.hub.sources.rows import IS_ID, RAW_COLUMNS, WRITTEN_SAFETENSORS, cleaned, raw_safetensors, select_rows
from insource.hub.sources.shapes import ADDRESS, OF_THE_API, OF_THE_CARD, no_ids, pick_fields

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


_NUMBERS = ("BIGINT", "INTEGER", "UBIGINT", "HUGEINT", "DOUBLE", '"NULL"')
"""Types in which a writer may have put a count."""
_MARKS = (
    (SPACES, {"sdk", "subdomain", "runtime"}),
    (MODELS, {"pipeline_tag", "library_name", "safetensors", "gguf", "baseModels", "base_models", "modelId"}),
    (DATASETS, {"citation", "paperswithcode_id", "description", "size_categories", "task_categories", "datasets"}),
)
"""Columns or fields that one type alone has, in hub-stats, the API's answers or snapshots of ours; of tags their
beginnings, and of addresses the Hub's folder."""
_DATASET_TAGS = ("task_categories:", "size_categories:", "task_ids:")
NO_CHOICE: Mapping[str, str] = MappingProxyType({})


def load_models(connection: DuckDBPyConnection, *paths: Path) -> None:
    """Makes the view `models` with `schema.MODEL_COLUMNS` over the files, hub-stats Parquet or snapshots of ours, which
    are read into a table first. Raises BadInput."""
    rows = select_repositories(connection, *paths, repo_type=MODELS)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE model_rows AS {rows}")
    connection.execute("CREATE OR REPLACE TEMP VIEW models AS FROM model_rows")


def select_repositories(
    connection: DuckDBPyConnection, *paths: Path, repo_type: RepoType, chosen: Mapping[str, str] = NO_CHOICE
) -> str:
    """The query that gives the rows of files of one kind. Raises BadInput, UsageError for a chosen field."""
    raw, types = raw_parquet(connection, *paths, chosen=chosen)
    if not is_ours(types):
        return select_rows(raw, source="hub-stats", repo_type=repo_type)
    told = ", ".join(_own(column.name, column.type, types) for column in repo_type.columns)
    columns = ", ".join(f"{cleaned(column.name, column.type)} AS {column.name}" for column in repo_type.columns)
    there = "WHERE NOT gone" if "gone" in types else ""
    return f"SELECT {columns} FROM (SELECT {told} FROM {raw} {there}) WHERE {IS_ID}"


def is_ours(names: Collection[str]) -> bool:
    """Whether these are the columns of a snapshot."""
    return {"source", "created"} <= set(names)


def repo_type_of(names: Collection[str]) -> RepoType | None:
    """What repositories have these columns or fields; None: any could."""
    told = set(names)
    for repo_type, marks in _MARKS:
        if told & marks:
            return repo_type
    return DATASETS if is_ours(told) else None


def marks_in(record: Mapping[str, Any]) -> Iterator[str]:
    """What of a record shows its type."""
    yield from record
    tags: Any = record.get("tags")
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, str) and tag.startswith(_DATASET_TAGS):
            yield tag.partition(":")[0]


def raw_parquet(
    connection: DuckDBPyConnection, *paths: Path, chosen: Mapping[str, str] = NO_CHOICE
) -> tuple[str, dict[str, str]]:
    """The relation with `rows.RAW_COLUMNS` of hub-stats files (or the file itself if it is ours), and the types of the
    file's columns. Columns that are called otherwise are found as fields of JSON are (`shapes.py`)."""
    import duckdb

    file = f"read_parquet({paths_list(paths)}, union_by_name = true)"
    try:
        types = _types(connection, file)
    except (duckdb.Error, OSError) as error:
        raise _bad(paths, f"can't be read: {str(error).splitlines()[0][:200]}") from error
    if "id" not in types or chosen:
        file = _with_our_names(file, types, chosen=chosen)
        types = _types(connection, file)
    if is_ours(types):
        return file, types
    if not types.keys() & (RAW_COLUMNS.keys() - {"id"}):
        raise _bad(paths, f"says nothing of repositories but `id`: its columns are {', '.join(types)[:200]}")
    columns = ", ".join(_raw(name, type, types) for name, type in RAW_COLUMNS.items() if name != "safetensors")
    columns += f", {_safetensors(connection, file) if 'safetensors' in types else 'NULL'} AS safetensors"
    return f"(SELECT {columns} FROM {file})", types


def _types(connection: DuckDBPyConnection, relation: str) -> dict[str, str]:
    return {str(name): str(type) for name, type, *_ in connection.execute(f"DESCRIBE FROM {relation}").fetchall()}


def _with_our_names(file: str, types: Mapping[str, str], *, chosen: Mapping[str, str]) -> str:
    """A file whose columns are called otherwise, as the Hub's API would call them."""
    fields = {column: names[0] for column, names in pick_fields(types, chosen=chosen).items()}
    if "id" not in fields:
        raise no_ids(list(types))
    id = f"regexp_replace({_column(fields.pop('id'))}, '{ADDRESS}.*$', '\\2')"
    card = {OF_THE_CARD[column]: fields.pop(column) for column in OF_THE_CARD if column in fields}
    parameters = fields.pop("parameters", None)
    told = {OF_THE_API.get(column, column): _column(name) for column, name in fields.items()} | {"id": id}
    if card and "cardData" not in types:
        told["cardData"] = f"to_json({{{', '.join(f'{quoted(key)}: {_column(name)}' for key, name in card.items())}}})"
    if parameters is not None and "safetensors" not in types:
        told["safetensors"] = f"{{'total': {_column(parameters)}}}"
    kept = [_column(name) for name in types if name not in told]
    return f"(SELECT {', '.join([*kept, *(f'{text} AS {_column(name)}' for name, text in told.items())])} FROM {file})"


def _safetensors(connection: DuckDBPyConnection, file: str) -> str:
    """As `RAW_COLUMNS` has it. The dtypes are columns of the file: put into a list as they are, without a way over
    text, which at the Hub's size takes a quarter of the whole reading."""
    found: Any = connection.sql(f"SELECT safetensors FROM {file}").types[0]
    dtypes: Any = dict(found.children).get("parameters") if found.id == "struct" else None
    if dtypes is None or dtypes.id != "struct" or any(str(kind) not in _NUMBERS for _, kind in dtypes.children):
        return raw_safetensors(f"TRY_CAST(to_json(safetensors) AS {WRITTEN_SAFETENSORS})")
    counts = ", ".join(
        f"{{'key': {quoted(name)}, 'value': TRY_CAST(safetensors.parameters.{_column(name)} AS BIGINT)}}"
        for name, _ in dtypes.children
    )
    filled = f"list_filter([{counts}], lambda x: x.value IS NOT NULL)"
    return f"""CASE WHEN safetensors IS NOT NULL THEN struct_pack(total := TRY_CAST(safetensors.total AS BIGINT),
        parameters := CASE WHEN safetensors.parameters IS NOT NULL THEN {filled} END) END"""


def _raw(name: str, type: str, types: dict[str, str]) -> str:
    found = types.get(name)
    if found is None:
        return f'NULL::{type} AS "{name}"'
    if type == "JSON" and found not in ("VARCHAR", "JSON"):
        return f'CASE WHEN "{name}" IS NOT NULL THEN to_json("{name}") END AS "{name}"'
    if type == "JSON":
        # Whether it is JSON is asked once, of a card where it is read: `rows.select_rows`.
        return name if name == "cardData" else f'TRY_CAST("{name}" AS JSON) AS "{name}"'
    if name == "siblings" and "rfilename" in found:
        return "list_transform(siblings, lambda x: x.rfilename) AS siblings"
    return f'TRY_CAST("{name}" AS {type}) AS "{name}"'


def _column(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _own(name: str, type: str, types: dict[str, str]) -> str:
    return (
        f'"{name}"' if types.get(name) == type else f"TRY_CAST({name if name in types else 'NULL'} AS {type}) AS {name}"
    )


def _bad(paths: Sequence[Path], why: str) -> BadInput:
    return BadInput(
        f"The Parquet file {str(paths[0]) if paths else ''!r} {why}.",
        next_step="Give hub-stats' models, datasets or spaces.parquet, or a snapshot that `insource hub sync` made.",
    )
