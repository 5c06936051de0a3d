"""JSON that strangers wrote about repositories, in whatever shape: which of its fields is which of ours.

Wrappers: lines, a list, a list under some key, objects by id. Names: the Hub API's own, and those in which other tools
write the same. A field counts as the id only where its values look like one (`org/name`, or an address of the Hub), so
that a number or a display name is none. What was taken for what is reported (`Shape`), and the user can say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, cast

from insource.core.errors import BadInput, UsageError

Record = Mapping[str, Any]

OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "modelId", "hf_id", "model_id", "repo_id", "dataset_id", "space_id", "hf_repo", "repository", "repo",
           "model", "full_name", "name", "url", "link", "href", "address", "hf_url", "html_url"),
    "created": ("createdAt", "created_at", "created", "release_date", "published_at"),
    "modified": ("lastModified", "last_modified", "updatedAt", "updated_at", "last_updated", "modified"),
    "downloads": ("downloads", "hf_downloads", "downloads_30d", "downloads_last_month", "monthly_downloads"),
    "downloads_all": ("downloadsAllTime", "downloads_all_time", "downloads_all", "total_downloads"),
    "likes": ("likes", "hf_likes", "like_count"),
    "trending": ("trendingScore", "trending_score", "trending"),
    "pipeline_tag": ("pipeline_tag", "task", "pipeline"),
    "library": ("library_name", "library"),
    "tags": ("tags",),
    "license": ("license", "licence", "license_id"),
    "languages": ("language", "languages"),
    "parameters": ("parameters_raw", "num_parameters", "parameter_count", "parameters", "params"),
    "base_models": ("base_model", "base_models", "parent_model"),
    "context": ("context", "context_length"),
    "gated": ("gated",),
    "sha": ("sha",),
}  # fmt: skip
"""Our columns, and how they are called in files, the Hub's own names first."""
OF_THE_API: Mapping[str, str] = {
    "created": "createdAt", "modified": "lastModified", "downloads_all": "downloadsAllTime",
    "trending": "trendingScore", "library": "library_name",
}  # fmt: skip
"""Of those that `api_lines.slim` reads under another name than ours."""
OF_THE_CARD: Mapping[str, str] = {"license": "license", "languages": "language", "base_models": "base_model"}
_NESTED = ("cardData", "card_data", "safetensors", "gguf", "config", "siblings", "baseModels", "runtime", "author",
           "sdk", "models", "datasets", "active_parameters", "private", "disabled", "_id")  # fmt: skip
"""Of the API's records: read as they are, or of no use here."""
ADDRESS = r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(datasets/|spaces/)?([\w.-]+/[\w.-]+)"
_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_SAMPLE = 100
_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What was taken for what."""

    wrapper: str
    """`lines`, `a list`, `a list in 'models'`, `objects by id`, …"""
    fields: Mapping[str, tuple[str, ...]]
    """Our column -> the file's fields for it; of each record the first that is stated counts."""
    unused: tuple[str, ...]
    addressed: str = ""
    """`datasets` or `spaces`, where the ids are addresses of those."""

    @property
    def is_usual(self) -> bool:
        """As the Hub's API and its clients write it."""
        return self.wrapper in ("lines", "a list", "one record") and all(
            fields[0] in OTHER_NAMES[column][:2] for column, fields in self.fields.items()
        )


def parse_map(text: str) -> dict[str, str]:
    """`id=hf_id,downloads=dl30`: our column -> the file's field. Raises UsageError."""
    pairs = [part.strip() for part in text.split(",") if part.strip()]
    found = {column.strip(): field.strip() for column, _, field in (pair.partition("=") for pair in pairs)}
    wrong = next((column for column, field in found.items() if column not in OTHER_NAMES or not field), None)
    if wrong is not None:
        raise UsageError(
            f"--map can't set {wrong!r}.",
            next_step=f"Write COLUMN=FIELD, comma-separated, with a column of: {', '.join(OTHER_NAMES)}.",
        )
    return found


def unwrap(found: object) -> tuple[str, Iterable[object]]:
    """The wrapper of a JSON document, and its records; none where it holds no list and no objects by id."""
    if isinstance(found, list):
        return "a list", cast("list[object]", found)
    if not isinstance(found, dict):
        return "one value", ()
    inside = cast("dict[str, Any]", found)
    if _id_field([inside], list(inside)) is not None:
        return "one record", (inside,)
    lists = {key: value for key, value in inside.items() if isinstance(value, list) and any(map(_is_record, value))}
    if lists:
        key = max(lists, key=lambda key: len(lists[key]))
        return f"a list in {key!r}", lists[key]
    if inside and all(isinstance(value, dict) for value in inside.values()) and any(map(_id_in, inside)):
        return "objects by id", ({"id": id, **value} for id, value in inside.items())
    deeper = [(key, unwrap(value)) for key, value in inside.items() if isinstance(value, dict)]
    return next(((f"{wrapper} of {key!r}", rows) for key, (wrapper, rows) in deeper if rows), ("an object", ()))


