"""The ladder of `insource adapt` on real messages, from the log to the figures, and the answers through the gateway.

    python bench/adapt_ladder.py TASK [EXAMPLES] [MESSAGES] [HOME] [MARGIN] [RECIPE …]

Rungs that train need the extra `adapt`.
TASK: `slots` (restaurant8k as JSON), `calls` (the same as calls of a booking tool), `banking` (ten intents). A human's
label stands in for the hosted answer. With a HOME the state stays there, and a second run goes on where it was.
EXAMPLES: that a training may use; 0: no rung that trains.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.adapt_data import RESULTS, Labelled, banking, data_folder, restaurant, share

from insource.cli.session import load_settings
from insource.core.values import Exchange, JsonObject
from insource.evals.certainty import says_nothing
from insource.wire.chat import call_completion, completion
from insource.wiring import open_services
from insource.workflows.prove.adapt import Ladder, Rung, Wish, adapt_task
from insource.workflows.prove.find_tasks import find_tasks
from insource.workflows.services import Services

_START = datetime(2026, 11, 1, tzinfo=UTC)
_TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "book_table",
        "description": "Notes what a guest states of a booking.",
        "parameters": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("people", "date", "time", "first_name", "last_name")},
        },
    },
}


def exchange(number: int, row: Labelled, *, calls: bool) -> Exchange:
    request: JsonObject = {"model": "label", **row.request, **({"tools": [_TOOL]} if calls else {})}
    said = completion(id="c", created=0, model="label", text=row.answer)
    if calls:
        said = {**said, **call_completion([("book_table", json.loads(row.answer))])}
    return Exchange(
        id=f"m{number:05}",
        created=_START + timedelta(minutes=number),
        request=request,
        response=said,
        private_kinds=(),
        reference=None if calls else row.answer,
        reference_kind=None if calls else "label",
    )


def messages_of(task: str, folder: Path, most: int) -> Sequence[Labelled]:
    learnt, asked = (banking if task == "banking" else restaurant)(folder)
    return [*learnt, *asked][:most]


async def climb(services: Services, rows: Sequence[Labelled], *, task: str, examples: int) -> tuple[Ladder, list[str]]:
    services.exchanges.append(exchange(n, row, calls=task == "calls") for n, row in enumerate(rows))
    if not services.registry.tasks():
        find_tasks(services)
    (found,) = services.registry.tasks()
    names = sorted(services.recipes, key=lambda name: services.recipes[name].effort)
    kept = [name for name in names if examples or not services.recipes[name].trains]
    wish = Wish(recipes=sys.argv[6:] or kept, most_examples=examples or None, terms_noticed=True)
    began = time.monotonic()
    ladder = await adapt_task(services, found, wish=wish, progress=_shown)
    minutes = (time.monotonic() - began) / 60
    places = services.evidence.places(found.id)
    parts = {part: sum(place.part == part for place in places) for part in ("fit", "held out", "evidence")}
    lines = [
        f"{task}: {len(rows)} messages, {parts}; margin {services.settings.margin:g}; {minutes:.1f} minutes in all"
    ]
    return ladder, [*lines, *(told(rung) for rung in ladder.rungs), ladder.stopped]


def told(rung: Rung) -> str:
    head = f"{rung.recipe}: {rung.state}"
    if rung.evaluation is None:
        return f"{head} after {rung.made_seconds:.0f} s; {rung.reason}"
    one = rung.evaluation
    every, covered = one.overall, one.covered
    assert every is not None
    spent = "" if rung.milliseconds is None else f", {rung.milliseconds:.1f} ms an answer"
    right = f"right {share(round(every.quality * every.n), every.n)}"
    inside = "" if covered is None else f", {share(round(covered.quality * covered.n), covered.n)} right of what it may"
    return (
        f"{head}; made in {rung.made_seconds:.0f} s{spent}, {rung.size_bytes / 1e6:.1f} MB; {right}; may answer "
        f"{one.coverage:.1%}{inside}; loses at most {one.loss_upper}; area {rung.area:.4f}; {rung.reason}"
    )


def apart(ladder: Ladder) -> list[str]:
    """Of each certified candidate: how often what it may answer is wrong, among empty answers and among others."""
    lines: list[str] = []
    for rung in ladder.rungs:
        if rung.evaluation is None or rung.evaluation.gate is None:
            continue
        inside = [o for o in rung.outcomes if o.admitted and o.answered and o.confidence >= rung.evaluation.gate]
        for name, wanted in (("empty", True), ("not empty", False)):
            group = [o for o in inside if says_nothing(o.answer) is wanted]
            if not group:
                continue
            wrong = sum(o.loss_local > 0 for o in group)
            lines.append(f"{rung.recipe}, {name}: wrong {share(wrong, len(group))} of those it may answer")
    return lines


def _shown(what: str, done: int, total: int | None) -> None:
    print(f"\r{what} {done}/{total}    ", end="", file=sys.stderr, flush=True)


async def main() -> None:
    task = sys.argv[1] if len(sys.argv) > 1 else "slots"
    examples = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    most = int(sys.argv[3]) if len(sys.argv) > 3 else 4000
    margin = float(sys.argv[5]) if len(sys.argv) > 5 else 0.05
    folder = data_folder()
    if folder is None:
        print("skipped: shared data not found")
        return
    with tempfile.TemporaryDirectory() as own:
        home = Path(sys.argv[4]) if len(sys.argv) > 4 and sys.argv[4] != "-" else Path(own)
        with open_services(load_settings(home=home, margin=margin)) as services:
            ladder, lines = await climb(services, messages_of(task, folder, most), task=task, examples=examples)
            lines += apart(ladder)
    text = "\n".join(lines)
    print(text)
    (RESULTS / f"adapt_ladder_{task}_{examples}_{margin:g}.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
