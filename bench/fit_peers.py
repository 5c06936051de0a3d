"""Our memory formulas and those of two peers on the same models, held against llama.cpp's own allocator.

    python bench/fit_peers.py [FOLDER]        prints a table and writes bench/results/fit_peers.txt

llmfit 1.1.17 and hf-mem 0.5.6 come from the package index into an environment of their own (in FOLDER, else a temporary
one) and run as they are. hf-mem reads the very headers that llama.cpp is asked about, through a transport in place of
the Hub (peers/hf_mem_cases.py). llmfit sizes a model of its own database by the name that the case has on the Hub, in
Q4_K_M; it has no slots, so only the cases with one slot are asked. What a peer does not answer counts as no answer, not
as an error. The total of hf-mem is weights and cache: it claims no more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.oracle.cases import CASES
from tests.oracle.truth import RUNS, Compared, compare_all

_HERE = Path(__file__).parent
_PEERS = ("llmfit==1.1.17", "hf-mem==0.5.6")
_GIB = 2**30
_LLMFIT_CACHES: Mapping[str, str] = {"f16": "fp16", "q8_0": "q8_0", "q4_0": "q4_0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    kv_cache_bytes: float | None
    total_bytes: float | None


NO_ANSWER = Answer(kv_cache_bytes=None, total_bytes=None)


def environment(folder: Path) -> Path:
    """The folder of the peers' executables."""
    programs = folder / "venv" / "bin"
    if not (programs / "hf-mem").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
        subprocess.run([*pip, *_PEERS], check=True)
    return programs


def hf_mem(rows: Sequence[Compared], programs: Path, headers: Path) -> list[Answer]:
    questions = [
        {
            "path": str(headers / f"{row.case.name}.gguf"),
            "max_model_len": row.run.context_tokens // row.run.slots,
            "batch_size": row.run.slots,
            "kv_cache_dtype": row.run.cache_type_k.upper(),
        }
        for row in rows
    ]
    done = subprocess.run(
        [str(programs / "python"), str(_HERE / "peers" / "hf_mem_cases.py")],
        input="".join(json.dumps(question) + "\n" for question in questions),
        capture_output=True,
        text=True,
        check=True,
    )
    return [
        Answer(kv_cache_bytes=found.get("kv_cache_bytes"), total_bytes=found.get("total_bytes"))
        for found in map(json.loads, done.stdout.splitlines())
    ]


def llmfit(rows: Sequence[Compared], programs: Path) -> list[Answer]:
    plans: dict[tuple[str, int], dict[str, Any] | None] = {}
    answers: list[Answer] = []
    for row in rows:
        if row.run.slots != 1:
            answers.append(NO_ANSWER)
            continue
        key = row.case.hub_id, row.run.context_tokens
        if key not in plans:
            command = ["plan", key[0], "--context", str(key[1]), "--quant", "Q4_K_M", "--json"]
            done = subprocess.run([str(programs / "llmfit"), *command], capture_output=True, text=True, check=False)
            plans[key] = json.loads(done.stdout) if done.returncode == 0 else None
        answers.append(_of_plan(plans[key], _LLMFIT_CACHES[row.run.cache_type_k]))
    return answers


def _of_plan(plan: dict[str, Any] | None, cache: str) -> Answer:
    """llmfit's GB are 2^30 bytes, as its KV cache of a plain model shows."""
    found = next((kv for kv in (plan or {}).get("kv_alternatives", []) if kv["kv_quant"] == cache), None)
    if found is None:
        return NO_ANSWER
    return Answer(kv_cache_bytes=found["kv_cache_gb"] * _GIB, total_bytes=found["memory_required_gb"] * _GIB)


def errors(pairs: Sequence[tuple[float | None, float]]) -> list[float]:
    return [answer / truth - 1 for answer, truth in pairs if answer is not None]


def line(name: str, of: Sequence[float], asked: int) -> str:
    if not of:
        return f"{name:<25}{0:>6} of {asked:<5}"
    absolute = [abs(error) for error in of]
    within = sum(error <= 0.03 for error in absolute) / len(of)
    return (
        f"{name:<25}{len(of):>6} of {asked:<5}{median(absolute):>10.1%}{within:>13.1%}{min(of):>10.1%}{max(of):>+10.1%}"
    )


def table(title: str, rows: Sequence[Compared], answers: Mapping[str, Sequence[Answer]]) -> list[str]:
    head = f"{'':<25}{'answered':>15}{'median':>10}{'within 3 %':>13}{'lowest':>10}{'highest':>10}"
    lines = ["", title, "", head]
    figures: tuple[tuple[str, Callable[[Compared], float], Callable[[Answer], float | None]], ...] = (
        ("KV cache", lambda row: row.truth.kv_cache_bytes, lambda answer: answer.kv_cache_bytes),
        ("total", lambda row: row.truth.total_bytes, lambda answer: answer.total_bytes),
    )
    for figure, truth, given in figures:
        for name, found in answers.items():
            pairs = [(given(answer), truth(row)) for answer, row in zip(found, rows, strict=True)]
            lines.append(line(f"{figure}, {name}", errors(pairs), len(pairs)))
    return lines


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)
        programs = environment(folder)
        headers = Path(temporary)
        rows = compare_all(CASES, headers, RUNS)
        answers: dict[str, list[Answer]] = {
            "insource": [
                Answer(kv_cache_bytes=r.predicted.kv_cache_bytes, total_bytes=r.predicted.total_bytes) for r in rows
            ],
            "hf-mem 0.5.6": hf_mem(rows, programs, headers),
            "llmfit 1.1.17": llmfit(rows, programs),
        }
    one_slot = [number for number, row in enumerate(rows) if row.run.slots == 1]
    lines = [
        f"Errors against llama.cpp's allocator: {len(CASES)} models; contexts of 4k, 32k and 128k; cache in f16,",
        "q8_0 and q4_0. KV cache includes recurrent states; total: weights, cache, compute.",
        *table("All cases (1 and 4 slots)", rows, answers),
        *table(
            "Cases with one slot, the only ones that llmfit can be asked",
            [rows[n] for n in one_slot],
            {name: [found[n] for n in one_slot] for name, found in answers.items()},
        ),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    (_HERE / "results" / "fit_peers.txt").write_text(text)


if __name__ == "__main__":
    main()
