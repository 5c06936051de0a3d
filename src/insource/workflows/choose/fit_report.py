"""A `FitReport` in words and as JSON. Pure."""

from __future__ import annotations

from insource.core.values import JsonObject
from insource.fit.advice import is_whole
from insource.fit.values import DeviceMemory, Estimate, MemoryPrediction
from insource.workflows.choose.fit import ExpertsApart, FitReport, TaskLoad

_GIB = 2**30


def sentences(report: FitReport) -> list[str]:
    """The answer in words, the verdict first. Pure."""
    told = [_verdict(report)]
    if report.measured:
        told.append(
            "Cache and compute buffers were measured by the engine: its own allocation for this header and these "
            "settings, on a CPU; on accelerators the cache was spread evenly over the layers."
        )
    slots = report.run.slots
    if report.largest_context_tokens is not None:
        each = f" ({slots} slots of {report.largest_context_tokens // slots:,})" if slots > 1 else ""
        told.append(f"Largest context that fits: {report.largest_context_tokens:,} tokens{each}.")
    if report.best_quantization is not None:
        told.append(f"Best quantisation that fits: {report.best_quantization}.")
    if report.speed is not None and report.memory.fits is not False:
        told.append(
            f"Speed at a depth of {report.depth_tokens:,} tokens, with 80 % intervals: "
            f"decode {_speed(report.speed.decode_tokens_per_second)}, "
            f"prefill {_speed(report.speed.prefill_tokens_per_second)} tokens/s. {report.speed.basis}"
        )
    if report.apart is not None:
        apart = report.apart
        told.append(
            f"Faster with the experts of {apart.layers} layers in the system's memory (--n-cpu-moe {apart.layers}) and "
            f"all else on the accelerator: decode {_speed(apart.speed.decode_tokens_per_second)} tokens/s."
        )
    if report.load is not None:
        told.append(_load(report.load))
    told += [f"Note: {note}." for note in report.spec.architecture.notes]
    told += [f"Not counted: {note}." for note in report.spec.not_counted]
    told += [f"Assumed: {note}." for note in report.machine.assumed]
    told += [f"Cannot say: {sentence}" for sentence in report.unknown]
    if report.memory.fits is False:
        told += [
            f"It fits with {change.what}: {change.option} ({_need(change.memory) / _GIB:.2f} GiB with margin)."
            for change in report.changes
        ] or [f"No single change makes it fit: {report.missing_bytes / _GIB:.2f} GiB more memory, or a smaller model."]
    return told


def _load(load: TaskLoad) -> str:
    name, within = load.task.name, f"{load.latency_seconds:g} s for 95 of 100 requests"
    long = (
        f" {load.too_long_share:.1%} of its requests are longer than a slot's context." if load.too_long_share else ""
    )
    if load.capacity is None:
        return f"Load of {name!r}: can't be told, for want of a fit or of a speed.{long}"
    if load.capacity.requests_per_minute == 0:
        return (
            f"Load of {name!r}: none within {within}; a long request alone takes {load.capacity.seconds:.1f} s.{long}"
        )
    return (
        f"Load of {name!r}: {load.capacity.requests_per_minute:,.1f} requests a minute within {within}, "
        f"by the lengths of {load.traffic.exchanges:,} exchanges and the slow end of the speeds; "
        f"{load.capacity.bottleneck} is the limit.{long}"
    )


def _apart_json(apart: ExpertsApart | None) -> JsonObject | None:
    if apart is None:
        return None
    decode = apart.speed.decode_tokens_per_second
    return {
        "n_cpu_moe": apart.layers,
        "decode_tokens_per_second": {"low": decode.low, "mid": decode.mid, "high": decode.high},
    }


