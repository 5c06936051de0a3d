"""From the view `models` to the tables that the figures ask: `m`, one slim row a model, and its helpers.

`m`, of the snapshot: id, org (lower case), created, downloads, downloads_all, uses, likes, trending, library, license
('': none is stated), licence, tells_license, size, band, kind, country, gguf, parents, tells_tags, family, tag_family.
A name tells a size only of a model that a source describes, not of one that it merely counts. NULL is not stated, and
no figure counts a row that does not state what it asks for (`_STATES`). `uses` are all-time downloads where the
snapshot states any, else those of 30 days. Where there is a whole snapshot, creations after it are not counted: parts
know some of them only. `w`, of the window between two snapshots: the same with `uses` and `likes` of that time.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insource.core.ecosystem_report import Ground, Need
from insource.core.errors import BadInput
from insource.hub.duck import table_names
from insource.hub.licences import licence_class
from insource.hub.sizes_sql import SIZES_SQL

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FAMILIES: tuple[str, ...] = (
    "qwen", "llama", "gemma", "mistral", "mixtral", "deepseek", "phi", "gpt-oss", "glm", "kimi", "minimax", "nemotron",
    "granite", "smollm", "exaone", "falcon", "olmo", "yi", "internlm", "hunyuan", "ernie", "lfm", "flux",
    "stable-diffusion", "whisper", "wav2vec2", "bert", "t5", "gpt2", "clip",
)  # fmt: skip
"""Words in names; the one furthest left counts."""
_SHORT = frozenset({"phi", "glm", "yi", "t5", "lfm"})
"""Found only at the beginning of a word: they are in the middle of too many."""
FAMILY_PATTERN = "(?:" + "|".join(rf"\b{name}" if name in _SHORT else name for name in FAMILIES) + ")"
BANDS: tuple[tuple[float, str], ...] = (
    (1e9, "under 1B"), (10e9, "1B to 10B"), (70e9, "10B to 70B"), (100e9, "70B to 100B"),
    (float("inf"), "100B and more"),
)  # fmt: skip
"""Upper ends, in parameters. 1B, 70B and 100B are the published report's."""
BAND_NAMES: tuple[str, ...] = tuple(name for _, name in BANDS)

_STATES: Mapping[Need, str] = {
    "created": "created IS NOT NULL",
    "downloads": "downloads IS NOT NULL",
    "downloads_all": "downloads_all IS NOT NULL",
    "uses": "uses IS NOT NULL",
    "likes": "likes IS NOT NULL",
    "trending": "trending IS NOT NULL",
    "library": "library IS NOT NULL",
    "license": "tells_license",
    "tags": "tells_tags",
    "base_models": "parents IS NOT NULL",
    "parameters": "size IS NOT NULL",
    "organisations": "kind <> 'not annotated'",
}
_LACKS: Mapping[Need, str] = {
    "created": "no row states when it was created",
    "downloads": "no row states downloads of the last 30 days",
    "downloads_all": "no row states downloads since the beginning",
    "uses": "no row states downloads",
    "likes": "no row states likes",
    "trending": "no row states the Hub's trending score above 0",
    "library": "no row states its library",
    "license": "no row states a licence",
    "tags": "no row holds tags",
    "base_models": "no row declares a parent (base_model)",
    "parameters": "no row states parameters",
    "organisations": "no model's account is in the table of organisations",
    "datasets": "no snapshot of datasets is here: insource hub sync --type datasets",
    "spaces": "no snapshot of Spaces is here: insource hub sync --type spaces",
    "two snapshots": "it needs two snapshots of one source that states all-time downloads: --since YYYY-MM-DD",
    "accounts and traffic": "public metadata does not hold it: the Hub's own accounts and traffic",
}


def read_organisations(path: Path | None = None) -> dict[str, tuple[str, str]]:
    """Account in lower case to (kind, country); the shipped table, or the user's. Raises BadInput."""
    where = str(path or "organisations.toml")
    try:
        text = path.read_text("utf-8") if path else (files("insource.hub") / "organisations.toml").read_text("utf-8")
        accounts: Any = tomllib.loads(text)["accounts"]
        found = {str(name).lower(): (str(said[0]), str(said[1])) for name, said in accounts.items()}
    except (
        OSError,
        UnicodeDecodeError,
        tomllib.TOMLDecodeError,
        KeyError,
        AttributeError,
        IndexError,
        TypeError,
    ) as error:
        raise BadInput(
            f"The table of organisations {where!r} can't be read ({type(error).__name__}: {error}).",
            next_step='Give a TOML file with a table [accounts] of lines like  Qwen = ["company", "China"].',
        ) from error
    return found


def prepare(connection: DuckDBPyConnection, organisations: Mapping[str, tuple[str, str]]) -> Ground:
    """Makes `m` from the view `models`."""
    tables = table_names(connection)
    connection.execute("CREATE OR REPLACE TEMP TABLE annotation (account VARCHAR, kind VARCHAR, country VARCHAR)")
    if organisations:
        listed = list(organisations.items())
        connection.execute(
            "INSERT INTO annotation SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
            [[name for name, _ in listed], [kind for _, (kind, _) in listed], [land for _, (_, land) in listed]],
        )
    _licences(connection)
    found = connection.execute("SELECT count(downloads_all) FROM models").fetchone()
    uses = "downloads_all" if found and found[0] else "downloads"
    if "sizes" not in tables:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE sizes AS {SIZES_SQL}")
    covered = "(SELECT max(day) FROM coverage WHERE whole)" if "coverage" in tables else "NULL"
    connection.execute(_M.format(uses=uses, covered=covered), [FAMILY_PATTERN, FAMILY_PATTERN])
    if "window_downloads" in tables:
        connection.execute(_W)
    return _ground(connection, basis="all time" if uses == "downloads_all" else "last 30 days", tables=tables)


