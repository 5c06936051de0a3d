"""`insource privacy`: the policy shown, changed and tried on the log; what it did; and a scan of texts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insource.cli.options import JsonOption, QuietOption
from insource.cli.output import counted
from insource.cli.session import session

if TYPE_CHECKING:
    from insource.core.policy import Kinds, Policy, Rules
    from insource.routing.policy_edit import Changes
    from insource.workflows.services import Services

app = typer.Typer(help="Decide what happens to personal data and secrets.", no_args_is_help=True)

ActionsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KIND=ACTION", help="What to do with a kind, such as email=mask health=local secret=refuse."
    ),
]
ConfidenceOption = Annotated[
    list[str] | None,
    typer.Option("--confidence", metavar="KIND=NUMBER", help="Ignore findings below this confidence, 0 to 1."),
]
WordsOption = Annotated[
    list[str] | None,
    typer.Option("--words", metavar="KIND=WORD,…", help="Define a kind by its words; * stands for any ending."),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option("--allow", metavar="VALUE", help="Treat this address, network or domain as not private."),
]
PatternOption = Annotated[
    list[str] | None, typer.Option("--pattern", metavar="REGEX", help="Treat values that match as not private.")
]
RoleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--role", metavar="NAME", help="Treat addresses that start with this name, such as support@, as nobody's own."
    ),
]
ExceptionOption = Annotated[
    str | None, typer.Option("--task", metavar="TASK", help="Apply these actions to this task only.")
]


@app.command("show")
def show(as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Show the policy in force and where it comes from."""
    from insource.workflows.services import policy_file, policy_in_force

    with session(as_json=as_json, quiet=quiet) as (services, out):
        found = policy_in_force(services.settings, services.registry)
        path = policy_file(services.settings)
        if as_json:
            out.data(
                {"source": found.source, "file": str(path), "acts": found.policy.acts, **_policy_json(found.policy)}
            )
            return
        out.text(_SOURCES[found.source].format(path=path))
        out.table("What happens to requests that hold", ("kind", "action", ">least confidence"), _rows(found.policy))
        for line in (*_more(found.policy), *_findable(services)):
            out.text(line)
        for line in _warnings(services, found.policy):
            out.say(line)


