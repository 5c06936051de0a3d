"""The privacy policy: what it says, what it did, what a change would have done to the log, and setting it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from starlette.responses import Response

from insource.core.errors import UsageError
from insource.core.policy import ACTIONS, ALL, UNREADABLE, Policy
from insource.routing.policy_edit import Changes, changed
from insource.web.desk import Ask, Desk
from insource.workflows.serve.rehearse import rehearsal_json, rehearse
from insource.workflows.serve.save_policy import save_policy
from insource.workflows.services import policy_file, policy_in_force

_MOST_TRIED = 50_000
"""Exchanges that a policy is tried on while somebody waits; a larger log is a matter of minutes."""
_SOURCES: Mapping[str, str] = {
    "file": "by the policy's file",
    "setting": "by the setting privacy",
    "store": "as an older insource began this store",
    "default": "the default",
}  # fmt: skip


def show(desk: Desk, ask: Ask) -> Response:
    services = desk.services
    found = policy_in_force(services.settings, services.registry)
    since = services.clock.now() - timedelta(days=30)
    return desk.page(
        "privacy",
        here="privacy",
        policy=found.policy,
        source=_SOURCES[found.source],
        file=str(policy_file(services.settings)),
        rows=_rows(desk, found.policy),
        actions=ACTIONS,
        local_model=services.settings.private_model,
        events=services.registry.events(kind="privacy", since=since, newest=50)[::-1],
        done=ask.query.get("done", ""),
    )


def _rows(desk: Desk, policy: Policy) -> list[tuple[str, str, str, float]]:
    """(kind, its name, action, least confidence) of every kind that may be found."""
    rules = policy.rules(None)
    known: frozenset[str] = getattr(desk.services.detector, "kinds", None) or frozenset()
    kinds = sorted({*known, *policy.words, *policy.kinds} - {ALL, UNREADABLE})
    names = {ALL: "every kind that is not set below", UNREADABLE: "what can't be scanned (images, files)"}
    return [
        (
            kind,
            names.get(kind, kind),
            rules.of(kind).action if kind in policy.kinds else "",
            rules.least_confidence(kind),
        )
        for kind in (ALL, UNREADABLE, *kinds)
    ]


def _wanted(desk: Desk, form: dict[str, str]) -> Policy:
    """The policy in force with the form's actions. Raises UsageError, BadInput."""
    policy = policy_in_force(desk.services.settings, desk.services.registry).policy
    known = {kind for kind, *_ in _rows(desk, policy)}
    given = {name.removeprefix("kind-"): action for name, action in form.items() if name.startswith("kind-")}
    strange = sorted(given.keys() - known)
    if strange:
        raise UsageError(f"Nothing finds the kind {strange[0]!r}.", next_step="Reload the page.")
    return changed(policy, Changes(actions=tuple(f"{kind}={action}" for kind, action in given.items() if action)))


def try_it(desk: Desk, ask: Ask) -> Response:
    """What the form's policy would have done; nothing is saved."""
    policy = _wanted(desk, dict(ask.form))
    requests = desk.services.exchanges.count()
    if requests > _MOST_TRIED:
        raise UsageError(
            f"The log holds {requests:,} exchanges: trying a policy on all of them takes minutes.",
            next_step="Try it on the command line: `insource privacy test KIND=ACTION`.",
        )
    found = rehearse(desk.services, policy)
    chosen = {name: value for name, value in ask.form.items() if name.startswith("kind-") and value}
    return desk.page(
        "privacy_test", here="privacy", result=rehearsal_json(found, policy), chosen=chosen, acts=policy.acts
    )


def set_it(desk: Desk, ask: Ask) -> Response:
    save_policy(policy_file(desk.services.settings), _wanted(desk, dict(ask.form)))
    return desk.go_to("privacy?done=set")
