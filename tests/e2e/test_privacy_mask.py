"""mask as it is served: real services and a real scanner process, a scripted model on loopback, the official SDK."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from insource.config import Settings
from insource.core.policy import ALL, UNREADABLE, Policy, Rule
from insource.gateway.server import gateway_app
from insource.wire.sse import completion_to_sse, format_event
from insource.wiring import open_services
from insource.workflows.serve.save_policy import save_policy
from tests.fakes.servers import FakeProvider, ServerThread
from tests.fakes.serving import completion

PATIENCE_SECONDS = 60.0
MAIL, PHONE = "ada@lovelace-mail.org", "+44 7700 900123"
MASK = Policy(kinds={ALL: Rule(action="mask"), UNREADABLE: Rule(action="refuse")})
SSE, JSON = {"content-type": "text/event-stream"}, {"content-type": "application/json"}
Answer = Callable[[str, Any], tuple[int, dict[str, str], list[bytes | None]]]


class Served:
    def __init__(self, provider: FakeProvider, services: Any, url: str) -> None:
        self.provider, self.services, self.url = provider, services, url
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-client", max_retries=0)

    @property
    def sent(self) -> list[str]:
        return [call.body.decode() for call in self.provider.calls]


@contextmanager
def served(home: Path, answer: Answer, policy: Policy = MASK, **settings: Any) -> Generator[Served]:
    save_policy(home / "privacy.toml", policy)
    provider = FakeProvider(answer=lambda path, body: answer(path, json.loads(body) if body else None))
    with ServerThread(provider) as upstream:
        given: dict[str, Any] = {"home": home, "provider_url": upstream.url, "model": "file:/no/model.gguf", **settings}
        with open_services(Settings(**given)) as services, ServerThread(gateway_app(services)) as server:
            it = Served(provider, services, server.url)
            yield it
            it.sdk.close()


def said(asked: Any) -> str:
    return str(asked["messages"][-1]["content"])


def echo(path: str, asked: Any) -> tuple[int, dict[str, str], list[bytes | None]]:
    """Repeats what it was told, and calls a tool with it where there is one."""
    answer = completion(f"You wrote: {said(asked)}")
    if asked.get("tools"):
        call = {"name": "send", "arguments": json.dumps({"to": said(asked), "deep": json.dumps({"t": said(asked)})})}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": call}],
        }
        answer["choices"][0] |= {"message": message, "finish_reason": "tool_calls"}
    if not asked.get("stream"):
        return 200, JSON, [json.dumps(answer).encode()]
    data = b"".join(completion_to_sse(answer, include_usage=True))
    return 200, SSE, [data[start : start + 7] for start in range(0, len(data), 7)]


TOOLS: Any = [{"type": "function", "function": {"name": "send", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("stream", [False, True])
def test_the_provider_sees_placeholders_and_the_client_its_own_data(tmp_path: Path, stream: bool) -> None:
    text = f"Write to {MAIL} or {PHONE}, then to {MAIL} again."
    with served(tmp_path, echo) as it:
        asked: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "stream": stream}
        answer = it.sdk.chat.completions.with_raw_response.create(**asked)
        parsed: Any = answer.parse()
        got = (
            "".join(c.choices[0].delta.content or "" for c in parsed if c.choices)
            if stream
            else parsed.choices[0].message.content
        )
        assert got == f"You wrote: {text}"
        assert json.loads(answer.headers["x-insource-privacy"])["masked"] == {"email": 2, "phone": 1}
        assert MAIL not in it.sent[0]
        assert "900123" not in it.sent[0]
        assert "Write to [PII_EMAIL_1] or [PII_PHONE_2], then to [PII_EMAIL_1] again." in it.sent[0]
        assert it.provider.calls[0].headers["accept-encoding"] == "identity"
        with it.sdk.chat.completions.stream(model="gpt-4o", messages=asked["messages"], tools=TOOLS) as events:
            function = events.get_final_completion().choices[0].message.tool_calls[0].function  # pyright: ignore[reportOptionalSubscript]
        arguments = json.loads(function.arguments)
        assert (arguments["to"], json.loads(arguments["deep"])["t"]) == (text, text)
    with open_services(Settings(home=tmp_path)) as services:  # pyright: ignore[reportCallIssue]
        events_kept = services.registry.events(kind="privacy")
        assert [event.figures["action"] for event in events_kept] == ["mask", "mask"]
        assert events_kept[0].figures["kinds"] == {"email": 2, "phone": 1}
        assert MAIL not in repr(events_kept)
        assert next(iter(services.exchanges.read())).request["messages"][0]["content"] == text


def responses(path: str, asked: Any) -> tuple[int, dict[str, str], list[bytes | None]]:
    number = 1 + len((asked or {}).get("previous_response_id") or "")
    text = "I will write to [pii_email_1] and call PII\\_PHONE\\_2."
    item = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    body = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1,
        "model": "gpt-4o",
        "status": "completed",
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    if not (asked or {}).get("stream"):
        return 200, JSON, [json.dumps(body).encode()]
    place = {"item_id": "m1", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**body, "output": [], "status": "in_progress"}}
    ]
    events += [{"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}}]
    events += [
        {"type": "response.content_part.added", **place, "part": {"type": "output_text", "text": "", "annotations": []}}
    ]
    events += [
        {"type": "response.output_text.delta", **place, "delta": text[at : at + 3], "logprobs": []}
        for at in range(0, len(text), 3)
    ]
    events += [
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]
    events += [{"type": "response.completed", "response": body}]
    data = [
        b"event: " + e["type"].encode() + b"\n" + format_event({**e, "sequence_number": n})
        for n, e in enumerate(events)
    ]
    return 200, SSE, list(data)


def test_a_conversation_that_the_provider_keeps_goes_on_with_its_placeholders(tmp_path: Path) -> None:
    with served(tmp_path, responses) as it:
        wanted = f"I will write to {MAIL} and call {PHONE}."
        first = it.sdk.responses.create(model="gpt-4o", input=f"Mail {MAIL}, phone {PHONE}")
        assert first.output_text == wanted
        then = it.sdk.responses.create(model="gpt-4o", input="Please do.", previous_response_id=first.id)
        assert then.output_text == wanted, "although nothing in this request was masked"
        more = it.sdk.responses.create(model="gpt-4o", input="Copy bob@lovelace-mail.org", previous_response_id=then.id)
        assert more.output_text == wanted
        assert "[PII_EMAIL_3]" in it.sent[2]
        assert it.sdk.responses.retrieve(first.id).output_text == wanted
        with it.sdk.responses.stream(model="gpt-4o", input=f"Mail {MAIL}, phone {PHONE}") as stream:
            numbers = [event.sequence_number for event in stream]
            assert stream.get_final_response().output_text == wanted
        assert numbers == list(range(len(numbers)))


def test_what_can_not_be_masked_is_refused(tmp_path: Path) -> None:
    with served(tmp_path, echo, forward_headers="x-user") as it:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
        image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
        for path, more, headers in (
            ("/v1/embeddings", {"input": MAIL}, {}),
            (f"/v1/chat/completions?user={MAIL}", body, {}),
            ("/v1/chat/completions", body, {"x-user": MAIL}),
            ("/v1/chat/completions", {**body, "messages": [{"role": "user", "content": image}]}, {}),
        ):
            answer = httpx.post(it.url + path, json=more, headers=headers)
            assert answer.status_code == 403, answer.text
            assert "privacy policy refuses" in answer.json()["error"]["message"]
        assert it.provider.calls == []
        httpx.post(f"{it.url}/v1/chat/completions", json=body, headers={"x-forwarded-user": MAIL})
        assert "x-forwarded-user" not in it.provider.calls[0].headers, "not on the list of what is forwarded"


def test_a_policy_that_changes_is_taken_up_and_a_slip_changes_nothing(tmp_path: Path) -> None:
    with served(tmp_path, echo) as it:

        def status(wanted: int) -> int:
            """Of a request with an address, asked until it is as wanted."""
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": MAIL}]}
            deadline = time.monotonic() + PATIENCE_SECONDS
            while (found := httpx.post(f"{it.url}/v1/chat/completions", json=body).status_code) != wanted:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            return found

        file = tmp_path / "privacy.toml"
        assert status(200) == 200
        file.write_text("[kinds]\nemail = 'refuse'")
        assert status(403) == 403
        file.write_text("[kinds]\nemail = 'watch")
        time.sleep(1)
        assert status(403) == 403
        file.unlink()
        time.sleep(1)
        assert status(403) == 403
        file.write_text("[kinds]\nemail = 'watch'")
        assert status(200) == 200