def _verdict(report: FitReport) -> str:
    memory = report.memory
    need = f"{_need(memory) / _GIB:.2f} GiB, {sum(d.margin_bytes for d in memory.devices) / _GIB:.2f} of them margin"
    if memory.fits is None:
        return f"Cannot say whether it fits: at least {memory.total_bytes / _GIB:.2f} GiB of what is understood."
    if not memory.fits:
        return f"Does not fit: it needs {need}; {report.missing_bytes / _GIB:.2f} GiB are missing."
    split = ""
    if memory.apart_layers:
        split = f" The experts of {memory.apart_layers} layers lie in the CPU's memory."
    elif not is_whole(report.spec, report.machine, memory):
        layers = len(report.spec.architecture.layers) + 1
        split = f" {memory.gpu_layers} of {layers} layers lie on the accelerator, the rest in the CPU's memory."
    return f"Fits: it needs {need}.{split}"


def _need(memory: MemoryPrediction) -> int:
    return sum(device.total_bytes + device.margin_bytes for device in memory.devices)


def _speed(estimate: Estimate) -> str:
    return f"{_round(estimate.mid)} ({_round(estimate.low)} to {_round(estimate.high)})"


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"


def fit_json(report: FitReport) -> JsonObject:
    """DESIGN §8: fields are added, never renamed."""
    memory, speed = report.memory, report.speed
    return {
        "model": report.spec.name,
        "machine": report.machine.name,
        "architecture": report.spec.architecture.name,
        "parameters": report.spec.parameters,
        "active_parameters": report.spec.active_parameters,
        "quantization": report.spec.weights.quantization,
        "license": report.spec.license,
        "source": report.spec.source,
        "measured_by_engine": report.measured,
        "notes": list(report.spec.architecture.notes),
        "not_counted": list(report.spec.not_counted),
        "expert_layers_on_cpu": memory.apart_layers,
        "experts_apart": _apart_json(report.apart),
        "exact_weights": report.spec.weights.exact,
        "context_tokens": report.run.context_tokens,
        "slots": report.run.slots,
        "cache_type": report.run.cache_type_k,
        "weights_bytes": memory.weights_bytes,
        "kv_cache_bytes": memory.kv_cache_bytes,
        "compute_bytes": memory.compute_bytes,
        "total_bytes": memory.total_bytes,
        "margin_bytes": sum(device.margin_bytes for device in memory.devices),
        "missing_bytes": report.missing_bytes,
        "fits": memory.fits,
        "gpu_layers": memory.gpu_layers,
        "devices": [_device_json(device) for device in memory.devices],
        "largest_context_tokens": report.largest_context_tokens,
        "best_quantization": report.best_quantization,
        "depth_tokens": report.depth_tokens,
        "decode_tokens_per_second": _estimate_json(speed.decode_tokens_per_second if speed else None),
        "prefill_tokens_per_second": _estimate_json(speed.prefill_tokens_per_second if speed else None),
        "speed_basis": speed.basis if speed else None,
        "changes": [{"what": change.what, "option": change.option} for change in report.changes],
        "load": _load_json(report.load),
        "assumed": list(report.machine.assumed),
        "unknown": list(report.unknown),
    }


def _load_json(load: TaskLoad | None) -> JsonObject | None:
    if load is None:
        return None
    carried = load.capacity
    return {
        "task": load.task.id,
        "exchanges": load.traffic.exchanges,
        "latency_seconds": load.latency_seconds,
        "too_long_share": load.too_long_share,
        "requests_per_minute": carried.requests_per_minute if carried else None,
        "seconds": carried.seconds if carried else None,
        "utilisation": carried.utilisation if carried else None,
        "bottleneck": carried.bottleneck if carried else None,
    }


def _device_json(device: DeviceMemory) -> JsonObject:
    return {
        "device": device.device,
        "weights_bytes": device.weights_bytes,
        "kv_cache_bytes": device.kv_cache_bytes,
        "compute_bytes": device.compute_bytes,
        "margin_bytes": device.margin_bytes,
        "free_bytes": device.free_bytes,
        "fits": device.fits,
    }


def _estimate_json(estimate: Estimate | None) -> JsonObject | None:
    return None if estimate is None else {"low": estimate.low, "mid": estimate.mid, "high": estimate.high}
