"""Sources that state different things, together: what states less changes no figure that it does not cover."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from insource.cli.session import load_settings
from insource.core.ecosystem_report import Row
from insource.core.errors import UsageError
from insource.hub.duck import connect
from insource.hub.sync import HubPlace
from insource.wiring_choose import open_ecosystem
from tests.hub_place import hub_report, sync

PARQUET, OCTOBER, RADAR = "hub_stats_frozen.parquet", "models_2026-10.json.gz", "radar_2026-08-22_half.jsonl.gz"
TODAY = date(2026, 11, 25)


def place(home: Path) -> HubPlace:
    return HubPlace(home=home, hub_url="", today=TODAY)


def lines(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("\n".join(map(json.dumps, records)))
    return str(path)


def listed(home: Path) -> int:
    with connect(threads=1) as connection:
        place(home).archive.load(connection)
        return int(connection.execute("SELECT count(*) FROM models").fetchall()[0][0])


def figures(home: Path) -> dict[str, tuple[tuple[Row, ...], int]]:
    """Rows, and how many models state what they need; without those that show downloads of 30 days."""
    drawn = hub_report(home).drawn
    return {
        one.figure.id: (one.rows, one.stated)
        for one in drawn
        if "downloads" not in one.figure.needs and one.figure.id != "trending"
    }


@pytest.mark.data
def test_a_snapshot_of_ids_and_downloads_changes_no_other_figure(shared_data: Path, tmp_path: Path) -> None:
    sync(place(tmp_path), str(shared_data / "hub" / PARQUET))
    before = figures(tmp_path)
    assert len(before) > 15
    with gzip.open(shared_data / "hub" / OCTOBER, "rt") as file:
        october = json.load(file)
    thin = lines(tmp_path / "thin.jsonl", *({"id": one["name"], "downloads": one["hf_downloads"]} for one in october))
    with pytest.raises(UsageError, match="has no date"):
        sync(place(tmp_path), thin)
    sync(place(tmp_path), thin, day=date(2026, 10, 5))
    assert listed(tmp_path) == 20_148
    assert figures(tmp_path) == before


@pytest.mark.data
def test_records_beside_older_hub_stats_hide_neither_licences_nor_downloads(shared_data: Path, tmp_path: Path) -> None:
    def licences() -> dict[str, str]:
        with connect(threads=1) as connection:
            place(tmp_path).archive.load(connection)
            return dict(connection.execute("SELECT id, license FROM models WHERE license <> ''").fetchall())

    sync(place(tmp_path), str(shared_data / "hub" / PARQUET))
    alone = licences()
    sync(place(tmp_path), str(shared_data / "hub" / OCTOBER))
    assert alone.keys() <= licences().keys()
    (labs,) = hub_report(tmp_path, only=("lab_downloads",)).drawn
    shares = {str(one.text): labs.values[one.name] for one in labs.figure.measures}
    assert 40 < float(shares["zai-org from 70B"] or 0) < 65
    assert 5 < float(shares["meta-llama from 70B"] or 0) < 20
    assert labs.stated < labs.listed == 20_148


@pytest.mark.data
def test_a_part_deletes_nothing_and_parts_in_any_order_are_the_file(shared_data: Path, tmp_path: Path) -> None:
    with gzip.open(shared_data / "hub" / RADAR, "rt") as file:
        records = [json.loads(line) for line in file]
    day = date(2026, 8, 22)
    homes = [tmp_path / name for name in ("whole", "parts")]
    sync(place(homes[0]), lines(tmp_path / "all.jsonl", *records), day=day)
    for number in (2, 0, 1):
        sync(place(homes[1]), lines(tmp_path / f"{number}.jsonl", *records[number::3]), day=day)
    assert listed(homes[1]) == listed(homes[0]) == len(records)
    assert figures(homes[1]) == figures(homes[0])
    sync(place(homes[1]), str(tmp_path / "0.jsonl"), day=date(2026, 9, 1))
    assert listed(homes[1]) == len(records)
    sync(place(homes[1]), str(tmp_path / "0.jsonl"), day=date(2026, 9, 2), whole=True)
    assert listed(homes[1]) == len(records[0::3])


@pytest.mark.data
def test_what_knows_no_parents_moves_no_trend(shared_data: Path, tmp_path: Path) -> None:
    settings = load_settings().model_copy(update={"home": tmp_path})
    sync(place(tmp_path), str(shared_data / "hub" / RADAR))
    with open_ecosystem(settings) as ecosystem:
        before = ecosystem.trends(days=7)
    sync(place(tmp_path), str(shared_data / "hub" / OCTOBER))
    with open_ecosystem(settings) as ecosystem:
        after = ecosystem.trends(days=7)
    assert (after.until, after.stating) == (before.until, before.stating)
    # October restates downloads, so that some are not unused any more; what was published is the same.
    published = {one.root: (one.published, one.owners) for one in before.roots}
    both = [one for one in after.roots if one.root in published]
    assert len(both) > 15
    assert all((one.published, one.owners) == published[one.root] for one in both)
    assert after.listed > before.listed == before.stating


@pytest.mark.parametrize(("rows", "licence"), [(25, None), (5, "")])
def test_a_source_that_never_states_a_licence_is_silent(tmp_path: Path, rows: int, licence: str | None) -> None:
    records = ({"id": f"a/b{i}", "tags": ["gguf"], "downloads": i} for i in range(rows))
    sync(place(tmp_path), lines(tmp_path / "tags.jsonl", *records), day=date(2026, 10, 5))
    with connect(threads=1) as connection:
        place(tmp_path).archive.load(connection)
        assert connection.execute("SELECT DISTINCT license FROM models").fetchall() == [(licence,)]
