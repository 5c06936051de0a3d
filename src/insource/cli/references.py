"""`insource criterion`, `insource review`, `insource label`: what people say about right and wrong."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insource.cli.options import JsonOption, QuietOption, TaskArgument
from insource.cli.output import Output, counted
from insource.cli.session import session
from insource.cli.side_by_side import side_by_side
from insource.core.errors import UsageError

if TYPE_CHECKING:
    from insource.workflows.prove.criterion import CriterionReport
    from insource.workflows.prove.label import LabelReport
    from insource.workflows.prove.review import Choice, Disagreement, Review
    from insource.workflows.services import Services

_SHOWN_CHARACTERS = 1_500


def criterion(  # noqa: PLR0913 - a command's parameters are its options
    task: TaskArgument,
    label: Annotated[bool, typer.Option("--label", help="Answers are labels.")] = False,
    number: Annotated[bool, typer.Option("--number", help="Answers are numbers.")] = False,
    json: Annotated[bool, typer.Option("--json-values", help="Answers are JSON, compared value by value.")] = False,
    tools: Annotated[bool, typer.Option("--tools", help="Answers are tool calls, compared by their schemas.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Answers must be the same text.")] = False,
    review: Annotated[bool, typer.Option("--review", help="A person judges answers that differ.")] = False,
    checker: Annotated[
        str | None, typer.Option(metavar="CMD", help="Command that reads JSON and prints the loss, 0 to 1.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="UPSTREAM", help="Model server that judges free text: 'provider' or a URL.")
    ] = None,
    judge_model: Annotated[str, typer.Option(metavar="NAME", help="The judge's model, as its server names it.")] = "",
    rubric: Annotated[str, typer.Option(help="Tell the judge what makes an answer better.")] = "",
    pattern: Annotated[
        str, typer.Option(metavar="RE", help="Fail answers that do not match, without asking the judge.")
    ] = "",
    seconds: Annotated[float, typer.Option(min=0.1, help="Time limit of the checker, for one answer.")] = 10.0,
    scorer: Annotated[str | None, typer.Option(metavar="NAME", help="Use a plugin's scorer.")] = None,
    infer: Annotated[
        bool, typer.Option("--infer", help="Forget the choice; infer the criterion from the answers.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show or choose what counts as right in a task."""
    from insource.workflows.prove.criterion import checker_arguments, choose_criterion, infer_again, show_criterion

    flags = {"label": label, "number": number, "json": json, "tools": tools, "exact": exact, "review": review}
    chosen: list[str] = [name for name, wanted in flags.items() if wanted]
    chosen += [] if scorer is None else [scorer]
    chosen += [] if judge is None else ["judge"]
    chosen += [] if checker is None or judge is not None else ["checker"]  # beside a judge it is a verifier
    if len(chosen) + infer > 1:
        raise UsageError("Only one criterion can be chosen.", next_step="Name one of them.")
    with session(as_json=as_json, quiet=quiet) as (services, out):
        if infer:
            report = infer_again(services, task)
        elif chosen:
            arguments = None if checker is None else checker_arguments(checker, seconds)
            if judge is not None:
                named = {"upstream": judge, "model": judge_model, "rubric": rubric, "pattern": pattern}
                arguments = {name: value for name, value in named.items() if value} | (arguments or {})
            report = choose_criterion(services, task, chosen[0], arguments=arguments)
        else:
            report = show_criterion(services, task)
        _show_criterion(report, out)


def _show_criterion(report: CriterionReport, out: Output) -> None:
    from insource.workflows.prove.criterion import criterion_words
    from insource.workflows.prove.evaluate import criterion_json

    if out.as_json:
        said: dict[str, Any] = criterion_json(report.criterion)
        said |= {"task": report.task.id, "arguments": report.criterion.arguments, "answers": report.answers}
        out.data(said)
        return
    out.text(f"{report.task.name}: {criterion_words(report.criterion)}")
    for a, b in report.differing:
        out.text(f"  counts as the same: {_short(a, 60)!r} and {_short(b, 60)!r}")
    if report.criterion.scorer is None:
        out.say(f"Next: insource criterion {report.task.id} --checker CMD, or --review")
    elif report.criterion.chosen_by == "user":
        out.say(f"Next: insource evaluate {report.task.id}")


