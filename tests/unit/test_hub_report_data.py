"""The figures on real rows, against plain Python that reads the Parquet's own columns, without the view or its SQL."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter, defaultdict
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path
from statistics import mean, median
from typing import Any

import duckdb
import pytest

from insource.core.ecosystem_report import Drawn, Taken
from insource.hub.licences import licence_class
from insource.hub.lineage.declared import build_declared
from insource.hub.report.prepare import FAMILIES
from insource.hub.sizes import SizeSources, parameters
from tests.hub_place import hub_report
from tests.hub_rows import real_models

pytestmark = pytest.mark.data
Raw = dict[str, Any]


@pytest.fixture(scope="module")
def raw(shared_data: Path) -> list[Raw]:
    path = shared_data / "hub" / "hub_stats_frozen.parquet"
    result = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [str(path)])
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@pytest.fixture(scope="module")
def report(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    path = shared_data / "hub" / "hub_stats_frozen.parquet"
    return hub_report(tmp_path_factory.mktemp("home"), path=path)


@pytest.fixture(scope="module")
def drawn(report: Taken) -> dict[str, Drawn]:
    return {found.figure.id: found for found in report.drawn}


def owner(id: str) -> str:
    return id.split("/")[0].lower()


def size(row: Raw) -> int:
    """By the Python twin of the sizes' SQL, which has its own tests."""
    tensors, gguf = row["safetensors"] or {}, row["gguf"]
    total = duckdb.execute("SELECT TRY_CAST(?::JSON->>'total' AS BIGINT)", [gguf]).fetchall()[0][0] if gguf else None
    base = row["baseModels"] or {}
    said = SizeSources(
        id=row["id"],
        tags=tuple(row["tags"] or ()),
        stated=tensors.get("total"),
        by_type={name: count for name, count in (tensors.get("parameters") or {}).items() if count is not None} or None,
        gguf=total,
        adapter=base.get("relation") == "adapter",
    )
    return parameters(said).value or 0


@pytest.fixture(scope="module")
def sizes(raw: list[Raw]) -> dict[str, int]:
    return {row["id"]: found for row in raw if (found := size(row))}


def test_the_snapshot_is_called_a_sample_of_4_167(report: Taken) -> None:
    assert report.ground.models == 4_167
    assert report.ground.is_sample
    assert report.ground.basis == "all time"
    assert {item.figure.id for item in report.missing} == {
        "dataset_categories",
        "dataset_growth",
        "space_growth",
        "attention_window",
        "lab_downloads_window",
        "runtimes_window",
        "who_uses",
    }


