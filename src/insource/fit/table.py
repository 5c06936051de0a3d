"""The shipped table of families: read once. `families.json` says where each row comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any


@lru_cache(maxsize=1)
def table() -> Mapping[str, Any]:
    return json.loads(files("insource.fit").joinpath("families.json").read_text())


def defaults() -> Mapping[str, Mapping[str, Any]]:
    """What transformers fills in for a model type where a configuration leaves it out."""
    return table()["defaults"]
