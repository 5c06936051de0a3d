"""The state machine of a worker, with the responder as the worker. Waits are for events or poll to a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import psutil
import pytest

from insource.core.errors import EngineFailed, UpstreamError
from insource.core.ports import Call
from insource.core.values import EngineState
from insource.engines.process import (
    Command,
    WorkerLimits,
    WorkerProcess,
)
from insource.wire.client import Client
from tests.fakes.responder import responder_argv

_DEADLINE_SECONDS = 20.0
_FAST = WorkerLimits(start_seconds=_DEADLINE_SECONDS, stop_seconds=5.0, restarts=3, backoff_seconds=0.01)
_STREAM = Call(path="/v1/chat/completions", body=b'{"stream": true, "messages": []}')


async def until(condition: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - the state of another process has no event to wait for
            await asyncio.sleep(0.01)
    assert condition(), what


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie, which only waits to be reaped, doesn't."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.asynccontextmanager
async def worker(*options: str, limits: WorkerLimits = _FAST) -> AsyncGenerator[WorkerProcess]:
    process = WorkerProcess(Command(argv=responder_argv(*options)), limits=limits)
    try:
        yield process
    finally:
        await process.stop()


async def test_ready_only_after_health_answers_200() -> None:
    asked: list[EngineState] = []
    healths = iter([False, False, True])

    async def healthy(url: str) -> bool:
        asked.append(process.state)
        assert process.url is None
        return next(healths)

    process = WorkerProcess(Command(argv=responder_argv()), limits=_FAST, healthy=healthy)
    assert process.state is EngineState.STOPPED
    await process.start()
    assert asked == [EngineState.STARTING] * 3
    assert process.state is EngineState.READY
    assert process.url is not None
    await process.stop()
    assert process.state is EngineState.STOPPED
    assert process.url is None


async def test_a_503_of_health_is_not_ready() -> None:
    async with worker("--ready-after", "0.3") as process:
        began = time.monotonic()
        await process.start()
        assert time.monotonic() - began >= 0.3
        assert process.state is EngineState.READY


async def test_many_starts_and_stops_at_once_are_one() -> None:
    async with worker() as process:
        await asyncio.gather(*(process.start() for _ in range(5)))
        pid = process.pid
        await process.start()
        assert process.pid == pid
        await asyncio.gather(*(process.stop() for _ in range(5)))
        assert process.state is EngineState.STOPPED
        assert pid is not None
        assert not psutil.pid_exists(pid), "reaped, not a zombie"
        await process.start()
        assert process.state is EngineState.READY
        assert process.pid != pid


async def test_stop_ends_a_start_under_way() -> None:
    async with worker("--ready-after", "1000") as process:
        starting = asyncio.create_task(process.start())
        await until(lambda: process.pid is not None, "spawned")
        assert process.state is EngineState.STARTING
        await process.stop()
        with pytest.raises(EngineFailed, match="stopped before it was ready"):
            await starting
        assert process.state is EngineState.STOPPED


async def test_a_cancelled_start_leaves_a_worker_that_can_be_stopped() -> None:
    async with worker("--ready-after", "1000") as process:
        starting = asyncio.create_task(process.start())
        await until(lambda: process.pid is not None, "spawned")
        starting.cancel()
        await asyncio.wait({starting})
        pid = process.pid
        assert pid is not None
        assert process.state is EngineState.STARTING
        await process.stop()
        assert not alive(pid)


async def test_death_at_start_shows_the_last_lines_and_is_not_repeated() -> None:
    async with worker("--stderr-lines", "500", "--die-at-start", "cannot open the model") as process:
        with pytest.raises(EngineFailed) as caught:
            await process.start()
        assert "ended with exit code 7 before it was ready" in caught.value.message
        assert caught.value.message.rstrip().endswith("line 499\n  cannot open the model")
        assert "insource doctor" in caught.value.next_step
        assert process.state is EngineState.FAILED
        assert process.pid is None
        assert process.log()[0] == "line 301"
        assert len(process.log()) == 200


async def test_not_ready_in_time_is_killed() -> None:
    limits = WorkerLimits(start_seconds=0.5)
    for option in (["--no-port"], ["--ready-after", "1000"]):
        async with worker(*option, limits=limits) as process:
            with pytest.raises(EngineFailed, match=r"not ready within 0\.5 s"):
                await process.start()
            assert process.state is EngineState.FAILED
            assert process.pid is None


async def test_a_command_that_is_not_there() -> None:
    process = WorkerProcess(Command(argv=["/no/such/program"]), limits=_FAST)
    with pytest.raises(EngineFailed, match=r"can't be run.*'/no/such/program'"):
        await process.start()
    assert process.state is EngineState.FAILED
    await process.stop()


@pytest.mark.parametrize(
    "output", ["hello", '{"port": "x"}', "[1]", "x" * 100_000], ids=["text", "no number", "a list", "too long"]
)
async def test_a_worker_that_does_not_report_a_port(output: str) -> None:
    script = f"print({output!r}, flush=True); import sys; sys.stdin.read()"
    process = WorkerProcess(Command(argv=[sys.executable, "-c", script]), limits=_FAST)
    with pytest.raises(EngineFailed, match="instead of its port"):
        await process.start()
    await process.stop()


async def test_a_worker_that_ignores_sigterm_is_killed() -> None:
    async with worker("--ignore-sigterm", limits=WorkerLimits(stop_seconds=0.3)) as process:
        await process.start()
        pid = process.pid
        assert pid is not None
        async with asyncio.timeout(4.0):
            await process.stop()
        assert not alive(pid)
        assert process.state is EngineState.STOPPED


async def test_stopping_a_worker_that_is_on_its_way_out_kills_it_at_once() -> None:
    async def never_healthy(url: str) -> bool:
        return False

    limits = WorkerLimits(start_seconds=2.0, stop_seconds=3600.0, restarts=0)
    process = WorkerProcess(Command(argv=responder_argv("--ignore-sigterm")), limits=limits, healthy=never_healthy)
    starting = asyncio.create_task(process.start())
    await until(lambda: process.pid is not None, "spawned")
    pid = process.pid
    await asyncio.sleep(2.2)  # the start is given up, and the worker ignores the request to end
    await asyncio.wait_for(process.stop(), _DEADLINE_SECONDS)
    assert (process.pid, alive(pid or 0)) == (None, False)
    with pytest.raises(EngineFailed):
        await starting


async def test_a_killed_worker_comes_back_by_itself() -> None:
    async with worker() as process:
        await process.start()
        url, pid = process.url, process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: process.state is EngineState.READY and process.pid != pid, "ready again")
        assert process.url != url
        assert process.failure is None


async def test_failed_is_seen_between_the_crash_and_the_restart() -> None:
    slept: list[float] = []
    wake = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await wake.wait()

    process = WorkerProcess(Command(argv=responder_argv()), limits=_FAST, sleep=sleep)
    await process.start()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    await until(lambda: bool(slept), "backs off")
    assert slept == [0.01]
    assert process.state is EngineState.FAILED
    assert process.url is None
    assert process.failure is not None
    assert "killed by signal 9" in process.failure.message
    await process.start()  # does not wait for the back-off
    assert process.state is EngineState.READY
    await process.stop()


@pytest.mark.parametrize("steps", range(8))
async def test_stop_ends_whatever_step_a_crash_is_at(steps: int) -> None:
    process = WorkerProcess(Command(argv=responder_argv()), limits=_FAST)
    await process.start()
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while process.state is not EngineState.FAILED:  # noqa: ASYNC110 - each turn of the loop counts here
        await asyncio.sleep(0)
    for _ in range(steps):
        await asyncio.sleep(0)
    await asyncio.wait_for(process.stop(), _DEADLINE_SECONDS)
    assert process.state is EngineState.STOPPED
    assert process.pid is None


async def test_restarted_at_most_n_times_with_growing_back_off() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    process = WorkerProcess(Command(argv=responder_argv("--die-after-health")), limits=_FAST, sleep=sleep)
    await process.start()  # it is ready for a moment
    await until(lambda: len(slept) == 3 and process.state is EngineState.FAILED, "given up")
    assert slept == [0.01, 0.02, 0.04]
    assert process.failure is not None
    assert "exit code 8" in process.failure.message
    await process.stop()


async def test_a_good_stretch_forgives_the_crashes_before() -> None:
    slept: list[float] = []
    now = [0.0]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    limits = WorkerLimits(restarts=1, backoff_seconds=0.01, good_seconds=60.0)
    process = WorkerProcess(Command(argv=responder_argv()), limits=limits, sleep=sleep, monotonic=lambda: now[0])
    await process.start()
    for _ in range(3):
        pid = process.pid
        assert pid is not None
        now[0] += 61.0
        os.kill(pid, signal.SIGKILL)
        await until(lambda pid=pid: process.state is EngineState.READY and process.pid != pid, "ready again")
    assert slept == [0.01] * 3
    await process.stop()


async def test_a_worker_killed_during_a_stream_is_an_error_not_an_end() -> None:
    async with worker("--chunk-delay", "0.05", "--answer", "word " * 500) as process:
        await process.start()
        assert process.url is not None
        assert process.pid is not None
        client = Client(process.url)
        reply = await client.send(_STREAM)
        assert await anext(reply.chunks)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(UpstreamError, match="was cut"):
            await asyncio.wait_for(reply.read(), _DEADLINE_SECONDS)
        await client.close()


async def test_a_connection_cut_during_a_stream_is_an_error_too() -> None:
    async with worker("--cut-after-chunks", "2") as process:
        await process.start()
        client = Client(process.url or "")
        reply = await client.send(_STREAM)
        with pytest.raises(UpstreamError, match="was cut"):
            await asyncio.wait_for(reply.read(), _DEADLINE_SECONDS)
        await client.close()


async def test_a_worker_that_dies_before_its_status_line_fails_the_request() -> None:
    async with worker("--die-after-chunks", "0") as process:
        await process.start()
        assert process.url is not None
        client = Client(process.url)
        async with asyncio.timeout(_DEADLINE_SECONDS):
            with pytest.raises(UpstreamError, match="No answer"):
                await client.send(_STREAM)
        await client.close()


async def test_the_loop_that_ends_takes_the_worker_with_it() -> None:
    pids: list[int] = []

    async def careless() -> None:
        process = WorkerProcess(Command(argv=responder_argv("--ignore-stdin")), limits=_FAST)
        await process.start()
        assert process.pid is not None
        pids.append(process.pid)

    await asyncio.to_thread(asyncio.run, careless())
    assert not alive(pids[0])


_PARENT = """
    import asyncio, sys
    from insource.engines.process import Command, WorkerLimits, WorkerProcess
    async def main():
        process = WorkerProcess(Command(argv=sys.argv[1:]), limits=WorkerLimits())
        await process.start()
        print(process.pid, flush=True)
        await asyncio.Event().wait()
    asyncio.run(main())
"""
_KERNEL_ONLY = """
    import sys, threading
    from insource.engines.worker import die_with_parent
    die_with_parent()
    sys.path.insert(0, sys.argv.pop(1))
    sys.argv.append("--ignore-stdin")
    from tests.fakes.responder import main
    main()
"""


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(responder_argv(), id="end of stdin"),
        pytest.param(
            [sys.executable, "-c", textwrap.dedent(_KERNEL_ONLY), str(Path(__file__).parents[2])],
            id="signal from the kernel",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="skipped: only Linux kills with the parent"),
        ),
    ],
)
async def test_no_orphan_when_the_parent_is_killed(argv: list[str]) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_PARENT), *argv]
    parent = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    await parent.communicate()
    await until(lambda: not alive(pid), "the worker ended with its parent")
