"""What the Hub's API says of repositories, as JSON lines: slimmed in Python, then read by DuckDB.

Two writings: the API's own (also in a listing's pages), and records that a client parsed and printed (names in snake
case, the card as YAML, files as `RepoSibling(...)`). Of a card only what a snapshot keeps is taken, never its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from insource.hub.duck import quoted
from insource.hub.sources.rows import (
    LONGEST_TEXT,
    MOST_FILES,
    MOST_TAGS,
    RAW_COLUMNS,
    WRITTEN_SAFETENSORS,
    raw_safetensors,
)

_CARD_KEYS = ("license", "license_name", "language", "base_model")
_LONGEST_CARD = 200_000
_MOST_DTYPES = 64
_BIGGEST = 1 << 62
_FILE_NAME = re.compile(r"""rfilename=(?:'([^']*)'|"([^"]*)")""")


def raw_lines(path: Path) -> str:
    """The relation with `rows.RAW_COLUMNS` of a file of `slim` lines."""
    written = {**RAW_COLUMNS, "safetensors": WRITTEN_SAFETENSORS}
    columns = ", ".join(f"{quoted(name)}: {quoted(type)}" for name, type in written.items())
    return f"""(SELECT * REPLACE ({raw_safetensors("safetensors")} AS safetensors) FROM read_json({quoted(str(path))},
        format = 'newline_delimited', columns = {{{columns}}}, ignore_errors = true))"""


def write_lines(records: Iterable[Mapping[str, Any]], path: Path) -> tuple[int, int]:
    """Writes slim lines; (written, records refused because they name no repository)."""
    written = refused = 0
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            line = slim(record)
            if line is None:
                refused += 1
                continue
            file.write(line + "\n")
            written += 1
    return written, refused


def slim(record: Mapping[str, Any]) -> str | None:
    """One line with `rows.RAW_COLUMNS` only, or None for what names no repository."""
    id = record.get("id") or record.get("modelId")
    if not isinstance(id, str) or not id.strip() or len(id) > LONGEST_TEXT:
        return None

    def first(*names: str) -> Any:
        return next((record[name] for name in names if record.get(name) is not None), None)

    gguf = first("gguf")
    kept = {
        "id": id,
        "createdAt": _text(first("createdAt", "created_at")),
        "lastModified": _text(first("lastModified", "last_modified")),
        "downloads": _count(first("downloads")),
        "downloadsAllTime": _count(first("downloadsAllTime", "downloads_all_time")),
        "likes": _count(first("likes")),
        "trendingScore": _number(first("trendingScore", "trending_score")),
        "pipeline_tag": _text(first("pipeline_tag")),
        "library_name": _text(first("library_name")),
        "tags": _texts(first("tags"), most=MOST_TAGS),
        "cardData": _card(first("cardData", "card_data")),
        "safetensors": _safetensors(first("safetensors")),
        "gguf": _picked(gguf, "total", "architecture", "context_length"),
        "baseModels": first("baseModels"),
        "config": _config(first("config")),
        "gated": _gated(first("gated")),
        "sha": _text(first("sha")),
        "siblings": _files(first("siblings")),
        "context": _count(first("context")),
        "active_parameters": _count(first("active_parameters")),
        "sdk": _text(first("sdk")),
        "models": _texts(first("models"), most=MOST_TAGS),
        "datasets": _texts(first("datasets"), most=MOST_TAGS),
        "runtime": _runtime(first("runtime")),
    }
    line = json.dumps({name: value for name, value in kept.items() if value is not None})
    return line if len(line) < 4_000_000 else None


def read_records(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The records of JSON lines; a line that holds none gives an empty one, so that it is counted."""
    for line in lines:
        if line.strip():
            try:
                record: object = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            yield cast("Mapping[str, Any]", record) if isinstance(record, dict) else {}


def _text(value: Any) -> str | None:
    return value[:LONGEST_TEXT] if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _BIGGEST else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value == value else None


def _texts(value: Any, *, most: int) -> list[str] | None:
    return [x[: 2 * LONGEST_TEXT] for x in value[: most + 1] if isinstance(x, str)] if isinstance(value, list) else None


def _gated(value: Any) -> str | None:
    if isinstance(value, bool):
        return "no" if not value else "auto"
    return _text(value)


def _runtime(value: Any) -> dict[str, Any] | None:
    """A Space's; its hardware is what runs now."""
    if not isinstance(value, dict):
        return None
    whole = cast("dict[str, Any]", value)
    hardware = whole.get("hardware")
    now: Any = cast("dict[str, Any]", hardware).get("current") if isinstance(hardware, dict) else hardware
    return {"stage": _text(whole.get("stage")), "hardware": _text(now)}


def _picked(value: Any, *names: str) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    whole = cast("dict[str, Any]", value)
    kept = {name: whole[name] for name in names if isinstance(whole.get(name), str | int)}
    return {name: item[:LONGEST_TEXT] if isinstance(item, str) else _count(item) for name, item in kept.items()}


def _config(value: Any) -> dict[str, Any] | None:
    kept = _picked(value, "model_type")
    if kept is not None and (adapter := _picked(value.get("peft"), "base_model_name_or_path")):
        kept["peft"] = adapter
    return kept


def _safetensors(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    whole = cast("dict[str, Any]", value)
    by_type: Any = whole.get("parameters")
    stated: dict[str, Any] = {"total": _count(whole.get("total"))}
    if isinstance(by_type, dict):
        counted = cast("dict[str, Any]", by_type)
        stated["parameters"] = {name: _count(count) for name, count in list(counted.items())[:_MOST_DTYPES]}
    return stated


def _card(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        value = _yaml(value)
    if not isinstance(value, dict):
        return None
    card = cast("dict[str, Any]", value)
    return {name: item for name in _CARD_KEYS if (item := _word_or_words(card.get(name))) is not None}


def _word_or_words(value: Any) -> str | list[str] | None:
    return _text(value) if isinstance(value, str) else _texts(value, most=MOST_TAGS)


def _yaml(text: str) -> Any:
    if len(text) > _LONGEST_CARD:
        return None
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _files(value: Any) -> list[str] | None:
    if not isinstance(value, list):
        return None
    names: list[str] = []
    for item in cast("list[Any]", value)[: MOST_FILES + 1]:
        name: Any = cast("dict[str, Any]", item).get("rfilename") if isinstance(item, dict) else item
        if not isinstance(name, str):
            continue
        found = _FILE_NAME.search(name) if name.startswith("RepoSibling(") else None
        names.append((found[1] or found[2] or "") if found else name)
    return names
