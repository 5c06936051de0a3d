"""The same model read from the shipped table and from the header of its GGUF: the same layers, to the last field."""

from __future__ import annotations

from pathlib import Path

import pytest

from insource.engines.models.gguf import read_header
from insource.fit.families import known_name, spec_of_family
from insource.fit.gguf_spec import spec_of_gguf
from tests.oracle.cases import CASES
from tests.oracle.facts import Case

IN_TABLE = [case for case in CASES if known_name(case.hub_id)]
OTHER_SIZE = ("glm-4.5-air", "deepseek-v2-lite")
"""Whose header differs: a layer for multi-token prediction; `attn_kv_b` whole, as older conversions have it."""


def test_nearly_every_case_of_the_oracle_is_in_the_table() -> None:
    assert len(IN_TABLE) >= len(CASES) - 2


@pytest.mark.parametrize("case", IN_TABLE, ids=[case.name for case in IN_TABLE])
def test_the_table_and_the_header_describe_the_same_model(case: Case, tmp_path: Path) -> None:
    header = spec_of_gguf(read_header(case.write(tmp_path)), name=case.name)
    known = spec_of_family(case.hub_id)
    assert known is not None
    ours, real = known.architecture, header.architecture
    assert ours.name == real.name
    assert ours.layers == real.layers
    assert ours.embedding_width == real.embedding_width
    assert ours.sliding_window_tokens == real.sliding_window_tokens
    assert ours.experts == real.experts
    assert ours.tied_embeddings == real.tied_embeddings
    assert (ours.per_layer_width, ours.streams) == (real.per_layer_width, real.streams)
    assert ours.unknown == real.unknown
    assert known.parameters == pytest.approx(header.parameters, rel=0.025 if case.name in OTHER_SIZE else 0.0005)
