"""Finding implementations by name through entry points: the only module that imports by name.

The built-ins are listed in pyproject.toml under the same groups as anybody else's package, so a plugin can do what a
built-in does, and the other way round.

    insource.recipes      name -> a Recipe instance or a class without arguments
    insource.scorers      name -> a Scorer
    insource.detectors    name -> a PrivacyDetector
    insource.readers      name -> a reader of a foreign log format (see traffic/readers.py)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from insource.core.errors import UsageError

GROUPS = ("recipes", "scorers", "detectors", "readers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    group: str
    name: str
    package: str
    """Distribution that provides it, with its version; "" where the metadata does not say."""


def names(group: str) -> list[str]:
    """Names registered for a group such as `recipes`, sorted."""
    return sorted({point.name for point in entry_points(group=f"insource.{group}")})


def installed() -> list[Plugin]:
    """Everything that is registered, the built-ins too, by group and name; a name that is taken twice comes twice."""
    return [
        Plugin(group=group, name=point.name, package=_package(point))
        for group in GROUPS
        for point in sorted(entry_points(group=f"insource.{group}"), key=lambda point: (point.name, _package(point)))
    ]


def load(group: str, name: str) -> Any:
    """The registered object; a class is called without arguments.

    Raises UsageError for an unknown name, for one that two packages register, and for a package that can't be loaded;
    one that says itself what it lacks is left to say it.
    """
    return _loaded(group, name, list(entry_points(group=f"insource.{group}", name=name)))


def _loaded(group: str, name: str, points: list[EntryPoint]) -> Any:
    kind = group.rstrip("s")
    if not points:
        known = ", ".join(names(group)) or "none"
        raise UsageError(
            f"There is no {kind} named {name!r} (known: {known}).",
            next_step="Choose a known name, or install the package that provides it.",
        )
    if len(points) > 1:
        packages = " and ".join(sorted(_package(point) for point in points))
        raise UsageError(
            f"Two {group} are named {name!r}: one of {packages}.",
            next_step="Uninstall one of the packages, or ask its author to rename it.",
        )
    try:
        found = points[0].load()
        return found() if isinstance(found, type) else found
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"The {kind} {name!r} of {_package(points[0])} can't be loaded: {type(error).__name__}: {error}.",
            next_step="Repair or uninstall that package.",
        ) from error


def load_all(group: str) -> list[Any]:
    """Every registered object of a group, in the order of their names."""
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=f"insource.{group}"):  # once: a look-up reads the metadata of every package
        points.setdefault(point.name, []).append(point)
    return [_loaded(group, name, points[name]) for name in sorted(points)]


class Group(Mapping[str, Any]):
    """The registered objects of a group by name, each loaded when it is asked for."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._names = cache(lambda: names(group))
        self._load = cache(lambda name: load(group, name))

    def __getitem__(self, name: str) -> Any:
        if name not in self._names():
            raise KeyError(name)
        return self._load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""
