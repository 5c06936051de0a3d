"""What names, licences and numbers of a catalogue tell: copies, purposes, licence classes, derivatives."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.altered_models import is_altered
from insource.core.errors import UsageError
from insource.hub.activity import group_copies, measure
from insource.hub.arena import read_arena
from insource.hub.licences import CLASSES, licence_class, licences_by_class, parse_policy
from insource.hub.names import family, format_of, is_copy, model_key
from insource.hub.purpose import Purposes
from insource.hub.snapshot import SnapshotCatalogue
from tests.fakes.models import model


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        ("unsloth/Qwen3-8B-GGUF", "Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-8B-AWQ", "Qwen/Qwen3-8B"),
        ("nvidia/Qwen3-8B-NVFP4", "Qwen/Qwen3-8B"),
        ("mlx-community/Qwen3-8B-4bit", "Qwen/Qwen3-8B"),
        ("huihui-ai/Huihui-Qwen3-8B-abliterated-v2", "Qwen/Qwen3-8B"),
        ("llmfan46/Qwen3.5-27B-uncensored-heretic-v1", "Qwen/Qwen3.5-27B"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a16", "meta-llama/Llama-3.1-8B-Instruct"),
        ("google/gemma-4-26B-A4B-it-qat-q4_0-unquantized", "google/gemma-4-26B-A4B-it"),
        ("Brooooooklyn/Qwen3.6-27B-UD-Q5_K_XL-mlx", "Qwen/Qwen3.6-27B"),
        ("UnstableLlama/gemma-4-31B-it-uncensored-heretic-exl3-8.00bpw", "google/gemma-4-31B-it"),
        ("Intel/Qwen3-Coder-Next-int4-AutoRound", "Qwen/Qwen3-Coder-Next"),
        ("meta-llama/CodeLlama-34b-Instruct-hf", "x/codellama-34b-instruct"),
    ],
)
def test_copies_share_their_originals_key(copy: str, original: str) -> None:
    assert model_key(copy) == model_key(original)
    assert is_copy(copy)
    assert not is_copy(original)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B-Base"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-4B"),
        ("Qwen/Qwen3-4B", "Qwen/Qwen3-4B-Instruct-2507"),
        ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.2-3B"),
        ("a/model-v1", "a/model-v2"),
    ],
)
def test_other_models_do_not(one: str, other: str) -> None:
    assert model_key(one) != model_key(other)


@given(st.text(max_size=60))
def test_a_key_is_its_own_key(name: str) -> None:
    key = model_key(name)
    assert model_key(key) == key or len(model_key(key)) < len(key)


def test_names_state_formats_and_families() -> None:
    assert (format_of("a/X-8B-NVFP4"), format_of("a/X-GGUF"), format_of("a/X-8B")) == ("nvfp4", "gguf", "")
    assert family("Qwen/Qwen3.5-9B", "qwen3_5") == family("ornith-ai/Ornith-1.5-9B", "qwen3_5") == "qwen"
    assert family("HuggingFaceTB/SmolLM2-135M", "llama") == "smollm"
    assert family("meta-llama/Llama-3.1-8B", "llama") == "llama"
    assert family("a/1234", "") == "1234"


# ------------------------------------------------------------------------------------------------- licences


@pytest.mark.parametrize(
    ("license", "expected"),
    [
        ("apache-2.0", "permissive"),
        ("Apache-2.0", "permissive"),
        ("agpl-3.0", "copyleft"),
        ("openmdw-1.1", "open-model"),
        ("llama3.1", "community"),
        ("gemma", "community"),
        ("bigcode-openrail-m", "behavioural"),
        ("cc-by-nc-4.0", "non-commercial"),
        ("somebodys-non-commercial-license", "non-commercial"),
        ("acme-1.0-nc", "non-commercial"),
        ("proprietary", "proprietary"),
        ("llama3.3,gemma", "community"),
        ("apache-2.0,cc-by-nc-4.0", "non-commercial"),
        ("apache-2.0,mystery", "unknown"),
        ("very-friendly-license", "unknown"),
        ("other", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_licences_have_classes(license: str | None, expected: str) -> None:
    assert licence_class(license) == expected


def test_a_policy_allows_what_it_names_and_nothing_else() -> None:
    policy = parse_policy("permissive, Community,qwen-research")
    assert str(policy) == "permissive,community,qwen-research"
    allowed = ("mit", "llama3.1", "qwen-research")
    assert all(policy.allows(license) for license in allowed)
    assert not any(policy.allows(license) for license in (None, "", "other", "cc-by-nc-4.0", "agpl-3.0", "openmdw-1.1"))


@pytest.mark.parametrize("text", ["", " , ", "permisive", "free", "no spaces allowed"])
def test_a_misspelt_policy_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_policy(text)
    assert "permissive" in caught.value.next_step


def test_most_of_the_catalogue_has_a_known_class() -> None:
    models = SnapshotCatalogue().models()
    counts = licences_by_class(model.license for model in models)
    assert sum(counts.values()) == len(models)
    assert list(counts) == [name for name in CLASSES if name in counts]
    stated = sum(model.license is not None for model in models)
    assert (counts["unknown"] - (len(models) - stated)) / stated < 0.06


# -------------------------------------------------------------------------------------- copies and derivatives


def test_copies_are_one_model_led_by_the_first_publication_of_the_original() -> None:
    models = [
        model("mirror/X-8B", released=date(2026, 2, 1), license="mit"),
        model("quants/X-8B-GGUF", released=date(2025, 1, 1), format="gguf"),
        model("maker/X-8B", released=date(2026, 1, 1), gguf_repositories=("other/X-8B-GGUF",), license="gemma"),
        model("maker/Y-8B", released=date(2026, 1, 1)),
    ]
    first, second = group_copies(models)
    assert first.original.id == "maker/X-8B"
    assert first.original.license == "gemma"  # a mirror can't relicense
    assert first.gguf_repositories == ("other/X-8B-GGUF", "quants/X-8B-GGUF")
    assert [group.original.id for group in (first, second)] == ["maker/X-8B", "maker/Y-8B"]


def test_derivatives_are_copies_and_others_named_after_it() -> None:
    models = [
        model("maker/X-8B", downloads=100),
        model("maker/X-8B-Base"),  # the maker's own
        model("someone/X-8B-AWQ", released=date(2026, 9, 1)),
        model("someone/Great-X-8B-math", released=date(2026, 9, 30)),
        model("someone/X-8B-Base-story", released=date(2025, 1, 1)),
        model("someone/X-80B"),
    ]
    groups = group_copies(models)
    found = measure(groups, as_of=date(2026, 10, 1))
    assert (found["x-8b"].copies, found["x-8b"].derivatives, found["x-8b"].recent_derivatives) == (1, 2, 2)
    assert (found["x-8b-base"].derivatives, found["x-8b-base"].recent_derivatives) == (1, 0)
    assert found["x-80b"].derivatives == 0


def test_use_is_compared_among_models_of_like_size() -> None:
    small = [model(f"a/S{i}-1B", parameters=10**9, downloads=1000 * i) for i in range(4)]
    large = [model("a/L-70B", parameters=70 * 10**9, downloads=500), model("a/M-70B", parameters=70 * 10**9)]
    found = measure(group_copies([*small, *large]), as_of=date(2026, 10, 1))
    assert [found[f"s{i}-1b"].downloads_percentile for i in range(4)] == [0, 0.25, 0.5, 0.75]
    assert found["l-70b"].downloads_percentile == 0.0
    assert found["m-70b"].downloads_percentile is None


# -------------------------------------------------------------------------------------------------- purposes


def test_what_models_are_for() -> None:
    models = [
        model("q/Q-8B"),
        model("q/Q-8B-Base"),
        model("m/M-7B"),
        model("m/M-Instruct-7B"),
        model("e/X-Embedding-1B"),
        model("e/LightOnOCR-1B"),
        model("v/V-8B", pipeline_tag="image-text-to-text", capabilities=("vision", "tool_use")),
        model("t/T-1B", pipeline_tag="text-to-speech"),
        model("u/U-7B", pipeline_tag="", model_type="qwen3"),
        model("w/W-7B", pipeline_tag="", model_type="never-seen"),
        model("c/Q-Coder-8B"),
        model("h/Z-8B-abliterated"),
        model("g/gpt2-x", model_type="gpt2"),
        model("g/gpt2-x-chat", model_type="gpt2"),
    ]
    purposes = Purposes(models)
    of = {item.id: purposes.of(item) for item in models}
    fine = {id for id, purpose in of.items() if purpose.refusal is None}
    assert fine == {"q/Q-8B", "m/M-Instruct-7B", "v/V-8B", "u/U-7B", "c/Q-Coder-8B", "g/gpt2-x-chat"}
    assert of["c/Q-Coder-8B"].field == "code"
    assert (of["v/V-8B"].images, of["v/V-8B"].tools, of["q/Q-8B"].images) == (True, True, False)
    assert "base model" in str(of["m/M-7B"].refusal)
    assert is_altered("h/Z-8B-abliterated")
    assert "original" in str(of["h/Z-8B-abliterated"].refusal)
    assert of["w/W-7B"].pipeline == ""


# ----------------------------------------------------------------------------------------------------- arena


@pytest.mark.data
def test_an_arena_table_is_joined_by_names(shared_data: Path) -> None:
    scores = read_arena(shared_data / "hub" / "lmarena_text.csv")
    gemma = scores[model_key("google/gemma-3-27b-it")]
    assert (gemma.name, gemma.score, gemma.low, gemma.high, gemma.votes) == ("Gemma-3-27B-it", 1357, 1353, 1361, 32176)
    assert scores[model_key("meta-llama/Llama-3.1-405B-Instruct")].score == 1286  # bf16 and fp8 are one model
    catalogue = {model_key(item.id) for item in SnapshotCatalogue().models()}
    assert len(catalogue & set(scores)) >= 60
