"""Finding implementations by name through entry points: the only module that imports by name.

The built-ins are listed in pyproject.toml under the same groups as anybody else's package, so a plugin can do what a
built-in does, and the other way round.

    insource.recipes      name -> a Recipe instance or a class without arguments
    insource.scorers      name -> a Scorer
    insource.detectors    name -> a PrivacyDetector
    insource.readers      name -> a reader of a foreign log format (see traffic/readers.py)
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from insource.core.errors import UsageError


def names(group: str) -> list[str]:
    """Names registered for a group such as `recipes`, sorted."""
    return sorted({point.name for point in entry_points(group=f"insource.{group}")})


def load(group: str, name: str) -> Any:
    """The registered object; a class is called without arguments. Raises UsageError for an unknown name."""
    for point in entry_points(group=f"insource.{group}", name=name):
        found = point.load()
        return found() if isinstance(found, type) else found
    known = ", ".join(names(group)) or "none"
    raise UsageError(
        f"There is no {group.rstrip('s')} named {name!r} (known: {known}).",
        next_step="Choose a known name, or install the package that provides it.",
    )


def load_all(group: str) -> list[Any]:
    """Every registered object of a group, in the order of their names."""
    return [load(group, name) for name in names(group)]
