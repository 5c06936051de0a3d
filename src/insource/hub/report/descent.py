"""Figures on descent, licences and local use: who is built on, under which terms, and what runs from GGUF files."""

from __future__ import annotations

from insource.core.ecosystem_report import Chart, Measure, Published
from insource.hub.report.figure import Figure

_DIRECT = "Direct: other accounts' models that declare a parent of it (base_model)."
_TRANSITIVE = "Transitive: other accounts' models that descend from it by any chain of declared parents."
_WHY = "Only declared parents, their names repaired; a chain through a model that is not in the snapshot ends there."

BY_ORGANISATION = Figure(
    id="derivatives_by_organisation",
    title="Derivatives by organisation",
    question="Whose models does the community build on?",
    definition=f"{_DIRECT} {_TRANSITIVE} Of the 100 accounts with the most direct ones, "
    "the 15 with the most transitive ones.",
    needs=("base_models",),
    sql="""WITH near AS (SELECT parent_org AS account, count(DISTINCT child) AS near FROM direct
            WHERE owner <> parent_org GROUP BY 1),
        top AS (SELECT account, models AS whole, near FROM near JOIN reached ON key = 'org:' || account
            ORDER BY whole DESC, account LIMIT 15)
        SELECT account, v.counted, v.derivatives FROM top, LATERAL (VALUES ('direct', near), ('transitive', whole))
            v(counted, derivatives) ORDER BY top.whole DESC, account, counted""",
    chart=Chart(kind="bar", x="derivatives", x_title="derivatives (models of other accounts)", y="account",
                y_title="account", colour="counted", colour_title="counted", order=("direct", "transitive")),
    headline="""SELECT max(derivatives) FILTER (account = 'qwen' AND counted = 'direct') AS qwen_direct,
        max(derivatives) FILTER (account = 'qwen' AND counted = 'transitive') AS qwen_transitive,
        max(derivatives) FILTER (account = 'google' AND counted = 'transitive') AS google_transitive FROM rows""",
    measures=(
        Measure(name="qwen_direct", text="of Qwen, direct", unit="models"),
        Measure(name="qwen_transitive", text="of Qwen, transitive", unit="models"),
        Measure(name="google_transitive", text="of Google, transitive", unit="models"),
    ),
    published=(
        Published(text="Qwen: 151,448 derivatives", report="summer", measure="qwen_transitive"),
        Published(text="Google: 82,506 derivatives", report="summer", measure="google_transitive"),
    ),
    difference=f"{_WHY} The published text does not say which kind it counts.",
)  # fmt: skip

BY_FAMILY = Figure(
    id="derivatives_by_family",
    title="Derivatives by family",
    question="Which families does the community build on?",
    definition="Direct: models that declare a parent whose name holds the family's word. Transitive: models "
    "that descend from such a one by any chain of declared parents. A family is a word in the parent's name (Qwen, "
    "Llama, …). By tag: models of which any tag contains the word. The 12 families with the most by tag.",
    needs=("base_models", "tags"),
    sql="""WITH near AS (SELECT parent_family AS family, count(DISTINCT child) AS n FROM direct
            WHERE parent_family IS NOT NULL GROUP BY 1),
        tagged AS (SELECT family, count(*) AS n FROM (SELECT id, unnest(list_distinct(tag_family)) AS family FROM m)
            GROUP BY 1),
        top AS (SELECT tagged.family, coalesce(near.n, 0) AS a, coalesce(reached.models, 0) AS b, tagged.n AS c
            FROM tagged LEFT JOIN near USING (family) LEFT JOIN reached ON key = 'family:' || tagged.family
            WHERE a > 0 ORDER BY c DESC, tagged.family LIMIT 12)
        SELECT family, v.counted, v.models FROM top, LATERAL (VALUES ('direct', a), ('transitive', b), ('by tag', c))
            v(counted, models) ORDER BY top.c DESC, family, models""",
    chart=Chart(kind="bar", x="models", x_title="models", y="family", y_title="family", colour="counted",
                colour_title="counted", order=("direct", "transitive", "by tag")),
    headline="SELECT " + ", ".join(f"max(models) FILTER (family = 'qwen' AND counted = '{name}') AS "
                                   f"qwen_{name.replace(' ', '_')}" for name in ("direct", "transitive", "by tag"))
    + " FROM rows",
    measures=(
        Measure(name="qwen_direct", text="Qwen, direct", unit="models"),
        Measure(name="qwen_transitive", text="Qwen, transitive", unit="models"),
        Measure(name="qwen_by_tag", text="Qwen, by tag", unit="models"),
    ),
    published=(
        Published(text="Qwen: more than 113,000 derivatives", report="spring", measure="qwen_direct"),
        Published(text="Qwen: more than 200,000 repositories tagged", report="spring", measure="qwen_by_tag"),
    ),
    difference=f"{_WHY} The published text does not say whether 113,000 are direct ones.",
)  # fmt: skip

