"""The recorded traffic that `insource demo` runs on; what it is and where it comes from: README.md beside this file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def traffic_path() -> Path:
    """The log, gzipped JSON lines (DESIGN §8). The package is always installed unpacked, so this is a real file."""
    return Path(str(files("insource.demo_data") / "traffic.jsonl.gz"))
