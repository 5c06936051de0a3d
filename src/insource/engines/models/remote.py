"""What a repository on the Hub holds, read from the beginnings of its files: nothing is downloaded, nothing is kept.

One request a file: the body is read as far as its header goes, then the connection is closed. A Range says from the
start how much that may be at most, and a server that ignores it does no harm. What comes is text from strangers:
lengths are checked before anything is read, names never leave the repository.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, TypeVar, cast

from httpx2 import HTTPError
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

from insource.core.errors import BadModelFile, DownloadFailed, UnknownModel
from insource.core.gguf import GgufHeader, TensorInfo, joined
from insource.core.remote import HeaderFile, RemoteFile, RemoteModel
from insource.engines.models.gguf import parse_header
from insource.engines.models.refs import ModelRef, is_gguf, parse_ref, pick_shards, safe_path

_MOST_HEADER_BYTES = 64 << 20
"""Of one file; the largest vocabularies make headers of 20 MB."""
_MOST_JSON_BYTES = 32 << 20
"""Of a config.json or an index: DeepSeek-V3's index of 91,991 tensors has 9 MB."""
_MOST_FILES = 512
_CHUNK_BYTES = 64 << 10
_AT_ONCE = 8
"""Files read side by side: a large model has 163."""
_INDEX = "model.safetensors.index.json"
_NOT_WEIGHTS = ("adapter", "consolidated", "optimizer", "training")
"""Beginnings of safetensors files that are no part of the model, or the same weights once more."""
_BITS: Mapping[str, int] = {
    "F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I8": 8, "U8": 8, "BOOL": 8, "F4": 4,
}  # fmt: skip
"""Of one value, by safetensors' names."""

T = TypeVar("T")


def read_remote(ref: str, *, hub_url: str = "", timeout_seconds: float = 10.0) -> RemoteModel:
    """`org/name`, `org/name:QUANT` or `org/name:file.gguf`. The token, if one is needed, is the Hub client's own.

    Raises UsageError for another form of reference, UnknownModel, DownloadFailed (offline, gated, refused) and
    BadModelFile.
    """
    return _Hub(hub_url, timeout_seconds).read(parse_ref(ref))


