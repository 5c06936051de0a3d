"""A model from its row of the catalogue."""

from __future__ import annotations

from typing import Any

import pytest

from insource.core.catalogue import CatalogueModel
from insource.core.errors import UsageError
from insource.fit.catalogue_spec import spec_of_row
from insource.fit.families import config_of, model_ids, spec_of_family


def row(**fields: Any) -> CatalogueModel:
    plain: dict[str, Any] = {
        "id": "someone/tuned", "parameters": 8_030_261_248, "active_parameters": None, "model_type": "llama",
        "pipeline_tag": "text-generation", "capabilities": (), "languages": (), "context_tokens": 8192,
        "license": "mit", "downloads": 1, "likes": 0, "released": None, "format": "safetensors",
        "gguf_repositories": (), "layers": 32,
        "attention_heads": 32, "kv_heads": 8, "head_width": 128, "embedding_width": 4096, "vocabulary": 128_256,
    }  # fmt: skip
    return CatalogueModel(**{**plain, **fields})


def test_a_fine_tune_has_the_shape_of_its_family() -> None:
    found = spec_of_row(row(), quantization="Q4_K_M")
    parent = spec_of_family("meta-llama/Meta-Llama-3-8B")
    assert parent is not None
    assert found.name == "someone/tuned"
    assert found.source == "catalogue"
    assert found.license == "mit"
    assert found.architecture.layers == parent.architecture.layers
    assert found.weights == parent.weights
    assert found.architecture.context_tokens == 8192
    assert found.architecture.unknown == ()


def test_sizes_alike_but_for_the_feed_forward_are_told_apart_by_their_parameters() -> None:
    """Mistral Nemo 12B and Mistral Small 24B; Qwen2 1.5B (tied) and DeepSeek's distillation of it (not)."""
    big = {"model_type": "mistral", "layers": 40, "embedding_width": 5120, "vocabulary": 131_072}
    for parameters in (12_247_782_400, 23_572_403_200):
        assert spec_of_row(row(**big, parameters=parameters), quantization="Q8_0").parameters == parameters
    small = {"model_type": "qwen2", "layers": 28, "embedding_width": 1536, "attention_heads": 12, "kv_heads": 2,
             "vocabulary": 151_936}  # fmt: skip
    tied = spec_of_row(row(**small, parameters=1_543_714_304), quantization="Q8_0")
    apart = spec_of_row(row(**small, parameters=1_777_088_000), quantization="Q8_0")
    assert (tied.architecture.tied_embeddings, apart.architecture.tied_embeddings) == (True, False)


def test_a_size_that_the_table_lacks_is_made_from_the_row() -> None:
    own = row(layers=20, embedding_width=2560, attention_heads=20, kv_heads=4, parameters=1_900_000_000)
    found = spec_of_row(own, quantization="Q8_0")
    assert found.parameters == pytest.approx(1_900_000_000, rel=0.01), "the feed-forward fills what is left"
    assert {(layer.kind, layer.key_width) for layer in found.architecture.layers} == {("full", 512)}
    assert found.architecture.unknown == ()
    window = row(model_type="gemma2", layers=10, embedding_width=2048, attention_heads=8, kv_heads=4, head_width=256,
                 vocabulary=256_000, parameters=1_500_000_000)  # fmt: skip
    kinds = [layer.kind for layer in spec_of_row(window, quantization="Q8_0").architecture.layers]
    assert kinds == ["sliding", "full"] * 5, "laid out as its family is"


def test_a_window_that_no_size_of_the_family_shares_is_not_made_up() -> None:
    own = row(model_type="gemma3_text", layers=12, embedding_width=768, attention_heads=4, kv_heads=1, head_width=256,
              vocabulary=262_144, parameters=400_000_000)  # fmt: skip
    found = spec_of_row(own, quantization="Q8_0")
    assert {layer.kind for layer in found.architecture.layers} == {"full"}, "the most that it can take"
    assert "sliding window" in found.architecture.unknown[0]


def test_a_row_without_figures_is_looked_up_by_name_or_says_so() -> None:
    bare = {"layers": None, "attention_heads": None, "kv_heads": None, "head_width": None, "embedding_width": None,
            "vocabulary": None}  # fmt: skip
    gemma = spec_of_row(row(id="google/gemma-3-27b-it", model_type="gemma3", **bare), quantization="Q4_K_M")
    assert len(gemma.architecture.layers) == 62
    nobody = spec_of_row(row(id="a/b", **bare), quantization="Q4_K_M")
    assert nobody.architecture.layers == ()
    assert "states no layers" in nobody.architecture.unknown[0]
    assert nobody.weights.output_bytes == pytest.approx(8_030_261_248 * 4.9 / 8, rel=0.01)
    assert not nobody.weights.exact


def test_unknown_types_and_contradictions_are_said() -> None:
    strange = spec_of_row(row(model_type="nobody_knows", layers=33), quantization="Q4_K_M")
    assert "'nobody_knows'" in strange.architecture.unknown[0]
    adapter = spec_of_row(row(parameters=18_000_000), quantization="Q4_K_M")
    assert "18,000,000" in adapter.architecture.unknown[0]
    packed = spec_of_row(row(parameters=1_990_000_000), quantization="Q4_K_M")
    assert packed.architecture.unknown == (), "4-bit weights, eight to a value"
    multimodal = row(
        model_type="qwen3_vl", layers=36, embedding_width=4096, vocabulary=151_936, parameters=8_767_123_696
    )
    assert spec_of_row(multimodal, quantization="Q4_K_M").architecture.unknown == ()


def test_experts_count_where_they_are() -> None:
    mixture = row(model_type="qwen3_moe", layers=48, embedding_width=2048, kv_heads=4, vocabulary=151_936, experts=128,
                  experts_used=8, expert_width=768, parameters=30_532_122_624)  # fmt: skip
    found = spec_of_row(mixture, quantization="Q4_K_M")
    assert found.parameters == 30_532_122_624
    assert found.active_parameters < 3_500_000_000
    assert found.architecture.experts is not None
    assert (found.architecture.experts.count, found.architecture.experts.used) == (128, 8)


def test_impossible_rows_make_no_figure_and_no_crash() -> None:
    for fields in ({"layers": 1 << 24}, {"parameters": 0}, {"kv_heads": 0}, {"attention_heads": 0}, {"vocabulary": 0},
                   {"head_width": 0}, {"experts": 4, "experts_used": 9}, {"embedding_width": 1}):  # fmt: skip
        found = spec_of_row(row(model_type="nonsense", **fields), quantization="Q4_K_M")
        assert found.parameters >= 0
        assert found.architecture.unknown
    with pytest.raises(UsageError):
        spec_of_row(row(), quantization="Q9")


def test_a_row_of_every_family_is_the_familys() -> None:
    """What a catalogue states of a model is enough to find the table's row again, or one of the very same shape."""
    for name in model_ids():
        known = spec_of_family(name)
        assert known is not None
        config = config_of(name)
        heads = config.get("num_attention_heads") or config.get("n_head")
        stated = row(
            id="x/y", model_type=config["model_type"], parameters=known.parameters,
            layers=len(known.architecture.layers),
            embedding_width=known.architecture.embedding_width, attention_heads=heads,
            kv_heads=config.get("num_key_value_heads"), head_width=None, vocabulary=known.architecture.vocabulary,
            experts=known.architecture.experts.count if known.architecture.experts else None,
        )  # fmt: skip
        found = spec_of_row(stated, quantization="Q4_K_M")
        assert found.architecture.layers == known.architecture.layers, name
        assert found.weights.layer_bytes == known.weights.layer_bytes, name
