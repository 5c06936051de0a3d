"""Every error has its own status and the shape of the caller's dialect."""

from __future__ import annotations

import pytest

from insource.core.errors import InsourceError, Unauthorized, UnknownModel
from insource.core.values import CHAT_ENDPOINT
from insource.gateway.errors import STATUS, body_of, error_event, status_of
from insource.wire.sse import DONE, completion_to_sse
from insource.wire.wholeness import judge
from tests.fakes.serving import completion


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
    event = error_event(InsourceError("x", next_step="y"))
    begun, *_ = completion_to_sse(completion("half"), include_usage=False)
    for stream in (event, begun + event, begun + event + DONE):
        assert judge(CHAT_ENDPOINT, 200, stream).flaw == "an event is an error"


@pytest.mark.parametrize(
    ("error", "kind"),
    [(Unauthorized, "authentication_error"), (UnknownModel, "not_found_error"), (InsourceError, "api_error")],
)
def test_callers_of_the_messages_api_get_anthropics_shape(error: type[InsourceError], kind: str) -> None:
    body = body_of(error("It broke.", next_step="Mend it."), path="/v1/messages")
    assert body == {"type": "error", "error": {"type": kind, "message": "It broke. Mend it."}}
