"""Up to which size models run on a machine: the best cut of what is known, and a search that asks for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from insource.cli.main import app
from insource.machine.parse import parse_machine
from insource.workflows.choose.largest_here import best_cut, largest_here

JUDGED = st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=30)


@given(JUDGED)
def test_no_other_size_parts_what_fits_better(judged: list[tuple[int, bool]]) -> None:
    def wrong(cut: int) -> int:
        return sum((size <= cut) != fits for size, fits in judged)

    found = best_cut(judged)
    assert wrong(found) == min(wrong(cut) for cut in range(31))
    assert all(wrong(cut) > wrong(found) for cut in range(found))


def test_more_memory_runs_larger_models() -> None:
    sizes = [largest_here(parse_machine(name)) for name in ("Raspberry Pi 4", "m1-8gb", "m1-16gb", "2x h100")]
    assert sizes == sorted(sizes)
    assert 1.7e9 < sizes[0] < 8e9 <= sizes[1] < 14e9 <= sizes[2] < 32e9


@pytest.mark.parametrize(("options", "most"), [(["--fits", "m1-8gb"], 14e9), (["--fits", "m1-8gb", "--max", "2"], 2e9)])
def test_a_search_asks_for_what_fits(options: list[str], most: float) -> None:
    found = CliRunner().invoke(app, ["hub", "search", "--json", "--rows", "1000", *options])
    assert found.exit_code == 0, found.output
    hits = json.loads(found.stdout)
    assert hits["hits"]
    assert all(hit["parameters"] <= min(most, hits["fits_up_to_parameters"]) for hit in hits["hits"])
