"""Every error has its own status and OpenAI's shape."""

from __future__ import annotations

import pytest

from insource.core.errors import InsourceError
from insource.gateway.errors import STATUS, body_of, error_event, status_of
from insource.wire.sse import read_chat_stream


def everything(kind: type[InsourceError] = InsourceError) -> list[type[InsourceError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in everything(below))]


@pytest.mark.parametrize("kind", [k for k in everything() if k.__module__.startswith("insource.")])
def test_every_error_has_a_status_of_its_own(kind: type[InsourceError]) -> None:
    assert kind in STATUS, "add it to gateway/errors.py"
    error = kind("It broke.", next_step="Mend it.")
    assert 400 <= status_of(error) < 600
    told = body_of(error)["error"]
    assert told["message"] == "It broke. Mend it."
    assert set(told) == {"message", "type", "code", "param"}


def test_a_plugins_error_has_its_parents_status() -> None:
    class Stranger(InsourceError):
        pass

    assert status_of(Stranger("x", next_step="y")) == 500


def test_an_error_event_makes_a_stream_incomplete() -> None:
    stream = read_chat_stream(error_event(InsourceError("x", next_step="y")))
    assert not stream.complete
    assert stream.error is not None
