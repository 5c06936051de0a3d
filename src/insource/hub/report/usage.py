"""Figures on use: concentration, sizes of what is downloaded, attention, kinds and countries of accounts."""

from __future__ import annotations

from dataclasses import replace

from insource.core.ecosystem_report import Chart, Measure, Published
from insource.hub.report.figure import Figure
from insource.hub.report.prepare import BAND_NAMES

_BASIS = "Uses are all-time downloads where the snapshot states them, else those of the last 30 days (see the heading)."
_WINDOW = (
    "Counted between the two snapshots: all-time downloads (likes) of the later one less those of the first, and all "
    "of a model that was created since. A count that fell says nothing."
)
_OTHER_WINDOW = "Published: January to July 2026; ours are the days of the snapshots that were given."
_SNAPSHOT = "Downloads of another day and window."
_BY_HAND = (
    "Ours groups by our own annotation of accounts; most downloads of accounts that are not in it stay unassigned."
)

_HELD = """counted AS (SELECT uses, count(*) AS same FROM m WHERE uses IS NOT NULL GROUP BY uses),
        summed AS (SELECT uses, same, sum(same) OVER (ORDER BY uses DESC) AS upto,
            sum(uses * same) OVER (ORDER BY uses DESC) AS held FROM counted)"""
"""Models of equal use are one row, which sorts a hundred times faster: `held` by the `upto` most used ones."""

CONCENTRATION = Figure(
    id="concentration",
    title="Download concentration",
    question="How much of all use falls on the most used models?",
    definition="Share of all downloads that the k most downloaded models hold. " + _BASIS,
    needs=("uses",),
    sql=f"""WITH {_HELD}, n AS (SELECT max(upto) AS n, max(held) AS whole FROM summed),
        k AS (SELECT (d * 10 ** e)::BIGINT AS k FROM range(1, 10) t(d), range(0, 8) u(e) UNION SELECT n FROM n)
        SELECT k AS models, 100.0 * k / n AS models_percent, 100.0 * (held - (upto - k) * uses) / whole AS share_percent
        FROM k JOIN summed ON k <= upto AND k > upto - same, n WHERE whole > 0 ORDER BY k""",
    chart=Chart(kind="line", x="models", x_title="the k most downloaded models (logarithmic)", y="share_percent",
                y_title="share of all downloads (%)"),
    headline=f"""WITH {_HELD}
        SELECT (SELECT max(share_percent) FROM rows WHERE models <= 200) AS top_200,
        (SELECT 100.0 * max((held - greatest(upto - top, 0) * uses)) FILTER (upto - same < top) / max(held)
            FROM summed, (SELECT floor(0.015 * max(upto))::BIGINT AS top FROM summed)) AS top_share""",
    measures=(
        Measure(name="top_200", text="share of the top 200 models", unit="%"),
        Measure(name="top_share", text="share of the top 1.5 % of models", unit="%"),
    ),
    published=(
        Published(text="the top 200 models hold 49.6 % of downloads", report="spring", measure="top_200"),
        Published(text="1.5 % of repositories account for 99.2 % of downloads", report="summer", measure="top_share"),
    ),
    difference=f"{_SNAPSHOT} Among few models the top 200 are a larger part of all.",
)  # fmt: skip

UNDER_200 = Figure(
    id="under_200",
    title="Models by number of downloads",
    question="How many models are hardly used?",
    definition="Share of models by band of downloads, among models whose downloads are stated. " + _BASIS,
    needs=("uses",),
    sql="""SELECT CASE WHEN uses < 200 THEN 'under 200' WHEN uses < 1000 THEN '200 to 999' WHEN uses < 10000
            THEN '1,000 to 9,999' WHEN uses < 1000000 THEN '10,000 to 999,999' ELSE '1 million and more' END
            AS downloads, count(*) AS models, 100.0 * count(*) / sum(count(*)) OVER () AS share_percent
        FROM m WHERE uses IS NOT NULL GROUP BY 1 ORDER BY min(uses)""",
    chart=Chart(kind="bar", x="share_percent", x_title="share of models (%)", y="downloads", y_title="downloads"),
    headline="SELECT coalesce(max(share_percent) FILTER (downloads = 'under 200'), 0) AS under_200 FROM rows",
    measures=(Measure(name="under_200", text="share of models under 200 downloads", unit="%"),),
    published=(
        Published(text="85.6 % of models have fewer than 200 lifetime downloads", report="summer", measure="under_200"),
    ),
    difference=f"{_SNAPSHOT} A sample that was chosen by use holds fewer unused models.",
)


