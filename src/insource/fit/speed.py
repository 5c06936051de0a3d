"""How fast a model runs: prefill and decode with an 80 % interval. Pure.

Decode is bound by what is read for a token, so its time is linear in that (`work.py`), with coefficients by backend
and engine that were fitted on published runs (`coefficients.py`). Prefill is bound by arithmetic. Devices that share
a model's layers work one after the other, so their times add up: a few layers in slow memory cost as much as they
cost there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

from insource.core.architecture import ModelSpec
from insource.core.hardware import Device, Machine
from insource.fit.calibration import NO_CORRECTION, Correction, log_interval
from insource.fit.coefficients import Coefficients, coefficients_of
from insource.fit.values import Estimate, MemoryPrediction, RunSettings, SpeedPrediction
from insource.fit.work import (
    DecodeWork,
    Load,
    PrefillWork,
    attention_operations,
    bits_per_weight,
    block_counts,
    cache_bytes_read,
    dense_bytes_read,
    expert_bytes_read,
    multiplied_expert_parameters,
    multiplied_parameters,
    recurrence_operations,
    seconds,
    tile_waste,
)

_FEW_BITS = 3.9
"""Of a weight on average, below which unpacking is felt: IQ1 to IQ3, Q2_K, Q3_K."""
_CPU_FLOPS_PER_CORE = 80e9
"""Assumed where a machine's CPU was not measured: AVX2 at 3 GHz can 96, of which a good matrix product reaches five
sixths, as the probe's does."""


_QUANTISED_BITS = 9.0
"""Of a weight on average: under it, the file is quantised."""
_HANDOVER_SECONDS = 40e-6
"""Of a hidden state's way to the CPU and back between two blocks, with both synchronisations. Assumed: between 0 and
80 microseconds the four published runs with experts apart are estimated between 8 % too high and 17 % too low."""
_BUS_BYTES_PER_SECOND = 12e9
"""Of copying weights to an accelerator: half of PCIe 4.0 x16, as from memory that is not pinned. Assumed, never
measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """What was learned from real exchanges of this model's family on this machine."""

    decode: Correction = NO_CORRECTION
    prefill: Correction = NO_CORRECTION


NO_CORRECTIONS = Corrections()


