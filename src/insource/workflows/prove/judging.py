"""Asking a judge, and setting what it says beside what people said."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from insource.config import secret
from insource.core.errors import UpstreamError
from insource.core.evidence import Example
from insource.core.headers import JSON
from insource.core.ports import Call
from insource.core.scanning import ScanJob
from insource.core.values import CHAT_ENDPOINT, JsonObject
from insource.evals.calibration import Calibration, LabelledPair, calibrate
from insource.evals.judge import Ask, JudgeScorer
from insource.providers.openai_compatible import OpenAICompatible
from insource.wire import json_text
from insource.workflows.prove.attempts import Attempt, Contest
from insource.workflows.prove.outcomes import outcome as outcome_of
from insource.workflows.services import Services, policy_in_force

JUDGE = JudgeScorer.name
PROVIDER = "provider"
"""The name of the hosted API as a judge; else it is a URL."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeUpstream:
    """Any server of the OpenAI dialect. Each question has a connection of its own: a scorer has no loop to keep one."""

    url: str
    key: str | None

    def ask(self, body: JsonObject) -> JsonObject:
        """Raises UpstreamError."""
        with ThreadPoolExecutor(max_workers=1) as pool:  # a loop may run in this thread
            return pool.submit(lambda: asyncio.run(self._ask(body))).result()

    async def _ask(self, body: JsonObject) -> JsonObject:
        upstream = OpenAICompatible(self.url, key=self.key)
        try:
            reply = await upstream.send(Call(path=CHAT_ENDPOINT, body=json_text.encode(body), headers=JSON))
            data = await reply.read()
        finally:
            await upstream.close()
        try:
            completion = json_text.decode(data)
        except ValueError:
            completion = None
        if reply.status != 200 or not isinstance(completion, dict):
            raise UpstreamError(
                f"The judge answered {reply.status}.", next_step="Check its address, model and key; nothing is lost."
            )
        return completion


def judge_of(services: Services, arguments: JsonObject) -> JudgeScorer:
    """The scorer with its upstream. What a policy keeps here, or masks, is never sent to one elsewhere."""
    settings, named = services.settings, str(arguments.get("upstream") or PROVIDER)
    hosted = named == PROVIDER
    url = settings.provider_url if hosted else named.rstrip("/").removesuffix("/v1")
    upstream = JudgeUpstream(url=url, key=secret(settings.provider_key_env) if hosted else None)
    if urlsplit(url).hostname in _LOOPBACK:
        return JudgeScorer(upstream.ask)
    return JudgeScorer(_within_policy(services, upstream.ask))


def _within_policy(services: Services, ask: Ask) -> Ask:
    policy = policy_in_force(services.settings, services.registry).policy

    def asked(body: JsonObject) -> JsonObject | None:
        if policy.acts:
            scan = services.make_scan()
            try:
                job = ScanJob(body=json_text.encode(body), policy=policy, target=CHAT_ENDPOINT)
                kinds = scan.examine(job).kinds
            finally:
                scan.close()
            if policy.rules(None, task_known=False).action(kinds) != "watch":
                return None
        return ask(body)

    return asked


def calibration_of(contest: Contest, attempt: Attempt, *, alpha: float) -> Calibration | None:
    """None: no judge decides in this task."""
    if contest.log.criterion.scorer != JUDGE:
        return None
    labelled = [example for example in contest.log.examples.values() if example.judged and example.hosted_text]
    kept = attempt.answerer.kept(labelled)
    pairs: list[LabelledPair] = []
    for example in labelled:
        asked = kept.get(example.exchange_id)
        answer = None if asked is None else asked.answer
        if asked is None or answer is None or not _reviewed(contest, example, answer.text):
            continue
        told = outcome_of(contest, attempt, example, asked=asked, stratum="new")
        scorer, arguments = contest.scoring.scorer, contest.scoring.criterion.arguments
        judged = scorer.loss(answer.text, example.reference, request=example.request, arguments=arguments)
        pairs.append(
            LabelledPair(
                judged=judged,
                worse=max(told.difference, 0.0),
                confidence=told.confidence,
                admitted=told.admitted,
            )
        )
    return calibrate(pairs, attempt.candidate.terms, alpha=alpha)


def _reviewed(contest: Contest, example: Example, answer: str) -> bool:
    """Whether a review decided both answers: what users report of one answer is no random part of them."""
    canonical = contest.scoring.canonical
    return canonical(answer) in example.judged and canonical(example.hosted_text or "") in example.judged
