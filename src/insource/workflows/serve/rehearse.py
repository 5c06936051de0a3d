"""What a privacy policy would have done to the requests in the log: the same scan and the same rules as live."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from insource.core.cores import usable_cores
from insource.core.policy import Action, Policy
from insource.core.scanning import ScanJob
from insource.core.values import CHAT_ENDPOINT, Exchange, JsonObject
from insource.traffic.matcher import compile_matchers, declared_task
from insource.wire import json_text
from insource.workflows.serve.check_privacy import checked
from insource.workflows.serve.live_routing import Match
from insource.workflows.services import Progress, Services, quiet

_BATCH = 100


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    requests: int = 0
    left_out: int = 0
    """Requests whose bodies were not kept."""
    first: datetime | None = None
    last: datetime | None = None
    kinds: Counter[str] = field(default_factory=Counter[str])
    """Requests that hold each kind."""
    actions: Counter[Action] = field(default_factory=Counter[Action])

    @property
    def days(self) -> float:
        return (self.last - self.first).total_seconds() / 86_400 if self.first and self.last else 0.0


def rehearse(services: Services, policy: Policy, *, progress: Progress = quiet) -> Rehearsal:
    """Reads the log once; several scanners share it."""
    found, lock, failures = Rehearsal(), threading.Lock(), list[Exception]()
    match = compile_matchers(services.registry.tasks())
    exchanges = services.exchanges.read()
    total = services.exchanges.count()

    def work() -> None:
        try:
            with closing(services.make_scan()) as scan:
                while True:
                    with lock:
                        batch = list(islice(exchanges, _BATCH))
                    if not batch:
                        return
                    jobs = [(exchange, _job(exchange, policy, match)) for exchange in batch]
                    results = [(exchange, job, scan.examine(job)) for exchange, job in jobs if job is not None]
                    with lock:
                        found.left_out += len(batch) - len(results)
                        for exchange, job, examined in results:
                            _count(found, exchange, examined.names, action=checked(job, examined).action)
                        progress("Trying the policy on the log", found.requests + found.left_out, total)
        except Exception as error:  # told by whoever waits for the threads
            failures.append(error)

    threads = [threading.Thread(target=work, name="insource-rehearse") for _ in range(_processes(services))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return found


def rehearsal_json(rehearsal: Rehearsal, policy: Policy) -> JsonObject:
    """DESIGN §8."""
    rules, actions = policy.rules(None), rehearsal.actions
    return {
        "policy": {kind: rule.action for kind, rule in policy.kinds.items()},
        "requests": rehearsal.requests,
        "days": round(rehearsal.days, 2),
        "kinds": [
            {"kind": kind, "requests": count, "action": rules.of(kind).action}
            for kind, count in sorted(rehearsal.kinds.items(), key=lambda item: (-item[1], item[0]))
        ],
        "would": {
            "pass": actions["watch"],
            "mask": actions["mask"],
            "local": actions["local"],
            "refuse": actions["refuse"],
        },
        "left_out": rehearsal.left_out,
    }


def _processes(services: Services) -> int:
    return services.settings.scan_processes or min(usable_cores(), 4)


def _job(exchange: Exchange, policy: Policy, match: Match) -> ScanJob | None:
    """As the gateway would have made it; None: the body was not kept, or no client asked for it."""
    if exchange.marks.is_extra or not exchange.request.keys() - {"model"}:
        return None
    task_id = None
    if exchange.endpoint.rstrip("/") == CHAT_ENDPOINT:
        task_id = match(exchange.request, declared_task(exchange.request, exchange.metadata))
    return ScanJob(body=json_text.encode(exchange.request), target=exchange.endpoint, policy=policy, task_id=task_id)


def _count(found: Rehearsal, exchange: Exchange, kinds: tuple[str, ...], *, action: Action) -> None:
    found.requests += 1
    found.kinds.update(kinds)
    found.actions[action] += 1
    found.first = min(found.first or exchange.created, exchange.created)
    found.last = max(found.last or exchange.created, exchange.created)
