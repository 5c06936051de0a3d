"""Events for people: a page of text, and a webhook that is told each once the store has it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.errors import UpstreamError
from insource.core.evidence import Event
from insource.workflows.watch.story import IMPORTANT, REPEATED, message, page
from insource.workflows.watch.tell import Webhook
from tests.fakes.evidence import START
from tests.fakes.watching import watching


def event(kind: str, day: int, *, task_id: str = "t1", text: str = "") -> Event:
    said = text or f"{kind} happened."
    return Event(created=START + timedelta(days=day), task_id=task_id, kind=kind, text=said, figures={"n": day})


def test_two_weeks_are_a_page_with_the_urgent_first() -> None:
    events = [event("renewed", day, text=f"bound {day}") for day in range(14)]
    events += [event("privacy", day % 14, task_id="t2") for day in range(500)]
    events += [event("moved", 0, task_id="t3"), event("rolled back", 9, task_id="t3", text="It was rolled back.")]
    events += [event("promoted", day, task_id="t4") for day in range(30)]
    events += [event("suggestion", day, task_id="t4") for day in range(14)]
    text = page(sorted(events, key=lambda e: e.created), {"t1": "Sort", "t3": "Answer", "t4": "Ask"})
    lines = text.splitlines()
    assert lines[0] == "Answer"
    assert "It was rolled back." in lines[2]
    assert "bound 13 (14 times since 01 Jan)" in text
    assert text.count("suggestion happened") <= 1
    assert "19 more" in text
    assert "privacy" not in text
    assert len(lines) < 50


@given(st.lists(st.sampled_from(IMPORTANT), max_size=30), st.text(st.characters(categories=["L", "N", "Z", "P"])))
def test_the_page_fits_80_columns_and_keeps_commands_whole(kinds: list[str], said: str) -> None:
    command = "insource move t1 --to " + "c" * 70 + " --stage canary"
    events = [event(kind, day, text=f"'Sort': {said} Next: {command}") for day, kind in enumerate(kinds)]
    lines = page(events, {"t1": "Sort"}).splitlines()
    for line in lines:
        assert (
            len(line) <= 80
            or " " not in line.strip()
            or line.strip() == f"Next: {command}"
            or max(map(len, said.split())) > 60
        )
    assert sum(command in line for line in lines) == min(
        len({*kinds} & {*REPEATED}) + sum(kind not in REPEATED for kind in kinds), 12
    )


def test_nothing_is_an_empty_page() -> None:
    assert page([], {}) == ""


class Hook(Webhook):
    """Takes everything but while it is down."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1/hook?key=a")
        self.got: list[dict[str, Any]] = []
        self.down = False

    async def tell(self, event: Event) -> None:
        if self.down:
            raise UpstreamError("It is down.", next_step="Wait.")
        self.got.append(message(event))


async def test_no_event_is_lost_while_the_webhook_is_down(tmp_path: Path) -> None:
    with watching(tmp_path, anchors=0, flush_seconds=0.001) as watched:
        hook = watched.watcher.webhook = Hook()
        await watched.watcher.tick()
        assert hook.got == [], "what happened before it was set is not told"
        hook.down = True
        for kind in ("suggestion", "privacy", "rolled back"):
            watched.services.registry.put_event(event(kind, 1))
        await watched.watcher.tick()
        hook.down = False
        await watched.watcher.tick()
        await watched.watcher.tick()
        assert [each["kind"] for each in hook.got] == ["suggestion", "rolled back"]
        assert hook.got[0]["text"] == "suggestion happened."
        await hook.close()


@pytest.mark.parametrize("status", [204, 500])
async def test_the_webhook_gets_json_and_says_whether_it_took_it(status: int) -> None:
    got: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        got.append(head + await reader.readexactly(length))
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        hook = Webhook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?key=a")
        if status == 204:
            await hook.tell(event("promoted", 2))
        else:
            with pytest.raises(UpstreamError, match="500"):
                await hook.tell(event("promoted", 2))
        await hook.close()
    assert got[0].startswith(b"POST /hook?key=a ")
    assert b'"kind":"promoted"' in got[0]
