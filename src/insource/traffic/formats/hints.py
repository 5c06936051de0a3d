"""What to say of a file that no format takes: what it is, what was seen in it, which format is nearest, and the `--map`
that would take it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from insource.core.values import JsonObject
from insource.traffic.containers import BadLine
from insource.traffic.formats.fields import moment, number, structure

_SERVE = "Put insource in front instead, and it records whole exchanges: insource serve."
_EXPORT = "Export it again as JSON lines, JSON or CSV."
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "a Parquet file", "Write it as JSON lines: duckdb -c \"copy 'FILE' to 'log.jsonl' (format json)\"."),
    (b"ARROW1", "an Arrow file", "Write it as JSON lines, or as CSV."),
    (b"%PDF", "a PDF", "Name a log, as JSON lines, JSON, CSV or SQLite."),
    (b"\xd0\xcf\x11\xe0", "an old Office file", "Save it as CSV."),
    (b"\x80\x04", "a Python pickle, which runs code when it is read", "Write it as JSON lines."),
    (b"\x80\x05", "a Python pickle, which runs code when it is read", "Write it as JSON lines."),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it, and name the files in it."),
    (b"Rar!", "a RAR archive", "Unpack it, and name the files in it."),
)
_TAR_AT, _TAR = 257, b"ustar"
_TEXTS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"log_server_r|slot launch_slot_|llama_model_load|srv\s+\w+:"), "llama-server's own output", _SERVE),
    (re.compile(r"vllm|Received request (?:chat)?cmpl-", re.IGNORECASE), "vLLM's own output", _SERVE),
    (re.compile(r"\[GIN\] "), "Ollama's own output", _SERVE),
    (re.compile(r'"(?:GET|POST) /\S* HTTP/[\d.]+" \d{3}'), "a web server's access log", _SERVE),
    (
        re.compile(r"\s*<(?:!DOCTYPE|html|\?xml)", re.IGNORECASE),
        "a page of HTML or XML",
        "Export as JSON lines or CSV.",
    ),
)
_FIELDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("messages", re.compile(r"messages|conversation|dialog|turns|history", re.IGNORECASE)),
    (
        "prompt",
        re.compile(
            r"prompt|question|query|input|user|ask|text|instruction|request|message"
            r"|frage|eingabe|pregunta|consulta|domanda|richiesta|pergunta|demande|vraag",
            re.IGNORECASE,
        ),
    ),
    (
        "answer",
        re.compile(
            r"answer|response|output|completion|reply|assistant|bot|generat|result|chosen"
            r"|antwort|ausgabe|r[ée]ponse|respuesta|rispost|resposta|antwoord",
            re.IGNORECASE,
        ),
    ),
    ("label", re.compile(r"label|expected|gold|truth|reference|target|intent|class", re.IGNORECASE)),
    ("model", re.compile(r"model|engine|deployment", re.IGNORECASE)),
    ("created", re.compile(r"time|date|created|_at$|^ts$", re.IGNORECASE)),
)
_OTHERWISE = re.compile(r"^(?:id|role|object|type|kind|status|level|title)$|system|provider", re.IGNORECASE)
_NEAR = 0.5
_LONG_WORD = 20
_MOST_SHOWN = 12


class Known(Protocol):
    """A reader, as far as its records' keys go."""

    @property
    def name(self) -> str: ...

    @property
    def keys(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    seen: str
    """The end of a sentence that begins with the file."""
    next_step: str


def of_bytes(packed_head: bytes, head: bytes) -> Hint:
    """For a file that is neither JSON nor a table."""
    for magic, what, next_step in _MAGIC:
        if head.startswith(magic) or packed_head.startswith(magic):
            return Hint(seen=f"is {what}", next_step=next_step)
    if head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return Hint(seen="is a tar archive", next_step="Unpack it, and name the folder.")
    text = head[:4096].decode("utf-8", "replace")
    for pattern, what, next_step in _TEXTS:
        if pattern.search(text):
            return Hint(seen=f"is {what}, without the texts of requests and answers", next_step=next_step)
    return Hint(
        seen="holds neither JSON nor a table",
        next_step='Write one JSON object a line: {"request": {"model": …, "messages": […]}, "response": {…}}.',
    )


def of_unreadable(line: BadLine, *, of: int) -> Hint:
    """For a file of so many lines, of which none can be read, and the first of them."""
    if line.excerpt.lstrip().startswith(("{'", "[{'")):
        what, step = "records in Python's notation, which is not JSON", "Write each record with json.dumps."
    else:
        what, step = f"lines that can't be read (line {line.line_number}: {line.reason})", _EXPORT
    return Hint(seen=f"holds {of:,} {what}", next_step=step)


def of_records(records: Sequence[JsonObject], known: Iterable[Known]) -> Hint:
    """For records that no format recognises."""
    records = [_within(record) for record in records]
    keys = list(dict.fromkeys(key for record in records for key in record))
    shown = ", ".join(key[:40] for key in keys[:_MOST_SHOWN]) + (", …" if len(keys) > _MOST_SHOWN else "")
    nearest = max(known, key=lambda reader: _overlap(reader, keys), default=None)
    near = ""
    if nearest is not None and _overlap(nearest, keys) >= _NEAR:
        lacking = sorted(nearest.keys - set(keys))[:_MOST_SHOWN]
        near = f"; the nearest format is {nearest.name}" + (f" (without {', '.join(lacking)})" if lacking else "")
    guess = guessed(records)
    if "prompt" in guess or "messages" in guess:
        pairs = ",".join(f"{name}={path}" for name, path in guess.items())
        step = f"Try: --map {shlex.quote(pairs)}"
    else:
        step = "Say which fields hold the texts: --map prompt=FIELD,answer=FIELD"
    return Hint(seen=f"holds records with the fields {shown or '(none)'}{near}", next_step=step)


def _within(record: JsonObject) -> JsonObject:
    """The first object of a page's list, where the page itself says nothing."""
    listed = next((held for held in record.values() if isinstance(held, list) and held), None)
    said = any(isinstance(held, str) and " " in held for held in record.values())
    return cast("JsonObject", listed[0]) if listed and isinstance(listed[0], dict) and not said else record


def _overlap(reader: Known, keys: Sequence[str]) -> float:
    """The share of the record's keys that the format knows."""
    return len(reader.keys & set(keys)) / len(keys) if keys else 0.0


def guessed(records: Sequence[JsonObject]) -> Mapping[str, str]:
    """Field of a map -> path of the column that looks like it, by its name and by what it holds."""
    columns = _columns(records)
    texts = {path: held for path, held in columns.items() if all(isinstance(v, str) for v in held)}
    found: dict[str, str] = {}
    for name, pattern in _FIELDS:
        free = [path for path in columns if path not in found.values() and pattern.search(path.rpartition(".")[2])]
        if name == "messages":
            free = [path for path in free if all(isinstance(structure(v), list) for v in columns[path])]
        elif name == "created":
            free = [path for path in free if all(moment(v) is not None for v in columns[path])]
        elif not (name == "prompt" and "messages" in found):
            free = [path for path in free if path in texts and not _dull(texts[path])]
        else:
            free = []
        if free:
            found[name] = free[0]
    longest = sorted(
        (path for path in texts if path not in found.values() and not _is_named_otherwise(path, texts[path])),
        key=lambda path: -sum(len(value) for value in texts[path]),
    )
    if "prompt" not in found and "messages" not in found and longest:
        found = {"prompt": longest.pop(0), **found}
    if "answer" not in found and "label" not in found and longest:
        found["answer"] = longest[0]
    return found


def _is_named_otherwise(path: str, values: list[Any]) -> bool:
    """Whether a column's name or its values say that nobody asked or answered it."""
    return _OTHERWISE.search(path.rpartition(".")[2]) is not None or _dull(values)


def _dull(values: list[Any]) -> bool:
    """Times, numbers and ids are no texts that anybody said."""
    return all(
        moment(value) is not None
        or number(value) is not None
        or (len(value) > _LONG_WORD and " " not in value)
        or 2 * sum(map(str.isalpha, value)) < len(value)
        for value in values
    )


def _columns(records: Sequence[JsonObject]) -> dict[str, list[Any]]:
    """Path -> the values that records hold there; objects are looked into once."""
    found: dict[str, list[Any]] = {}
    for record in records:
        flat = dict(record)
        for key, value in record.items():
            if isinstance(value, dict):
                flat |= {f"{key}.{inner}": item for inner, item in value.items()}
        for path, value in flat.items():
            if value not in (None, "", [], {}):
                found.setdefault(path, []).append(value)
    return found
