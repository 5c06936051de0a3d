"""`insource label`: a person says what the right answer is, of one exchange or of many from a file."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from insource.core.errors import BadInput, UsageError
from insource.core.stores import ExchangeFilter
from insource.core.values import Task
from insource.traffic.resolve import resolve_task
from insource.workflows.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
    task: Task
    labelled: int
    unknown: tuple[str, ...]
    """Ids in the file that are no exchanges of the task."""


def label_exchange(services: Services, task_name: str, exchange_id: str, *, reference: str) -> LabelReport:
    """Sets what the exchange's answer should have been. Raises UsageError for an id that is not in the task."""
    report = label_exchanges(services, task_name, {exchange_id: reference})
    if report.unknown:
        raise UsageError(
            f"Task {report.task.name!r} has no exchange {exchange_id!r}.",
            next_step="`insource tasks --assignments FILE.csv` writes the ids.",
        )
    return report


def label_exchanges(services: Services, task_name: str, references: dict[str, str]) -> LabelReport:
    task = resolve_task(services.registry.tasks(), task_name)
    assigned = services.exchanges.assignments()
    wanted = frozenset(id for id in references if assigned.get(id) == task.id)
    known = {item.id for item in services.exchanges.read(ExchangeFilter(ids=wanted))} if wanted else set[str]()
    for exchange_id in sorted(known):
        services.exchanges.set_reference(exchange_id, reference=references[exchange_id], kind="label")
    unknown = tuple(sorted(set(references) - known))
    return LabelReport(task=task, labelled=len(known), unknown=unknown)


def label_file(services: Services, task_name: str, path: Path) -> LabelReport:
    """A CSV with the columns `exchange_id` and `reference`. Raises BadInput; nothing is set when a line is bad."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if not {"exchange_id", "reference"} <= set(rows.fieldnames or ()):
                raise BadInput(
                    f"{path.name!r} has no columns exchange_id and reference.",
                    next_step="Its first line must be: exchange_id,reference",
                )
            references: dict[str, str] = {}
            for row in rows:
                if not row["exchange_id"] or not row["reference"]:
                    raise BadInput(
                        f"Line {rows.line_num} of {path.name!r} lacks an exchange id or a reference.",
                        next_step="Complete or remove the line; nothing was changed.",
                    )
                references[row["exchange_id"]] = row["reference"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path.name!r} can't be read as CSV: {error}.", next_step="Check the file.") from error
    return label_exchanges(services, task_name, references)