class _Hub:
    def __init__(self, hub_url: str, timeout_seconds: float) -> None:
        self._endpoint = hub_url.rstrip("/") or None
        self._timeout_seconds = timeout_seconds

    def read(self, ref: ModelRef) -> RemoteModel:
        if ref.scheme != "hub":
            raise UnknownModel(
                f"{ref.place!r} is not on the Hub.", next_step="Name a repository on the Hub as `org/name`."
            )
        info = self._info(ref.place)
        sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or []}
        license_id: object = (info.card_data or {}).get("license")
        counted = info.safetensors
        model = RemoteModel(
            id=ref.place,
            commit=info.sha or "",
            license=license_id[:100] if isinstance(license_id, str) else None,
            files=(),
            parameters=max(counted.total, sum(counted.parameters.values())) if counted else None,
        )
        if any(is_gguf(name) for name in sizes):
            return self._gguf(model, ref, sizes)
        if ref.selector:
            raise UnknownModel(
                f"The repository {ref.place!r} holds no GGUF file, so there is no {ref.selector!r} in it.",
                next_step=f"Ask for `{ref.place}` itself, or for a repository with GGUF files.",
            )
        return self._safetensors(model, sizes)

    def _info(self, place: str) -> ModelInfo:
        try:
            return HfApi(endpoint=self._endpoint).model_info(place, files_metadata=True, timeout=self._timeout_seconds)
        except GatedRepoError as error:
            raise _gated(place) from error
        except RepositoryNotFoundError as error:
            raise UnknownModel(
                f"The Hub has no model repository {place!r}, or it is private.",
                next_step="Check the spelling; for a private one, `hf auth login`.",
            ) from error
        except (HTTPError, OSError) as error:
            raise self._failed(place, error) from error

    # ------------------------------------------------------------------------------------------------------ GGUF

    def _gguf(self, model: RemoteModel, ref: ModelRef, sizes: dict[str, int]) -> RemoteModel:
        names = pick_shards(ref.place, list(sizes), ref.selector)

        def read(name: str) -> tuple[GgufHeader, HeaderFile]:
            with self._opened(model, name) as file:
                header = parse_header(cast("BinaryIO", file), sizes[name], name=f"{ref.place}:{name}")
                data = file.passed(header.data_start_bytes)
            return header, HeaderFile(name=name.rpartition("/")[2], size_bytes=sizes[name], data=data)

        found = _side_by_side(read, names)
        header = joined([header for header, _ in found])
        return replace(
            model,
            id=f"{ref.place}:{names[0]}",
            header=header,
            projector=_projector(sizes),
            header_files=tuple(file for _, file in found),
            files=tuple(RemoteFile(name=name, size_bytes=sizes[name]) for name in names),
            license=model.license or header.license,
        )

    # ----------------------------------------------------------------------------------------------- safetensors

    def _safetensors(self, model: RemoteModel, sizes: dict[str, int]) -> RemoteModel:
        if "config.json" not in sizes:
            raise UnknownModel(
                f"The repository {model.id!r} holds neither a GGUF file nor a config.json.",
                next_step="Name a repository with a model in it.",
            )
        config = self._json(model, "config.json")
        names = self._weight_files(model, sizes)

        def read(name: str) -> tuple[TensorInfo, ...]:
            with self._opened(model, name) as file:
                return _safetensors_header(cast("BinaryIO", file), sizes[name], name=f"{model.id}:{name}")

        tensors = tuple(tensor for found in _side_by_side(read, names) for tensor in found)
        files = tuple(RemoteFile(name=name, size_bytes=sizes[name]) for name in names)
        return replace(model, config=config, tensors=tensors, files=files)

    def _weight_files(self, model: RemoteModel, sizes: dict[str, int]) -> list[str]:
        if _INDEX in sizes:
            weight_map: object = self._json(model, _INDEX).get("weight_map")
            named = cast("dict[str, object]", weight_map).values() if isinstance(weight_map, dict) else []
            names = sorted({name for name in named if isinstance(name, str)})
            strange = next((name for name in names if name not in sizes or safe_path(name) is None), None)
            if strange is not None:
                raise BadModelFile(
                    f"The index of {model.id!r} names the file {strange[:200]!r}, which is not in the repository.",
                    next_step="Don't use this repository.",
                )
        else:
            names = sorted(
                name
                for name in sizes
                if name.endswith(".safetensors") and "/" not in name and not name.startswith(_NOT_WEIGHTS)
            )
        if not names or len(names) > _MOST_FILES:
            raise UnknownModel(
                f"The repository {model.id!r} holds {len(names)} safetensors files with weights.",
                next_step="Name a repository with a whole model, as GGUF or as safetensors.",
            )
        return names

    def _json(self, model: RemoteModel, name: str) -> dict[str, Any]:
        with self._opened(model, name, most_bytes=_MOST_JSON_BYTES) as file:
            data = file.read(_MOST_JSON_BYTES + 1)
        return _object(data, f"{model.id}:{name}")

    # --------------------------------------------------------------------------------------------------- inside

    @contextmanager
    def _opened(self, model: RemoteModel, name: str, *, most_bytes: int = _MOST_HEADER_BYTES) -> Generator[_Forwards]:
        """The beginning of a file, to be read forwards."""
        url = hf_hub_url(model.id, name, revision=model.commit or None, endpoint=self._endpoint)
        headers = {**build_hf_headers(), "Range": f"bytes=0-{most_bytes - 1}", "Accept-Encoding": "identity"}
        what = f"{model.id}:{name}"
        try:
            with http_stream_backoff(
                "GET",
                url,
                headers=headers,
                timeout=self._timeout_seconds,
                retry_on_exceptions=(),
                retry_on_status_codes=(),
            ) as response:
                hf_raise_for_status(response)
                yield _Forwards(response.iter_raw(_CHUNK_BYTES), most_bytes=most_bytes, name=what)
        except GatedRepoError as error:
            raise _gated(model.id) from error
        except (HTTPError, OSError) as error:
            raise self._failed(what, error) from error

    def _failed(self, what: str, error: Exception) -> DownloadFailed:
        place = self._endpoint or "the Hub"
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        why = f"it answered {status}" if status else (str(error).splitlines() or [""])[0] or type(error).__name__
        return DownloadFailed(
            f"{place} did not let {what!r} be read: {why}.",
            next_step="Check your token (`hf auth login`), or choose another model."
            if status in (401, 403)
            else "Check the network and `hub_url`; `--offline` uses the shipped table of families instead.",
        )


