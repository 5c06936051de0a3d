"""The Hub's own list of repositories, page by page, through its client (`huggingface_hub` 2.4).

The client waits as the rate-limit headers say, and tries again after 429, 5xx and dropped connections. What it can't do
is go on where an interrupted listing stopped, so pages are appended to a file, with the next page's address beside it;
the same call goes on from there. Listed by date of creation, which does not move under a listing that takes hours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from httpx2 import HTTPError, NetworkError, ReadError, RemoteProtocolError, TimeoutException
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

from insource.core.errors import DownloadFailed
from insource.hub.schema import DATASETS, MODELS, SPACES, RepoType
from insource.hub.sources.api_lines import slim

PAGE_SIZE = 500
"""Repositories; the most that the Hub gives at once."""
_SHARED = ("createdAt", "lastModified", "likes", "trendingScore", "tags", "cardData", "sha")
_USED = ("downloads", "downloadsAllTime", "gated")
_FIELDS: Mapping[RepoType, tuple[str, ...]] = {
    MODELS: (*_SHARED, *_USED, "pipeline_tag", "library_name", "safetensors", "gguf", "config"),
    DATASETS: (*_SHARED, *_USED),
    SPACES: (*_SHARED, "sdk", "models", "datasets", "runtime"),
}
"""That are asked for: what a snapshot keeps."""
_EXPIRED = (400, 404, 410, 422)
"""What a server may answer to a cursor that it no longer knows."""
_TIMEOUT_SECONDS = 60.0


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """How far a listing is. `bytes` of the lines' file are whole pages; what follows was cut by an interruption."""

    endpoint: str
    started: date
    next_url: str | None
    limit: int | None = None
    pages: int = 0
    repositories: int = 0
    refused: int = 0
    bytes: int = 0


def endpoint_of(hub_url: str) -> str:
    return HfApi(endpoint=hub_url.rstrip("/") or None).endpoint.rstrip("/")


def list_repositories(
    folder: Path,
    *,
    hub_url: str,
    limit: int | None,
    today: date,
    progress: Callable[[int], None],
    repo_type: RepoType = MODELS,
) -> tuple[Path, Listing]:
    """All repositories of a type (or so many) as slim lines in a file of the folder, which is that type's own; goes on
    with an interrupted listing of the same endpoint and limit. Raises DownloadFailed, and keeps what came."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, state = folder / "listing.jsonl", folder / "listing.json"
    endpoint = endpoint_of(hub_url)
    listing = _resumed(state, lines, endpoint=endpoint, limit=limit)
    resumed = listing is not None
    if listing is None:
        lines.unlink(missing_ok=True)
        first = _first_url(endpoint, limit, repo_type)
        listing = Listing(endpoint=endpoint, started=today, next_url=first, limit=limit)
    with lines.open("ab") as file:
        file.truncate(listing.bytes)
        while listing.next_url is not None:
            try:
                items, next_url = _page(listing.next_url, endpoint, begun=listing.pages > 0)
            except HfHubHTTPError as error:
                if resumed and error.response.status_code in _EXPIRED:
                    forget(folder)
                    return list_repositories(
                        folder, hub_url=hub_url, limit=limit, today=today, progress=progress, repo_type=repo_type
                    )
                raise _failed(listing, repo_type, f"it answered {error.response.status_code}") from error
            except (HTTPError, OSError, ValueError) as error:
                raise _failed(listing, repo_type, (str(error) or type(error).__name__).splitlines()[0]) from error
            listing = _append(file, listing, items=items, next_url=next_url)
            _save(state, listing)
            resumed = False
            progress(listing.repositories)
    return lines, listing


def forget(folder: Path) -> None:
    """Removes a listing's files."""
    for name in ("listing.json", "listing.jsonl"):
        (folder / name).unlink(missing_ok=True)


def what_became_of(ids: Iterable[str], *, hub_url: str, repo_type: RepoType = MODELS) -> dict[str, str | None]:
    """Of ids that are no longer listed: the new id of a renamed one, None of one that is gone. An id about which
    nothing can be learnt now is left out."""
    api = HfApi(endpoint=hub_url.rstrip("/") or None)
    found: dict[str, str | None] = {}
    for id in ids:
        try:
            now = api.repo_info(id, repo_type=repo_type.name[:-1], timeout=_TIMEOUT_SECONDS).id
        except RepositoryNotFoundError:
            found[id] = None
        except (HTTPError, OSError, ValueError):
            continue
        else:
            if now != id:
                found[id] = now
    return found


def _first_url(endpoint: str, limit: int | None, repo_type: RepoType) -> str:
    page = min(PAGE_SIZE, limit) if limit else PAGE_SIZE
    fields = "".join(f"&expand={name}" for name in _FIELDS[repo_type])
    return f"{endpoint}/api/{repo_type.name}?limit={page}&sort=createdAt{fields}"


def get(url: str, *, begun: bool) -> Any:
    """The Hub's response, with the user's token. Raises HTTPError (HfHubHTTPError for what it refuses) and OSError.
    Who can't reach the Hub at all hears it at once; work that has begun outlives a network that goes away."""
    retried = (TimeoutException, NetworkError if begun else ReadError, RemoteProtocolError)
    response = http_backoff(
        "GET", url, headers=build_hf_headers(), timeout=_TIMEOUT_SECONDS, retry_on_exceptions=retried
    )
    hf_raise_for_status(response)
    return response


def _page(url: str, endpoint: str, *, begun: bool) -> tuple[list[Any], str | None]:
    response = get(url, begun=begun)
    items: object = response.json()
    if not isinstance(items, list):
        raise ValueError("a page of its list is not a list")
    following = response.links.get("next", {}).get("url")
    if following is not None and (urlsplit(following)[:2] != urlsplit(endpoint)[:2] or following == url):
        raise ValueError(f"its next page is {following[:200]!r}, on another host or the same page again")
    return items, following


def _append(file: Any, listing: Listing, *, items: list[Any], next_url: str | None) -> Listing:
    """A page's lines on disk, then the state that counts them."""
    if listing.limit is not None and listing.repositories + len(items) >= listing.limit:
        items, next_url = items[: listing.limit - listing.repositories], None
    slimmed = [slim(item) if isinstance(item, dict) else None for item in items]
    kept = [line for line in slimmed if line is not None]
    data = "".join(line + "\n" for line in kept).encode()
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
    return msgspec.structs.replace(
        listing,
        next_url=next_url,
        pages=listing.pages + 1,
        repositories=listing.repositories + len(kept),
        refused=listing.refused + len(slimmed) - len(kept),
        bytes=listing.bytes + len(data),
    )


def _save(state: Path, listing: Listing) -> None:
    partial = state.with_suffix(".tmp")
    partial.write_bytes(msgspec.json.encode(listing))
    partial.replace(state)


def _resumed(state: Path, lines: Path, *, endpoint: str, limit: int | None) -> Listing | None:
    try:
        listing = msgspec.json.decode(state.read_bytes(), type=Listing)
        whole = lines.stat().st_size >= listing.bytes
    except (OSError, msgspec.MsgspecError):
        return None
    return listing if whole and listing.endpoint == endpoint and listing.limit == limit else None


def _failed(listing: Listing, repo_type: RepoType, why: str) -> DownloadFailed:
    count, name = listing.repositories, repo_type.name
    kept = f" {count:,} {name} are kept; the same command goes on from there." if count else ""
    return DownloadFailed(
        f"{listing.endpoint} did not deliver its list of {name}: {why[:300]}.{kept}",
        next_step=f"Check the network and `hub_url`, or use a file: insource hub sync --from {name}.parquet",
    )
