"""Asking past requests again: the hosted model as far as the privacy policy lets them go, and a candidate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from insource.core.errors import InsourceError
from insource.core.ports import Call, Reply, Upstream
from insource.core.scanning import ScanJob
from insource.core.values import CHAT_ENDPOINT, Exchange, JsonObject, Marks, Route
from insource.wire import json_text
from insource.workflows.asking import Local
from insource.workflows.serve.answer_locally import answer_locally, client_completion
from insource.workflows.serve.check_privacy import Checked, PrivacyCheck
from insource.workflows.serve.live_routing import RoutingState
from insource.workflows.serve.record_exchange import Ending, Recorder, Underway
from insource.workflows.serve.restore_answer import restore_answer
from insource.workflows.serve.share import Second, Shares

_HEADERS = (("content-type", "application/json"), ("accept-encoding", "identity"))


async def restored(privacy: PrivacyCheck, checked: Checked, reply: Reply, *, underway: Underway) -> Reply:
    """The provider's reply with the user's own values, where any may be missing in it."""
    placeholders = checked.placeholders
    if placeholders is None:
        return reply
    shown, underway.restored = await restore_answer(
        reply,
        placeholders,
        kinds=dict(checked.kinds or {}),
        found=lambda answer: privacy.kept.keep_all(answer, placeholders),
    )
    return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class AskAgain:
    provider: Upstream
    has_key: bool
    """The provider takes our own key; a client's is never used for a request that it did not send."""
    privacy: PrivacyCheck
    recorder: Recorder
    shares: Shares
    state: Callable[[], RoutingState]

    async def hosted(self, past: Exchange, task_id: str, *, metadata: JsonObject) -> None:
        """Nothing is sent that the policy or a pin keeps here, nor once the day's budget is spent."""
        if not self.has_key or not self.shares.has_budget or task_id in self.state().table.pinned_tasks:
            return
        underway = self._underway(past, "hosted", metadata)
        job = ScanJob(
            body=json_text.encode(past.request),
            target=CHAT_ENDPOINT,
            headers=_HEADERS,
            policy=self.privacy.policy(),
            task_id=task_id,
            task_known=True,
        )
        checked = await self.privacy.check(job, past.request, exchange_id=underway.id)
        underway.checked = checked
        if checked.action in ("local", "refuse"):
            return
        body = job.body if checked.masked is None else checked.masked.body

        async def send(second: Underway) -> Reply:
            reply = await self.provider.send(Call(path=CHAT_ENDPOINT, body=body, headers=_HEADERS))
            return await restored(self.privacy, checked, reply, underway=second)

        route = Route(
            upstream=self.provider.name,
            model=str(past.request.get("model") or ""),
            reason="anchor of a move",
            task_id=task_id,
        )
        await self.shares.ask(Second(underway=underway, route=route, marks=Marks(anchor_of=past.id), send=send))

    async def here(self, past: Exchange, local: Local, *, task_id: str, metadata: JsonObject) -> None:
        underway = self._underway(past, "here", metadata)
        route = Route(upstream=local.upstream, model=local.model, reason="anchor of a move", task_id=task_id)
        marks = Marks(anchor_of=past.id)
        try:
            answer = await answer_locally(local, past.request)
        except InsourceError:
            underway.end(route, Ending(status=503), marks)
            return
        created = int(underway.created.timestamp())
        completion = client_completion(answer, local, past.request, id=underway.id, created=created)
        underway.end(route, Ending(status=200, response=completion), marks)

    def _underway(self, past: Exchange, side: str, metadata: JsonObject) -> Underway:
        named = "-".join(str(value) for value in metadata.values())
        return Underway(
            recorder=self.recorder,
            id=f"{past.id}-anchor-{named}-{side}",
            endpoint=CHAT_ENDPOINT,
            request=past.request,
            private_kinds=past.private_kinds,
            metadata=metadata,
        )
