"""Figures on what is published: growth, who publishes, sizes of releases, runtimes, datasets."""

from __future__ import annotations

from dataclasses import replace

from insource.core.ecosystem_report import Chart, Measure, Need, Published
from insource.hub.report.figure import Figure

_YEAR = "date_trunc('year', (SELECT max(created) FROM m))"
_SURVIVORS = (
    "Dates of creation of what is still there: deleted repositories are missing, so past months are undercounted. The "
    "Hub's own floor of dates is 2022-03-02, which holds everything older."
)


def _growth(
    what: str, *, id: str, table: str, needs: tuple[Need, ...], published: tuple[Published, ...] = ()
) -> Figure:
    name, source = what.lower(), "m" if table == "models" else table
    return Figure(
        id=id,
        title=f"{what} by month of creation, cumulative",
        question=f"How fast does the number of public {name} grow?",
        definition=f"{what} whose creation lies in or before the month (UTC), counted in one snapshot.",
        needs=needs,
        sql=f"""SELECT strftime(date_trunc('month', created), '%Y-%m-01') AS month, count(*) AS created_in_month,
            sum(count(*)) OVER (ORDER BY date_trunc('month', created))::BIGINT AS {table}
            FROM {source} WHERE created IS NOT NULL GROUP BY date_trunc('month', created) ORDER BY 1""",
        chart=Chart(kind="line", x="month", x_title="month of creation", y=table, y_title=f"{name} (cumulative)"),
        headline=f"SELECT (SELECT count(created) FROM {source}) AS {table}",
        measures=(Measure(name=table, text=f"{name} of a known day of creation", unit=name),),
        published=published,
        difference=_SURVIVORS,
    )


GROWTH = _growth(
    "Models",
    id="growth",
    table="models",
    needs=("created",),
    published=(
        Published(text="more than 2 million public models", report="spring", measure="models"),
        Published(text="from 2.43 to 2.96 million models, January to August 2026", report="summer", measure="models"),
    ),
)
DATASET_GROWTH = _growth(
    "Datasets",
    id="dataset_growth",
    table="datasets",
    needs=("datasets",),
    published=(
        Published(text="more than 500,000 datasets", report="spring", measure="datasets"),
        Published(text="from 711,000 to 1 million datasets", report="summer", measure="datasets"),
    ),
)
SPACE_GROWTH = _growth("Spaces", id="space_growth", table="spaces", needs=("spaces",))

WEEKLY = Figure(
    id="weekly",
    title="New models per week",
    question="How many models are created each week?",
    definition="Models by the Monday of the week of their creation (UTC); the last week may be incomplete.",
    needs=("created",),
    sql="""WITH counted AS (SELECT date_trunc('week', created)::DATE AS week, count(*) AS n FROM m
            WHERE created BETWEEN DATE '2022-02-28' AND current_date + INTERVAL 1 DAY GROUP BY 1),
        weeks AS (SELECT unnest(generate_series(min(week), max(week), INTERVAL 7 DAY))::DATE AS week FROM counted)
        SELECT strftime(week, '%Y-%m-%d') AS week, coalesce(n, 0) AS models
        FROM weeks LEFT JOIN counted USING (week) ORDER BY 1""",
    chart=Chart(kind="line", x="week", x_title="week of creation", y="models", y_title="new models in the week"),
    difference=_SURVIVORS,
)

WEEKLY_ORGANISATIONS = Figure(
    id="weekly_organisations",
    title="New models per week by account, last 52 weeks",
    question="Who publishes most?",
    definition="Models created in the 364 days up to the snapshot's newest model, divided by 52, by the account in "
    "front of the slash: the 20 with the most, and all others together.",
    needs=("created",),
    sql="""WITH recent AS (SELECT org FROM m WHERE created > (SELECT max(created) FROM m) - INTERVAL 364 DAY),
        counted AS (SELECT org, count(*) AS n, row_number() OVER (ORDER BY count(*) DESC, org) AS rank FROM recent
            GROUP BY org)
        SELECT CASE WHEN rank <= 20 THEN org ELSE 'all others' END AS account, sum(n)::BIGINT AS models,
            sum(n) / 52.0 AS models_per_week, count(*) AS accounts
        FROM counted GROUP BY 1 ORDER BY max(rank) > 20, models DESC, account""",
    chart=Chart(kind="bar", x="models_per_week", x_title="new models per week (logarithmic)", y="account",
                y_title="account", scale="log"),
    difference="Datasets and Spaces count as repositories too in a published view; these are models only.",
)  # fmt: skip

