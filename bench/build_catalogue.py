"""Makes the catalogue snapshot that ships with insource from the shared model records (llmfit 1.1.17, MIT).

    python bench/build_catalogue.py [DATA_FOLDER]        writes src/insource/hub/snapshot_2026_10.jsonl.gz

The records fill in what they do not know. What can be told from a stated value is taken out again here:
* a context of 4,096 where the record knows no layers either is its default (its `config.json` could not be read);
* `format: gguf` is its default too. The name decides, and what is left is safetensors: these records were counted from
  safetensors headers;
* active parameters are its own estimate (5 % shared) except where they are published, which are round millions;
* no downloads and no likes together with no date of creation are a listing that did not carry them.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from insource.hub.names import format_of
from insource.hub.snapshot import SnapshotHeader, SnapshotRow, shipped_snapshot
from insource.hub.sources.october import published_active, stated_context

_ROOT = Path(__file__).parents[1]
_SOURCE = "Hugging Face Hub model records as gathered by llmfit 1.1.17 (AlexsJones/llmfit, MIT), October 2026"
_LANGUAGE = re.compile(r"[a-z]{2,3}")


def row_of(record: Mapping[str, Any]) -> SnapshotRow:
    def number(name: str) -> int | None:
        return record.get(name)

    undated = record.get("release_date") is None
    experts = bool(record.get("is_moe"))
    stated_format = record.get("format") or ""
    return SnapshotRow(
        id=record["name"],
        parameters=number("parameters_raw"),
        active_parameters=published_active(record),
        model_type=_stated(record["architecture"]),
        pipeline_tag=_stated(record["pipeline_tag"]),
        capabilities=record["capabilities"],
        languages=[tag for tag in record.get("languages") or [] if _LANGUAGE.fullmatch(tag)],
        context_tokens=stated_context(record),
        license=record.get("license"),
        downloads=number("hf_downloads") or (None if undated else 0),
        likes=number("hf_likes") or (None if undated else 0),
        released=record.get("release_date"),
        format=(stated_format if stated_format not in ("", "gguf") else format_of(record["name"])) or "safetensors",
        gguf_repositories=[source["repo"] for source in record.get("gguf_sources") or []],
        layers=number("num_hidden_layers"),
        attention_heads=number("num_attention_heads"),
        kv_heads=number("num_key_value_heads"),
        head_width=number("head_dim"),
        embedding_width=number("hidden_size"),
        vocabulary=number("vocab_size"),
        experts=number("num_experts") if experts else None,
        experts_used=number("active_experts") if experts else None,
        expert_width=number("moe_intermediate_size") if experts else None,
    )


def _stated(value: str) -> str:
    return "" if value == "unknown" else value


def build(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The same records give the same bytes."""
    days = [record["release_date"] for record in records if record.get("release_date")]
    days += [record["_revalidated"] for record in records if record.get("_revalidated")]
    header = SnapshotHeader(as_of=date.fromisoformat(max(days)), source=_SOURCE)
    lines = [msgspec.json.encode(header), *(msgspec.json.encode(row_of(record)) for record in records)]
    path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n", 9, mtime=0))


def main() -> None:
    data = Path(sys.argv[1] if sys.argv[1:] else os.environ.get("INSOURCE_DATA") or _ROOT.parent / "shared" / "data")
    with gzip.open(data / "hub" / "models_2026-10.json.gz", "rt", encoding="utf-8") as file:
        records: list[dict[str, Any]] = json.load(file)
    path = shipped_snapshot()
    build(records, path)
    print(f"{len(records):,} models, {path.stat().st_size:,} bytes: {path.relative_to(_ROOT)}")


if __name__ == "__main__":
    main()
