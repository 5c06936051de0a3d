"""`insource` as its users run it: commands and a serving process, each in a subprocess with a home of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_URL = re.compile(r"Gateway: (http://\S+)/v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A home folder with the settings of the commands that run in it."""

    home: Path
    model: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])

    def environment(self) -> dict[str, str]:
        own = {"INSOURCE_HOME": str(self.home), "INSOURCE_MODEL": f"file:{self.model}", "INSOURCE_PORT": "0"}
        return {**os.environ, **own, **{f"INSOURCE_{name.upper()}": value for name, value in self.settings.items()}}

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "insource.cli.main", *arguments]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)

    @contextmanager
    def serving(self) -> Generator[Serving]:
        command = [sys.executable, "-m", "insource.cli.main", "serve"]
        with subprocess.Popen(command, env=self.environment(), stderr=subprocess.PIPE, text=True) as process:
            serving = Serving(process)
            try:
                yield serving
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=30)
                finally:
                    process.kill()
                    serving.join()


class Serving:
    """A gateway that listens. Its stderr is read all the time, so that it never blocks on a full pipe."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._ready = threading.Event()
        self.url = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._ready.wait(60)
        assert self.url, "".join(self.said)

    def join(self) -> None:
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            found = _URL.search(line)
            if found:
                self.url = found[1]
                self._ready.set()
        self._ready.set()
