"""Values as JSON, for hashes and bundles. Pure."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC
from typing import Any


def plain(value: Any) -> Any:
    """A dataclass as JSON values: enums and paths as text, times as ISO 8601 in UTC, tuples as lists."""
    if hasattr(value, "__dataclass_fields__"):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "isoformat"):
        return value.astimezone(UTC).isoformat()
    return value if isinstance(value, bool | int | float | str | None) else str(value)
