"""Whether two JSON values say the same under a JSON Schema. Pure, and safe on hostile values.

Types, enums, defaults and optional properties come from the schema alone; there is no table of synonyms. A default that
only the description states ("Default is 'metric'") counts as one: that is where tool schemas put most of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from insource.core.answers import normalise

_RELATIVE = 1e-6
_DEEPEST = 40
_MISSING = object()
_DEFAULT = re.compile(r"default", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.(?=\s|$)|;|\n")
_OPERATOR = re.compile(r"\s*([-+*/^=<>(),:])\s*")
_QUOTES = re.compile(r"[\"'`“”‘’]")
_YES_NO: Mapping[str, bool] = {"true": True, "false": False}
_ZERO: Mapping[str, float] = {"zero": 0.0, "one": 1.0}


def same(a: Any, b: Any, schema: Any = None, *, depth: int = 0) -> bool:
    """Whether a reader of the schema could not tell the two apart."""
    schema = schema if isinstance(schema, dict) else {}
    if depth > _DEEPEST:
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return _same_objects(a, b, schema, depth=depth)
    if isinstance(a, list) and isinstance(b, list):
        return _same_lists(a, b, schema, depth=depth)
    a, b = _typed(a, schema), _typed(b, schema)
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=_RELATIVE, abs_tol=_RELATIVE)
    if isinstance(a, str) and isinstance(b, str):
        return a == b or _folded(a) == _folded(b)
    return False


def _same_objects(a: Mapping[str, Any], b: Mapping[str, Any], schema: Mapping[str, Any], *, depth: int) -> bool:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    named = schema.get("required")
    required = named if isinstance(named, list) else []
    for name in a.keys() | b.keys():
        own, said, wanted = properties.get(name), a.get(name, _MISSING), b.get(name, _MISSING)
        if said is not _MISSING and wanted is not _MISSING:
            if not same(said, wanted, own, depth=depth + 1):
                return False
        elif name in required or not _says_nothing(wanted if said is _MISSING else said, own, depth=depth + 1):
            return False
    return True


def _same_lists(a: list[Any], b: list[Any], schema: Mapping[str, Any], *, depth: int) -> bool:
    if len(a) != len(b):
        return False
    items = schema.get("items")
    if not schema.get("uniqueItems"):
        return all(same(x, y, items, depth=depth + 1) for x, y in zip(a, b, strict=True))
    left = list(b)
    for x in a:
        found = next((at for at, y in enumerate(left) if same(x, y, items, depth=depth + 1)), None)
        if found is None:
            return False
        del left[found]
    return True


def _says_nothing(value: Any, schema: Any, *, depth: int) -> bool:
    """Whether an optional property with this value is as good as absent: null where a type allows none, or its
    default."""
    if not isinstance(schema, dict):
        return value is None
    if value is None or value in ("", [], {}):
        return True
    if "default" in schema:
        return same(value, schema["default"], schema, depth=depth)
    return _is_stated_default(value, str(schema.get("description") or ""))


def _is_stated_default(value: Any, description: str) -> bool:
    """Whether the clause of the description that speaks of a default names this very value, and no other one of its
    kind."""
    for clause in _SENTENCE_END.split(description):
        found = _DEFAULT.search(clause)
        if found is None:
            continue
        text = f" {_plain(clause)} "
        if isinstance(value, bool):
            return f" {str(value).casefold()} " in text
        if isinstance(value, int | float):
            numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", text)]
            numbers += [number for word, number in _ZERO.items() if f" {word} " in text]
            return any(math.isclose(value, number, rel_tol=_RELATIVE) for number in numbers[:3])
        if isinstance(value, str) and value.strip():
            return f" {_plain(value)} " in text
    return False


def _plain(text: str) -> str:
    return re.sub(r"[^\w.%-]+", " ", text.casefold()).replace(". ", " ").strip(" .")


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value in the type that the schema asks for, where it spells one."""
    wanted = schema.get("type")
    if isinstance(value, str) and wanted in ("integer", "number"):
        try:
            number = float(value.replace(",", "").strip())
        except ValueError:
            return value
        return number if math.isfinite(number) else value
    if isinstance(value, str) and wanted == "boolean":
        return _YES_NO.get(value.strip().casefold(), value)
    if isinstance(value, int | float) and not isinstance(value, bool) and wanted == "string":
        return f"{value:g}" if isinstance(value, float) else str(value)
    return value


def _folded(text: str) -> str:
    """Case, white space, quotes and the blanks around operators do not make another value; nor does `**` for `^`."""
    text = _QUOTES.sub("", normalise(text)).replace("**", "^")
    return _OPERATOR.sub(r"\1", text)