NEW_BY_LABS = Figure(
    id="new_by_labs",
    title="New models this year by annotated company",
    question="Which labs publish the most new open models?",
    definition="Models created since 1 January of the newest model's year, by account, for accounts that are annotated "
    "as companies: the 20 with the most.",
    needs=("created", "organisations"),
    sql=f"""SELECT org AS account, country, count(*) AS models FROM m
        WHERE kind = 'company' AND created >= {_YEAR} GROUP BY org, country ORDER BY models DESC, account LIMIT 20""",
    chart=Chart(kind="bar", x="models", x_title="models created this year", y="account", y_title="account",
                colour="country", colour_title="country (our annotation)"),
    headline="""SELECT max(models) FILTER (account = 'amd') AS amd, max(models) FILTER (account = 'nvidia') AS nvidia,
        max(models) FILTER (account = 'liquidai') AS liquidai FROM rows""",
    measures=(
        Measure(name="amd", text="amd", unit="models"),
        Measure(name="nvidia", text="nvidia", unit="models"),
        Measure(name="liquidai", text="LiquidAI", unit="models"),
    ),
    published=(
        Published(text="AMD: more than 200 new repositories in 2026", report="summer", measure="amd"),
        Published(text="NVIDIA: more than 200 new repositories in 2026", report="summer", measure="nvidia"),
        Published(text="LiquidAI: around 100", report="summer", measure="liquidai"),
    ),
    difference="The year runs to the snapshot's newest model, not to July.",
)  # fmt: skip

FRONTIER = Figure(
    id="frontier",
    title="Largest new model by month: China and the USA",
    question="Where do the largest open models come from?",
    definition="The largest known number of parameters among models created in the month by accounts that are "
    "annotated as Chinese or US companies or institutes, in the last 24 months, without models that declare a parent.",
    needs=("created", "parameters", "organisations", "base_models"),
    sql="""SELECT strftime(date_trunc('month', created), '%Y-%m-01') AS month, country, max(size) / 1e9 AS size_b,
        arg_max(id, (size, id)) AS model FROM m
        WHERE country IN ('China', 'USA') AND kind IN ('company', 'research') AND parents = 0 AND size IS NOT NULL
            AND created > (SELECT max(created) FROM m) - INTERVAL 730 DAY
        GROUP BY date_trunc('month', created), country ORDER BY 1, 2""",
    chart=Chart(kind="line", x="month", x_title="month of creation", y="size_b",
                y_title="parameters of the largest (billions, logarithmic)", colour="country",
                colour_title="country (our annotation)", scale="log"),
    headline="""SELECT max(size_b) FILTER (country = 'China') AS china, max(size_b) FILTER (country = 'USA') AS usa
        FROM rows WHERE substr(month, 1, 4) = (SELECT substr(max(month), 1, 4) FROM rows)""",
    measures=(
        Measure(name="china", text="largest Chinese one of the newest year", unit="billion parameters"),
        Measure(name="usa", text="largest US one of the newest year", unit="billion parameters"),
    ),
    published=(
        Published(text="China's monthly ceiling between 754B and 2.78 trillion parameters", report="summer",
                  measure="china"),
        Published(text="U.S. models under 130B in five of seven months, 561B in May and June", report="summer",
                  measure="usa"),
    ),
    difference="The published one chose releases by hand; ours takes every repository without a declared parent.",
)  # fmt: skip