def _by(column: str, *, id: str, what: str, published: tuple[Published, ...], measures: tuple[Measure, ...]) -> Figure:
    sums = ", ".join(f"coalesce(max(share_percent) FILTER (\"group\" = '{m.text}'), 0) AS {m.name}" for m in measures)
    return Figure(
        id=id,
        title=f"Downloads and models by {what}",
        question=f"Which {what} stands behind what is downloaded, and behind what is published?",
        definition=f"Shares of all downloads, and of the models that state theirs, by the {what} that "
        f"organisations.toml gives the account; 'not annotated' is everyone else. {_BASIS}",
        needs=("uses", "organisations"),
        sql=f"""SELECT {column} AS "group", count(*) AS models, count(DISTINCT org) AS accounts,
            coalesce(sum(uses), 0)::BIGINT AS downloads,
            100.0 * coalesce(sum(uses), 0) / nullif(sum(sum(uses)) OVER (), 0) AS share_percent,
            100.0 * count(*) / sum(count(*)) OVER () AS models_percent
            FROM m WHERE uses IS NOT NULL GROUP BY {column}
            ORDER BY {column} = 'not annotated', share_percent DESC, {column}""",
        chart=Chart(kind="bar", x="share_percent", x_title="share of all downloads (%)", y="group", y_title=what),
        headline=f"SELECT {sums} FROM rows",
        measures=measures,
        published=published,
        difference=f"{_SNAPSHOT} {_BY_HAND}",
    )


KINDS = _by(
    "kind",
    id="organisation_kinds",
    what="kind of organisation",
    measures=(
        Measure(name="company", text="company", unit="% of downloads"),
        Measure(name="unlisted", text="not annotated", unit="% of downloads"),
    ),
    published=(
        Published(text="industry: from about 70 % to 37 % of downloads", report="spring", measure="company"),
        Published(text="independent developers: from 17 % to 39 % of downloads", report="spring"),
    ),
)
COUNTRIES = _by(
    "country",
    id="countries",
    what="country",
    measures=(
        Measure(name="china", text="China", unit="% of downloads"),
        Measure(name="usa", text="USA", unit="% of downloads"),
    ),
    published=(Published(text="Chinese models account for 41 % of downloads", report="spring", measure="china"),),
)

DOWNLOADED_SIZES = Figure(
    id="downloaded_sizes",
    title="Mean and median size of downloaded models",
    question="Do people download larger models?",
    definition="Over models with at least one download and a known size, by year of creation: mean and median with "
    "every model counted once, and with every download counted once. " + _BASIS,
    needs=("uses", "created", "parameters"),
    sql="""WITH same AS (SELECT year(created) AS year, size, count(*) AS n, sum(uses) AS uses FROM m
            WHERE uses > 0 AND size IS NOT NULL AND created IS NOT NULL GROUP BY 1, 2),
        sized AS (SELECT *, sum(uses) OVER (PARTITION BY year ORDER BY size) AS upto,
            sum(uses) OVER (PARTITION BY year) AS whole FROM same),
        medians AS (SELECT year(created) AS year, median(size) AS b FROM m
            WHERE uses > 0 AND size IS NOT NULL AND created IS NOT NULL GROUP BY 1),
        summed AS (SELECT year, sum(n)::BIGINT AS models, sum(size * n::DOUBLE) / sum(n) AS a, any_value(b) AS b,
            sum(size * uses::DOUBLE) / sum(uses) AS c, min(size) FILTER (upto >= whole / 2) AS d
            FROM sized JOIN medians USING (year) GROUP BY year)
        SELECT year::VARCHAR || '-01-01' AS year, models, statistic, value / 1e6 AS size_m FROM summed,
            LATERAL (VALUES ('mean of models', a), ('median of models', b), ('mean of downloads', c),
            ('median of downloads', d)) v(statistic, value) ORDER BY 1, 3""",
    chart=Chart(kind="line", x="year", x_title="year of creation", y="size_m",
                y_title="parameters (millions, logarithmic)", colour="statistic", colour_title="statistic",
                scale="log"),
    headline="SELECT " + ", ".join(
        f"max(size_m) FILTER (year = '{year}-01-01' AND statistic = '{name} of models') AS {name}_{year}"
        for name in ("mean", "median") for year in (2023, 2025)) + " FROM rows",
    measures=tuple(Measure(name=f"{name}_{year}", text=f"{name} of models created in {year}", unit="million parameters")
                   for name in ("mean", "median") for year in (2023, 2025)),
    published=(
        Published(text="mean in 2023: 827M", report="spring", measure="mean_2023"),
        Published(text="mean in 2025: 20.8B", report="spring", measure="mean_2025"),
        Published(text="median in 2023: 326M", report="spring", measure="median_2023"),
        Published(text="median in 2025: 406M", report="spring", measure="median_2025"),
    ),
    difference="The published text does not say whether models or downloads are counted, nor which downloads of which "
    "year; one snapshot knows a model's year of creation, not the year of each download.",
)  # fmt: skip

