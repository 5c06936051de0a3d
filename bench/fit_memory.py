"""The memory formulas beside llama.cpp's own allocator, over all models and settings of `tests/oracle`.

    PYTHONPATH=. python bench/fit_memory.py        prints a table and writes bench/results/fit_memory.txt

The allocator is asked without weights (a header with a hole in place of its data) in a process of its own. Errors are
signed: below zero, the prediction is too small.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.oracle.cases import CASES
from tests.oracle.truth import ODD_RUNS, RUNS, Compared, compare_all, cpu_machine, spec_of_header

from insource.core.hardware import Device, Machine
from insource.fit.memory import predict_memory
from insource.fit.values import RunSettings

_ROOT = Path(__file__).parents[1]
_WORST = 8
_REPEATS = 200


def _row(name: str, rows: Sequence[Compared], error: Callable[[Compared], float]) -> str:
    errors = [error(row) for row in rows]
    sizes = [abs(value) for value in errors]
    return f"{name:<34} {len(rows):>5} {median(sizes):>9.3%} {min(errors):>+9.2%} {max(errors):>+9.2%}"


def _compute_error(row: Compared) -> float:
    return row.predicted.compute_bytes / row.truth.compute_bytes - 1


def _weights_error(row: Compared) -> float:
    return row.predicted.weights_bytes / row.truth.weights_bytes - 1


def _table(rows: Sequence[Compared], odd: Sequence[Compared]) -> list[str]:
    lines = [f"{'':<34} {'n':>5} {'median':>9} {'lowest':>9} {'highest':>9}"]
    parts: tuple[tuple[str, Callable[[Compared], float]], ...] = (
        ("weights", _weights_error),
        ("KV cache and states", lambda row: row.kv_error),
        ("compute buffers and logits", _compute_error),
        ("total", lambda row: row.total_error),
    )
    lines += [_row(name, rows, error) for name, error in parts]
    lines.append(_row("total, odd settings", odd, lambda row: row.total_error))
    lines += ["", "total by model"]
    for case in CASES:
        mine = [row for row in rows if row.case is case]
        lines.append(_row(f"  {case.name} ({case.kind})", mine, lambda row: row.total_error))
    worst = sorted([*rows, *odd], key=lambda row: -abs(row.total_error))[:_WORST]
    lines += ["", "worst", *(f"  {row.total_error:>+7.2%}  {row.label}" for row in worst)]
    return lines


def _speed(folder: Path) -> str:
    """The slowest model's time of one prediction, the best of several rounds, on a CPU and on two cards."""
    gib = 1 << 30
    card = Device(
        name="CUDA0",
        description="",
        kind="gpu",
        backend="cuda",
        memory_total_bytes=24 * gib,
        memory_free_bytes=23 * gib,
    )
    alone = cpu_machine()
    slowest: list[float] = []
    for machine in (alone, Machine(name="two cards", devices=(card, card, alone.cpu), cores=2)):
        times: list[float] = []
        for case in CASES:
            spec = spec_of_header(case, folder / f"{case.name}.gguf")
            rounds: list[float] = []
            for _ in range(3):
                begin = time.perf_counter()
                for _ in range(_REPEATS):
                    predict_memory(spec, machine, RunSettings())
                rounds.append((time.perf_counter() - begin) / _REPEATS)
            times.append(min(rounds))
        slowest.append(max(times) * 1e6)
    return f"one prediction, slowest model: {slowest[0]:.0f} us on a CPU, {slowest[1]:.0f} us on two cards"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, odd = compare_all(CASES, folder, RUNS), compare_all(CASES, folder, ODD_RUNS)
        lines = [
            f"Predicted memory against llama.cpp's allocator (xllamacpp {version('xllamacpp')}), CPU backend:",
            f"{len(CASES)} models, {len({case.arch for case in CASES})} architectures, contexts 4k, 32k and 128k,",
            "caches f16, q8_0 and q4_0, 1 and 4 slots",
            "",
            *_table(rows, odd),
            "",
            _speed(folder),
        ]
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    (_ROOT / "bench" / "results" / "fit_memory.txt").write_text(text)


if __name__ == "__main__":
    main()
