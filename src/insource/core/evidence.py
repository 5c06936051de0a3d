"""The words of evidence (DESIGN §1, §6) as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from insource.core.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a task: for people, in order."""

    created: datetime
    task_id: str | None
    kind: str
    text: str
    """Sentences, with the next command where there is one."""
    figures: JsonObject = field(default_factory=dict[str, Any])
