"""The llama.cpp worker: `python -m insource.engines.worker`. One process, one model, one port on loopback.

It reads one JSON line of parameters from stdin (not from argv, which every user of the machine can read: the line
holds the key), reports `{"port": …}` as the only line of its stdout once the model is loaded, and lives until SIGTERM
or the end of its stdin. It imports the engine and the standard library (`core` is no more than that), nothing else: a
start costs the load alone.

No orphans: on Linux the kernel kills it with its parent; everywhere else the end of stdin does, at the latest when
the load is over (xllamacpp holds the interpreter lock while it loads). SIGTERM keeps its default action for the same
reason: a Python handler would have to wait for that lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from insource.core.cores import usable_cores
from insource.core.processes import die_with_parent

CANNOT_LOAD = 3
"""Exit code: llama.cpp refused the model file or the parameters; the reason is on stderr."""
CHECKPOINTS = 1
"""Copies that a slot keeps of what can't be rolled back (sliding windows, recurrent states), so that the next turn of a
conversation starts from them; it uses the last one. llama.cpp's default is 32: up to 13 GiB a slot for Gemma 3 27B
(1,024 tokens of 52 layers each), beside what `fit` predicts."""
_LOG_SECONDS = 0.5
"""llama.cpp logs from a thread of its own and has no call that waits for it; without a pause its reason can be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParameters:
    """What a worker is told; the line on its stdin."""

    model_path: str
    alias: str
    """The model's name in answers, so that no path of this machine leaves it."""
    context_tokens: int
    slots: int
    threads: int | None
    seed: int
    key: str
    """Every request needs it as a bearer token: other users and web pages reach loopback ports too."""
    lora_paths: tuple[str, ...] = ()

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


def parse_parameters(line: bytes) -> WorkerParameters:
    given: dict[str, Any] = json.loads(line)
    given["lora_paths"] = tuple(given["lora_paths"])
    return WorkerParameters(**given)


def die_first() -> None:
    """Linux: when memory runs out, the kernel ends this process and not the gateway or a neighbour. A context that is
    far too large is taken without complaint and only then filled, so it is a whole machine that runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def common_params(parameters: WorkerParameters, llama: Any) -> Any:
    """`llama` is the xllamacpp module. What is not set here keeps llama.cpp's default."""
    params = llama.CommonParams()
    params.model.path = parameters.model_path
    params.model_alias = {parameters.alias}
    params.n_ctx = parameters.context_tokens
    params.n_parallel = parameters.slots
    params.cpuparams.n_threads = parameters.threads or usable_cores()
    params.sampling.seed = parameters.seed
    params.lora_adapters = [llama.CommonAdapterLoraInfo(path, 0.0) for path in parameters.lora_paths]  # see adapters.py
    params.ctx_shift = False  # an overflow is the engine's 400, never a truncation
    params.cache_ram_mib = 0  # slots keep their prefix; the second cache would grow to 8 GiB beside what `fit` predicts
    params.n_ctx_checkpoints = CHECKPOINTS
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [parameters.key]
    params.offline = True
    params.ui = False
    params.endpoint_slots = False  # it shows other requests
    params.server_tools = []
    return params


def main() -> int:
    die_with_parent()
    die_first()
    report = os.dup(1)
    os.dup2(2, 1)  # whatever the library prints is talk, not the report
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    parameters = parse_parameters(line)
    import xllamacpp

    llama: Any = xllamacpp  # a compiled module without types
    try:
        server = llama.Server(common_params(parameters, llama))
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        time.sleep(_LOG_SECONDS)
        return CANNOT_LOAD
    port = int(server.listening_address.rsplit(":", 1)[1])
    os.write(report, json.dumps({"port": port}).encode() + b"\n")
    os.close(report)
    sys.stdin.buffer.read()
    os._exit(0)  # no tear-down: a request still in work must not keep the process


if __name__ == "__main__":
    sys.exit(main())
