"""Search over all models: one table with the columns that a search asks for, the most downloaded first.

A search is one pass over these columns alone, which keeps only the rows that are shown: it stays quick however many
models there are. Which licences are of a class is asked of `licences.py`, of the distinct ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insource.core.ecosystem_search import Hit, Hits, Search
from insource.hub.licence_chain import stated_licence
from insource.hub.licences import licence_class

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_WEEKS = 4
_BUILD = f"""
CREATE OR REPLACE TABLE searched AS
WITH recent AS (
    SELECT parent AS id, count(*) / {_WEEKS} AS a_week FROM edges
    WHERE first_seen > (SELECT max(created) FROM models WHERE base_models IS NOT NULL) - INTERVAL {7 * _WEEKS} DAY
    GROUP BY parent
)
SELECT m.id, lower(m.id) AS text, s.parameters, m.pipeline_tag AS task, m.languages, m.license, m.license_name,
    m.downloads, coalesce(c.transitive, 0) AS derivatives, coalesce(r.a_week, 0.0)::DOUBLE AS a_week,
    lower(coalesce(c.main_root, m.id)) AS family, l.number AS licence
FROM models m JOIN searched_licences l ON m.license IS NOT DISTINCT FROM l.license
    AND m.license_name IS NOT DISTINCT FROM l.license_name
LEFT JOIN sizes s USING (id) LEFT JOIN lineage_counts c USING (id) LEFT JOIN recent r USING (id)
ORDER BY m.downloads DESC NULLS LAST, m.id
"""
_LICENCES = """
CREATE OR REPLACE TABLE searched_licences AS
SELECT row_number() OVER ()::INTEGER AS number, * FROM (SELECT DISTINCT license, license_name FROM models)
"""
_FOUND = """
SELECT count(*) FILTER (WHERE {matches}), count(*), count(*) FILTER (WHERE {unstated}), {first} FROM searched
"""
_FIRST = "min(rowid, $rows) FILTER (WHERE {matches})"
_FIRST_BY_GROWTH = """
list_transform(
    max({{'a_week': a_week, 'derivatives': derivatives, 'place': -rowid}}, $rows) FILTER (WHERE {matches}),
    lambda one: -one.place
)
"""
_HITS = """
SELECT s.id, s.parameters, s.task, s.license, s.license_name, s.downloads, s.derivatives, s.a_week
FROM searched s JOIN (SELECT unnest($places::BIGINT[]) AS place, unnest(range(len($places))) AS turn) ON rowid = place
ORDER BY turn
"""


def build_search(connection: DuckDBPyConnection) -> None:
    """Makes the tables `searched` and `searched_licences` of `models`, `sizes` and those of `build_lineage`."""
    connection.execute(_LICENCES)
    connection.execute(_BUILD)


def search(connection: DuckDBPyConnection, asked: Search) -> Hits:
    """Over the tables of `build_search`."""
    tests, needed, parameters = _asked(connection, asked)
    matches = " AND ".join(tests) or "true"
    unstated = " OR ".join(f"{column} IS NULL" for column in needed) or "false"
    first = (_FIRST_BY_GROWTH if asked.by_growth else _FIRST).format(matches=matches)
    query = _FOUND.format(matches=matches, unstated=unstated, first=first)
    found, listed, lacking, places = connection.execute(query, {**parameters, "rows": asked.rows}).fetchall()[0]
    hits = connection.execute(_HITS, {"places": places or []}).fetchall()
    return Hits(
        found=int(found),
        listed=int(listed),
        unstated=int(lacking),
        hits=[
            Hit(
                id=id,
                parameters=size,
                task=task,
                license=stated_licence(license, name),
                downloads=downloads,
                derivatives=derivatives,
                derivatives_a_week=a_week,
            )
            for id, size, task, license, name, downloads, derivatives, a_week in hits
        ],
    )


def _asked(connection: DuckDBPyConnection, asked: Search) -> tuple[list[str], list[str], dict[str, Any]]:
    """Tests, the columns that must be stated for them, and parameters."""
    words = {f"word{place}": word for place, word in enumerate(asked.text.lower().split())}
    tests, needed, parameters = [f"contains(text, ${name})" for name in words], list[str](), dict[str, Any](words)
    if asked.family:
        tests.append("family = $family")
        parameters["family"] = asked.family.strip().lower()
    if asked.task:
        tests.append("task = $task")
        parameters["task"] = asked.task
        needed.append("task")
    if asked.language:
        tests.append("list_contains(languages, $language)")
        parameters["language"] = asked.language.lower()
        needed.append("nullif(languages, [])")
    if asked.licence_class is not None:
        rows = connection.execute("SELECT number, license, license_name FROM searched_licences").fetchall()
        of_class = [number for number, *row in rows if licence_class(stated_licence(*row)) == asked.licence_class]
        tests.append("list_contains($licences::INTEGER[], licence)")
        parameters["licences"] = of_class
        needed.append("nullif(license, '')")
    for bound, sign in ((asked.least_parameters, ">="), (asked.most_parameters, "<=")):
        if bound is not None:
            tests.append(f"parameters {sign} {bound:d}")
            needed.append("parameters")
    return tests, needed, parameters
