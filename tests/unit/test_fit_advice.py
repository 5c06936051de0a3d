"""Advice is only as good as its own formulas: whatever is advised must fit when it is asked again."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from insource.core.architecture import ModelSpec
from insource.fit.advice import best_quantization, changes, is_whole, largest_context, missing_bytes
from insource.fit.families import spec_of_family
from insource.fit.memory import predict_memory
from insource.fit.quantization import QUANTIZATIONS
from insource.fit.values import CacheType, RunSettings
from insource.machine.parse import parse_machine

MODELS = ("Qwen/Qwen3-8B", "Qwen/Qwen3-30B-A3B", "google/gemma-3-27b-it", "meta-llama/Llama-3.3-70B-Instruct")
MACHINES = ("rtx-3060", "rtx-4090", "2x h100", "m4-max-64gb")


def spec(name: str, quantization: str = "Q4_K_M") -> ModelSpec:
    found = spec_of_family(name, quantization=quantization)
    assert found is not None
    return found


@settings(max_examples=60)
@given(
    st.sampled_from(MODELS),
    st.sampled_from(MACHINES),
    st.sampled_from((4096, 32768, 131072, 524288)),
    st.sampled_from((1, 4, 16)),
    st.sampled_from(("f16", "q8_0")),
)
def test_what_is_advised_fits(name: str, where: str, context: int, slots: int, cache: CacheType) -> None:
    model, machine = spec(name), parse_machine(where)
    run = RunSettings(context_tokens=context, slots=slots, cache_type_k=cache, cache_type_v=cache)
    now = predict_memory(model, machine, run)
    largest = largest_context(model, machine, run)
    if largest is not None:
        trained = model.architecture.context_tokens
        assert trained is not None
        assert predict_memory(model, machine, replace(run, context_tokens=largest)).fits
        if largest + 256 <= trained * slots:
            more = predict_memory(model, machine, replace(run, context_tokens=largest + 256))
            assert not more.fits or (is_whole(model, machine, now) and not is_whole(model, machine, more))
    smaller = best_quantization(QUANTIZATIONS, lambda q: spec(name, q), machine=machine, run=run)
    if smaller is not None:
        assert predict_memory(smaller, machine, run).fits
    advised = changes(model, machine, run, smaller=smaller)
    assert all(change.memory.fits for change in advised)
    assert (missing_bytes(now) > 0) == (now.fits is False)
    assert not (now.fits and advised)


def test_the_best_quantisation_is_whole_on_the_accelerator_where_one_is() -> None:
    machine, run = parse_machine("rtx-4090"), RunSettings()
    best = best_quantization(QUANTIZATIONS, lambda q: spec("Qwen/Qwen3-30B-A3B", q), machine=machine, run=run)
    assert best is not None
    assert is_whole(best, machine, predict_memory(best, machine, run))
    larger = QUANTIZATIONS[QUANTIZATIONS.index(best.weights.quantization) - 1]
    spilled = spec("Qwen/Qwen3-30B-A3B", larger)
    assert not is_whole(spilled, machine, predict_memory(spilled, machine, run))


def test_a_model_that_is_not_understood_gets_no_advice() -> None:
    model = spec("Qwen/Qwen3-8B")
    strange = replace(model, architecture=replace(model.architecture, unknown=("what its layers are",)))
    machine, run = parse_machine("rtx-3060"), RunSettings(context_tokens=1 << 20)
    assert predict_memory(strange, machine, run).fits is None
    assert changes(strange, machine, run, smaller=None) == ()
    assert largest_context(strange, machine, run) is None
