"""Figures on the time between two snapshots, counted again by hand; and what makes no window."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from insource.core.ecosystem_report import Drawn
from insource.core.errors import UsageError
from insource.hub.sync import HubPlace
from tests.hub_place import hub_report, sync

FIRST, LAST = date(2026, 1, 1), date(2026, 8, 1)
ONLY = ("attention_window", "lab_downloads_window", "runtimes_window")


def models(day: date) -> list[dict[str, Any]]:
    """80 models, 20 of them created since the first day; one whose count fell, one that has vanished."""
    late = day == LAST
    made: list[dict[str, Any]] = []
    for i in range(80 if late else 60):
        since = i >= 60
        made.append(
            {
                "id": f"{('Qwen', 'moonshotai', 'somebody')[i % 3]}/m{i}-{(1, 7, 120)[i % 5 % 3]}B",
                "createdAt": "2026-03-04T00:00:00.000Z" if since else "2025-03-04T00:00:00.000Z",
                "downloads": 7,
                "downloadsAllTime": (1000 - i) * 100 + (i * 37 % 61 * 50 if late else 0),
                "likes": 500 + (i * 53 % 71 if late else 0) - (600 if late and i == 5 else 0),
                "library_name": "gguf" if i % 4 == 0 or (late and i % 4 == 1) else "transformers",
                "pipeline_tag": "text-generation",
                "tags": ["x"],
            }
        )
    if late:
        made[3]["downloadsAllTime"] = 5
        del made[7]
    return made


def take(home: Path, day: date, rows: list[dict[str, Any]], *, limit: int | None = None) -> None:
    lines = home / f"{day}.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)))
    place = HubPlace(home=home, hub_url="", today=date(2026, 11, 25))
    sync(place, str(lines), limit=limit, day=day, whole=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    for day in (FIRST, LAST):
        take(home, day, models(day))
    return home


@pytest.fixture(scope="module")
def drawn(home: Path) -> dict[str, Drawn]:
    report = hub_report(home, since=date(2026, 2, 1), only=ONLY)
    assert report.source == "the newest snapshots of 2026-08-01, and of api from 2026-01-01 to 2026-08-01"
    assert not report.missing
    return {found.figure.id: found for found in report.drawn}


def between() -> dict[str, tuple[int | None, int]]:
    """Downloads and likes of that time by model; None where the count fell."""
    before = {one["id"]: one for one in models(FIRST)}
    found: dict[str, tuple[int | None, int]] = {}
    for one in models(LAST):
        was = before.get(one["id"], {"downloadsAllTime": 0, "likes": 0})
        grown = one["downloadsAllTime"] - was["downloadsAllTime"]
        found[one["id"]] = (grown if grown >= 0 else None, one["likes"] - was["likes"])
    return found


def test_attention_of_that_time_alone(drawn: dict[str, Drawn]) -> None:
    told = {id: (uses, likes) for id, (uses, likes) in between().items() if uses is not None}
    used = sorted(told, key=lambda id: (-told[id][0], id))[:25]
    liked = sorted(told, key=lambda id: (-told[id][1], id))[:25]
    rows = {str(row["model"]): row for row in drawn["attention_window"].rows}
    assert rows.keys() == {*used, *liked}
    assert all((row["downloads"], row["likes"]) == (told[id][0], told[id][1]) for id, row in rows.items())
    assert drawn["attention_window"].values == {"overlap": len(set(used) & set(liked))}
    assert not any(id.endswith("m3-1B") for id in rows)


def test_downloads_of_that_time_by_lab_and_size(drawn: dict[str, Drawn]) -> None:
    sums = defaultdict[str, Counter[str]](Counter)
    for id, (uses, _) in between().items():
        account = id.split("/")[0].lower()
        if uses and account != "somebody":
            sums[account]["100B and more" if id.endswith("120B") else "1B to 10B"] += uses
    assert {(row["account"], row["band"]): row["downloads"] for row in drawn["lab_downloads_window"].rows} == {
        (account, band): count for account, bands in sums.items() for band, count in bands.items()
    }
    large = 100 * sums["moonshotai"]["100B and more"] / sums["moonshotai"].total()
    assert drawn["lab_downloads_window"].values["lab_1"] == pytest.approx(large)
    assert 0 < large < 100


def test_libraries_as_each_snapshot_states_them(drawn: dict[str, Drawn]) -> None:
    before, after = (Counter(one["library_name"] for one in models(day)) for day in (FIRST, LAST))
    before["all models"], after["all models"] = 60, 79
    rows = {row["library"]: row for row in drawn["runtimes_window"].rows}
    assert {name: (row["before"], row["since"]) for name, row in rows.items()} == {
        name: (before[name], after[name] - before[name]) for name in before if before[name] >= 20
    }
    assert rows["all models"]["growth_percent"] == pytest.approx(100 * 19 / 60)


def test_without_a_first_day_the_figures_say_what_they_need(home: Path) -> None:
    report = hub_report(home, only=ONLY)
    assert [item.figure.id for item in report.missing] == list(ONLY)
    assert all("--since" in item.what[0] for item in report.missing)


def test_what_makes_no_window(tmp_path: Path) -> None:
    take(tmp_path, FIRST, models(FIRST))
    take(tmp_path, LAST, models(LAST), limit=10)
    with pytest.raises(UsageError, match="two whole snapshots"):  # the later one is a part
        hub_report(tmp_path, since=FIRST)
    with pytest.raises(UsageError, match="between two snapshots that are here"):
        hub_report(tmp_path, since=FIRST, path=tmp_path / f"{LAST}.jsonl")
    take(tmp_path, LAST, models(LAST))
    with pytest.raises(UsageError, match="up to 2025-12-31"):
        hub_report(tmp_path, since=date(2025, 12, 31))