def count_stating(connection: DuckDBPyConnection, needs: Iterable[Need]) -> int:
    """Models of which all of these are stated; in a window between two snapshots those with a count of it."""
    table = "w" if "two snapshots" in needs else "m"
    stated = [_STATES[need] for need in needs if need in _STATES] + (["uses IS NOT NULL"] if table == "w" else [])
    found = connection.execute(f"SELECT count(*) FROM {table} WHERE {' AND '.join(stated) or 'true'}").fetchall()
    return int(found[0][0])


def _licences(connection: DuckDBPyConnection) -> None:
    listed = [str(row[0]) for row in connection.execute("SELECT DISTINCT license FROM models").fetchall() if row[0]]
    connection.execute("CREATE OR REPLACE TEMP TABLE licence_classes (license VARCHAR, class VARCHAR)")
    if listed:
        connection.execute(
            "INSERT INTO licence_classes SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
            [listed, [licence_class(id) for id in listed]],
        )


def _ground(connection: DuckDBPyConnection, *, basis: str, tables: set[str]) -> Ground:
    counts = connection.execute(
        """SELECT count(*), max(created)::DATE, count(created), count(downloads), count(downloads_all), count(uses),
           count(likes), count(*) FILTER (trending > 0), count(library), count(license), count(tag_family),
           count(*) FILTER (parents > 0), count(size), count(*) FILTER (kind <> 'not annotated') FROM m"""
    ).fetchone()
    assert counts is not None  # an aggregate has one row
    names: tuple[Need, ...] = (
        "created", "downloads", "downloads_all", "uses", "likes", "trending", "library", "license", "tags",
        "base_models", "parameters", "organisations",
    )  # fmt: skip
    lacks: dict[Need, str] = {n: _LACKS[n] for n, count in zip(names, counts[2:], strict=True) if not count}
    others: tuple[Need, ...] = ("datasets", "spaces")
    lacks |= {need: _LACKS[need] for need in others if need not in tables}
    held = {
        name: int(connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0])
        for name in others
        if name in tables
    }
    window = "SELECT count(uses) FROM w" if "window_downloads" in tables else "SELECT 0"
    if not connection.execute(window).fetchall()[0][0]:
        lacks["two snapshots"] = _LACKS["two snapshots"]
    lacks["accounts and traffic"] = _LACKS["accounts and traffic"]
    return Ground(models=counts[0], newest=counts[1], basis=basis, others=held, lacks=lacks)


_BAND = f"""CASE {" ".join(f"WHEN size < {end:.0f} THEN '{name}'" for end, name in BANDS[:-1])}
    WHEN size IS NOT NULL THEN '{BANDS[-1][1]}' END"""
_M = (
    """CREATE OR REPLACE TEMP TABLE m AS
WITH s AS (
  SELECT *, lower(coalesce(author, id)) AS org, lower(id) AS name,
    nullif(lower(model_type), '') AS kind_of_model
  FROM models
), t AS (
  SELECT s.id, s.org, CASE WHEN s.created::DATE > {covered} THEN NULL ELSE s.created END AS created,
    s.downloads, s.downloads_all, s.{uses} AS uses, s.likes, s.trending,
    lower(s.library) AS library, s.license, coalesce(c.class, 'unknown') AS licence,
    CASE WHEN z.method <> 'name' OR s.created IS NOT NULL OR s.tags IS NOT NULL
      THEN nullif(z.parameters, 0) END AS size,
    coalesce(a.kind, 'not annotated') AS kind, coalesce(a.country, 'not annotated') AS country,
    lower(s.library) IS NOT DISTINCT FROM 'gguf' OR s.gguf_parameters IS NOT NULL
      OR coalesce(list_contains(s.tags, 'gguf'), false) OR regexp_matches(s.name, '\\bgguf\\b') AS gguf,
    len(s.base_models) AS parents, s.tags IS NOT NULL AS tells_tags,
    s.license IS NOT NULL AND (s.tags IS NOT NULL OR bool_and(s.tags IS NULL) OVER ()) AS tells_license,
    nullif(regexp_extract(lower(concat_ws(' ', array_to_string(list_transform(s.base_models, lambda b: b.id), ' '),
      s.name, CASE WHEN s.kind_of_model NOT IN ('llama', 'mistral', 'gpt2') THEN s.kind_of_model END)), ?), '')
      AS family,
    CASE WHEN len(s.tags) > 0 THEN regexp_extract_all(lower(array_to_string(s.tags, ' ')), ?) END AS tag_family
  FROM s LEFT JOIN annotation a ON a.account = s.org LEFT JOIN licence_classes c ON c.license = s.license
    LEFT JOIN sizes z ON z.id = s.id
)
SELECT *, """
    + _BAND
    + " AS band FROM t"
)

_W = """CREATE OR REPLACE TEMP TABLE w AS
SELECT m.* REPLACE (
    CASE WHEN d.id IS NOT NULL THEN d.downloads WHEN new THEN m.downloads_all END AS uses,
    CASE WHEN d.id IS NOT NULL THEN d.likes WHEN new THEN m.likes END AS likes)
FROM (SELECT *, created::DATE > (SELECT first FROM window_days) AND id NOT IN (SELECT id FROM window_first) AS new
    FROM m) m LEFT JOIN window_downloads d ON d.id = m.id
"""