def predict_speed(
    spec: ModelSpec,
    machine: Machine,
    run: RunSettings,
    *,
    memory: MemoryPrediction,
    load: Load,
    corrections: Corrections = NO_CORRECTIONS,
) -> SpeedPrediction | None:
    """Of one request beside `load.concurrency - 1` others; prefill is that of a prompt which fills the depth. None:
    the bandwidth or throughput of a device that holds layers is not known, or the layers themselves are not, or the
    model does not generate token by token, so it has no such speed."""
    parts = _parts(spec, machine, memory)
    if parts is None or not spec.architecture.generates:
        return None
    decode = sum(decode_seconds(spec, run, load=load, part=part) for part in parts)
    prompt_parts = [_for_prompts(part, machine) for part in parts]
    prefill = sum(prefill_seconds_per_token(spec, run, load=load, part=part) for part in prompt_parts)
    slowest = max(parts, key=lambda part: decode_seconds(spec, run, load=load, part=part))
    chosen = coefficients_of(slowest.device, load.engine)
    return SpeedPrediction(
        decode_tokens_per_second=_estimate(1 / decode, chosen.decode_log_error, corrections.decode),
        prefill_tokens_per_second=_estimate(1 / prefill, chosen.prefill_log_error, corrections.prefill),
        basis=_basis(slowest.device, chosen, corrections),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A device and the shares of the model that it works on."""

    device: Device
    bandwidth: float
    flops: float
    int8_ops: float | None = None
    dense: float = 1.0
    """Of the weights that every token needs, and of the layers."""
    experts: float = 1.0
    """Of routed experts."""
    cache: float = 1.0
    handovers: float = 0.0
    """Layers whose experts lie elsewhere: the hidden state goes there and back."""


def part_of(device: Device) -> Part:
    """All of a model on one device whose rates are known."""
    assert device.bandwidth_bytes_per_second is not None
    assert device.matmul_flops is not None
    return Part(
        device=device,
        bandwidth=device.bandwidth_bytes_per_second.value,
        flops=device.matmul_flops.value,
        int8_ops=device.int8_ops.value if device.int8_ops else None,
    )


def decode_work(spec: ModelSpec, run: RunSettings, *, load: Load, part: Part) -> DecodeWork:
    """Of one step on one device."""
    blocks, expert_blocks, recurrent = block_counts(spec.architecture)
    read = dense_bytes_read(spec) * part.dense + expert_bytes_read(spec, load.concurrency) * part.experts
    cache = cache_bytes_read(spec, run, load.depth_tokens) * load.concurrency * part.cache
    arithmetic = 2 * _multiplied(spec, part) / part.flops
    attention = attention_operations(spec.architecture, load.depth_tokens) * load.concurrency * part.cache
    on_cpu = part.device.kind == "cpu"
    return DecodeWork(
        weights=read / part.bandwidth,
        cache=cache / part.bandwidth,
        arithmetic=arithmetic if on_cpu else 0.0,
        unpacking=arithmetic if not on_cpu and bits_per_weight(spec) < _FEW_BITS else 0.0,
        attention=attention / part.flops if on_cpu else 0.0,
        step=part.dense,
        blocks=blocks * part.dense,
        expert_blocks=expert_blocks * part.experts,
        recurrent_blocks=recurrent * part.dense,
    )


def decode_seconds(spec: ModelSpec, run: RunSettings, *, load: Load, part: Part) -> float:
    """Of one step. A further sequence costs the arithmetic of one prompt token more, beside its cache."""
    chosen = coefficients_of(part.device, load.engine)
    work = decode_work(spec, run, load=load, part=part)
    further = (load.concurrency - 1) * 2 * _multiplied(spec, part) / _prompt_rate(spec, part, load)
    handovers = part.handovers * _HANDOVER_SECONDS
    return seconds(work.amounts, chosen.decode.amounts) + further * chosen.prefill.arithmetic + handovers


def prefill_work(spec: ModelSpec, run: RunSettings, *, load: Load, part: Part) -> PrefillWork:
    """Of one token of a prompt that fills the depth, read in batches of `ubatch_tokens`."""
    blocks, expert_blocks, _ = block_counts(spec.architecture)
    prompt = max(1, load.depth_tokens)
    batch = min(run.ubatch_tokens, prompt)
    read = dense_bytes_read(spec) * part.dense + expert_bytes_read(spec, batch) * part.experts
    experts = 2 * multiplied_expert_parameters(spec) * tile_waste(spec, batch) * part.experts
    rate = _prompt_rate(spec, part, load)
    return PrefillWork(
        weights=read / part.bandwidth / batch,
        attention=attention_operations(spec.architecture, prompt / 2) * part.cache / part.flops,
        recurrence=recurrence_operations(spec.architecture) * part.dense / part.flops,
        arithmetic=2 * _multiplied(spec, part) / rate,
        expert_arithmetic=experts / rate,
        step=part.dense / batch,
        blocks=(blocks * part.dense + expert_blocks * part.experts) / batch,
    )


def prefill_seconds_per_token(spec: ModelSpec, run: RunSettings, *, load: Load, part: Part) -> float:
    chosen = coefficients_of(part.device, load.engine)
    work = prefill_work(spec, run, load=load, part=part)
    return seconds(work.amounts, chosen.prefill.amounts)


def _multiplied(spec: ModelSpec, part: Part) -> float:
    """Parameters that one token is multiplied with on this part."""
    experts = multiplied_expert_parameters(spec)
    return (multiplied_parameters(spec) - experts) * part.dense + experts * part.experts


def _prompt_rate(spec: ModelSpec, part: Part, load: Load) -> float:
    """llama.cpp multiplies quantised weights in int8 where the device can (`ggml_cuda_should_use_mmq`)."""
    quantised = bits_per_weight(spec) < _QUANTISED_BITS and load.engine == "llama.cpp"
    return part.int8_ops if quantised and part.int8_ops else part.flops


def _parts(spec: ModelSpec, machine: Machine, memory: MemoryPrediction) -> list[Part] | None:
    dense = [device.weights_bytes - device.expert_bytes for device in memory.devices]
    if len(dense) > 1 or machine.accelerators:
        dense[-1] = max(0, dense[-1] - spec.weights.input_bytes)  # looked up, not read
    experts = [device.expert_bytes for device in memory.devices]
    caches = [device.kv_cache_bytes for device in memory.devices]
    parts: list[Part] = []
    for device, held, routed, cache in zip(machine.devices, dense, experts, caches, strict=True):
        if held <= 0 and routed <= 0 and cache <= 0:
            continue
        flops = device.matmul_flops.value if device.matmul_flops else None
        if flops is None and device.kind == "cpu":
            flops = machine.cores * _CPU_FLOPS_PER_CORE
        if device.bandwidth_bytes_per_second is None or flops is None:
            return None
        parts.append(
            Part(
                device=device,
                bandwidth=device.bandwidth_bytes_per_second.value,
                flops=flops,
                int8_ops=device.int8_ops.value if device.int8_ops else None,
                dense=held / max(1, sum(dense)),
                experts=routed / max(1, sum(experts)),
                cache=cache / max(1, sum(caches)),
                handovers=memory.apart_layers if device.kind == "cpu" else 0,
            )
        )
    return parts or None


def _for_prompts(part: Part, machine: Machine) -> Part:
    """llama.cpp does not leave a prompt's batches to the CPU where there is an accelerator: it copies the weights of
    the layers that stayed behind over for each batch (`op_offload`, ggml_backend_cuda_device_offload_op)."""
    first = machine.accelerators[0] if machine.accelerators else None
    if part.device.kind != "cpu" or first is None or first.matmul_flops is None:
        return part
    bandwidth = part.bandwidth if first.unified else _BUS_BYTES_PER_SECOND
    int8 = first.int8_ops.value if first.int8_ops else None
    return replace(part, device=first, bandwidth=bandwidth, flops=first.matmul_flops.value, int8_ops=int8)


def _estimate(mid: float, log_error: float, correction: Correction) -> Estimate:
    shift, half = log_interval(correction, log_error)
    return Estimate(low=mid * exp(shift - half), mid=mid * exp(shift), high=mid * exp(shift + half))


def _basis(device: Device, chosen: Coefficients, corrections: Corrections) -> str:
    assert device.bandwidth_bytes_per_second is not None
    origin = {"measured": "measured here", "table": "from the table", "stated": "as stated"}
    rate = device.bandwidth_bytes_per_second
    learned = corrections.decode.n
    corrected = f"; corrected by {learned} exchanges of this family here." if learned else "."
    return (
        f"{device.name}'s bandwidth of {rate.value / 1e9:,.0f} GB/s ({origin[rate.source]}), "
        f"and the share of it that {chosen.fitted_on} reach{corrected}"
    )
