"""One worker subprocess as a five-state machine. Knows nothing of models: a command, a port, a health check.

    stopped ──start──▶ starting ──healthy──▶ ready ──stop──▶ stopping ──gone──▶ stopped
                          ▲  └──ended, late──▶ failed ◀──died──┘
                          └─────back-off───────┘  (only a worker that had been ready is restarted)

The worker's side of the bargain: it reads one line of parameters from stdin, binds a free port of 127.0.0.1, writes the
line `{"port": …}` as the only output to stdout, answers /health, and ends at SIGTERM or at the end of its stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from insource.core.errors import EngineFailed, UpstreamError
from insource.core.ports import Call
from insource.core.values import EngineState
from insource.wire.client import Client, Timeouts

_POLL_SECONDS = 0.05
_LAST_WORDS_SECONDS = 1.0
"""For the output of an ended process to arrive; only a grandchild that inherited the pipe can exhaust it."""
_SHOWN_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How to run the worker. `parameters` is the line for its stdin."""

    argv: Sequence[str]
    parameters: bytes = b"{}\n"
    environment: Mapping[str, str] | None = None
    """None: this process's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    start_seconds: float = 120.0
    """From spawn to healthy."""
    stop_seconds: float = 5.0
    """From SIGTERM to SIGKILL."""
    restarts: int = 5
    """After consecutive crashes."""
    good_seconds: float = 60.0
    """A worker that was ready for so long had not inherited the fault of the crash before it."""
    backoff_seconds: float = 0.25
    """Before the first restart; doubles with every further crash in a row."""
    longest_backoff_seconds: float = 30.0


def crashes_in_a_row(before: int, *, ready_seconds: float, limits: WorkerLimits) -> int:
    """The count with the crash that just happened; `ready_seconds` is how long that worker had been ready."""
    return 1 if ready_seconds >= limits.good_seconds else before + 1


def backoff_seconds(crashes: int, limits: WorkerLimits) -> float:
    # The exponent is bounded because a float is: restarts can be set to any number.
    return min(limits.longest_backoff_seconds, limits.backoff_seconds * 2.0 ** min(crashes - 1, 64))


class Ring:
    """The last lines of a stream, bounded both ways: at most `lines` lines of `line_bytes` bytes; a longer one is
    cut."""

    def __init__(self, lines: int = 200, line_bytes: int = 1000) -> None:
        self._lines: deque[bytes] = deque(maxlen=lines)
        self._line_bytes = line_bytes
        self._open = b""

    def feed(self, data: bytes) -> None:
        *whole, rest = (self._open + data).split(b"\n")
        self._lines.extend(line[: self._line_bytes] for line in whole)
        self._open = rest[: self._line_bytes]

    def lines(self) -> list[str]:
        kept = [*self._lines, self._open] if self._open else [*self._lines]
        return [line.decode(errors="replace").rstrip("\r") for line in kept][-(self._lines.maxlen or 0) :]


def how_it_ended(code: int | None) -> str:
    if code is None:
        return "closed its output"
    if code == -signal.SIGKILL:
        return "was killed by signal 9 (the kernel does that when memory runs out)"
    if code < 0:
        return f"was killed by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with exit code {code}"


async def answers_health(url: str) -> bool:
    """Whether GET /health answers 200."""
    client = Client(url, timeouts=Timeouts(connect_seconds=2.0, first_byte_seconds=5.0, between_chunks_seconds=5.0))
    try:
        reply = await client.send(Call(path="/health", body=b"", method="GET"))
        await reply.read()
        return reply.status == 200
    except UpstreamError:
        return False
    finally:
        await client.close()


_Attempt = asyncio.Future[EngineFailed | None]
"""One way to ready: resolved with None or with the reason it failed, never with an exception, so it may go unread."""


class WorkerProcess:
    """All methods may be called by several tasks at once; all state lives in one event loop."""

    def __init__(
        self,
        command: Command,
        *,
        limits: WorkerLimits,
        healthy: Callable[[str], Awaitable[bool]] = answers_health,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`sleep` waits between restarts. Does not start anything."""
        self._command = command
        self._limits = limits
        self._healthy = healthy
        self._monotonic = monotonic
        self._sleep = sleep
        self._ring = Ring()
        self._state = EngineState.STOPPED
        self._url: str | None = None
        self._pid: int | None = None
        self._failure: EngineFailed | None = None
        self._orders = asyncio.Lock()
        self._supervisor: asyncio.Task[None] | None = None
        self._dismissed = False
        self._exit_code: int | None = None
        self._attempt: _Attempt | None = None

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def url(self) -> str | None:
        """Base URL; None unless ready. A restarted worker has another one."""
        return self._url

    @property
    def pid(self) -> int | None:
        """None when no process runs."""
        return self._pid

    @property
    def failure(self) -> EngineFailed | None:
        """Why the last worker ended, until one is ready again."""
        return self._failure

    @property
    def exit_code(self) -> int | None:
        """Of the last worker that ended; negative: the signal that killed it."""
        return self._exit_code

    def log(self) -> list[str]:
        """The last lines of stderr since `start`, over all restarts by itself."""
        return self._ring.lines()

    async def start(self) -> None:
        """Blocks until ready. Returns at once when it is; joins a start under way; waits for a stop under way; cuts a
        back-off short. Raises EngineFailed with the last lines of stderr; a first start that fails isn't repeated.
        Whoever stops waiting (cancellation) leaves the worker starting."""
        async with self._orders:
            if self._state not in (EngineState.STARTING, EngineState.READY):
                await self._dismiss()
                self._ring, self._exit_code = Ring(), None
                self._begin()
                self._dismissed = False
                self._supervisor = asyncio.create_task(self._supervise(), name="engine worker")
            attempt = self._attempt
        if attempt is not None and (failure := await asyncio.shield(attempt)) is not None:
            raise failure

    async def stop(self) -> None:
        """Blocks until the process is gone and reaped: SIGTERM, and SIGKILL after `stop_seconds`. A `start` that waits
        fails. Returns at once when stopped."""
        async with self._orders:
            if self._state is EngineState.STOPPED:
                return
            self._state = EngineState.STOPPING
            self._url = None
            await self._dismiss()
            self._state = EngineState.STOPPED
            self._failure = None

    def _begin(self) -> None:
        self._state = EngineState.STARTING
        self._attempt = asyncio.get_running_loop().create_future()

    async def _dismiss(self) -> None:
        """Ends the supervisor and with it the process."""
        self._dismissed = True
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
            self._supervisor = None

    async def _supervise(self) -> None:
        """Runs workers until one never gets ready at the first start, or too many crash in a row."""
        crashes = 0
        try:
            while True:
                ready_seconds = await self._run()
                if self._dismissed:
                    return  # something below ate the cancellation: a worker must not come back then
                if ready_seconds is None and crashes == 0:
                    return
                crashes = crashes_in_a_row(crashes, ready_seconds=ready_seconds or 0.0, limits=self._limits)
                if crashes > self._limits.restarts:
                    return
                await self._sleep(backoff_seconds(crashes, self._limits))
                self._begin()
        finally:
            self._url = None
            if self._state is not EngineState.STOPPING:
                self._state = EngineState.FAILED
            self._resolve(_failed("The engine's worker was stopped before it was ready.", []))

    async def _run(self) -> float | None:
        """One worker, from its spawn to `failed`. Returns for how long it had been ready; None: it never was."""
        ready_at: float | None = None
        try:
            async with self._spawned() as process:
                url = await self._until_ready(process)
                ready_at = self._monotonic()
                self._url, self._state, self._failure = url, EngineState.READY, None
                self._resolve(None)
                code = await process.wait()
                self._fail(f"The engine's worker {how_it_ended(code)}.")  # at once; its last lines may still come
            raise EngineFailed(f"The engine's worker {how_it_ended(code)}.", next_step="")
        except EngineFailed as error:
            self._resolve(self._fail(error.message))
        return None if ready_at is None else self._monotonic() - ready_at

    def _fail(self, problem: str) -> EngineFailed:
        self._url, self._state = None, EngineState.FAILED
        self._failure = _failed(problem, self.log())
        return self._failure

    def _resolve(self, failure: EngineFailed | None) -> None:
        if self._attempt is not None and not self._attempt.done():
            self._attempt.set_result(failure)

    @contextlib.asynccontextmanager
    async def _spawned(self) -> AsyncGenerator[Process]:
        """The process; on the way out it is gone, reaped, and its stderr is read to the end."""
        try:
            # A session of its own, so that Ctrl-C in a terminal reaches the gateway alone, which then stops in order.
            process = await asyncio.create_subprocess_exec(
                *self._command.argv,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                start_new_session=True,
                env=self._command.environment,
            )
        except OSError as error:
            raise EngineFailed(f"The engine's worker can't be run: {error}.", next_step="") from error
        self._pid = process.pid
        reading = asyncio.create_task(self._read_stderr(process))
        try:
            yield process
        finally:
            ending = asyncio.create_task(self._put_away(process, reading))
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:  # nobody waits for it to end by itself
                _kill(process)
                await ending
                raise

    async def _put_away(self, process: Process, reading: asyncio.Task[None]) -> None:
        """In a task that nobody cancels: no way out leaves a process behind, or a pipe."""
        await _end(process, self._limits.stop_seconds)
        self._pid, self._exit_code = None, process.returncode
        rest = asyncio.create_task(_read_all(process.stdout))  # so that asyncio closes its end of the pipe
        await asyncio.wait({reading, rest}, timeout=_LAST_WORDS_SECONDS)
        reading.cancel()
        rest.cancel()

    async def _read_stderr(self, process: Process) -> None:
        while process.stderr is not None and (data := await process.stderr.read(65536)):
            self._ring.feed(data)

    async def _until_ready(self, process: Process) -> str:
        """The base URL, once /health answers 200 there."""
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                url = f"http://127.0.0.1:{await _reported_port(process, self._command.parameters)}"
                while not await self._healthy(url):
                    if process.returncode is not None:
                        raise _ended_early(process)
                    await asyncio.sleep(_POLL_SECONDS)
                return url
        except TimeoutError:
            seconds = self._limits.start_seconds
            raise EngineFailed(f"The engine's worker was not ready within {seconds:g} s.", next_step="") from None


