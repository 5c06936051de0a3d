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
            weights=1.308, cache=1.328, arithmetic=0, unpacking=3.536,
            step=0.0001323, blocks=2.438e-05, expert_blocks=3.422e-05, recurrent_blocks=1.339e-05,
        ),
        prefill=PrefillWork(
            weights=1.228, attention=1.569, recurrence=31.34, arithmetic=0.9201,
            expert_arithmetic=0.9552, step=0.0002084, blocks=0.0001003,
        ),
        decode_log_error=0.327,
        prefill_log_error=0.428,
        fitted_on="531 published runs on 15 kinds of GPU",
    ),
    "cuda/llama.cpp": Coefficients(
        decode=DecodeWork(
            weights=1.232, cache=1.303, arithmetic=0, unpacking=3.366,
            step=0.0001031, blocks=2.772e-05, expert_blocks=3.346e-05, recurrent_blocks=9.933e-06,
        ),
        prefill=PrefillWork(
            weights=1.241, attention=1.474, recurrence=31.84, arithmetic=0.6774,
            expert_arithmetic=0.9974, step=0.0002055, blocks=0.0002726,
        ),
        decode_log_error=0.263,
        prefill_log_error=0.374,
        fitted_on="429 published runs on 11 kinds of GPU",
    ),
    "cuda/vllm": Coefficients(
        decode=DecodeWork(
            weights=1.305, cache=1.54, arithmetic=0, unpacking=3.536,
            step=0.0001073, blocks=1.389e-05, expert_blocks=2.05e-05, recurrent_blocks=1.132e-05,
        ),
        prefill=PrefillWork(
            weights=1.225, attention=1.468, recurrence=12.58, arithmetic=0.3379,
            expert_arithmetic=0.9552, step=0.0002074, blocks=8.804e-05,
        ),
        decode_log_error=0.437,
        prefill_log_error=0.577,
        fitted_on="47 published runs on 2 kinds of GPU",
    ),
    "metal/llama.cpp": Coefficients(
        decode=DecodeWork(
            weights=1.318, cache=1.333, arithmetic=0, unpacking=3.536,
            step=0.0001464, blocks=7.517e-05, expert_blocks=5.529e-05, recurrent_blocks=1.326e-05,
        ),
        prefill=PrefillWork(
            weights=1.228, attention=1.761, recurrence=17.22, arithmetic=1.289,
            expert_arithmetic=0.6025, step=0.0002096, blocks=0.0001091,
        ),
        decode_log_error=0.317,
        prefill_log_error=0.467,
        fitted_on="28 published runs on 3 kinds of GPU",
    ),
    "metal/mlx": Coefficients(
        decode=DecodeWork(
            weights=1.299, cache=1.329, arithmetic=0, unpacking=3.536,
            step=0.0001321, blocks=2.727e-05, expert_blocks=3.548e-05, recurrent_blocks=1.37e-05,
        ),
        prefill=PrefillWork(
            weights=1.228, attention=1.543, recurrence=27.09, arithmetic=0.8878,
            expert_arithmetic=0.918, step=0.0002084, blocks=0.0001002,
        ),
        decode_log_error=0.316,
        prefill_log_error=0.370,
        fitted_on="9 published runs on 2 kinds of GPU",
    ),
    "rocm/llama.cpp": Coefficients(
        decode=DecodeWork(
            weights=1.361, cache=1.343, arithmetic=0, unpacking=3.654,
            step=0.0001376, blocks=6.918e-05, expert_blocks=7.566e-05, recurrent_blocks=1.376e-05,
        ),
        prefill=PrefillWork(
            weights=1.23, attention=1.575, recurrence=35.62, arithmetic=2.343,
            expert_arithmetic=0.9552, step=0.0002068, blocks=9.511e-05,
        ),
        decode_log_error=0.381,
        prefill_log_error=0.530,
        fitted_on="18 published runs on 1 kind of GPU",
    ),
}  # fmt: skip
"""By backend and engine; `any`: for those that no run speaks for."""
_CPU = Coefficients(
    decode=DecodeWork(
        weights=1.2, cache=1.5, arithmetic=2.0, unpacking=1.0,
        step=200e-6, blocks=10e-6, expert_blocks=20e-6, recurrent_blocks=10e-6,
    ),
    prefill=PrefillWork(
        weights=1.2, attention=2.0, recurrence=10.0, arithmetic=1.5, expert_arithmetic=1.0, step=200e-6, blocks=10e-6
    ),
    decode_log_error=0.5,
    prefill_log_error=0.5,
    fitted_on="runs on one CPU",
)  # fmt: skip


def coefficients_of(backend: str, engine: Engine) -> Coefficients:
    if backend == "cpu":
        return _CPU
    return _GPU.get(f"{backend}/{engine}") or _GPU.get(f"{backend}/llama.cpp") or _GPU["any"]