def _projector(sizes: Mapping[str, int]) -> RemoteFile | None:
    found = [name for name in sizes if is_gguf(name) and "mmproj" in name.lower()]
    smallest = min(found, key=lambda name: sizes[name], default=None)
    return None if smallest is None else RemoteFile(name=smallest[:200], size_bytes=sizes[smallest])


def _gated(place: str) -> DownloadFailed:
    return DownloadFailed(
        f"The Hub gives {place!r} only to those who accepted its terms.",
        next_step="Accept them on the model's page, then `hf auth login`, or choose another model.",
    )


class _Forwards:
    """As much of a file as a header's parser uses, over a body that comes in chunks: it goes back to the first bytes at
    most, and stops at `most_bytes`."""

    def __init__(self, chunks: Iterator[bytes], *, most_bytes: int, name: str) -> None:
        self._chunks = chunks
        self._most_bytes = most_bytes
        self._name = name
        self._data = bytearray()
        self._position = 0

    def read(self, count: int) -> bytes:
        self._fill(self._position + count)
        found = bytes(self._data[self._position : self._position + count])
        self._position += len(found)
        return found

    def passed(self, count: int) -> bytes:
        """The first bytes of the file, as far as they came."""
        self._fill(min(count, self._most_bytes))
        return bytes(self._data[:count])

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (self._position if whence == 1 else 0)
        self._fill(self._position)
        if len(self._data) < self._position:
            raise _bad(self._name, "ends inside its header")
        return self._position

    def _fill(self, end: int) -> None:
        if end > self._most_bytes + 1:
            raise BadModelFile(
                f"The header of {self._name!r} is larger than {self._most_bytes:,} bytes, which no model's is.",
                next_step="Don't use this file.",
            )
        while len(self._data) < end:
            chunk = next(self._chunks, None)
            if chunk is None:
                return
            self._data += chunk


def _safetensors_header(file: BinaryIO, size_bytes: int, *, name: str) -> tuple[TensorInfo, ...]:
    """Format: 8 bytes of length, then JSON: name -> dtype, shape, offsets into the data behind it."""
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 2 <= length <= min(size_bytes - 8, _MOST_HEADER_BYTES - 8):
        raise _bad(name, f"claims a header of {length:,} bytes, but the whole file has {size_bytes:,}")
    entries = _object(file.read(length), name)
    room = size_bytes - 8 - length
    return tuple(_tensor(key, value, name=name, room=room) for key, value in entries.items() if key != "__metadata__")


def _tensor(key: str, value: object, *, name: str, room: int) -> TensorInfo:
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    dtype, shape, offsets = (fields.get(field) for field in ("dtype", "shape", "data_offsets"))
    lengths, ends = _counts(shape), _counts(offsets)
    if not isinstance(dtype, str) or lengths is None or ends is None or len(ends) != 2:
        raise _bad(name, f"describes the tensor {key[:80]!r} in an unknown way")
    size = ends[1] - ends[0]
    tensor = TensorInfo(name=key[:300], shape=lengths, type_name=dtype[:20], offset_bytes=ends[0], size_bytes=size)
    bits = _BITS.get(dtype)
    if not 0 <= size <= room or ends[1] > room or (bits is not None and tensor.elements * bits > 8 * size + 7):
        raise _bad(name, f"describes its tensor {key[:80]!r} as larger than its data")
    return tensor


def _counts(value: object) -> tuple[int, ...] | None:
    items = cast("list[object]", value) if isinstance(value, list) else None
    if items is None or len(items) > 8:
        return None
    found = tuple(
        item for item in items if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 1 << 62
    )
    return found if len(found) == len(items) else None


def _object(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > _MOST_JSON_BYTES and not name.endswith(".safetensors"):
        raise _bad(name, f"is larger than {_MOST_JSON_BYTES:,} bytes")
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _bad(name, "is damaged: it holds no JSON object where one belongs")
    return cast("dict[str, Any]", value)


def _bad(name: str, why: str) -> BadModelFile:
    return BadModelFile(f"The file {name!r} {why}.", next_step="Use another repository, or report it to the owner.")


def _side_by_side(read: Callable[[str], T], names: Sequence[str]) -> list[T]:
    if len(names) == 1:
        return [read(names[0])]
    with ThreadPoolExecutor(min(_AT_ONCE, len(names))) as pool:
        return list(pool.map(read, names))
