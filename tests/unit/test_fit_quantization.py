"""Bytes of a quantisation: real files to the byte, llama.cpp's tensor rules, and the order from large to small."""

from __future__ import annotations

from pathlib import Path

import pytest

from insource.core.architecture import Layer, ModelSpec, Weights
from insource.core.errors import UsageError
from insource.engines.models.gguf import read_header
from insource.fit.config_spec import spec_of_config
from insource.fit.families import config_of, spec_of_family
from insource.fit.quantization import QUANTIZATIONS, canonical_quantization, estimate_weights
from insource.fit.shape import Block, Matrix, Shape


def total(weights: Weights) -> int:
    return sum(weights.layer_bytes) + weights.input_bytes + weights.output_bytes


def sized(name: str, quantization: str) -> ModelSpec:
    found = spec_of_family(name, quantization=quantization)
    assert found is not None
    return found


@pytest.mark.engine
def test_the_default_model_is_sized_to_the_byte(default_model_path: Path) -> None:
    header = read_header(default_model_path)
    assert header.file_size_bytes == 98_362_432
    real = sum(tensor.size_bytes or 0 for tensor in header.tensors)
    assert total(sized("HuggingFaceTB/SmolLM2-135M-Instruct", "Q4_1").weights) == real


@pytest.mark.parametrize(
    ("name", "quantization", "file_bytes"),
    [
        # bartowski/Meta-Llama-3.1-8B-Instruct-GGUF: one repository, so one and the same header (7.84 MB of tokenizer).
        ("meta-llama/Llama-3.1-8B", "Q8_0", 8_540_770_880),
        ("meta-llama/Llama-3.1-8B", "Q6_K", 6_596_006_464),
        ("meta-llama/Llama-3.1-8B", "Q5_K_M", 5_732_987_456),
        ("meta-llama/Llama-3.1-8B", "Q4_K_M", 4_920_734_272),
        ("meta-llama/Llama-3.1-8B", "IQ4_XS", 4_447_663_680),
        ("meta-llama/Llama-3.1-8B", "Q3_K_M", 4_018_917_952),
        ("meta-llama/Llama-3.1-8B", "Q2_K", 3_179_131_456),
        ("meta-llama/Llama-3.2-3B", "Q4_K_M", 2_019_377_696),
        ("meta-llama/Llama-3.3-70B-Instruct", "Q4_K_M", 42_520_395_552),
        ("Qwen/Qwen3-8B", "Q4_K_M", 5_027_783_488),
        ("Qwen/Qwen3-30B-A3B", "Q4_K_M", 18_556_684_544),
        ("google/gemma-3-27b-it", "Q4_K_M", 16_546_404_992),
        ("google/gemma-2-9b-it", "Q4_K_M", 5_761_057_888),
        ("openai/gpt-oss-20b", "MXFP4", 12_109_566_560),
        ("mistralai/Mistral-7B-Instruct-v0.3", "Q4_K_M", 4_372_812_000),
    ],
)
def test_published_files_are_the_estimate_and_their_header(name: str, quantization: str, file_bytes: int) -> None:
    """The header (mostly the tokenizer) is what the file has above the tensors: some MB, and never less than none."""
    header_bytes = file_bytes - total(sized(name, quantization).weights)
    assert 0 < header_bytes < 14_000_000


def test_every_quantisation_of_a_repository_leaves_the_same_header() -> None:
    """So each rule of the policy is right, not only their sum."""
    files = {"Q8_0": 8_540_770_880, "Q6_K": 6_596_006_464, "Q5_K_M": 5_732_987_456, "Q4_K_M": 4_920_734_272,
             "Q3_K_M": 4_018_917_952, "Q2_K": 3_179_131_456}  # fmt: skip
    rest = {size - total(sized("meta-llama/Llama-3.1-8B", name).weights) for name, size in files.items()}
    assert rest == {7_836_224}