def _short(text: str, most: int = _SHOWN_CHARACTERS) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def label(
    task: TaskArgument,
    exchange: Annotated[str | None, typer.Argument(help="An exchange's id.")] = None,
    answer: Annotated[str | None, typer.Argument(help="What its answer should be.")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE.csv", help="Read many from a CSV file with exchange_id,reference."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Record the right answer of one exchange, or of many from a CSV file."""
    from insource.workflows.prove.label import label_exchange, label_file

    with session(as_json=as_json, quiet=quiet) as (services, out):
        if file is not None:
            _show_labelled(label_file(services, task, file), out)
        elif exchange is not None and answer is not None:
            label_exchange(services, task, exchange, reference=answer)
            if as_json:
                out.data({"labelled": 1, "unknown": []})
            else:
                out.text(f"{exchange} labelled.")
        else:
            raise UsageError(
                "Nothing was labelled.", next_step="`insource label TASK EXCHANGE ANSWER`, or `--from FILE.csv`."
            )


def _show_labelled(report: LabelReport, out: Output) -> None:
    if out.as_json:
        out.data({"labelled": report.labelled, "unknown": list(report.unknown)})
        return
    out.text(f"{counted(report.labelled, 'exchange')} of {report.task.name} labelled.")
    if report.unknown:
        more = " …" if len(report.unknown) > 10 else ""
        out.say(f"Not in this task: {', '.join(report.unknown[:10])}{more}")


def review(  # noqa: PLR0913 - a command's parameters are its options
    task: TaskArgument,
    candidate: Annotated[str | None, typer.Option(metavar="ID", help="A candidate's id or recipe.")] = None,
    random: Annotated[bool, typer.Option("--random", help="Show them in random order.")] = False,
    suspects: Annotated[bool, typer.Option("--suspects", help="List the labels that look wrong.")] = False,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.csv", help="Write the disagreements to a file, to fill in elsewhere."),
    ] = None,
    in_file: Annotated[
        Path | None, typer.Option("--in", metavar="FILE.csv", help="Read the file with its verdicts filled in.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Decide, with one key each, who is right where a candidate and the reference disagree."""
    from insource.workflows.prove.review import open_review, read_csv, write_csv

    with session(as_json=as_json, quiet=quiet) as (services, out):
        if suspects:
            _show_suspects(services, task, out)
            return
        found = open_review(services, task, candidate=candidate, order="random" if random else "ledger")
        if out_file is not None:
            out.text(f"{write_csv(found, out_file):,} disagreements written to {out_file}.")
        elif in_file is not None:
            out.text(f"{read_csv(services, found, in_file):,} verdicts recorded.")
            out.say(f"Next: insource evaluate {found.task.id}")
        elif as_json:
            out.data(_review_json(found))
        else:
            _ask(services, found, out)


def _show_suspects(services: Services, task: str, out: Output) -> None:
    from insource.workflows.prove.suspects import suspects_of

    found = suspects_of(services, task)
    if out.as_json:
        out.data([{"exchange": s.exchange_id, "label": s.label, "looks_like": s.looks_like} for s in found])
        return
    rows = [(s.exchange_id, s.label, f"{s.looks_like} ({s.probability:.0%})", _short(s.text, 80)) for s in found]
    out.table("Labels that look wrong", ["exchange", "label", "looks like", "request"], rows)


def _review_json(found: Review) -> dict[str, Any]:
    return {
        "task": found.task.id,
        "candidate": found.candidate_id,
        "compared": found.compared,
        "judged": found.judged,
        "disagreements": [
            {"exchange": d.exchange_id, "request": d.text, "reference": d.reference, "local": d.answer}
            for d in found.waiting
        ],
    }


_KEYS: Mapping[str, Choice] = {"h": "hosted", "l": "local", "b": "both", "n": "neither"}
_BLIND_KEYS: Mapping[str, Choice] = {"=": "both", "n": "neither"}


def _ask(services: Services, found: Review, out: Output) -> None:
    from insource.workflows.prove.review import judge, take_back

    out.say(
        f"{found.task.name}: {len(found.waiting)} disagreements of {found.compared} answers of {found.candidate_id}, "
        f"{found.judged} judged before.\n"
        + (
            "Which answer is better?  a the left one  b the right one  = both are as good  n both are bad  "
            if found.blind
            else "Which answer is right?  h the hosted one (or the label)  l the local one  b both  n neither  "
        )
        + "s skip  u undo  q end"
    )
    done: list[Disagreement] = []
    at = 0
    while at < len(found.waiting):
        each = found.waiting[at]
        _show(each, out, place=f"{at + 1} of {len(found.waiting)}", blind=found.blind)
        key = _key()
        if key in ("q", ""):
            break
        if key == "u" and done:
            last = done.pop()
            take_back(services, found.task, last)
            at = found.waiting.index(last)
        elif key == "s":
            at += 1
        elif choice := _choice(each, key, blind=found.blind):
            judge(services, found.task, each, choice=choice)
            done.append(each)
            at += 1
    out.say(f"{len(done)} judged. Next: insource evaluate {found.task.id}")


def _choice(each: Disagreement, key: str, *, blind: bool) -> Choice | None:
    if not blind:
        return _KEYS.get(key)
    return each.choice_of("a" if key == "a" else "b") if key in ("a", "b") else _BLIND_KEYS.get(key)


def _show(each: Disagreement, out: Output, *, place: str, blind: bool) -> None:
    out.text(f"\n— {place} —\n{_short(each.text)}")
    if blind:
        a, b = each.sides
        out.text(side_by_side(_short(a), _short(b), width=shutil.get_terminal_size().columns))
        return
    out.text(f"  hosted: {_short(each.reference)}\n  local:  {_short(each.answer)}")


def _key() -> str:
    """One key where a terminal is, one line where none is; "" at the end of the input."""
    if sys.stdin.isatty():
        return typer.getchar().lower()
    line = sys.stdin.readline()
    return line.strip().lower()[:1] if line.strip() else ("s" if line else "")
