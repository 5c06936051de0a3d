"""A PostgreSQL server of the test's own on loopback, which it may kill; skips where none is installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

_DEBIAN = Path("/usr/lib/postgresql")
_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class Postgres:
    programs: Path
    folder: Path
    port: int
    user: str | None
    """Who runs it; None: who runs the test. It refuses to be run by root."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"postgresql://insource@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Returns once it takes connections. After a kill it waits for what the dead server left."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            self._process = self._popen(
                *("postgres", "-D", "data", "-p", str(self.port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            )
            while self._process.poll() is None and time.monotonic() < deadline:
                asked = self._popen("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
                if asked.wait() == 0:
                    return
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        """All of its processes at once, as when the machine's memory runs out."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        of_it = [int(child) for child in children.read_text().split()] if children.exists() else []
        for each in (pid, *of_it):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self._process.wait()

    def make(self) -> None:
        made = self._popen("initdb", "-D", "data", "-U", "insource", "--auth=trust", "--no-sync", "-E", "UTF8")
        assert made.wait() == 0, (self.folder / "log").read_text()

    def _popen(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(self.programs / program), *arguments]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, user=self.user)


@contextmanager
def own_postgres() -> Generator[Postgres]:
    programs = _programs()
    if programs is None or find_spec("psycopg") is None:
        pytest.skip("skipped: PostgreSQL's server or its driver (insource[postgres]) is not installed")
    user = "nobody" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="insource-postgres-"))  # not in tmp_path: another user must get there
    if user is not None:
        shutil.chown(folder, user)
    server = Postgres(programs=programs, folder=folder, port=_free_port(), user=user)
    try:
        server.make()
        server.start()
        yield server
    finally:
        if server._process is not None:  # pyright: ignore[reportPrivateUsage]
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else sorted(_DEBIAN.glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "pg_isready").exists()), None)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
