"""The differential test: foreign clients do the same calls against a mock of OpenAI's API directly and through a fresh
gateway, and both must come to the same. `make differential` runs it and writes docs/clients.md; it ends with 1
where anything differs. Not collected by pytest: it installs the clients from PyPI and npm.

python -m tests.differential.run [CLIENT …] [--only PART_OF_A_CALLS_NAME]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.differential.compare import Played, allowance, differences
from tests.differential.environments import ROOT, Client, NotInstalled, Pins, prepared, read_pins
from tests.differential.table import Row, Section, page
from tests.differential.upstream import Upstream
from tests.fakes.gateway_process import Serving

_PAGE = ROOT / "docs" / "clients.md"
_LONGEST_RUN_SECONDS = 300.0
"""Of one driver; it is ended after that."""
_CLIENTS_AT_ONCE = 2
"""Most of the time they wait: for a stall to outlast them, or before they try again."""
_PATH = os.environ.get("PATH", "")


class DriverFailed(Exception):
    """A driver ended before its calls did; the message is what it printed."""


def main() -> int:
    options = _options()
    pins = read_pins()
    wanted = [client for client in pins.clients if not options.clients or client.name in options.clients]
    begun = time.monotonic()
    commands = {client.name: _prepared(client, pins) for client in wanted}
    with ThreadPoolExecutor(max_workers=_CLIENTS_AT_ONCE) as pool:
        sections = list(pool.map(lambda client: _section(client, commands[client.name], only=options.only), wanted))
    for section in sections:
        _report(section)
    rows = [row for section in sections for row in section.rows]
    wrong = [row for row in rows if row.differences]
    if len(wanted) == len(pins.clients) and not options.only:
        _PAGE.write_text(page(sections, node=pins.node[0]), "utf-8")
    _say(f"After {time.monotonic() - begun:.0f} s:")
    _say(f"{len(rows) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong or not rows else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare foreign clients with and without the gateway.")
    parser.add_argument("clients", nargs="*", help="Names of clients.toml; default: all.")
    parser.add_argument("--only", default="", help="Play only calls whose name holds this.")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _prepared(client: Client, pins: Pins) -> list[str]:
    begun = time.monotonic()
    command = prepared(client, pins)
    seconds = time.monotonic() - begun
    if seconds > 1:
        _say(f"Installed {client.name} in {seconds:.0f} s.")
    return command


def _section(client: Client, command: Sequence[str], *, only: str) -> Section:
    with ThreadPoolExecutor(max_workers=2) as pool:
        direct = pool.submit(_directly, command, only)
        through = pool.submit(_through_gateway, command, only)
        return Section(client=client, rows=_rows(direct.result(), through.result()))


def _report(section: Section) -> None:
    wrong = [row for row in section.rows if row.differences]
    _say(f"{section.client.name}: {len(section.rows)} calls, {len(wrong)} differ")
    for row in wrong:
        for difference in row.differences:
            _say(f"  {row.call}: {difference}")


def _rows(direct: Sequence[Played], through: Sequence[Played]) -> tuple[Row, ...]:
    if [one.call for one in direct] != [one.call for one in through]:
        raise DriverFailed("The driver played other calls through the gateway than directly.")
    return tuple(
        Row(
            call=one.call,
            requests=len(one.requests),
            seen=one.seen,
            differences=tuple(differences(one, other)),
            allowance=allowance(one, other),
        )
        for one, other in zip(direct, through, strict=True)
    )


def _directly(command: Sequence[str], only: str) -> list[Played]:
    with Upstream() as upstream:
        return _played(command, upstream, upstream.address, only=only)


def _through_gateway(command: Sequence[str], only: str) -> list[Played]:
    with Upstream() as upstream, _gateway(upstream) as address:
        return _played(command, upstream, address, only=only)


@contextmanager
def _gateway(upstream: Upstream) -> Generator[str]:
    """A gateway with an empty home; its address."""
    command = [sys.executable, "-m", "insource.cli.main", "serve"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environment = {
            "PATH": _PATH,
            "HOME": folder,
            "INSOURCE_HOME": str(home / "home"),
            "INSOURCE_MODEL_CACHE": str(home / "models"),
            "INSOURCE_PORT": "0",
            "INSOURCE_PROVIDER_URL": f"http://{upstream.address}",
        }
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            serving = Serving(process)
            try:
                yield serving.url.removeprefix("http://")
            finally:
                process.terminate()
                process.wait(timeout=30)
                serving.join()


def _played(command: Sequence[str], upstream: Upstream, address: str, *, only: str) -> list[Played]:
    found: list[Played] = []
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "stderr").open("w+") as errors:
        environment = {"PATH": _PATH, "HOME": folder, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "sk-test"}
        process = subprocess.Popen(
            [*command, f"http://{address}/v1", only],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
        )
        assert process.stdin is not None
        assert process.stdout is not None
        ending = threading.Timer(_LONGEST_RUN_SECONDS, process.kill)
        ending.start()
        with process:
            for line in process.stdout:
                found.append(_one(line, upstream, address))
                _go_on(process.stdin)
        ending.cancel()
        if process.returncode:
            errors.seek(0)
            raise DriverFailed(f"{' '.join(command)} ended with {process.returncode}.\n{errors.read()[-5000:]}")
    return found


def _one(line: str, upstream: Upstream, address: str) -> Played:
    said = json.loads(line)
    requests = tuple(upstream.got)
    upstream.got.clear()
    return Played(call=said["call"], outcome=said["outcome"], requests=requests, addresses=(address, upstream.address))


def _go_on(driver: IO[str]) -> None:
    driver.write("\n")
    driver.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (DriverFailed, NotInstalled) as error:
        sys.exit(str(error))