def test_the_parts_lie_where_llama_cpp_puts_them() -> None:
    plain = sized("meta-llama/Llama-3.1-8B", "F16").weights
    assert plain.input_bytes == 128_256 * 4096 * 2
    assert plain.output_bytes == 128_256 * 4096 * 2 + 4096 * 4
    assert len(plain.layer_bytes) == 32
    assert len(set(plain.layer_bytes)) == 1
    assert plain.expert_bytes == 0
    assert not plain.exact
    tied = sized("google/gemma-3-4b-it", "F16").weights
    assert tied.output_bytes == 2560 * 4, "the norm alone"
    mixture = sized("Qwen/Qwen3-30B-A3B", "F16").weights
    assert mixture.expert_bytes == 48 * 128 * 3 * 2048 * 768 * 2
    assert mixture.largest_bytes == 128 * 2048 * 768 * 2
    packed = sized("google/gemma-3n-E4B-it", "F16").weights
    assert packed.embedding_bytes == 262_400 * 2048 * 2
    assert packed.input_bytes > 2 * packed.embedding_bytes


def test_a_width_that_256_does_not_divide_falls_back() -> None:
    """SmolLM2-135M is 576 wide: its "Q4_K_M" is Q5_0 and Q8_0 wherever a row has 576 values."""
    shape = _shape(Matrix("up", 576, 1536), Matrix("down", 1536, 576))
    assert estimate_weights(shape, "Q4_K_S").layer_bytes[8] == 576 * 1536 // 32 * 22 + 1536 * 576 // 256 * 144
    assert estimate_weights(_shape(Matrix("up", 96, 10)), "Q6_K").layer_bytes[0] == 960 // 32 * 34
    assert estimate_weights(_shape(Matrix("up", 30, 10)), "Q4_K_M").layer_bytes[0] == 300 * 2, "F16 as a last resort"


def test_half_of_the_value_and_down_matrices_get_a_better_type() -> None:
    weights = estimate_weights(_shape(Matrix("down", 256, 256)), "Q4_K_M")
    better = [index for index, size in enumerate(weights.layer_bytes) if size == 65_536 // 256 * 210]
    assert better == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
    assert set(estimate_weights(_shape(Matrix("down", 256, 256)), "Q4_0").layer_bytes) == {65_536 // 32 * 18}


def test_experts_of_gpt_oss_stay_as_published() -> None:
    small, large = sized("openai/gpt-oss-20b", "Q2_K").weights, sized("openai/gpt-oss-20b", "Q8_0").weights
    assert small.expert_bytes == large.expert_bytes
    assert total(small) < total(large)


def test_experts_that_no_layer_has_change_nothing() -> None:
    """Nemotron-H's class states 8 experts by default; a model of 8 experts would get Q8_0 keys."""
    name = "nvidia/NVIDIA-Nemotron-Nano-9B-v2"
    spec = sized(name, "Q4_K_S")
    assert spec.architecture.experts is None
    assert spec == spec_of_config(
        {**config_of(name), "n_routed_experts": 0}, name=name, quantization="Q4_K_S", source="table"
    )


def test_types_of_other_engines_keep_the_ends_in_16_bit() -> None:
    weights = sized("meta-llama/Llama-3.1-8B", "AWQ-Int4").weights
    assert weights.input_bytes == 128_256 * 4096 * 2
    # hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4 and nvidia's and RedHatAI's FP8 files, in GB as the Hub shows
    assert total(weights) / 1e9 == pytest.approx(5.73, rel=0.01)
    assert total(sized("meta-llama/Llama-3.1-8B", "FP8").weights) / 1e9 == pytest.approx(9.08, rel=0.01)


def test_the_order_is_from_the_largest_to_the_smallest() -> None:
    """Of widths that 256 divides; elsewhere fall-backs turn some pairs round, in real files too."""
    for name in ("meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B", "google/gemma-3-27b-it", "Qwen/Qwen2.5-7B"):
        sizes = [total(sized(name, quantization).weights) for quantization in QUANTIZATIONS]
        assert sizes == sorted(sizes, reverse=True), name


def test_names_are_understood_in_any_spelling() -> None:
    assert canonical_quantization(" q4_k_m") == "Q4_K_M"
    assert canonical_quantization("awq-int4") == "AWQ-Int4"
    with pytest.raises(UsageError, match="'Q9_Z'"):
        spec_of_family("Qwen/Qwen3-8B", quantization="Q9_Z")


def _shape(*matrices: Matrix) -> Shape:
    block = Block(layer=Layer(kind="full"), matrices=matrices)
    return Shape(architecture="llama", blocks=(block,) * 32, inputs=(), outputs=(), tied=True)
