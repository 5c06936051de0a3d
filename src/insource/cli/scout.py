"""`insource scout`: which open models could do a task here, each with its evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from insource.cli.options import EvidenceOption, JsonOption, MachineOption, QuietOption
from insource.cli.output import Output
from insource.cli.scout_lines import model_line
from insource.cli.session import load_settings
from insource.core.errors import UsageError
from insource.core.hardware import say_machine
from insource.workflows.choose.purposes import PurposeName

if TYPE_CHECKING:
    from insource.fit.values import Estimate
    from insource.workflows.choose.scout import ScoutReport
    from insource.workflows.choose.shortlist import Evidence, FactorName, Measurement, Ranked
    from insource.workflows.choose.sift import Removed

_GIB = 2**30
_DENSE = 0.9
"""Of the parameters read for a token, from which on nobody calls it a mixture: the rest is an embedding."""


_MUST = ("images", "tools")
_PURPOSES: tuple[PurposeName, ...] = get_args(PurposeName)
_ADMIT = ("specialised", "convertible", "spill")

LicensesOption = Annotated[
    str, typer.Option(metavar="LIST", help="Licence classes and ids to allow; default: the setting `licenses`.")
]
PurposeOption = Annotated[
    str, typer.Option("--for", metavar="PURPOSE", help=f"{', '.join(_PURPOSES)}; default: the task's.")
]
LanguagesOption = Annotated[
    str, typer.Option(metavar="LIST", help="Languages a model must state, such as de,fr, or any; default: the task's.")
]
PromptOption = Annotated[
    int | None, typer.Option("--prompt-tokens", min=1, help="Prompt tokens in a long request; default: the task's.")
]
AnswerOption = Annotated[
    int | None, typer.Option("--answer-tokens", min=1, help="Answer tokens in a long request; default: the task's.")
]
ContextOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="TOKENS", help="Context that one request and its answer need; default: the task's."),
]
MustOption = Annotated[str, typer.Option(metavar="LIST", help="What a model must support: images, tools.")]
AdmitOption = Annotated[
    str,
    typer.Option(
        metavar="LIST",
        help="Also rank these: specialised (models for code, mathematics, ...), convertible (no GGUF is known), spill "
        "(layers in system memory too).",
    ),
]
FloorOption = Annotated[str, typer.Option(metavar="QUANT", help="Quantisation with the fewest bits to accept.")]
LatencyOption = Annotated[
    float | None, typer.Option(min=0.001, metavar="SECONDS", help="Time a long request may take.")
]
RateOption = Annotated[
    float | None, typer.Option(min=0.001, metavar="PER_MINUTE", help="Requests a minute to answer within the latency.")
]
ArenaOption = Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Show arena scores from this table.")]


def scout(  # noqa: PLR0913 - a command's parameters are its options
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="A task's id or name; without it: general chat.")
    ] = None,
    machine: MachineOption = "here",
    purpose: PurposeOption = "",
    languages: LanguagesOption = "",
    prompt_tokens: PromptOption = None,
    answer_tokens: AnswerOption = None,
    licenses: LicensesOption = "",
    context: ContextOption = None,
    must: MustOption = "",
    admit: AdmitOption = "",
    floor: FloorOption = "Q4_K_M",
    latency: LatencyOption = None,
    rate: RateOption = None,
    arena: ArenaOption = None,
    evidence: EvidenceOption = None,
    rows: Annotated[int, typer.Option(min=1, max=60, help="Models on the shortlist.")] = 6,
    everything: Annotated[bool, typer.Option("--all", help="Show the whole ranking.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also show the ranking rule and each factor's rank.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Rank the open models that could do a task, or general chat, on this machine or another. Uses no network."""
    from insource.wiring_choose import open_scout
    from insource.workflows.choose.scout import ScoutQuestion
    from insource.workflows.choose.scout import scout as look
    from insource.workflows.choose.scout_fit import make_fits
    from insource.workflows.choose.scout_json import scout_json

    question = ScoutQuestion(
        task=task,
        machine=machine,
        purpose=_purpose(purpose),
        languages=_languages(languages),
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        licenses=licenses,
        context_tokens=context,
        **_switches("--must", must, _MUST),
        **_switches("--admit", admit, _ADMIT),
        floor=floor,
        latency_seconds=latency,
        requests_per_minute=rate,
        arena=arena,
        evidence=evidence,
        rows=rows,
    )
    with open_scout(load_settings()) as parts:
        report = look(question, parts, make_fits=make_fits)
    out = Output(as_json=as_json, quiet=quiet)
    if as_json:
        out.data(scout_json(report, everything=everything))
    else:
        show(report, out, everything=everything, explain=explain)


