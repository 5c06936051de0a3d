"""A search finds what states what it asks for, counts what does not, and is the same whatever holds the rows."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from insource.core.ecosystem_search import Search
from insource.core.errors import UsageError
from insource.hub.archive import Archive
from insource.hub.ecosystem import open_archive
from insource.hub.shipped import ShippedEcosystem
from insource.hub.snapshot import SnapshotCatalogue
from tests.hub_rows import archived, model

ROWS = (
    model("org/Big-7B", license="apache-2.0", pipeline_tag="text-generation", downloads=90, parameters_stated=7 * 10**9,
          languages=["en", "de"], created=date(2026, 1, 1), base_models=[]),
    model("x/Big-7B-law", "org/Big-7B", license="cc-by-nc-4.0", pipeline_tag="text-generation", downloads=9,
          created=date(2026, 4, 30)),
    model("x/Big-7B-med", "x/Big-7B-law", license="", downloads=5, created=date(2026, 5, 1)),
    model("other/small", license="mit", pipeline_tag="fill-mask", downloads=99, parameters_stated=10**8,
          created=date(2026, 1, 1), base_models=[]),
)  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        (Search(), ["other/small", "org/Big-7B", "x/Big-7B-law", "x/Big-7B-med"]),
        (Search(text="7b BIG"), ["org/Big-7B", "x/Big-7B-law", "x/Big-7B-med"]),
        (Search(family="org/big-7b"), ["org/Big-7B", "x/Big-7B-law", "x/Big-7B-med"]),
        (Search(licence_class="permissive"), ["other/small", "org/Big-7B"]),
        (Search(task="fill-mask"), ["other/small"]),
        (Search(language="DE"), ["org/Big-7B"]),
        (Search(least_parameters=10**9), ["org/Big-7B", "x/Big-7B-law", "x/Big-7B-med"]),
        (Search(most_parameters=10**9), ["other/small"]),
        (Search(text="big", by_growth=True), ["org/Big-7B", "x/Big-7B-law", "x/Big-7B-med"]),
        (Search(text="100%_'"), []),
    ],
)
def test_what_is_asked_for_is_found(tmp_path: Path, asked: Search, ids: list[str]) -> None:
    archive = archived(tmp_path, *ROWS, day=date(2026, 5, 2))
    with open_archive(archive, files=False) as ecosystem:
        found = ecosystem.search(asked)
    assert [hit.id for hit in found.hits] == ids
    assert (found.found, found.listed) == (len(ids), 4)


def test_what_is_not_stated_is_counted(tmp_path: Path) -> None:
    archive = archived(tmp_path, *ROWS, day=date(2026, 5, 2))
    with open_archive(archive, files=False) as ecosystem:
        assert ecosystem.search(Search(task="fill-mask")).unstated == 1
        assert ecosystem.search(Search(language="de")).unstated == 3
        assert ecosystem.search(Search(licence_class="permissive")).unstated == 1
        big = ecosystem.search(Search(text="org/big")).hits[0]
    assert (big.derivatives, big.derivatives_a_week) == (2, 0.25)


def test_the_shipped_catalogue_is_searched_and_knows_no_families(tmp_path: Path) -> None:
    shipped = ShippedEcosystem(SnapshotCatalogue(), Archive(tmp_path))
    found = shipped.search(Search(text="qwen", licence_class="permissive", rows=3))
    assert len(found.hits) == 3
    assert {hit.derivatives for hit in found.hits} == {None}
    with pytest.raises(UsageError):
        shipped.search(Search(family="Qwen/Qwen3-8B"))
