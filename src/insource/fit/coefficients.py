"""What each amount of work costs on a device: a base, times what its backend, the engine, both together and the
device's design make of it. Pure, but for reading the table once.

`coefficients.json` is written by `bench/fit_speed.py --write`, which says on which published runs it was fitted and
how far off it was on devices left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from math import prod
from typing import Any

from insource.core.hardware import Device
from insource.fit.work import DecodeWork, Engine, PrefillWork

_VENDORS: Mapping[str, str] = {"cuda": "NVIDIA", "rocm": "AMD", "vulkan": "AMD", "metal": "Apple", "cpu": "CPU"}
"""Whose devices the runs of a backend were on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    decode: DecodeWork
    prefill: PrefillWork
    decode_log_error: float
    """Half of the 80 % interval of the log speed, from devices that the constants were not fitted on."""
    prefill_log_error: float
    fitted_on: str
    """How many runs on which devices."""


def coefficients_of(device: Device, engine: Engine) -> Coefficients:
    return _coefficients(device.backend, engine, device.generation)


def labels_of(backend: str, engine: str, generation: str) -> Iterator[str]:
    """What has a factor of its own, from the general to the particular. An engine's version or surroundings follow a
    comma (`llamafile, Windows`)."""
    yield backend
    yield engine.partition(",")[0]
    if "," in engine:
        yield engine
    yield f"{backend}/{engine}"
    yield f"{backend} {generation}" if backend == "cpu" and generation else generation or f"any {backend}"


def vendor_of(backend: str) -> str:
    return _VENDORS.get(backend, "other")


@lru_cache(maxsize=256)
def _coefficients(backend: str, engine: Engine, generation: str) -> Coefficients:
    table = _table()
    labels = list(labels_of(backend, engine, generation))
    error = table["log_error"].get(vendor_of(backend)) or table["log_error"]["other"]
    return Coefficients(
        decode=DecodeWork(**_products(table["decode"], labels)),
        prefill=PrefillWork(**_products(table["prefill"], labels)),
        decode_log_error=error["decode"],
        prefill_log_error=error["prefill"],
        fitted_on=table["fitted_on"].get(vendor_of(backend)) or table["fitted_on"]["other"],
    )


def _products(part: Mapping[str, Mapping[str, float]], labels: list[str]) -> dict[str, float]:
    return {
        name: value * prod(part[label].get(name, 1.0) for label in labels if label in part)
        for name, value in part["base"].items()
    }


@cache
def _table() -> Mapping[str, Any]:
    return json.loads(files("insource.fit").joinpath("coefficients.json").read_text("utf-8"))
