"""What the Hub tells of one repository's files: one request for their hashes, one more where a configuration may name a
parent and the answer does not hold it already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from heapq import nlargest
from typing import Any, cast
from urllib.parse import quote

from httpx2 import HTTPError
from huggingface_hub.errors import DisabledRepoError, HfHubHTTPError, RepositoryNotFoundError

from insource.core.errors import DownloadFailed
from insource.hub.repo_files import ADAPTER_CONFIG, MODEL_CONFIG, RepoFiles, Weight
from insource.hub.sources.hub_api import endpoint_of, get
from insource.hub.sources.rows import LONGEST_TEXT, MOST_FILES

_KEYS: Mapping[str, str] = {ADAPTER_CONFIG: "base_model_name_or_path", MODEL_CONFIG: "_name_or_path"}
_WEIGHT = re.compile(r"\.(?:safetensors|gguf|ggml|bin|pt|pth|ckpt|h5|msgpack|onnx|onnx_data|npz|mlmodel|tflite|nemo)$")
_NO_WEIGHT = re.compile(r"(?:^|/)(?:optimizer|scheduler|training_args|rng_state|scaler|random_states)[^/]*$")
"""Leftovers of a training."""
_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_CONFIG_BYTES = 1 << 20
_MOST_BYTES = 1 << 50
_TOO_MANY = 429


class Refused(DownloadFailed):
    """Of this repository, for a reason that the Hub does not name; others may still be told."""


def ask_files(id: str, *, hub_url: str, now: datetime, begun: bool) -> RepoFiles:
    """The answer. Raises Refused where the Hub won't speak of this one, DownloadFailed where it gives no answer;
    `begun`: it answered before, so that it is worth waiting for."""
    endpoint = endpoint_of(hub_url)
    try:
        told = _record(endpoint, id, begun=begun)
        called = _short(told.get("id")) or id
        if called != id:
            if not _ID.fullmatch(called):
                raise ValueError(f"it answered about {called!r}")
            told = _record(endpoint, called, begun=True)  # a redirect may forget what was asked
        siblings = _siblings(told.get("siblings"))
        config, names = _named_parent(told, siblings, f"{endpoint}/{quote(called)}")
    except (HTTPError, OSError, ValueError) as error:
        if isinstance(error, RepositoryNotFoundError | DisabledRepoError):
            return RepoFiles(id=id, asked=now, found=False)
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
        why = f"it answered {status}" if status else (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise (Refused if 400 <= status < 500 and status != _TOO_MANY else DownloadFailed)(
            f"{endpoint} did not tell the files of {id!r}: {why[:300]}.",
            next_step="Check the network and `hub_url`; the same command goes on from there.",
        ) from error
    return RepoFiles(
        id=id,
        asked=now,
        renamed_to=called if called != id else None,
        config=config,
        names=names,
        weights=_weights(siblings),
        stored_bytes=sum(stored.size_bytes for one in siblings if (stored := _stored(one)) is not None),
    )


def _record(endpoint: str, id: str, *, begun: bool) -> dict[str, Any]:
    record: Any = get(f"{endpoint}/api/models/{quote(id)}?blobs=true", begun=begun).json()
    if not isinstance(record, dict):
        raise ValueError("the answer is not an object")
    return cast("dict[str, Any]", record)


def _named_parent(
    record: dict[str, Any], siblings: Sequence[dict[str, Any]], address: str
) -> tuple[str | None, str | None]:
    """The file that names a parent, and what it says."""
    sizes = {one["rfilename"]: one.get("size") for one in siblings}
    found = ADAPTER_CONFIG if ADAPTER_CONFIG in sizes else MODEL_CONFIG
    size = sizes.get(found)
    if not isinstance(size, int) or size > _MOST_CONFIG_BYTES:
        return None, None
    config: Any = record.get("config")
    adapter: Any = cast("dict[str, Any]", config).get("peft") if isinstance(config, dict) else None
    if found == ADAPTER_CONFIG and isinstance(adapter, dict):
        said = _short(cast("dict[str, Any]", adapter).get(_KEYS[found]))
    else:
        revision = quote(_short(record.get("sha")) or "main", safe="")
        said = _short(_read_config(f"{address}/resolve/{revision}/{found}").get(_KEYS[found]))
    return (found, said) if said else (None, None)


def _read_config(url: str) -> dict[str, Any]:
    """Empty where it may not be read, or is no configuration: it is a stranger's file."""
    try:
        data = cast("bytes", get(url, begun=True).content)
        config: Any = json.loads(data) if len(data) <= _MOST_CONFIG_BYTES else None
    except HfHubHTTPError as error:
        if error.response.status_code >= 500 or error.response.status_code == _TOO_MANY:
            raise
        return {}
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", config) if isinstance(config, dict) else {}


def _siblings(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [
        one
        for one in cast("list[Any]", value)
        if isinstance(one, dict) and isinstance(cast("Any", one).get("rfilename"), str)
    ]


def _weights(siblings: Sequence[dict[str, Any]]) -> tuple[Weight, ...]:
    """The largest first; so many that no model has more."""
    named = (one for one in siblings if _WEIGHT.search(one["rfilename"].lower()))
    found = [weight for one in named if (weight := _stored(one)) is not None]
    return tuple(nlargest(MOST_FILES, found, key=lambda weight: weight.size_bytes))


def _stored(sibling: dict[str, Any]) -> Weight | None:
    """None: a training's, or a file so small that the Hub keeps it in git itself, without this hash."""
    stored = sibling.get("lfs")
    if not isinstance(stored, dict) or _NO_WEIGHT.search(sibling["rfilename"].lower()):
        return None
    lfs = cast("dict[str, Any]", stored)
    digest, size = lfs.get("sha256"), lfs.get("size", sibling.get("size"))
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest) or not isinstance(size, int) or size <= 0:
        return None
    return Weight(size_bytes=min(size, _MOST_BYTES), sha256=digest)


def _short(value: Any) -> str | None:
    """A text that may be a name."""
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable() else None
