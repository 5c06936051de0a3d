"""Our own engine: llama.cpp in a worker subprocess (`worker.py`), one model per engine, driven by `process.py`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace

from insource.config import child_environment
from insource.core.errors import BadModelFile, EngineFailed
from insource.core.headers import with_header
from insource.core.ports import Call, Demand, Reply
from insource.core.values import EngineSettings, EngineState, ModelFile
from insource.engines.models.gguf import read_header
from insource.engines.process import Command, WorkerLimits, WorkerProcess
from insource.engines.worker import CANNOT_LOAD, WorkerParameters
from insource.wire.client import Client, Timeouts

_SPINS = "2000"
"""Rounds that an OpenMP thread waits by spinning before it sleeps. The default (300,000) assumes that no other process
wants the cores: with two workers on two cores each generated 5 to 10 tokens a second, with this 28 to 31, for 90
instead of 115 where one is alone (design/log.md)."""
_LOAD_ERRORS = ("gguf_init", "llama_model_load: error", "llama_init_from_model", "check_tensors", "unable to allocate")
"""Where llama.cpp's log says why a model can't be loaded, the most telling line first."""


def load_failure(log: Sequence[str]) -> str | None:
    """Why llama.cpp refused a model, out of the last lines of its log; None when it says nothing of the kind."""
    for marker in _LOAD_ERRORS:
        for line in reversed(log):
            if marker in line:
                return line[line.index(marker) :].partition(": ")[2].strip() or line.strip()
    return None


class LlamaCppEngine:
    """`core.ports.Engine`. A worker that crashes is restarted in the background; until then `send` fails at once."""

    def __init__(
        self, model: ModelFile, settings: EngineSettings, *, restarts: int = 5, start_seconds: float = 120.0
    ) -> None:
        self._model = model
        self._key = secrets.token_urlsafe(32)
        parameters = WorkerParameters(
            model_path=str(model.path),
            alias=model.ref,
            context_tokens=settings.context_tokens,
            slots=settings.slots,
            threads=settings.threads,
            seed=settings.seed,
            key=self._key,
        )
        # -P: a file in the working folder must not pass for a module of the standard library.
        argv = (sys.executable, "-P", "-m", "insource.engines.worker")
        self._process = WorkerProcess(
            Command(
                argv=argv,
                parameters=parameters.line(),
                environment=child_environment(defaults={"GOMP_SPINCOUNT": _SPINS}),
            ),
            limits=WorkerLimits(start_seconds=start_seconds, restarts=restarts),
        )
        self._client: Client | None = None
        self._honours: frozenset[Demand] | None = None

    @property
    def name(self) -> str:
        return "engine:llamacpp"

    @property
    def state(self) -> EngineState:
        return self._process.state

    @property
    def model(self) -> str:
        return self._model.ref

    @property
    def honours(self) -> frozenset[Demand]:
        """Tools where the model's own chat template has a place for them: without one llama.cpp leaves them out of the
        prompt and answers all the same."""
        if self._honours is None:
            try:
                template = read_header(self._model.path).metadata.get("tokenizer.chat_template")
            except BadModelFile:  # it won't start either, and then says why
                template = None
            takes_tools = isinstance(template, str) and "tools" in template
            self._honours = frozenset[Demand]({"tools"}) if takes_tools else frozenset[Demand]()
        return self._honours

    @property
    def pid(self) -> int | None:
        """Of the worker; None when none runs."""
        return self._process.pid

    def log(self) -> list[str]:
        """The last lines of the worker's stderr."""
        return self._process.log()

    @property
    def refusal(self) -> str | None:
        """Why llama.cpp refused the file itself, in its own words; None after every other end, want of memory too."""
        reason = load_failure(self.log()) if self._process.exit_code == CANNOT_LOAD else None
        return None if reason and "allocate" in reason else reason

    async def start(self) -> None:
        """Blocks until ready. A model file that llama.cpp refuses is EngineFailed with its reason."""
        try:
            await self._process.start()
        except EngineFailed as error:
            if self._process.exit_code != CANNOT_LOAD:
                raise
            reason = load_failure(self.log()) or "it gave no reason"
            raise EngineFailed(
                f"llama.cpp can't load {self._model.ref!r} from {str(self._model.path)!r}: {reason}.",
                next_step=f"If the file is damaged: `insource models remove {self._model.ref}`, then"
                f" `insource models pull {self._model.ref}`.",
            ) from error

    async def stop(self) -> None:
        """Blocks until the worker is gone. What it was answering ends in UpstreamError."""
        await self._process.stop()
        await self._drop_client()

    async def close(self) -> None:
        await self.stop()

    async def send(self, call: Call) -> Reply:
        url = self._process.url
        if url is None:
            raise self._not_ready()
        client = await self._client_of(url)
        headers = with_header(call.headers, "authorization", f"Bearer {self._key}")
        return await client.send(replace(call, headers=headers))

    async def _client_of(self, url: str) -> Client:
        """The client of the worker that runs now; that of a former one is closed."""
        if self._client is not None and self._client.base_url == url:
            return self._client
        await self._drop_client()
        # Another task may have made it meanwhile.
        if self._client is None or self._client.base_url != url:
            # llama.cpp hangs up right after a stream although it announces keep-alive, and an idle connection occupies
            # one of its few HTTP threads; a new one on loopback costs next to nothing beside an answer.
            self._client = Client(url, timeouts=Timeouts(connect_seconds=2.0), keep_alive=False)
        return self._client

    async def _drop_client(self) -> None:
        former, self._client = self._client, None
        if former is not None:
            await former.close()

    def _not_ready(self) -> EngineFailed:
        failure = self._process.failure
        why = f" {failure.message}" if failure else ""
        waits = self.state in (EngineState.STARTING, EngineState.FAILED)
        return EngineFailed(
            f"The engine for {self.model!r} is {self.state}, not ready.{why}",
            next_step="It restarts by itself unless it crashed too often; try again, or run `insource doctor`."
            if waits
            else "Start it first.",
        )