LICENCES = Figure(
    id="licences",
    title="Licences of this year's models, by country and size",
    question="Do larger models, or those of one country, carry tighter terms?",
    definition="Models with a known size created since 1 January of the newest model's year by annotated Chinese and "
    "US companies and institutes, under and from 20B parameters, by the licence on the label: Apache 2.0, MIT, none "
    "stated, or its class. A source that only ever states a licence, never that there is none, is not counted where "
    "another can tell.",
    needs=("license", "parameters", "created", "organisations"),
    sql="""WITH chosen AS (SELECT
            country || CASE WHEN size < 20e9 THEN ', under 20B' ELSE ', 20B and more' END AS "group",
            CASE WHEN lower(license) = 'apache-2.0' THEN 'Apache 2.0' WHEN lower(license) = 'mit' THEN 'MIT'
            WHEN license = '' THEN 'none stated' WHEN licence = 'unknown' THEN 'own terms (other)' ELSE licence END
            AS licence FROM m
            WHERE tells_license AND size IS NOT NULL AND country IN ('China', 'USA')
            AND kind IN ('company', 'research') AND created >= date_trunc('year', (SELECT max(created) FROM m)))
        SELECT "group", licence, count(*) AS models,
            100.0 * count(*) / sum(count(*)) OVER (PARTITION BY "group") AS share_percent
        FROM chosen GROUP BY 1, 2 ORDER BY 1, models DESC, 2""",
    chart=Chart(kind="stacked", x="share_percent", x_title="share of models (%)", y="group", y_title="country and size",
                colour="licence", colour_title="licence"),
    headline="""SELECT sum(models) FILTER (starts_with("group", 'China, 20')) AS chinese,
        max(share_percent) FILTER ("group" = 'China, 20B and more' AND licence = 'Apache 2.0') AS apache,
        max(share_percent) FILTER ("group" = 'China, 20B and more' AND licence = 'MIT') AS mit,
        sum(share_percent) FILTER ("group" = 'USA, 20B and more' AND licence IN ('Apache 2.0', 'MIT')) AS usa,
        max(share_percent) FILTER ("group" = 'USA, 20B and more' AND licence = 'none stated') AS usa_none FROM rows""",
    measures=(
        Measure(name="chinese", text="Chinese models of 20B and more", unit="models"),
        Measure(name="apache", text="of them Apache 2.0", unit="%"),
        Measure(name="mit", text="of them MIT", unit="%"),
        Measure(name="usa", text="US models of 20B and more under Apache 2.0 or MIT", unit="%"),
        Measure(name="usa_none", text="US models of 20B and more that state none", unit="%"),
    ),
    published=(
        Published(text="178 Chinese releases above 20B", report="summer", measure="chinese"),
        Published(text="59 % Apache 2.0", report="summer", measure="apache"),
        Published(text="22 % MIT", report="summer", measure="mit"),
        Published(text="USA, same band: 29 % Apache or MIT", report="summer", measure="usa"),
        Published(text="USA, same band: 30 % declares nothing", report="summer", measure="usa_none"),
    ),
    difference="Published: releases chosen by hand; ours: all repositories of annotated accounts, copies included.",
)  # fmt: skip

_RUN = (("qwen", "39.6"), ("gemma", "20.8"), ("llama", "7.5"))
LOCAL = Figure(
    id="local_downloads",
    title="GGUF downloads by family, last 30 days",
    question="What do people run locally?",
    definition="Downloads of the last 30 days of models that are GGUF files (by library, tag, header or name), by "
    "family: its word furthest left in the declared parents, the name, or the model type. The 15 largest and the rest.",
    needs=("downloads",),
    sql="""WITH counted AS (SELECT coalesce(family, 'no known family') AS family, count(*) AS n, sum(downloads) AS d,
            row_number() OVER (ORDER BY family IS NULL, sum(downloads) DESC NULLS LAST, family) AS rank
            FROM m WHERE gguf AND downloads IS NOT NULL GROUP BY family)
        SELECT CASE WHEN rank <= 15 THEN family ELSE 'all others' END AS family, sum(n)::BIGINT AS models,
            coalesce(sum(d), 0)::BIGINT AS downloads FROM counted GROUP BY 1
        ORDER BY max(rank) > 15, downloads DESC, 1""",
    chart=Chart(kind="bar", x="downloads", x_title="downloads of GGUF repositories in 30 days", y="family",
                y_title="family"),
    headline="SELECT " + ", ".join(f"max(downloads) FILTER (family = '{name}') / 1e6 AS {name}" for name, _ in _RUN)
    + " FROM rows",
    measures=tuple(Measure(name=name, text=name, unit="million downloads in 30 days") for name, _ in _RUN),
    published=tuple(Published(text=f"{name.capitalize()}: {number} million GGUF downloads a month", report="summer",
                              measure=name) for name, number in _RUN),
    difference="Families by our rule; repositories of other accounts may name a family that they don't descend from.",
)  # fmt: skip

FIGURES = (BY_ORGANISATION, BY_FAMILY, LICENCES, LOCAL)