ADOPTION = Figure(
    id="adoption",
    title="Relative adoption by size class",
    question="Compared with other models of its size, how much is an account's best model used?",
    definition="Downloads of the account's most downloaded model of the band of parameters, divided by the median of "
    "the band's ten most downloaded models; the 15 accounts with the most downloads of models of known size. " + _BASIS,
    needs=("uses", "parameters"),
    sql="""WITH sized AS (SELECT id, org, band, size, uses FROM m WHERE size IS NOT NULL AND uses > 0),
        tops AS (SELECT band, list_median(max(uses, 10)) AS typical FROM sized GROUP BY band),
        accounts AS (SELECT org FROM sized GROUP BY org ORDER BY sum(uses) DESC, org LIMIT 15)
        SELECT org AS account, band, max(uses) / any_value(typical) AS relative_adoption,
            arg_max(id, (uses, id)) AS model
        FROM sized SEMI JOIN accounts USING (org) JOIN tops USING (band) GROUP BY org, band ORDER BY 1, min(size)""",
    chart=Chart(kind="cells", x="band", x_title="parameters", y="account", y_title="account",
                colour="relative_adoption",
                colour_title="times the median of the band's top ten", scale="log", order=BAND_NAMES),
    difference="No published number was found in the text: it is a figure there.",
)  # fmt: skip

SIZE_BANDS = Figure(
    id="size_bands",
    title="Downloads by size",
    question="Are small or large models used?",
    definition="Share of the downloads of models with a known size, by band of parameters. " + _BASIS,
    needs=("uses", "parameters"),
    sql="""SELECT band, count(*) AS models, coalesce(sum(uses), 0)::BIGINT AS downloads,
        100.0 * coalesce(sum(uses), 0) / nullif(sum(sum(uses)) OVER (), 0) AS share_percent
        FROM m WHERE size IS NOT NULL AND uses IS NOT NULL GROUP BY band ORDER BY min(size)""",
    chart=Chart(kind="bar", x="share_percent", x_title="share of downloads of models of known size (%)", y="band",
                y_title="parameters"),
    headline="""SELECT coalesce(max(share_percent) FILTER (band = 'under 1B'), 0) AS small,
        coalesce(max(share_percent) FILTER (band = '100B and more'), 0) AS large FROM rows""",
    measures=(
        Measure(name="small", text="under 1B", unit="% of downloads"),
        Measure(name="large", text="100B and more", unit="% of downloads"),
    ),
    published=(
        Published(text="models under 1B take 83 % of all-time downloads", report="summer", measure="small"),
        Published(text="everything above 100B takes 1 %", report="summer", measure="large"),
    ),
    difference=f"{_SNAPSHOT} Published: among models that declare a count; ours also where a file's header tells it.",
)  # fmt: skip

_LABS = ("minimaxai", "moonshotai", "deepseek-ai", "zai-org", "nvidia", "meta-llama")
_SHARES = (("MiniMax", "effectively all"), ("Moonshot", "88 %"), ("DeepSeek", "55 %"), ("Z.ai", "39 %"),
           ("NVIDIA", "14 %"), ("Meta", "9 %"))  # fmt: skip


def _lab_downloads(table: str) -> str:
    return f"""WITH labs AS (SELECT org FROM {table} WHERE kind = 'company' AND size IS NOT NULL AND uses > 0
            GROUP BY org QUALIFY row_number() OVER (ORDER BY sum(uses) DESC, org) <= 16 OR org IN {_LABS})
        SELECT org AS account, band, count(*) AS models, sum(uses)::BIGINT AS downloads,
            100.0 * sum(uses) / sum(sum(uses)) OVER (PARTITION BY org) AS share_percent
        FROM {table} SEMI JOIN labs USING (org) WHERE size IS NOT NULL AND uses > 0 GROUP BY org, band
        ORDER BY account, min(size)"""


