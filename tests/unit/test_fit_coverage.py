"""How much of what people download `fit` can size offline."""

from __future__ import annotations

import pytest
from bench.fit_coverage import most_downloaded, silent

from insource.hub.snapshot import SnapshotCatalogue


@pytest.mark.parametrize(("pipeline", "most"), [("text-generation", 3), ("image-text-to-text", 10)])
def test_few_of_the_most_downloaded_models_can_not_be_sized(pipeline: str, most: int) -> None:
    catalogue = SnapshotCatalogue()
    models = most_downloaded(catalogue, pipeline)
    assert len(models) == 100
    assert len(silent(catalogue, models)) <= most