LAB_SIZES = Figure(
    id="lab_sizes",
    title="Size strategy per lab",
    question="Which sizes does each lab publish?",
    definition="Models with a known size by band of parameters, as shares of the account's models with a known size; "
    "the 16 annotated companies with the most of them, quantised and converted copies included.",
    needs=("parameters", "organisations"),
    sql="""WITH labs AS (SELECT org FROM m WHERE kind = 'company' AND size IS NOT NULL GROUP BY org
            ORDER BY count(*) DESC, org LIMIT 16)
        SELECT org AS account, band, count(*) AS models,
            100.0 * count(*) / sum(count(*)) OVER (PARTITION BY org) AS share_percent
        FROM m SEMI JOIN labs USING (org) WHERE size IS NOT NULL GROUP BY org, band ORDER BY account, min(size)""",
    chart=Chart(kind="stacked", x="share_percent", x_title="share of the lab's models (%)", y="account",
                y_title="account", colour="band", colour_title="parameters"),
    published=(
        Published(text="Moonshot, MiniMax, Xiaomi and Z.ai publish almost nothing below 70B", report="summer"),
        Published(text="Tencent and Qwen cover the whole range, from under 1B upward", report="summer"),
    ),
    difference="The published one has no numbers in its text.",
)  # fmt: skip

_LIBRARIES = ("gguf", "lerobot", "mlx", "transformers", "peft", "diffusers")


def _runtimes(counted: str) -> str:
    """Of a query of library, before, since; its total is the row without a library."""
    return f"""WITH counted AS ({counted})
        SELECT coalesce(library, 'all models') AS library, before, since, 100.0 * since / before AS growth_percent
        FROM counted WHERE before >= 20
        QUALIFY row_number() OVER (ORDER BY 100.0 * since / before DESC, library) <= 15
            OR library IN {_LIBRARIES} OR library IS NULL ORDER BY growth_percent DESC, 1"""


_CHOSEN = "Libraries with at least 20 models before: the 15 fastest, those published, and all models."
RUNTIMES = Figure(
    id="runtimes",
    title="Growth this year by library",
    question="Which runtimes grow faster than the Hub?",
    definition="Models created since 1 January of the newest model's year, in per cent of those created before, by the "
    f"library that the repository states now. {_CHOSEN}",
    needs=("created", "library"),
    sql=_runtimes(f"""SELECT library, before, since FROM (SELECT library, grouping(library) AS total,
        count(*) FILTER (created < {_YEAR}) AS before, count(*) FILTER (created >= {_YEAR}) AS since
        FROM m WHERE created IS NOT NULL GROUP BY GROUPING SETS ((library), ()))
        WHERE library IS NOT NULL OR total = 1"""),
    chart=Chart(kind="bar", x="growth_percent", x_title="models created this year, % of those before", y="library",
                y_title="library"),
    headline="SELECT " + ", ".join(f"max(growth_percent) FILTER (library = '{name}') AS {name}" for name in _LIBRARIES)
    + ", max(growth_percent) FILTER (library = 'all models') AS all_models FROM rows",
    measures=(
        *(Measure(name=name, text=name, unit="%") for name in _LIBRARIES),
        Measure(name="all_models", text="all models", unit="%"),
    ),
    published=(
        Published(text="gguf: +464 % in seven months", report="summer", measure="gguf"),
        Published(text="lerobot: +194 %", report="summer", measure="lerobot"),
        Published(text="mlx: +148 %", report="summer", measure="mlx"),
        Published(text="transformers: +16 %", report="summer", measure="transformers"),
        Published(text="peft: +16 %", report="summer", measure="peft"),
        Published(text="diffusers: +21 %", report="summer", measure="diffusers"),
        Published(text="model repositories: +21.5 %", report="summer", measure="all_models"),
    ),
    difference="The published one compares two snapshots (see runtimes_window), so a library that is stated later on "
    "an older repository counts as growth there; ours counts by date of creation in one snapshot.",
)  # fmt: skip
RUNTIMES_WINDOW = replace(
    RUNTIMES,
    id="runtimes_window",
    title="Growth by library, between two snapshots",
    definition="Models of the later snapshot less those of the first, in per cent of the first's, by the library that "
    f"each snapshot states. {_CHOSEN}",
    needs=("two snapshots", "library"),
    sql=_runtimes("""SELECT library, before, since FROM (SELECT lower(library) AS library, grouping(library) AS total,
        count(*) FILTER (late = 0) AS before, count(*) FILTER (late = 1) - count(*) FILTER (late = 0) AS since
        FROM (SELECT 0 AS late, lower(library) AS library FROM window_first
            UNION ALL SELECT 1, lower(library) FROM window_last) GROUP BY GROUPING SETS ((library), ()))
        WHERE library IS NOT NULL OR total = 1"""),
    chart=replace(RUNTIMES.chart, x_title="more models than in the first snapshot, % of those"),
    difference="Published: January to August 2026; ours are the days of the snapshots that were given.",
)