def _purpose(text: str) -> PurposeName | None:
    found: PurposeName | None = next((name for name in _PURPOSES if name == text.strip().lower()), None)
    if found is None and text.strip():
        raise UsageError(f"--for does not know {text!r}.", next_step=f"It knows {', '.join(_PURPOSES)}.")
    return found


def _languages(text: str) -> tuple[str, ...] | None:
    codes = tuple(dict.fromkeys(code.strip().lower() for code in text.split(",") if code.strip()))
    if codes == ("any",):
        return ()
    wrong = [code for code in codes if not (code.isalpha() and len(code) in (2, 3))]
    if wrong:
        raise UsageError(
            f"--languages does not know {wrong[0]!r}.", next_step="Give codes like `de,fr` (ISO 639), or `any`."
        )
    return codes or None


def _switches(option: str, text: str, known: tuple[str, ...]) -> dict[str, Any]:
    """Words of a list as True. Raises UsageError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    strangers = [word for word in words if word not in known]
    if strangers:
        raise UsageError(f"{option} does not know {strangers[0]!r}.", next_step=f"It knows {', '.join(known)}.")
    return dict.fromkeys(words, True)


def show(report: ScoutReport, out: Output, *, everything: bool, explain: bool) -> None:
    chosen = report.ranked if everything else report.shortlist
    _intro(report, out)
    for item in chosen:
        out.text(model_line(item))
    if chosen and explain:
        _models(chosen, out)
        _evidence(report, chosen, out)
        _published(chosen, out)
        _explain(chosen, out)
    if explain or not chosen:
        _removed(report, out)
    if not chosen:
        from insource.workflows.choose.scout import closing_steps

        out.text("No model is left. " + " ".join(closing_steps(report)))
        return
    first = min(chosen, key=lambda item: item.position).found
    if first.fit.decode is None:
        out.say("Speed is unknown until this machine's bandwidth is measured: insource machine --measure")
    if first.group.gguf_repositories:
        out.say(f"Next: insource models pull {first.group.gguf_repositories[0]}:{first.fit.quantization}")


def _intro(report: ScoutReport, out: Output) -> None:
    from insource.workflows.choose.scout import long_request

    needs = report.needs
    asks = [f"{needs.context_tokens:,} tokens a request", f"licences {needs.licences}"]
    asks += [f"languages {', '.join(needs.languages)}"] if needs.languages else []
    asks += [word for word, wanted in (("images", needs.images), ("tools", needs.tools)) if wanted]
    asks += [f"{needs.latency_seconds:g} s"] if needs.latency_seconds is not None else []
    asks += [f"{needs.requests_per_minute:g} requests a minute"] if needs.requests_per_minute is not None else []
    what = f"Task {report.task.name!r} ({report.purpose})" if report.task is not None else report.purpose.capitalize()
    out.text(
        f"{what} on {say_machine(report.machine.name)}: {', '.join(asks)}. {report.listed:,} repositories "
        f"as of {report.as_of}, {report.models:,} models; {len(report.ranked):,} qualify; "
        f"{report.cannot_say:,} could not be judged (missing metadata)."
    )
    prompt, answer = long_request(report.fit)
    out.text(f"A long request: {prompt:,} + {answer:,} tokens, at the slow end of the speed's interval.")
    out.text(
        "Licences were read over the whole chain of parents."
        if report.chain_read
        else "Of licences the label alone was read: this catalogue holds no lineage (insource hub sync fetches it)."
    )
    if report.lineage_as_of is not None:
        out.text(
            f"What was built on a model is counted among the {report.stating_parents:,} repositories that state their "
            f"parents, up to {report.lineage_as_of}."
        )
    if report.left_out:
        told = "; ".join(f"{reason} {count:,}" for reason, count in report.left_out.items())
        out.text(f"Repositories not looked at one by one: {told}.")
    traffic = report.traffic
    if traffic is not None:
        estimated = f", tokens of {traffic.estimated_share:.0%} estimated" if traffic.estimated_share else ""
        out.text(f"Lengths from the newest {traffic.exchanges:,} exchanges{estimated}.")


def _models(chosen: tuple[Ranked, ...], out: Output) -> None:
    columns = ["#", "size", "model", "family", ">parameters (active)", "licence", "bits", ">GiB", ">context"]
    rows = [_model_row(item) for item in chosen]
    out.table("Models that qualify", [*columns, ">tokens/s (80 %)", ">long request"], rows)


def _model_row(item: Ranked) -> tuple[str, ...]:
    model, fit = item.found.model, item.found.fit
    active = fit.active_parameters or model.active_parameters or model.parameters
    return (
        str(item.position),
        item.band,
        model.id,
        item.family,
        _parameters(model.parameters) + (f" ({_parameters(active)})" if active < _DENSE * model.parameters else ""),
        _licence(item),
        fit.quantization or "",
        "" if fit.needed_bytes is None else f"{fit.needed_bytes / _GIB:.1f}",
        "" if fit.context_tokens is None else f"{fit.context_tokens:,}",
        _interval(fit.decode),
        "unknown" if fit.seconds is None else f"{fit.seconds:,.1f} s",
    )


def _licence(item: Ranked) -> str:
    label, force = item.found.model.license or "not stated", item.found.licence.strictest
    return label if force.steps == 0 else f"{label}; in force {force.license} of {force.id}"


def _evidence(report: ScoutReport, chosen: tuple[Ranked, ...], out: Output) -> None:
    columns = ["#", "model", "measured here", ">built on it", ">in 90 days", ">downloads", ">likes", ">arena"]
    rows = [_evidence_row(report, item) for item in chosen]
    title = "Why: own measurements first, then the mean of the ranks (--explain shows rule and ranks)"
    out.table(title, [*columns, ">months"], rows)


def _published(chosen: tuple[Ranked, ...], out: Output) -> None:
    """Apart from what was measured here."""
    from insource.hub.published import published_sentence

    said = [(item, item.evidence.published) for item in chosen if item.evidence.published]
    if said:
        rows = [
            (str(item.position), item.found.model.id, "; ".join(map(published_sentence, scores)))
            for item, scores in said
        ]
        out.table("Published by others; not measured here, orders nothing", ["#", "model", "scores"], rows)


def _evidence_row(report: ScoutReport, item: Ranked) -> tuple[str, ...]:
    evidence, model = item.evidence, item.found.model
    activity, arena = evidence.activity, evidence.arena
    return (
        str(item.position),
        model.id,
        _measured(evidence),
        f"{activity.derivatives:,}",
        f"{activity.recent_derivatives:,}",
        _used(model.downloads, activity.downloads_percentile),
        _used(model.likes, activity.likes_percentile),
        f"{arena.score:,.0f}" if arena is not None else ("unknown" if report.arena_given else "no arena data"),
        "unknown" if activity.age_months is None else f"{activity.age_months:.0f}",
    )


def _measured(evidence: Evidence) -> str:
    def said(item: Measurement) -> str:
        interval = item.quality_interval
        return f"{item.end} {item.quality:.1%} ({interval.low:.1%} to {interval.high:.1%}, n={item.n:,})"

    if evidence.this_task:
        return f"this task: {said(evidence.this_task[-1])}"
    if evidence.other_tasks:
        return f"{len({m.task_id for m in evidence.other_tasks})} other: {said(evidence.other_tasks[-1])}"
    return "no"


def _used(count: int | None, percentile: float | None) -> str:
    if count is None or percentile is None:
        return "unknown"
    return f"{count:,} (p{100 * percentile:.0f})"


def _explain(chosen: tuple[Ranked, ...], out: Output) -> None:
    from insource.workflows.choose.shortlist import RULE, TIERS

    names: list[FactorName] = list(dict.fromkeys(name for item in chosen for name in item.ranks))
    rows = [
        (
            str(item.position),
            item.found.model.id,
            TIERS[item.tier],
            *("unknown" if name not in item.ranks else f"{item.ranks[name]:.3f}" for name in names),
            f"{item.mean_rank:.3f}",
        )
        for item in chosen
    ]
    columns = [">" + name.replace("_", " ") for name in names]
    out.table("Relative ranks: 0 the best, 1 the last", ["#", "model", "measured", *columns, ">mean"], rows)
    out.text(RULE)


def _removed(report: ScoutReport, out: Output) -> None:
    rows = [
        (item.filter, f"{item.asked:,}", f"{item.removed:,}", f"{item.cannot_say:,}", _reasons(item), item.next_step)
        for item in report.removed
        if item.removed or item.cannot_say
    ]
    out.table("What was left out", ["filter", ">asked", ">removed", ">cannot say", "mostly", "to admit more"], rows)


def _reasons(item: Removed) -> str:
    return "; ".join(f"{reason} {count:,}" for reason, count in item.reasons[:3])


def _parameters(count: int) -> str:
    return f"{count / 1e9:,.1f} B" if count >= 1e9 else f"{count / 1e6:,.0f} M"


def _interval(estimate: Estimate | None) -> str:
    return "unknown" if estimate is None else f"{estimate.mid:,.3g} ({estimate.low:,.3g} to {estimate.high:,.3g})"
