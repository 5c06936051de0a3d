"""Writes `tensors.json`: what llama.cpp's own converter makes of the adapters of `tests/adapter_models.py`.

    python -m tests.golden.adapters.write FOLDER

FOLDER is llama.cpp's source (the sdist of the Python package llama-cpp-python ships it); its converter needs the extra
`adapt`. Nothing but this script and bench/adapters.py needs it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from insource.adapt.files.gguf import read_gguf
from insource.core.hashing import sha256_hex
from tests.adapter_models import MODELS, write_peft

TARGET = Path(__file__).with_name("tensors.json")


def upstream(source: Path, folder: Path, target: Path) -> None:
    """Runs the converter on a PEFT folder that `write_peft` made."""
    script = source / "convert_lora_to_gguf.py"
    command = [sys.executable, str(script), "--base", str(folder / "base"), "--outfile", str(target), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the converter failed: {done.stderr[-1500:]}")


def tensors_of(path: Path) -> Mapping[str, Any]:
    """Name -> shape, type and hash of the data."""
    file = read_gguf(path)
    return {
        tensor.name: [list(tensor.shape), tensor.type_name, sha256_hex(file.data(tensor).tobytes())]
        for tensor in sorted(file.tensors, key=lambda tensor: tensor.name)
    }


def main() -> None:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for at, name in enumerate(MODELS):
            peft = write_peft(Path(folder) / str(at), name)
            upstream(Path(sys.argv[1]), peft, peft / "adapter.gguf")
            file = read_gguf(peft / "adapter.gguf")
            facts = {key: file.value(key) for key in ("general.architecture", "general.type", "adapter.type")}
            found[name] = {"facts": facts, "alpha": file.value("adapter.lora.alpha"), "tensors": tensors_of(file.path)}
    TARGET.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