_OF_LABS = (
    "Downloads of models with a known size by band of parameters, as shares of the account's; the 16 annotated "
    "companies with the most. "
)
LAB_DOWNLOADS = Figure(
    id="lab_downloads",
    title="Downloads by lab and size",
    question="Whose downloads are of large models?",
    definition=_OF_LABS + _BASIS,
    needs=("uses", "parameters", "organisations"),
    sql=_lab_downloads("m"),
    chart=Chart(kind="stacked", x="share_percent", x_title="share of the lab's downloads (%)", y="account",
                y_title="account", colour="band", colour_title="parameters"),
    headline="SELECT " + ", ".join(
        f"sum(CASE WHEN band IN ('70B to 100B', '100B and more') THEN share_percent ELSE 0 END) "
        f"FILTER (account = '{lab}') AS lab_{i}"
        for i, lab in enumerate(_LABS)) + " FROM rows",
    measures=tuple(Measure(name=f"lab_{i}", text=f"{lab} from 70B", unit="% of its downloads")
                   for i, lab in enumerate(_LABS)),
    published=tuple(Published(text=f"{name}: {share} of 2026 downloads are of models above 70B", report="summer",
                              measure=f"lab_{i}") for i, (name, share) in enumerate(_SHARES)),
    difference="Published: downloads inside January to July 2026 (see lab_downloads_window), and all accounts of Meta.",
)  # fmt: skip
LAB_DOWNLOADS_WINDOW = replace(
    LAB_DOWNLOADS,
    id="lab_downloads_window",
    title="Downloads by lab and size, between two snapshots",
    definition=_OF_LABS + _WINDOW,
    needs=("two snapshots", "parameters", "organisations"),
    sql=_lab_downloads("w"),
    difference=f"{_OTHER_WINDOW} Published: all accounts of Meta.",
)


def _attention(table: str) -> str:
    return f"""WITH told AS (SELECT id, likes, uses FROM {table} WHERE likes IS NOT NULL AND uses IS NOT NULL),
        used AS (SELECT id, row_number() OVER (ORDER BY uses DESC, id) AS place
            FROM (FROM told ORDER BY uses DESC, id LIMIT 25)),
        liked AS (SELECT id, row_number() OVER (ORDER BY likes DESC, id) AS place
            FROM (FROM told ORDER BY likes DESC, id LIMIT 25)),
        united AS (SELECT coalesce(used.id, liked.id) AS id, used.place AS by_uses, liked.place AS by_likes
            FROM used FULL JOIN liked ON used.id = liked.id)
        SELECT id AS model, greatest(likes, 1) AS likes, greatest(uses, 1) AS downloads,
            CASE WHEN by_likes IS NULL THEN 'top 25 by downloads' WHEN by_uses IS NULL THEN 'top 25 by likes'
            ELSE 'in both' END AS list,
            CASE WHEN least(by_uses, by_likes) <= 5 THEN split_part(id, '/', -1) END AS name
        FROM united JOIN told USING (id) ORDER BY least(by_uses, by_likes), id"""


_TOP_25 = "The 25 models with the most downloads and the 25 with the most likes. "
ATTENTION = Figure(
    id="attention",
    title="Attention (likes) against usage (downloads)",
    question="Are the liked models the used ones?",
    definition=_TOP_25 + _BASIS,
    needs=("uses", "likes"),
    sql=_attention("m"),
    chart=Chart(kind="points", x="likes", x_title="likes (logarithmic)", y="downloads",
                y_title="downloads (logarithmic)", colour="list", colour_title="list", scale="log", label="name"),
    headline="SELECT count(*) FILTER (list = 'in both') AS overlap FROM rows",
    measures=(Measure(name="overlap", text="models in both lists", unit="models"),),
    published=(Published(text="exactly one repository appears in both lists", report="summer", measure="overlap"),),
    difference="Published: downloads and likes inside 2026 (see attention_window); ours are totals.",
)  # fmt: skip
ATTENTION_WINDOW = replace(
    ATTENTION,
    id="attention_window",
    title="Attention against usage, between two snapshots",
    definition=_TOP_25 + _WINDOW,
    needs=("two snapshots", "likes"),
    sql=_attention("w"),
    difference=_OTHER_WINDOW,
)

TRENDING = Figure(
    id="trending",
    title="Trending models",
    question="What gets attention now?",
    definition="The 20 models with the highest trending score of the Hub, which it does not define.",
    needs=("trending",),
    sql="""SELECT id AS model, trending, likes, downloads FROM m WHERE trending > 0
        ORDER BY trending DESC, id LIMIT 20""",
    chart=Chart(kind="bar", x="trending", x_title="the Hub's trending score", y="model", y_title="model"),
    difference="The score changes every hour.",
)

FIGURES = (CONCENTRATION, UNDER_200, KINDS, COUNTRIES, DOWNLOADED_SIZES, ADOPTION, SIZE_BANDS, LAB_DOWNLOADS,
           LAB_DOWNLOADS_WINDOW, ATTENTION, ATTENTION_WINDOW, TRENDING)  # fmt: skip
