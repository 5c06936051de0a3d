"""The plan that `insource plan` made last, as its JSON (DESIGN §8): what pages show is what `plan --json` said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from insource.config import Settings
from insource.core.errors import StorageError
from insource.core.values import JsonObject

FILE_NAME = "plan.json"


class _Lenient(dict[str, Any]):
    """A field that this plan does not have, because another insource wrote it, is None."""

    def __missing__(self, key: str) -> None:
        return None


def plan_file(settings: Settings) -> Path:
    return settings.home / FILE_NAME


def save_plan(document: JsonObject, path: Path) -> None:
    """For its owner's eyes: it quotes requests. Whole or not at all. Raises StorageError."""
    part = path.with_name(path.name + ".part")
    try:
        part.touch()
        part.chmod(0o600)
        part.write_text(json.dumps(document, ensure_ascii=False), "utf-8", "surrogatepass")
        part.replace(path)
    except OSError as error:
        raise StorageError(
            f"The plan can't be written to {str(path)!r}: {error.strerror}.",
            next_step="Check the folder, its permissions and the free space; `--json` prints the plan.",
        ) from error


def read_plan(settings: Settings) -> JsonObject | None:
    """None: there is none, or none that can be read; the next `insource plan` writes one."""
    try:
        document = json.loads(plan_file(settings).read_text("utf-8", "surrogatepass"), object_hook=_Lenient)
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and isinstance(document.get("tasks"), list) else None


def rows_of(plan: JsonObject | None) -> dict[str, JsonObject]:
    """Its tasks by their ids."""
    return {row["id"]: row for row in (plan or {}).get("tasks", [])}
