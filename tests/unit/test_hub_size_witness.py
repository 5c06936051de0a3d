"""A declared quantisation's size is compared with its original's, in SQL and in Python alike."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.ecosystem import Agreement, Size
from insource.hub.page import page_of
from insource.hub.prepared import open_prepared
from insource.hub.sizes import SAME, compared
from tests.hub_rows import archived, model

COUNTS = st.integers(min_value=1, max_value=10**12)


@given(COUNTS, COUNTS, st.sampled_from(["agree", "differ", "one source"]))
def test_agree_means_that_the_original_does(value: int, original: int, agreement: Agreement) -> None:
    size = compared(Size(value=value, method="safetensors", agreement=agreement), original)
    assert size.value == value
    if size.agreement == "agree":
        assert 1 / SAME < value / original < SAME
    if agreement == "differ":
        assert size.agreement == "differ"


@pytest.mark.parametrize(
    ("count", "agreement"),
    [(27 * 10**9, "agree"), (19 * 10**9, "differ"), (54 * 10**9, "differ"), (25 * 10**9, "agree")],
)
def test_a_page_and_the_table_say_the_same(tmp_path: Path, count: int, agreement: str) -> None:
    archive = archived(
        tmp_path,
        model("org/Big-27B", parameters_stated=27 * 10**9),
        model("q/Big-27B-NVFP4", "org/Big-27B", kind="quantized", parameters_stated=count),
        model("q/Big-27B-other", "org/Big-27B", kind="finetune", parameters_stated=19 * 10**9),
        day=date(2026, 5, 2),
    )
    connection, day = open_prepared(archive)
    with connection:
        stored = dict(connection.execute("SELECT id, agreement FROM sizes").fetchall())
        page = page_of(connection, "q/Big-27B-NVFP4", as_of=day)
    assert stored["q/Big-27B-NVFP4"] == page.facts.size.agreement == agreement
    assert stored["q/Big-27B-other"] == "agree", "a fine-tune may be of another size"