def test_growth_by_month_and_week(raw: list[Raw], drawn: dict[str, Drawn]) -> None:
    months = Counter(row["createdAt"].strftime("%Y-%m-01") for row in raw)
    upto = 0
    rows = iter(drawn["growth"].rows)
    for month in sorted(months):
        upto += months[month]
        assert next(rows) == {"month": month, "created_in_month": months[month], "models": upto}
    assert upto == 4_167
    weeks = Counter((row["createdAt"] - timedelta(days=row["createdAt"].weekday())).date().isoformat() for row in raw)
    first, last = min(weeks), max(weeks)
    assert [row["week"] for row in drawn["weekly"].rows] == [
        (date.fromisoformat(first) + timedelta(days=7 * i)).isoformat()
        for i in range(1 + (date.fromisoformat(last) - date.fromisoformat(first)).days // 7)
    ], "weeks without a new model are zeros, not gaps"
    assert {row["week"]: row["models"] for row in drawn["weekly"].rows if row["models"]} == weeks


def test_who_publishes(raw: list[Raw], drawn: dict[str, Drawn]) -> None:
    newest = max(row["createdAt"] for row in raw)
    recent = Counter(owner(row["id"]) for row in raw if row["createdAt"] > newest - timedelta(days=364))
    rows = drawn["weekly_organisations"].rows
    assert len(rows) == 21
    assert sum(int(row["models"] or 0) for row in rows) == sum(recent.values())
    for row in rows[:-1]:
        assert row["models"] == recent[str(row["account"])]
    assert rows[-1]["account"] == "all others"


def test_concentration(raw: list[Raw], drawn: dict[str, Drawn]) -> None:
    uses = sorted((row["downloadsAllTime"] for row in raw), reverse=True)
    for row in drawn["concentration"].rows:
        assert row["share_percent"] == pytest.approx(100 * sum(uses[: int(row["models"] or 0)]) / sum(uses))
    assert drawn["concentration"].values["top_200"] == pytest.approx(100 * sum(uses[:200]) / sum(uses))
    assert drawn["concentration"].values["top_share"] == pytest.approx(100 * sum(uses[:62]) / sum(uses))
    under = sum(count < 200 for count in uses)
    assert drawn["under_200"].values["under_200"] == pytest.approx(100 * under / len(uses))


@pytest.mark.parametrize(("id", "at"), [("organisation_kinds", 0), ("countries", 1)])
def test_shares_by_annotation(raw: list[Raw], drawn: dict[str, Drawn], id: str, at: int) -> None:
    listed = tomllib.loads((files("insource.hub") / "organisations.toml").read_text("utf-8"))["accounts"]
    told = {name.lower(): said[at] for name, said in listed.items()}
    uses, models = Counter[str](), Counter[str]()
    for row in raw:
        group = told.get(owner(row["id"]), "not annotated")
        uses[group] += row["downloadsAllTime"]
        models[group] += 1
    assert {row["group"]: (row["downloads"], row["models"]) for row in drawn[id].rows} == {
        group: (uses[group], models[group]) for group in models
    }


def test_sizes_of_what_is_downloaded(raw: list[Raw], drawn: dict[str, Drawn], sizes: dict[str, int]) -> None:
    by_year: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in raw:
        if row["id"] in sizes and row["downloadsAllTime"] > 0:
            by_year[row["createdAt"].year].append((sizes[row["id"]], row["downloadsAllTime"]))
    for row in drawn["downloaded_sizes"].rows:
        found = sorted(by_year[int(str(row["year"])[:4])])
        whole, upto, middle = sum(uses for _, uses in found), 0, 0
        for value, uses in found:
            upto += uses
            middle = value
            if 2 * upto >= whole:
                break
        expected = {
            "mean of models": mean(value for value, _ in found),
            "median of models": median(value for value, _ in found),
            "mean of downloads": sum(value * uses for value, uses in found) / whole,
            "median of downloads": middle,
        }
        assert row["size_m"] == pytest.approx(expected[str(row["statistic"])] / 1e6)
        assert row["models"] == len(found)


def test_downloads_by_size(raw: list[Raw], drawn: dict[str, Drawn], sizes: dict[str, int]) -> None:
    known = [(sizes[row["id"]], row["downloadsAllTime"]) for row in raw if row["id"] in sizes]
    whole = sum(uses for _, uses in known)
    assert sum(int(row["models"] or 0) for row in drawn["size_bands"].rows) == len(known)
    values = drawn["size_bands"].values
    assert values["small"] == pytest.approx(100 * sum(uses for value, uses in known if value < 1e9) / whole)
    assert values["large"] == pytest.approx(100 * sum(uses for value, uses in known if value >= 1e11) / whole)
    zai = [
        (sizes[row["id"]], row["downloadsAllTime"])
        for row in raw
        if row["id"] in sizes and owner(row["id"]) == "zai-org"
    ]
    large = sum(uses for value, uses in zai if value >= 70e9) / sum(uses for _, uses in zai)
    assert drawn["lab_downloads"].values["lab_3"] == pytest.approx(100 * large)


def test_relative_adoption(raw: list[Raw], drawn: dict[str, Drawn], sizes: dict[str, int]) -> None:
    small = {row["id"]: row["downloadsAllTime"] for row in raw if 0 < sizes.get(row["id"], 0) < 1e9}
    typical = median(sorted(small.values())[-10:])
    found = {row["account"]: row for row in drawn["adoption"].rows if row["band"] == "under 1B"}
    assert found["openai"]["relative_adoption"] == pytest.approx(
        max(uses for id, uses in small.items() if owner(id) == "openai") / typical
    )


def test_attention_and_trending(raw: list[Raw], drawn: dict[str, Drawn]) -> None:
    by_uses = {row["id"] for row in sorted(raw, key=lambda row: -row["downloadsAllTime"])[:25]}
    by_likes = {row["id"] for row in sorted(raw, key=lambda row: -row["likes"])[:25]}
    assert drawn["attention"].values == {"overlap": len(by_uses & by_likes)}
    assert {row["model"] for row in drawn["attention"].rows} == by_uses | by_likes
    scores = sorted((row["trendingScore"] for row in raw), reverse=True)
    assert [row["trending"] for row in drawn["trending"].rows] == scores[:20]


def test_derivatives(raw: list[Raw], drawn: dict[str, Drawn], shared_data: Path) -> None:
    """Of the names on cards those that nothing has any more are read as what `test_hub_lineage` shows they became."""
    connection = real_models(shared_data)
    build_declared(connection)
    renamed = dict(
        connection.execute("SELECT stated, parent FROM repaired_edges WHERE evidence = 'declared, renamed'").fetchall()
    )
    children: defaultdict[str, set[str]] = defaultdict(set)
    for row in raw:
        card = json.loads(row["cardData"] or "{}").get("base_model")
        named = [card] if isinstance(card, str) else [name for name in card or [] if isinstance(name, str)]
        resolved = [parent["id"] for parent in (row["baseModels"] or {}).get("models") or []]
        for parent in (*resolved, *(renamed.get(name, name) for name in named)):
            if parent.lower() != row["id"].lower():
                children[parent.lower()].add(row["id"].lower())

    def below(account: str) -> tuple[int, int]:
        near = {child for parent, found in children.items() if owner(parent) == account for child in found}
        seen, front = set(near), set(near)
        while front:
            front = {child for one in front for child in children.get(one, ())} - seen
            seen |= front
        return tuple(sum(owner(child) != account for child in found) for found in (near, seen))  # type: ignore[return-value]

    rows = drawn["derivatives_by_organisation"].rows
    told = {(row["account"], row["counted"]): row["derivatives"] for row in rows}
    for account in ("qwen", "unsloth", "meta-llama"):
        assert (told[account, "direct"], told[account, "transitive"]) == below(account)
    tagged = sum(any("qwen" in tag.lower() for tag in row["tags"] or ()) for row in raw)
    assert drawn["derivatives_by_family"].values["qwen_by_tag"] == tagged


def test_runtimes(raw: list[Raw], drawn: dict[str, Drawn]) -> None:
    since = sum(row["createdAt"].year == 2026 for row in raw)
    assert drawn["runtimes"].values["all_models"] == pytest.approx(100 * since / (len(raw) - since))


def annotated() -> dict[str, tuple[str, str]]:
    """Kind and country by account."""
    listed = tomllib.loads((files("insource.hub") / "organisations.toml").read_text("utf-8"))["accounts"]
    return {name.lower(): (said[0], said[1]) for name, said in listed.items()}


def this_year(raw: list[Raw]) -> list[Raw]:
    year = max(row["createdAt"] for row in raw).year
    return [row for row in raw if row["createdAt"].year == year]


def test_new_models_of_companies(raw: list[Raw], drawn: dict[str, Drawn]) -> None:
    told = annotated()
    counts = Counter(owner(row["id"]) for row in this_year(raw))
    most = sorted((org for org in counts if told.get(org, ("", ""))[0] == "company"), key=lambda o: (-counts[o], o))[
        :20
    ]
    assert [(row["account"], row["country"], row["models"]) for row in drawn["new_by_labs"].rows] == [
        (org, told[org][1], counts[org]) for org in most
    ]


def test_the_largest_new_model_of_a_month(raw: list[Raw], drawn: dict[str, Drawn], sizes: dict[str, int]) -> None:
    told = annotated()
    since = max(row["createdAt"] for row in raw) - timedelta(days=730)
    largest = dict[tuple[str, str], int]()
    for row in raw:
        kind, country = told.get(owner(row["id"]), ("", ""))
        original = not any(tag.startswith("base_model:") for tag in row["tags"] or ())
        if kind in ("company", "research") and country in ("China", "USA") and original and row["createdAt"] > since:
            month = row["createdAt"].strftime("%Y-%m-01")
            largest[month, country] = max(largest.get((month, country), 0), sizes.get(row["id"], 0))
    found = {(str(row["month"]), str(row["country"])): row for row in drawn["frontier"].rows}
    assert {at: row["size_b"] for at, row in found.items()} == {at: n / 1e9 for at, n in largest.items() if n}
    assert all(sizes[str(row["model"])] == largest[at] for at, row in found.items())


def test_sizes_of_labs(raw: list[Raw], drawn: dict[str, Drawn], sizes: dict[str, int]) -> None:
    told = annotated()
    ends = ((1e9, "under 1B"), (10e9, "1B to 10B"), (70e9, "10B to 70B"), (100e9, "70B to 100B"))
    bands = defaultdict[str, Counter[str]](Counter)
    for row in raw:
        if row["id"] in sizes and told.get(owner(row["id"]), ("", ""))[0] == "company":
            band = next((name for end, name in ends if sizes[row["id"]] < end), "100B and more")
            bands[owner(row["id"])][band] += 1
    most = sorted(bands, key=lambda org: (-bands[org].total(), org))[:16]
    found = {(row["account"], row["band"]): (row["models"], row["share_percent"]) for row in drawn["lab_sizes"].rows}
    assert found == {
        (org, band): (count, pytest.approx(100 * count / bands[org].total()))
        for org in most
        for band, count in bands[org].items()
    }


def test_licences_of_this_year(raw: list[Raw], drawn: dict[str, Drawn], sizes: dict[str, int]) -> None:
    told = annotated()
    groups = defaultdict[str, Counter[str]](Counter)
    for row in this_year(raw):
        kind, country = told.get(owner(row["id"]), ("", ""))
        if row["id"] not in sizes or country not in ("China", "USA") or kind not in ("company", "research"):
            continue
        stated = json.loads(row["cardData"] or "{}").get("license")
        assert stated is None or isinstance(stated, str)
        licence = {"apache-2.0": "Apache 2.0", "mit": "MIT", None: "none stated", "other": "own terms (other)"}.get(
            stated, licence_class(stated or "none")
        )
        groups[f"{country}, {'20B and more' if sizes[row['id']] >= 20e9 else 'under 20B'}"][licence] += 1
    found = {(row["group"], row["licence"]): row["models"] for row in drawn["licences"].rows}
    assert found == {(group, licence): n for group, counts in groups.items() for licence, n in counts.items()}
    assert sum(counts.total() for counts in groups.values()) > 20


def test_downloads_of_gguf_files_by_family(raw: list[Raw], drawn: dict[str, Drawn]) -> None:
    """Families by their words alone, in the order in which a reader would find them."""
    models, downloads = Counter[str](), Counter[str]()
    for row in raw:
        id, tags = row["id"].lower(), row["tags"] or []
        word = re.search(r"\bgguf\b", id) is not None
        if not (row["library_name"] == "gguf" or "gguf" in tags or row["gguf"] or word):
            continue
        parents = sorted({tag.split(":")[-1] for tag in tags if tag.startswith("base_model:")})
        kind = str(json.loads(row["gguf"] or "{}").get("architecture") or "")
        text = " ".join([*parents, id, "" if kind in ("llama", "mistral", "gpt2") else kind]).lower()
        places = {
            found.start(): name
            for name in FAMILIES
            if (found := re.search(rf"\b{name}" if name in ("phi", "glm", "yi", "t5", "lfm") else name, text))
        }
        family = places[min(places)] if places else "no known family"
        models[family] += 1
        downloads[family] += row["downloads"]
    assert {row["family"]: (row["models"], row["downloads"]) for row in drawn["local_downloads"].rows} == {
        family: (models[family], downloads[family]) for family in models
    }


_ACCOUNTS = {
    "ai2": "allenai", "alibaba cloud": "qwen", "deepseek": "deepseek-ai", "meta llama": "meta-llama",
    "mistral ai_": "mistralai", "z.ai": "zai-org", "cohere labs": "coherelabs", "ibm": "ibm-granite",
    "black forest labs": "black-forest-labs", "stability ai": "stabilityai", "xai": "xai-org", "minimax": "minimaxai",
}  # fmt: skip


def test_others_counted_as_many_new_models_a_week(raw: list[Raw], shared_data: Path) -> None:
    """Weekly models of 24 organisations as somebody else counted them at the end of 2025, in weeks that begin on
    Wednesday. The Parquet is a selection, so it holds as many at most; days and accounts are read alike, if it does."""
    weeks = json.loads((shared_data / "hub" / "org_weeks_2022_2025.json").read_text())
    theirs, first = Counter[tuple[str, date]](), date(2022, 3, 2)
    for one in weeks:
        account = _ACCOUNTS.get(str(one["id"]).lower(), str(one["id"]).lower())
        theirs[account, date.fromisoformat(one["week_date"])] += one["models_week"]
    accounts = {account for account, _ in theirs}
    ours = Counter[tuple[str, date]]()
    for row in raw:
        day = row["createdAt"].date()
        # Without the week of the Hub's own floor, and what was created around the end of their count.
        if owner(row["id"]) in accounts and first + timedelta(days=7) < day < date(2025, 11, 20):
            ours[owner(row["id"]), first + timedelta(days=(day - first).days // 7 * 7)] += 1
    held = {cell for cell, count in ours.items() if count <= theirs[cell]}
    assert (len(ours), ours.total()) == (190, 398)
    assert len(held) >= 188
