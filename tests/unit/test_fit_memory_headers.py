"""A GGUF's header is text from strangers: it is understood, refused or doubted, and never a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from insource.core.errors import BadModelFile
from insource.core.gguf import GgufArray, GgufHeader, GgufValue, TensorInfo
from insource.engines.models.gguf import read_header
from insource.fit.gguf_layouts import ENCODERS, MIXERS, PLAIN, WINDOWS
from insource.fit.gguf_spec import spec_of_gguf
from insource.fit.memory import predict_memory
from insource.fit.values import RunSettings
from tests.oracle.cases import CASES, GEMMA_3_27B, QWEN3_8B, QWEN3_30B_A3B
from tests.oracle.hybrid_cases import NEMOTRON_NANO_9B, QWEN35_9B
from tests.oracle.truth import cpu_machine

_ARCHITECTURES = sorted({*PLAIN, *ENCODERS, *MIXERS, *WINDOWS, "newest", ""})
_KEYS = (
    "block_count", "embedding_length", "feed_forward_length", "context_length", "nextn_predict_layers",
    "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
    "attention.key_length_swa", "attention.key_length_mla", "attention.kv_lora_rank", "attention.sliding_window",
    "attention.sliding_window_pattern", "attention.shared_kv_layers", "attention.recurrent_layers",
    "full_attention_interval", "expert_count", "expert_used_count", "ssm.inner_size", "ssm.state_size",
    "ssm.group_count", "ssm.conv_kernel", "ssm.time_step_rank", "wkv.head_size", "shortconv.l_cache",
    "embedding_length_per_layer_input",
)  # fmt: skip
_ROLES = ("attn_q.weight", "ffn_down.weight", "ffn_up.weight", "ffn_gate.weight", "ffn_down_exps.weight", "", "x")
_scalars = st.one_of(
    st.integers(-(1 << 40), 1 << 63), st.integers(0, 300), st.floats(), st.booleans(), st.text(max_size=5), st.none()
)
_values: st.SearchStrategy[GgufValue] = st.one_of(
    _scalars,
    st.lists(_scalars, max_size=40).map(lambda items: GgufArray(length=len(items), first=tuple(items))),
)


def _header(metadata: dict[str, GgufValue], tensors: tuple[TensorInfo, ...] = ()) -> GgufHeader:
    return GgufHeader(version=3, metadata=metadata, tensors=tensors, data_start_bytes=0, file_size_bytes=0)


@st.composite
def _tensors(draw: st.DrawFn) -> TensorInfo:
    name = draw(
        st.one_of(
            st.sampled_from(("token_embd.weight", "output.weight", "altup_proj.weight", "blk..weight", "blk.-1.x")),
            st.builds("blk.{}.{}".format, st.integers(0, 40), st.sampled_from(_ROLES)),
            st.text(max_size=20),
        )
    )
    shape = tuple(draw(st.lists(st.integers(0, 1 << 40), max_size=4)))
    size = draw(st.one_of(st.none(), st.integers(0, 1 << 62)))
    return TensorInfo(name=name, shape=shape, type_name="Q4_K", offset_bytes=0, size_bytes=size)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    architecture=st.sampled_from(_ARCHITECTURES),
    values=st.dictionaries(st.sampled_from(_KEYS), _values, max_size=len(_KEYS)),
    tensors=st.lists(_tensors(), max_size=12),
)
@example(architecture="llama", values={"block_count": 1 << 40}, tensors=[])
@example(architecture="falcon-h1", values={"block_count": 2}, tensors=[])
@example(architecture="qwen35", values={"block_count": 4, "full_attention_interval": 0}, tensors=[])
@example(architecture="gemma4", values={"block_count": 4, "attention.shared_kv_layers": 9}, tensors=[])
def test_no_header_crashes(architecture: str, values: dict[str, GgufValue], tensors: list[TensorInfo]) -> None:
    metadata: dict[str, GgufValue] = {f"{architecture}.{key}": value for key, value in values.items()}
    metadata["general.architecture"] = architecture
    try:
        spec = spec_of_gguf(_header(metadata, tuple(tensors)), name="hostile")
    except BadModelFile:
        return
    assert len(spec.weights.layer_bytes) == len(spec.architecture.layers)
    memory = predict_memory(spec, cpu_machine(), RunSettings())
    assert all(part >= 0 for device in memory.devices for part in device.part_bytes)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"general.architecture": "llama", "general.type": "adapter"}, "adapter"),
        ({"general.architecture": "clip"}, "clip"),
        ({}, "nothing known"),
        ({"general.architecture": "llama"}, "states 0 layers"),
        ({"general.architecture": "llama", "llama.block_count": 100_000}, "states 100,000 layers"),
    ],
)
def test_what_is_no_language_model_is_refused(metadata: dict[str, GgufValue], why: str) -> None:
    with pytest.raises(BadModelFile, match=why):
        spec_of_gguf(_header(metadata), name="it")


def test_a_new_architecture_is_doubted_and_what_was_understood_is_shown(tmp_path: Path) -> None:
    known = read_header(QWEN3_8B.write(tmp_path))
    renamed = {key.replace("qwen3.", "qwen9."): value for key, value in known.metadata.items()}
    spec = spec_of_gguf(_header({**renamed, "general.architecture": "qwen9"}, known.tensors), name="new")
    assert "'qwen9'" in spec.architecture.unknown[0]
    memory = predict_memory(spec, cpu_machine(), RunSettings(context_tokens=32_768, slots=1))
    assert memory.fits is None
    assert memory.kv_cache_bytes == 4608 << 20


def test_missing_facts_are_named(tmp_path: Path) -> None:
    known = read_header(NEMOTRON_NANO_9B.write(tmp_path))
    without_states = {key: value for key, value in known.metadata.items() if ".ssm." not in key}
    spec = spec_of_gguf(_header(without_states, known.tensors), name="cut")
    assert any("recurrent" in sentence for sentence in spec.architecture.unknown)
    half = known.tensors[: len(known.tensors) // 2]
    assert any("parts" in s for s in spec_of_gguf(_header(dict(known.metadata), half), name="cut").architecture.unknown)


def test_layers_are_told_apart(tmp_path: Path) -> None:
    gemma = spec_of_gguf(read_header(GEMMA_3_27B.write(tmp_path)), name="g").architecture
    assert [layer.kind for layer in gemma.layers[:7]] == ["sliding"] * 5 + ["full", "sliding"]
    assert gemma.sliding_window_tokens == 1024
    qwen = spec_of_gguf(read_header(QWEN35_9B.write(tmp_path)), name="q").architecture
    assert [layer.kind for layer in qwen.layers[:4]] == ["recurrent"] * 3 + ["full"]
    nemotron = spec_of_gguf(read_header(NEMOTRON_NANO_9B.write(tmp_path)), name="n").architecture
    assert [layer.kind for layer in nemotron.layers].count("full") == 4
    assert [layer.kind for layer in nemotron.layers].count("none") == 25


def test_only_the_experts_that_are_chosen_are_active(tmp_path: Path) -> None:
    spec = spec_of_gguf(read_header(QWEN3_30B_A3B.write(tmp_path)), name="q")
    experts = 48 * 128 * 3 * 2048 * 768
    assert spec.parameters - spec.active_parameters == experts * 120 // 128
    assert 30.4e9 < spec.parameters < 30.6e9


def test_equal_layers_are_one_object(tmp_path: Path) -> None:
    for case in CASES[:6]:
        layers = spec_of_gguf(read_header(case.write(tmp_path)), name=case.name).architecture.layers
        assert len({id(layer) for layer in layers}) == len(set(layers))
