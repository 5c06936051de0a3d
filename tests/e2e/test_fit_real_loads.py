"""Real loads of the default model: what `fit` predicts against the most that the worker ever had in memory.

llama.cpp clears the cache when it opens it, so every page of it is there from the start; a prompt longer than one
micro-batch touches the compute buffer and the engine's scratch. Two things that a worker has are in no header and are
measured in the same run by a process that has only them: the engine's library, and the vocabulary with its merges.
Our worker switches off the prompt cache (`cache_ram_mib`), and this model has no states to checkpoint, so nothing grows
afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from insource.engines.models.gguf import read_header
from insource.engines.worker import WorkerParameters
from insource.fit.gguf_spec import spec_of_gguf
from insource.fit.memory import predict_memory
from insource.fit.values import RunSettings
from tests.oracle.process import peak_resident_kb
from tests.oracle.truth import cpu_machine

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="skipped: the peak is read from /proc"),
]

_ERROR = 0.05
_PROMPT_TOKENS = 560
"""More than one micro-batch of 512."""
_SHORT_PROMPT_TOKENS = 16
"""In the slots beside: the buffers are as large as one prompt makes them."""
_KEY = "key"


@pytest.fixture(scope="module")
def baseline_bytes(default_model_path: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.oracle.resident", str(default_model_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout) * 1024


@contextmanager
def _worker(model: Path, run: RunSettings) -> Generator[tuple[int, str]]:
    """Its pid and address."""
    parameters = WorkerParameters(
        model_path=str(model),
        alias="model",
        context_tokens=run.context_tokens,
        slots=run.slots,
        threads=2,
        seed=1,
        key=_KEY,
    )
    argv = [sys.executable, "-P", "-m", "insource.engines.worker"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            talk, report = _pipes(process)
            talk.write(parameters.line())
            talk.flush()
            yield process.pid, f"http://127.0.0.1:{json.loads(report.readline())['port']}"
        finally:
            process.kill()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _ask(url: str, number: int) -> int:
    """Tokens of the prompt that were worked through; the first is the long one."""
    tokens = _SHORT_PROMPT_TOKENS if number else _PROMPT_TOKENS
    words = " ".join(str((number + index) % 10) for index in range(tokens // 2))
    body = json.dumps({"prompt": words, "n_predict": 4, "cache_prompt": False}).encode()
    headers = {"authorization": f"Bearer {_KEY}", "content-type": "application/json"}
    request = urllib.request.Request(f"{url}/completion", body, headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        return int(json.load(answer)["tokens_evaluated"])


# The parts of the prediction add up, so each case changes one thing.
@pytest.mark.parametrize(("context_tokens", "slots"), [(4096, 1), (4096, 4), (16_384, 1)])
def test_the_prediction_is_within_five_percent_of_the_measured_peak(
    default_model_path: Path, baseline_bytes: int, context_tokens: int, slots: int
) -> None:
    run = RunSettings(context_tokens=context_tokens, slots=slots)
    spec = spec_of_gguf(read_header(default_model_path), name="default")
    predicted = predict_memory(spec, cpu_machine(), run).total_bytes + baseline_bytes
    with _worker(default_model_path, run) as (pid, url), ThreadPoolExecutor(slots) as pool:
        assert max(pool.map(lambda number: _ask(url, number), range(slots))) > run.ubatch_tokens
        measured = peak_resident_kb(pid) * 1024
    assert predicted == pytest.approx(measured, rel=_ERROR)


def test_the_cpu_margin_covers_the_process_itself(baseline_bytes: int, default_model_path: Path) -> None:
    spec = spec_of_gguf(read_header(default_model_path), name="default")
    (cpu,) = predict_memory(spec, cpu_machine(), RunSettings()).devices
    assert baseline_bytes < cpu.margin_bytes
