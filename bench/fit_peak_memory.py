"""Predicted total against the peak VRAM that published runs state.

Used: runs of llama.cpp, Ollama and LM Studio with all layers on the GPU. Left out, before looking: vLLM and SGLang,
which take a share of the memory by policy; MLX, whose peak is its own allocator's; runs with a draft model or draft
head; runs partly elsewhere; several GPUs, of which it is not said whether the peak is of one or of all. A stated
figure below 0.5 or above the GPU's memory is no peak. A run that states what lies within 4 % of the GPU's memory is
kept, though it may be the total. Figures are taken as GiB, as nvidia-smi's MiB / 1024 are. The context is the largest
of what the run states and what its command asks for. Engines of that time made room for the logits of a whole
micro-batch, and kept Gemma's embeddings per layer beside the output head. What a peak includes is not said: mostly all
that is on the GPU, a desktop too.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tests.fit_rows import Run, read_runs, unusable

from insource.fit.memory import predict_memory

OUT = Path(__file__).parent / "results" / "fit_peak_memory.txt"
_GIB = 2**30
_LOOKED_UP = ("F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")
"""Types that ggml-cuda's get_rows knows."""
_CONTEXT = re.compile(r"(?:^|\s)(?:-c|--ctx-size)[ =](\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    run: Run
    stated: float
    predicted: float
    """Bytes on the GPU, without the margin."""
    needed: float
    """With it: what `fits` asks for."""


def left_out(run: Run) -> str | None:
    peak, hardware = run.row["peakVramGb"], run.row["hardware"]
    if not peak:
        return "states no peak"
    if run.engine != "llama.cpp":
        return "an engine that reserves memory by policy, or not known"
    if hardware["hwClass"] != "DISCRETE_GPU" or hardware["gpuCount"] != 1:
        return "several GPUs, or none of its own"
    reason = unusable(run)
    if reason is not None and reason != "a peak below the weights: partly elsewhere":
        return reason
    if not 0.5 <= peak <= hardware["vramGb"]:
        return "no possible peak"
    return reason


def series(run: Run) -> tuple[object, ...]:
    """Runs of a series over the depth that state one peak: it is that of the deepest."""
    row = run.row
    return (row["user"]["id"], run.gpu, run.model, run.quantization, row["peakVramGb"])


def asked_context(run: Run) -> int:
    """Of the command that the run states: a server takes all of it at the start, however short the request is."""
    found = _CONTEXT.search(run.row["engineFlags"]["commandSnippet"] or "")
    return int(found[1]) if found else 0


def peak_of(run: Run, context: int) -> Peak:
    assert run.spec is not None
    settings = replace(
        run.settings,
        context_tokens=context,
        gpu_layers=len(run.spec.architecture.layers) + 1,
        output_tokens=run.settings.ubatch_tokens,
    )
    gpu = predict_memory(run.spec, run.machine, settings).devices[0]
    predicted = gpu.total_bytes + embedding_then_on_gpu(run)
    return Peak(run=run, stated=run.row["peakVramGb"] * _GIB, predicted=predicted, needed=predicted + gpu.margin_bytes)


def embedding_then_on_gpu(run: Run) -> int:
    """Gemma's embeddings per layer followed the output head (LLM_TENSOR_LAYER_OUTPUT in llama-arch.cpp) before the
    pinned build, where they are inputs; they went to the GPU where it can look up rows of their type."""
    assert run.spec is not None
    weights = run.spec.weights
    per_layer = weights.input_bytes - (weights.embedding_bytes or weights.input_bytes)
    return per_layer if run.quantization in _LOOKED_UP else 0


def weights_bytes(peak: Peak) -> float:
    assert peak.run.spec is not None
    return sum(peak.run.spec.weights.layer_bytes)


def line(name: str, peaks: Sequence[Peak]) -> str:
    error = np.array([peak.predicted / peak.stated - 1 for peak in peaks])
    margin = np.array([peak.needed / peak.stated - 1 for peak in peaks])
    return (
        f"{name:<40}{len(peaks):>6}{np.median(abs(error)):>11.1%}{np.mean(error < -0.05):>12.1%}"
        f"{np.median(abs(margin)):>13.1%}{np.mean(margin < -0.05):>12.1%}"
    )


def peaks_of(runs: Sequence[Run]) -> list[Peak]:
    used = [run for run in runs if left_out(run) is None]
    deepest: defaultdict[object, int] = defaultdict(int)
    for run in used:
        stated = (run.row["contextLength"], run.depth_tokens, asked_context(run))
        deepest[series(run)] = max(deepest[series(run)], *stated)
    return [peak_of(run, deepest[series(run)]) for run in used]


def main() -> None:
    data = Path(os.environ.get("INSOURCE_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not data.is_dir():
        print("skipped: shared data not found (set INSOURCE_DATA)")
        return
    runs = read_runs(data)
    stating = [run for run in runs if run.row["peakVramGb"]]
    peaks = peaks_of(runs)
    count = Counter(left_out(run) or "used" for run in stating)
    lines = [f"{len(stating)} runs state a peak", *(f"{n:>6}  {why}" for why, n in count.most_common()), ""]
    lines.append(f"{'':<40}{'':>6}{'without margin':>23}{'with margin':>25}")
    lines.append(f"{'':<40}{'runs':>6}{'median':>11}{'under 5 %':>12}{'median':>13}{'under 5 %':>12}")
    lines.append(line("all", peaks))
    lines.append(line("  weights of 6 GB and more", [peak for peak in peaks if weights_bytes(peak) >= 6e9]))
    lines.append(line("  less", [peak for peak in peaks if weights_bytes(peak) < 6e9]))
    lines.append("")
    groups: defaultdict[str, list[Peak]] = defaultdict(list)
    for peak in peaks:
        groups[f"{peak.run.gpu}, {peak.run.model}"].append(peak)
    lines += [line(f"  {name}", groups[name]) for name in sorted(groups, key=lambda name: -len(groups[name]))]
    text = "\n".join(lines) + "\n"
    print(text)
    OUT.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
