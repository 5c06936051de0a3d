"""Nothing real by default: sockets reach loopback only, inherited settings are gone, data goes to `tmp_path`."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from insource.cli.session import load_settings
from insource.core.errors import UnknownModel
from insource.engines.models.cache import ModelCache
from insource.workflows.files.models import find

# A busy core is no failure. CI runs the same examples each time, so that what it says is about the change; every run
# elsewhere draws new ones.
settings.register_profile("shared-machine", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("shared-machine")

_REAL_SETTINGS = load_settings()  # before the isolation below: where `make test` pulled the default model to
_DATA = Path(os.environ.get("INSOURCE_DATA") or Path(__file__).parents[2] / "shared" / "data")
_REAL_CONNECT = socket.socket.connect
_LOOPBACK = ("127.", "::1", "localhost")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else address
    if self.family == socket.AF_UNIX or str(host).startswith(_LOOPBACK):
        _REAL_CONNECT(self, address)
        return
    raise OSError(f"tests reach loopback only, not {address!r}")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # pyright: ignore[reportUnusedFunction]
    for name in list(os.environ):
        if name.startswith(("INSOURCE_", "HF_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("INSOURCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INSOURCE_MODEL_CACHE", str(tmp_path / "models"))
    for name in ("OLLAMA_MODELS", "LLAMACPP_CACHE", "LMSTUDIO_MODELS"):
        monkeypatch.setenv(f"INSOURCE_{name}", str(tmp_path / name.lower()))
    monkeypatch.setattr(socket.socket, "connect", _guarded_connect)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data; tests that use it carry the mark `data`."""
    if not _DATA.is_dir():
        pytest.skip("skipped: shared data not found (set INSOURCE_DATA)")
    return _DATA


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Cases that went wrong, beside the real data; tests that use them carry the mark `data`."""
    cases = _DATA.parent / "cases"
    if not cases.is_dir():
        pytest.skip("skipped: shared cases not found (set INSOURCE_DATA)")
    return cases


@pytest.fixture(scope="session")
def default_model_path() -> Path:
    """The default model's GGUF, pulled by `make test` beforehand; tests that use it carry the mark `engine`."""
    try:
        return find("", cache=ModelCache(_REAL_SETTINGS.model_cache)).path
    except UnknownModel as error:
        pytest.skip(f"skipped: {error}")
