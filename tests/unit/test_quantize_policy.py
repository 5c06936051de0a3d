"""Which type a tensor gets: llama.cpp's choice, on models of every shape that its rules tell apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.adapt.files.gguf import text
from insource.adapt.quantize.policy import FILE_TYPES, fitting, model_facts, tensor_types
from insource.core.errors import BadInput
from insource.core.ggml_types import type_layout, type_number
from tests.golden.quantize.write import NEED_IMPORTANCE, by_name
from tests.quantize_models import SHAPES, entries, header_only

GOLDEN: Any = json.loads((Path(__file__).parents[1] / "golden" / "quantize" / "types.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SHAPES)
def test_every_tensor_gets_the_type_that_llama_cpp_chooses(name: str, tmp_path: Path) -> None:
    file = header_only(tmp_path / "model.gguf", SHAPES[name])
    seen = 0
    for file_type in FILE_TYPES.values():
        for with_importance in (False, True):
            if file_type.name in NEED_IMPORTANCE and not with_importance:
                continue
            facts = model_facts(file, has_importance=with_importance)
            types = by_name(tensor_types(file_type, facts, file.tensors), file.tensors)
            plain = GOLDEN[name].get(file_type.name)
            wanted = GOLDEN[name].get(f"{file_type.name} with importance", plain) if with_importance else plain
            assert types == wanted, (file_type.name, with_importance)
            seen += 1
    assert seen == 2 * len(FILE_TYPES) - len(NEED_IMPORTANCE)


@given(type_name=st.sampled_from(sorted({t.default for t in FILE_TYPES.values()})), row=st.integers(1, 4096))
def test_a_fallback_always_fits_its_rows(type_name: str, row: int) -> None:
    chosen = fitting(type_name, row)
    assert row % type_layout(type_number(chosen)).block_elements == 0
    assert (chosen == type_name) == (row % type_layout(type_number(type_name)).block_elements == 0) or chosen == "F16"


def test_an_architecture_with_rules_of_its_own_is_refused(tmp_path: Path) -> None:
    file = header_only(tmp_path / "model.gguf", SHAPES["qwen3"])
    other = type(file)(
        path=file.path,
        entries={**entries(SHAPES["qwen3"]), "general.architecture": text("glm5-next")},
        tensors=file.tensors,
        data_start_bytes=file.data_start_bytes,
    )
    with pytest.raises(BadInput, match="glm5-next"):
        model_facts(other, has_importance=False)