@app.command("set")
def set_(  # noqa: PLR0913 - its options
    actions: ActionsArgument = None,
    confidence: ConfidenceOption = None,
    words: WordsOption = None,
    allow: AllowOption = None,
    pattern: PatternOption = None,
    role: RoleOption = None,
    task: ExceptionOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Change the policy; a running gateway follows. Actions: watch, mask, local, refuse."""
    from insource.routing.policy_edit import Changes
    from insource.workflows.serve.save_policy import save_policy
    from insource.workflows.services import policy_file

    with session(as_json=as_json, quiet=quiet) as (services, out):
        policy = _changed(services, Changes(**_given(actions, confidence, words, allow, pattern, role)), task)
        path = policy_file(services.settings)
        save_policy(path, policy)
        if as_json:
            out.data({"file": str(path), "acts": policy.acts, **_policy_json(policy)})
            return
        out.text(f"Written to {path}. A running gateway takes it up within a second.")
        out.table("What happens to requests that hold", ("kind", "action", ">least confidence"), _rows(policy))
        for line in _warnings(services, policy):
            out.say(line)
        out.say("Next: insource privacy test")


@app.command("test", short_help="Try the policy on the requests in the log.")
def try_(  # noqa: PLR0913 - its options
    actions: ActionsArgument = None,
    confidence: ConfidenceOption = None,
    words: WordsOption = None,
    allow: AllowOption = None,
    pattern: PatternOption = None,
    role: RoleOption = None,
    task: ExceptionOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what the policy would do to the requests in the log, with these changes. Saves nothing."""
    from insource.routing.policy_edit import Changes
    from insource.workflows.serve.rehearse import rehearsal_json, rehearse

    with session(as_json=as_json, quiet=quiet) as (services, out):
        policy = _changed(services, Changes(**_given(actions, confidence, words, allow, pattern, role)), task)
        with out.progress() as progress:
            found = rehearse(services, policy, progress=progress)
        document = rehearsal_json(found, policy)
        if as_json:
            out.data(document)
            return
        rows = [(row["kind"], f"{row['requests']:,}", row["action"]) for row in document["kinds"]]
        title = f"{counted(found.requests, 'request')} of {counted(round(found.days), 'day')}"
        out.table(title, ("kind", ">requests", "action"), rows)
        would = document["would"]
        out.text(
            f"{would['pass']:,} would have passed unchanged, {would['mask']:,} masked, {would['local']:,} kept here, "
            f"{would['refuse']:,} refused."
        )
        if found.left_out:
            out.say(
                f"Left out: {counted(found.left_out, 'exchange')} whose requests were not kept or "
                "did not come from a client."
            )


@app.command("log", short_help="List what was refused, masked or kept local.")
def log(
    days: Annotated[int, typer.Option(metavar="N", min=1, help="Days to look back.")] = 30,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List what the policy refused, masked or kept local: kinds and counts, never values."""
    with session(as_json=as_json, quiet=quiet) as (services, out):
        events = services.registry.events(kind="privacy", since=services.clock.now() - timedelta(days=days))
        if as_json:
            shown = [{"created": e.created.isoformat(), "task": e.task_id, **e.figures} for e in events]
            out.data({"days": days, "events": shown})
            return
        for event in events:
            lost = event.figures.get("not_restored")
            rest = f" {lost} placeholders could not be restored." if lost else ""
            out.text(f"{event.created:%Y-%m-%d %H:%M:%S}  {event.figures['exchange']}  {event.text}{rest}")
        out.say(f"{counted(len(events), 'event')} of the last {counted(days, 'day')}.")


@app.command("scan")
def scan(
    file: Annotated[Path, typer.Argument(metavar="FILE", help='JSON lines of {"id", "text"}, gzipped or not.')],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find personal data and secrets in texts, and their positions."""
    from insource.traffic.request_scan import scan_file
    from insource.workflows.services import policy_in_force

    with session(as_json=as_json, quiet=quiet) as (services, out):
        rules, bad = policy_in_force(services.settings, services.registry).policy.rules(None), 0
        for found in scan_file(file, services.detector):
            bad += "error" in found
            if as_json:
                out.line(found)
            elif "error" in found:
                out.say(f"line {found['line']}: {found['error']}")
            elif found["spans"]:
                out.text(f"{found['id']}: {', '.join(_span(span, rules) for span in found['spans'])}")
        if bad:
            out.say(f"Not readable: {counted(bad, 'line')}.")
            raise typer.Exit(3)


# ----------------------------------------------------------------------------------------------------- parts

_SOURCES: Mapping[str, str] = {
    "file": "The policy in {path}:",
    "setting": "There is no {path}; the setting `privacy` says:",
    "store": "There is no {path}; an older insource began this store and kept private requests here:",
    "default": "There is no {path}; nothing is changed, and what is private is counted:",
}


def _given(*options: list[str] | None) -> dict[str, Any]:
    names = ("actions", "confidences", "words", "allow", "patterns", "roles")
    return {name: tuple(given or ()) for name, given in zip(names, options, strict=True)}


def _changed(services: Services, changes: Changes, task: str | None) -> Policy:
    """The policy in force with the changes. Raises UsageError."""
    from dataclasses import replace

    from insource.core.errors import UsageError
    from insource.routing.policy_edit import changed, unknown_kinds
    from insource.traffic.resolve import resolve_task
    from insource.workflows.services import policy_in_force

    if task is not None:
        changes = replace(changes, task_id=resolve_task(services.registry.tasks(), task).id)
    policy = changed(policy_in_force(services.settings, services.registry).policy, changes)
    known = getattr(services.detector, "kinds", None)
    nobody = unknown_kinds(policy, known) if known is not None else []
    if nobody:
        raise UsageError(
            f"Nothing finds the kind {nobody[0]!r}. The detector {services.settings.privacy_detector!r} finds "
            f"{', '.join(sorted(known or ()))}.",
            next_step=f"Give words for it (--words '{nobody[0]}=WORD,WORD'), or correct the name.",
        )
    return policy


def _rows(policy: Policy) -> list[tuple[str, str, str]]:
    from insource.core.policy import ALL, UNREADABLE

    rules = policy.rules(None)
    named = [kind for kind in policy.kinds if kind not in (ALL, UNREADABLE)]
    shown = {**{kind: kind for kind in named}, ALL: "every other kind", UNREADABLE: "what can't be scanned"}
    return [
        (text, rules.of(kind).action, f"{rules.least_confidence(kind):g}" if kind != UNREADABLE else "")
        for kind, text in shown.items()
    ]


def _more(policy: Policy) -> list[str]:
    lines = [f"{kind} is found by the words: {', '.join(words)}" for kind, words in policy.words.items()]
    allow = policy.allow
    allowed = (*allow.addresses, *allow.domains, *allow.patterns, *(f"{role}@" for role in allow.roles))
    lines += [f"Never private: {', '.join(allowed)}"] if allowed else []
    return lines + [f"Except in {task}: {_kinds(kinds)}" for task, kinds in policy.tasks.items()]


def _span(span: Mapping[str, Any], rules: Rules) -> str:
    counts = span["confidence"] >= rules.least_confidence(span["kind"])
    sure = f"{span['confidence']:.2g}" + ("" if counts else ", does not count")
    return f"{span['kind']} {span['start']}–{span['end']} ({sure})"


def _findable(services: Services) -> list[str]:
    known = sorted(getattr(services.detector, "kinds", ()))
    return [f"The detector {services.settings.privacy_detector!r} finds: {', '.join(known)}."] if known else []


def _kinds(kinds: Kinds) -> str:
    from insource.routing.policy_edit import kinds_shown

    return kinds_shown(kinds)


def _warnings(services: Services, policy: Policy) -> list[str]:
    """What whoever set it should know."""
    lines: list[str] = []
    actions = {rule.action for kinds in (policy.kinds, *policy.tasks.values()) for rule in kinds.values()}
    if "local" in actions and not services.settings.private_model:
        lines.append(
            "Requests kept here are answered by a certified candidate of their task; where there is none they are "
            "refused. INSOURCE_PRIVATE_MODEL names a model for them (`insource models list`)."
        )
    return lines


def _policy_json(policy: Policy) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(policy)