DATASET_CATEGORIES = Figure(
    id="dataset_categories",
    title="Datasets by task category",
    question="What kinds of datasets are there, robotics among them?",
    definition="Datasets created up to the end of the year (the last one up to the snapshot) that carry the tag "
    "`task_categories:…`; one with several counts in each. Robotics and the seven most frequent others.",
    needs=("datasets",),
    sql="""WITH told AS (SELECT date_trunc('year', created)::DATE AS year, substr(tag, 17) AS category FROM (
            SELECT created, unnest(list_filter(tags, lambda t: starts_with(t, 'task_categories:'))) AS tag
            FROM datasets WHERE created IS NOT NULL)),
        counted AS (SELECT year, category, count(*) AS n FROM told GROUP BY ALL),
        chosen AS (SELECT category FROM counted GROUP BY category
            QUALIFY row_number() OVER (ORDER BY category = 'robotics' DESC, sum(n) DESC, category) <= 8),
        years AS (SELECT unnest(generate_series(min(year), max(year), INTERVAL 1 YEAR))::DATE AS year FROM told)
        SELECT strftime(year, '%Y-%m-%d') AS year, category,
            sum(coalesce(n, 0)) OVER (PARTITION BY category ORDER BY year)::BIGINT AS datasets
        FROM years CROSS JOIN chosen LEFT JOIN counted USING (year, category)
        QUALIFY datasets > 0 ORDER BY 1, 2""",
    chart=Chart(kind="line", x="year", x_title="end of the year", y="datasets",
                y_title="datasets (cumulative, logarithmic)", colour="category", colour_title="task category",
                scale="log"),
    headline="SELECT " + ", ".join(
        f"coalesce(max(datasets) FILTER (category = 'robotics' AND year = '{year}-01-01'), 0) AS robotics_{year}"
        for year in (2024, 2025)) + " FROM rows",
    measures=tuple(Measure(name=f"robotics_{year}", text=f"robotics at the end of {year}", unit="datasets")
                   for year in (2024, 2025)),
    published=(
        Published(text="robotics datasets in 2024: 1,145", report="spring", measure="robotics_2024"),
        Published(text="robotics datasets in 2025: 26,991", report="spring", measure="robotics_2025"),
    ),
    difference="The published text does not say whether a year's new datasets are counted, or all up to its end. "
    + _SURVIVORS,
)  # fmt: skip

WHO_USES = Figure(
    id="who_uses",
    title="People and agents on the Hub",
    question="How many people and agents use the Hub?",
    definition="Not in public metadata; listed because the reports state it.",
    needs=("accounts and traffic",),
    sql="SELECT 1",
    chart=Chart(kind="bar", x="x", x_title="users", y="y", y_title=""),
    published=(Published(text="13 million users", report="spring"),),
)

FIGURES = (
    GROWTH,
    DATASET_GROWTH,
    SPACE_GROWTH,
    WEEKLY,
    WEEKLY_ORGANISATIONS,
    NEW_BY_LABS,
    FRONTIER,
    LAB_SIZES,
    RUNTIMES,
    RUNTIMES_WINDOW,
    DATASET_CATEGORIES,
    WHO_USES,
)
