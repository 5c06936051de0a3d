"""What each amount of work costs, by backend and engine. Pure.

Those of GPUs are printed by `bench/fit_speed.py`, which says how they were fitted, and those of CPUs by
`bench/fit_speed_here.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from insource.fit.work import DecodeWork, Engine, PrefillWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    decode: DecodeWork
    prefill: PrefillWork
    decode_log_error: float
    """Half of the 80 % interval of the log speed."""
    prefill_log_error: float
    fitted_on: str
    """How many runs on which devices."""


_GPU: Mapping[str, Coefficients] = {
    "any": Coefficients(
        decode=DecodeWork(
            weights=1.31, cache=1.33, arithmetic=0, unpacking=3.548,
            attention=0, step=0.0001327, blocks=2.401e-05, expert_blocks=3.337e-05, recurrent_blocks=1.384e-05,
        ),
        prefill=PrefillWork(
            weights=1.23, attention=1.564, recurrence=31.69, arithmetic=0.9204,
            expert_arithmetic=0.9324, step=0.0002084, blocks=0.0001012,
        ),
        decode_log_error=0.315,
        prefill_log_error=0.426,
        fitted_on="531 published runs on 15 kinds of GPU",
    ),
    "cuda/llama.cpp": Coefficients(
        decode=DecodeWork(
            weights=1.234, cache=1.305, arithmetic=0, unpacking=3.383,
            attention=0, step=0.0001039, blocks=2.737e-05, expert_blocks=3.253e-05, recurrent_blocks=1.044e-05,
        ),
        prefill=PrefillWork(
            weights=1.242, attention=1.465, recurrence=31.99, arithmetic=0.6788,
            expert_arithmetic=0.9891, step=0.0002055, blocks=0.0002718,
        ),
        decode_log_error=0.260,
        prefill_log_error=0.374,
        fitted_on="429 published runs on 11 kinds of GPU",
    ),
    "cuda/vllm": Coefficients(
        decode=DecodeWork(
            weights=1.309, cache=1.539, arithmetic=0, unpacking=3.548,
            attention=0, step=0.0001077, blocks=1.372e-05, expert_blocks=2.031e-05, recurrent_blocks=1.166e-05,
        ),
        prefill=PrefillWork(
            weights=1.226, attention=1.463, recurrence=12.65, arithmetic=0.3379,
            expert_arithmetic=0.9324, step=0.0002073, blocks=8.87e-05,
        ),
        decode_log_error=0.424,
        prefill_log_error=0.576,
        fitted_on="47 published runs on 2 kinds of GPU",
    ),
    "metal/llama.cpp": Coefficients(
        decode=DecodeWork(
            weights=1.323, cache=1.337, arithmetic=0, unpacking=3.548,
            attention=0, step=0.0001472, blocks=7.364e-05, expert_blocks=5.382e-05, recurrent_blocks=1.374e-05,
        ),
        prefill=PrefillWork(
            weights=1.229, attention=1.731, recurrence=17.69, arithmetic=1.283,
            expert_arithmetic=0.5549, step=0.0002096, blocks=0.0001094,
        ),
        decode_log_error=0.291,
        prefill_log_error=0.458,
        fitted_on="28 published runs on 3 kinds of GPU",
    ),
    "metal/mlx": Coefficients(
        decode=DecodeWork(
            weights=1.302, cache=1.332, arithmetic=0, unpacking=3.548,
            attention=0, step=0.0001327, blocks=2.714e-05, expert_blocks=3.471e-05, recurrent_blocks=1.419e-05,
        ),
        prefill=PrefillWork(
            weights=1.23, attention=1.542, recurrence=27.09, arithmetic=0.8892,
            expert_arithmetic=0.9043, step=0.0002083, blocks=0.0001011,
        ),
        decode_log_error=0.313,
        prefill_log_error=0.369,
        fitted_on="9 published runs on 2 kinds of GPU",
    ),
    "rocm/llama.cpp": Coefficients(
        decode=DecodeWork(
            weights=1.363, cache=1.345, arithmetic=0, unpacking=3.666,
            attention=0, step=0.0001383, blocks=6.911e-05, expert_blocks=7.401e-05, recurrent_blocks=1.423e-05,
        ),
        prefill=PrefillWork(
            weights=1.231, attention=1.57, recurrence=35.87, arithmetic=2.34,
            expert_arithmetic=0.9324, step=0.0002067, blocks=9.569e-05,
        ),
        decode_log_error=0.373,
        prefill_log_error=0.528,
        fitted_on="18 published runs on 1 kind of GPU",
    ),
}  # fmt: skip
"""By backend and engine; `any`: for those that no run speaks for."""
_CPU = Coefficients(
    decode=DecodeWork(
        weights=1.1, cache=1.2, arithmetic=4.6, unpacking=1.0, attention=15.5,
        step=200e-6, blocks=10e-6, expert_blocks=20e-6, recurrent_blocks=10e-6,
    ),
    prefill=PrefillWork(
        weights=1.1, attention=2.2, recurrence=10.0, arithmetic=1.9, expert_arithmetic=1.0, step=200e-6, blocks=10e-6
    ),
    decode_log_error=0.5,
    prefill_log_error=0.5,
    fitted_on="one small model on one CPU",
)  # fmt: skip
"""Arithmetic and attention from two runs of the bench: SmolLM2-135M Q4_1 on two quiet cores with AVX2 kernels, depths
of 256 to 6,144 tokens, beside probes of 50 and 69 GB/s (which made no difference: so small a model is bound by
arithmetic); the rest is assumed. A CPU does not hide arithmetic behind reading: unpacking Q4_1 takes some 5 times
what the probe's fp32 product would, and attention, which goes head by head, 15 times. On other CPUs and with other
types the interval is wide until exchanges correct it."""


def coefficients_of(backend: str, engine: Engine) -> Coefficients:
    if backend == "cpu":
        return _CPU
    return _GPU.get(f"{backend}/{engine}") or _GPU.get(f"{backend}/llama.cpp") or _GPU["any"]
