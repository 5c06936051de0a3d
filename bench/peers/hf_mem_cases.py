"""Runs hf-mem as it is on GGUF headers of ours: `python hf_mem_cases.py` in an environment that holds hf-mem.

Its formulas are untouched; only its HTTP client is given a transport that answers with a local file instead of the Hub.
stdin: a JSON object a line with path, max_model_len, batch_size, kv_cache_dtype; stdout: one a line with weights_bytes,
kv_cache_bytes and total_bytes, or error.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from pathlib import Path
from typing import Any

# Another environment's packages, so none of them is known to the type checker here.
import httpx2
from hf_mem.run import arun  # pyright: ignore[reportMissingImports]


def _transport(path: Path) -> Any:
    def answer(request: Any) -> Any:
        if "/api/models/" in request.url.path:
            return httpx2.Response(200, json=[{"path": "model.gguf", "type": "file"}])
        first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
        with path.open("rb") as file:
            file.seek(int(first))
            return httpx2.Response(206, content=file.read(int(last) - int(first) + 1))

    return httpx2.MockTransport(answer)


def estimate(case: dict[str, Any]) -> dict[str, Any]:
    real = httpx2.AsyncClient
    httpx2.AsyncClient = functools.partial(real, transport=_transport(Path(case["path"])))
    try:
        result = asyncio.run(
            arun(
                "case/model",
                experimental=True,
                max_model_len=case["max_model_len"],
                batch_size=case["batch_size"],
                kv_cache_dtype=case["kv_cache_dtype"],
                gguf_file="model.gguf",
            )
        )
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        httpx2.AsyncClient = real
    return {"weights_bytes": result.memory, "kv_cache_bytes": result.kv_cache, "total_bytes": result.total_memory}


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(estimate(json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
