"""Several adapters over one loaded model: each request says which one it is for, and how strongly.

llama.cpp loads adapters at the start and takes their scales with each request. All are loaded at scale 0, and every
body that goes to a worker with adapters carries the scales of all of them, so that neither a default nor a client
decides which one answers. A slot drops its prompt cache when the scales differ from those of its last request;
bench/adapters.py holds it to that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from insource.core.errors import UsageError
from insource.core.ports import Call, Demand, Engine, Reply
from insource.core.values import EngineState

Scales = Mapping[int, float]
"""Place among the worker's adapters -> scale; one that is not named has none."""


def with_scales(body: bytes, scales: Scales, *, adapters: int) -> bytes:
    """The body with the scales of all adapters; what it said of them itself is replaced. All other values are copied as
    they are written. A body that is not a JSON object goes out as it came: it is for the server to refuse it."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return body
    told = [{"id": at, "scale": float(scales.get(at, 0.0))} for at in range(adapters)]
    return msgspec.json.encode({**fields, "lora": msgspec.Raw(msgspec.json.encode(told))})


class HasAdapters(Engine, Protocol):
    @property
    def adapters(self) -> Sequence[str]:
        """Names, in the worker's order."""
        ...

    async def send_scaled(self, call: Call, scales: Scales) -> Reply: ...


class AdaptedEngine:
    """`core.ports.Engine`: one adapter over a model that it shares. Starting and stopping are the shared engine's, so
    whoever holds several of these stops the engine itself once."""

    def __init__(self, engine: HasAdapters, adapter: str, *, scale: float = 1.0) -> None:
        """`adapter` is one of the engine's names."""
        if adapter not in engine.adapters:
            known = ", ".join(engine.adapters) or "none"
            raise UsageError(
                f"The engine of {engine.model!r} has no adapter {adapter!r} (it has: {known}).",
                next_step="Start the engine with this adapter: adapters can't be added to a running engine.",
            )
        self._engine = engine
        self._adapter = adapter
        self._scales = {list(engine.adapters).index(adapter): scale}

    @property
    def shared(self) -> HasAdapters:
        """The engine that other adapters answer through too."""
        return self._engine

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def model(self) -> str:
        return f"{self._engine.model}+{self._adapter}"

    @property
    def is_here(self) -> bool:
        return self._engine.is_here

    @property
    def state(self) -> EngineState:
        return self._engine.state

    @property
    def honours(self) -> frozenset[Demand]:
        return self._engine.honours

    async def start(self) -> None:
        await self._engine.start()

    async def stop(self) -> None:
        """The model goes on for its other adapters."""

    async def close(self) -> None:
        """As `stop`."""

    async def send(self, call: Call) -> Reply:
        return await self._engine.send_scaled(call, self._scales)
