"""A source's file from an address, with the Hub's client; a download that broke goes on where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from httpx2 import HTTPError
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from insource.core.errors import DownloadFailed
from insource.hub.sources.hub_api import endpoint_of

_TIMEOUT_SECONDS = 60.0


def download(url: str, folder: Path, *, hub_url: str, progress: Callable[[int, int | None], None]) -> Path:
    """The file, whole; progress(done_bytes, total_bytes). The Hub's token goes to the Hub alone. Raises
    DownloadFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.part"
    tag = partial.with_suffix(".etag")
    ours = urlsplit(url)[:2] == urlsplit(endpoint_of(hub_url))[:2]
    headers: dict[str, str] = build_hf_headers() if ours else build_hf_headers(token=False)
    headers["Accept-Encoding"] = "identity"  # the bytes of the file itself: only they can be counted and resumed
    if partial.exists() and tag.exists():
        # If-Range: a file that has changed since is sent from its beginning.
        headers |= {"Range": f"bytes={partial.stat().st_size}-", "If-Range": tag.read_text()}
    try:
        with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT_SECONDS) as response:
            if response.status_code != 416:
                hf_raise_for_status(response)
                _receive(response, partial, tag=tag, progress=progress)
    except (HTTPError, OSError) as error:
        why = str(error.response.status_code) if isinstance(error, HfHubHTTPError) else str(error)
        kept = f" {partial.stat().st_size:,} bytes are kept; the same command goes on." if partial.exists() else ""
        raise DownloadFailed(
            f"{url!r} was not delivered: {(why or type(error).__name__).splitlines()[0][:200]}.{kept}",
            next_step="Check the address and the network, or give the path of a file.",
        ) from error
    tag.unlink(missing_ok=True)
    whole = partial.with_suffix(".whole")
    return partial.replace(whole)


def _receive(response: Any, partial: Path, *, tag: Path, progress: Callable[[int, int | None], None]) -> None:
    resumes = response.status_code == 206
    etag = response.headers.get("ETag", "")
    # A weak tag promises no equal bytes, so it can't be resumed by.
    if etag and not etag.startswith("W/"):
        tag.write_text(etag)
    else:
        tag.unlink(missing_ok=True)
    done = partial.stat().st_size if resumes else 0
    length = response.headers.get("Content-Length", "")
    total = done + int(length) if length.isdigit() else None
    with partial.open("ab" if resumes else "wb") as file:
        for chunk in response.iter_raw():
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