def _failed(problem: str, log: list[str]) -> EngineFailed:
    shown = "".join(f"\n  {line}" for line in log[-_SHOWN_LINES:])
    return EngineFailed(
        f"{problem} Its last lines:{shown}\n" if shown else problem,
        next_step="`insource doctor` checks the model file, the memory and the engine.",
    )


def _ended_early(process: Process) -> EngineFailed:
    return EngineFailed(f"The engine's worker {how_it_ended(process.returncode)} before it was ready.", next_step="")


async def _reported_port(process: Process, parameters: bytes) -> int:
    """Hands over the parameters and reads the port."""
    if process.stdin is None or process.stdout is None:
        raise AssertionError("spawned with pipes")
    with contextlib.suppress(ConnectionError):  # it died at once: the missing port says so
        process.stdin.write(parameters)
        await process.stdin.drain()
    try:
        line = await process.stdout.readline()
    except ValueError:  # longer than the stream's buffer
        line = b"(a line of more than 64 KiB)"
    if not line:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await process.wait()
        raise _ended_early(process)
    try:
        return int(json.loads(line)["port"])
    except (ValueError, KeyError, TypeError):
        raise EngineFailed(f"The engine's worker reported {line[:200]!r} instead of its port.", next_step="") from None


async def _read_all(reader: asyncio.StreamReader | None) -> None:
    while reader is not None and await reader.read(65536):
        pass


async def _end(process: Process, stop_seconds: float) -> None:
    """SIGTERM, then SIGKILL."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(stop_seconds):
            await process.wait()
    _kill(process)
    await process.wait()


def _kill(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
