"""Prometheus figures, all derived from the exchanges as they are recorded. Labels hold no client input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from insource.core.values import Exchange
from insource.wire.chat import usage_tokens

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Children:
    """The counters of one upstream and status; looking them up by label takes longer than counting."""

    requests: Counter
    seconds: Histogram
    prompt: Counter
    completion: Counter


class Metrics:
    """One registry per gateway; nothing global."""

    def __init__(self, *, waiting: Callable[[], int] = lambda: 0) -> None:
        """`waiting`: exchanges that the writer has not written yet."""
        self._registry = CollectorRegistry()
        r = self._registry
        self._requests = Counter("insource_requests", "Answered requests.", ("route", "upstream", "status"), registry=r)
        self._seconds = Histogram(
            "insource_request_seconds", "From arrival to the last byte.", ("upstream",), registry=r, buckets=_SECONDS
        )
        self._tokens = Counter("insource_tokens", "As the upstream counted them.", ("upstream", "kind"), registry=r)
        self._cost = Counter("insource_cost_usd", "Of hosted calls with a known price.", registry=r)
        self._escalations = Counter("insource_escalations", "Local answers below the gate.", registry=r)
        self._fallbacks = Counter("insource_fallbacks", "Requests that a failing local side passed on.", registry=r)
        self._pinned = Counter("insource_pinned", "Requests that had to stay on this machine.", registry=r)
        self._shadows = Counter("insource_shadow_answers", "Answers that no client saw.", registry=r)
        self._incomplete = Counter("insource_incomplete", "Answers that were cut or broken.", registry=r)
        self._private = Counter(
            "insource_private_requests", "Requests with private data, by kind.", ("kind",), registry=r
        )
        self._actions = Counter(
            "insource_privacy_actions", "What the privacy policy did to requests.", ("action",), registry=r
        )
        self._rejected = Counter("insource_rejected", "Requests refused unread.", ("status",), registry=r)
        Gauge("insource_writer_waiting", "Exchanges not written yet.", registry=r).set_function(waiting)
        self._children: dict[tuple[str, int], _Children] = {}
        self.exchanges = 0

    def observe(self, exchange: Exchange) -> None:
        route = exchange.route
        upstream = "none" if route is None else route.upstream
        if exchange.marks.shadow_of is not None:
            self._shadows.inc()
            return
        self.exchanges += 1
        kind = "provider" if upstream.startswith("provider:") else "none" if upstream == "none" else "local"
        children = self._children.get((upstream, exchange.status))
        if children is None:
            children = self._children[upstream, exchange.status] = _Children(
                requests=self._requests.labels(kind, upstream, str(exchange.status)),
                seconds=self._seconds.labels(upstream),
                prompt=self._tokens.labels(upstream, "prompt"),
                completion=self._tokens.labels(upstream, "completion"),
            )
        children.requests.inc()
        children.seconds.observe(exchange.latency_seconds or 0.0)
        tokens = usage_tokens(exchange.response)
        if tokens is not None:
            children.prompt.inc(tokens[0])
            children.completion.inc(tokens[1])
        self._cost.inc(exchange.cost_usd or 0.0)
        if exchange.incomplete is not None:
            self._incomplete.inc()
        if exchange.marks.escalated:
            self._escalations.inc()
        if exchange.marks.fallback is not None:
            self._fallbacks.inc()
        if route is not None and route.pinned:
            self._pinned.inc()

    def count_private(self, kinds: tuple[str, ...]) -> None:
        """Of a request, once its scan is done."""
        for kind in kinds:
            self._private.labels(kind[:40]).inc()

    def count_action(self, action: str) -> None:
        """Of a request that the policy masked, kept here or refused."""
        self._actions.labels(action[:10]).inc()

    def reject(self, status: int) -> None:
        self._rejected.labels(str(status)).inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)