def shaped(records: Iterable[object], *, wrapper: str, chosen: Mapping[str, str]) -> tuple[Shape, Iterator[Record]]:
    """The records with the names of the Hub's API. `chosen` (`parse_map`) outranks what names tell. Raises BadInput
    where no field holds ids, UsageError for a chosen field that none has."""
    rest = (_as_record(record) for record in records)
    sample = list(islice(rest, _SAMPLE))
    shape = _shape(sample, wrapper=wrapper, chosen=chosen)
    return shape, (_renamed(record, shape.fields) for record in chain(sample, rest))


def id_of(text: str) -> str:
    """Of an address the id; anything else as it is."""
    found = re.match(ADDRESS, text)
    return found[2] if found else text


def pick_fields(names: Iterable[str], *, chosen: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Our column -> the fields that are called like it. Raises UsageError for a chosen one that is not there."""
    there = dict.fromkeys(names)
    missing = next((field for field in chosen.values() if field not in there), None)
    if missing is not None:
        raise UsageError(
            f"The source has no field {missing!r}.", next_step=f"Its fields: {', '.join(list(there)[:50])}."
        )
    by_name = {column: tuple(name for name in named if name in there) for column, named in OTHER_NAMES.items()}
    found = {**by_name, **{column: (field,) for column, field in chosen.items()}}
    return {column: fields for column, fields in found.items() if fields}


def no_ids(names: Sequence[str]) -> BadInput:
    """The error of a source whose ids can't be found."""
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return BadInput(
        "No field of the source holds repositories' ids (org/name, or an address of the Hub)."
        + (f" Its fields: {shown}." if names else " It holds no records."),
        next_step="Name the field that holds the ids: insource hub sync --from FILE --map id=FIELD",
    )


def _is_record(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and _id_in(value))


def _as_record(record: object) -> Record:
    if isinstance(record, str):
        return {"id": record}
    return cast("Record", record) if isinstance(record, dict) else {}


def _shape(sample: Sequence[Record], *, wrapper: str, chosen: Mapping[str, str]) -> Shape:
    names = list(dict.fromkeys(name for record in sample for name in record))
    fields = pick_fields(names, chosen=chosen)
    if "id" not in chosen:
        fields.pop("id", None)
        if (found := _id_field(sample, names)) is not None:
            fields = {"id": (found,), **fields}
    if "id" not in fields and any(sample):
        raise no_ids(names)
    ids = [_first(record, fields.get("id", ())) for record in sample]
    kinds = {found[1] for id in ids if isinstance(id, str) and (found := re.match(ADDRESS, id)) and found[1]}
    return Shape(
        wrapper=wrapper,
        fields=fields,
        unused=tuple(name for name in names if name not in {*_NESTED, *chain(*fields.values())}),
        addressed=kinds.pop().rstrip("/") if len(kinds) == 1 else "",
    )


def _id_field(sample: Sequence[Record], names: Sequence[str]) -> str | None:
    """The one whose values look like ids; the API's own two also where they have no owner, as the oldest models."""
    for name in OTHER_NAMES["id"]:
        values = [value for record in sample if (value := record.get(name)) is not None] if name in names else []
        texts = [value for value in values if isinstance(value, str)]
        own = name in ("id", "modelId") and bool(texts)
        if own or (values and 2 * sum(map(_id_in, texts)) > len(values)):
            return name
    return None


def _id_in(text: str) -> bool:
    return _ID.fullmatch(text) is not None or re.match(ADDRESS, text) is not None


def _first(record: Record, fields: Sequence[str]) -> Any:
    return next((value for field in fields if (value := record.get(field)) is not None), None)


def _renamed(record: Record, fields: Mapping[str, Sequence[str]]) -> Record:
    card = record.get("cardData", record.get("card_data"))
    told: dict[str, Any] = {name: record[name] for name in _NESTED if name in record}
    plain: dict[str, Any] = {}
    for column, names in fields.items():
        value = _first(record, names)
        if value is None:
            continue
        if column == "id":
            told["id"] = id_of(value) if isinstance(value, str) else value
        elif column == "parameters":
            told.setdefault("safetensors", {"total": value} if isinstance(value, int) else None)
        elif column in OF_THE_CARD:
            plain[OF_THE_CARD[column]] = value
        else:
            told[OF_THE_API.get(column, column)] = value
    if plain and not isinstance(card, str):
        told["cardData"] = {**plain, **(cast("dict[str, Any]", card) if isinstance(card, dict) else {})}
    return told
