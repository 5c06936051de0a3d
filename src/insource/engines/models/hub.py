"""Model files from the Hugging Face Hub, or from any server that speaks its API.

The Hub's own client (huggingface_hub 2.4) asks and downloads; only the name of the partial file is ours, because the
client throws its partial away when a download ends early, and ours is found again by the next attempt. Always the plain
HTTP route: it can be resumed by Range and its bytes are checked against the Hub's sha256.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from httpx2 import HTTPError
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.constants import MAX_HTTP_DOWNLOAD_SIZE
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import build_hf_headers

from insource.core.errors import BadModelFile, DownloadFailed, UnknownModel
from insource.core.hashing import file_sha256
from insource.core.values import ModelFile
from insource.engines.models.cache import ModelCache
from insource.engines.models.catalogue import PINS
from insource.engines.models.disk import full_disk_is_said, require_space
from insource.engines.models.gguf import check_gguf
from insource.engines.models.refs import ModelRef, parse_ref, pick_file, safe_path

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remote:
    """One file as the Hub describes it."""

    ref: ModelRef
    """With the file's full name as selector."""
    commit: str
    sha256: str
    size_bytes: int
    license: str | None

    @property
    def text(self) -> str:
        return f"{self.ref.place}:{self.ref.selector}"


class HubSource:
    """`org/name`, `org/name:QUANT`, `org/name:file.gguf`."""

    def __init__(
        self,
        cache: ModelCache,
        *,
        hub_url: str = "",
        timeout_seconds: float = 10.0,
        pins: Mapping[str, str] = PINS,
    ) -> None:
        self._cache = cache
        self._endpoint = hub_url.rstrip("/") or None
        self._timeout_seconds = timeout_seconds
        self._pins = pins

    @property
    def scheme(self) -> str:
        return "hub"

    def fetch(self, ref: str, *, progress: Progress) -> ModelFile:
        remote = self._look_up(parse_ref(ref))
        _check_pin(remote, self._pins.get(remote.text))
        with self._cache.lock(remote.ref):
            cached = self._cache.find(remote.ref)
            if cached is not None and cached.sha256 == remote.sha256:
                progress(cached.size_bytes, cached.size_bytes)
                return cached
            whole = self._download(remote, progress)
            return self._cache.adopt(
                whole, remote.ref, revision=remote.commit, name=remote.ref.selector, license=remote.license
            )

    def _look_up(self, ref: ModelRef) -> _Remote:
        try:
            info = HfApi(endpoint=self._endpoint).model_info(
                ref.place, files_metadata=True, timeout=self._timeout_seconds
            )
        except GatedRepoError as error:
            raise DownloadFailed(
                f"The Hub gives {ref.place!r} only to those who accepted its terms.",
                next_step="Accept them on the model's page, then `hf auth login`, or choose another model.",
            ) from error
        except RepositoryNotFoundError as error:
            raise UnknownModel(
                f"The Hub has no model repository {ref.place!r}, or it is private.",
                next_step="Check the spelling; for a private one, `hf auth login`.",
            ) from error
        except (HTTPError, OSError) as error:
            raise self._failed(ref.place, error) from error
        return _describe(ref, info)

    def _download(self, remote: _Remote, progress: Progress) -> Path:
        """The verified bytes, in a file whose name begins with their sha256."""
        partial = self._cache.partial(remote.ref, remote.sha256)
        have_bytes = partial.stat().st_size if partial.exists() else 0
        if have_bytes > remote.size_bytes:
            partial.unlink()
            have_bytes = 0
        require_space(partial.parent, remote.size_bytes - have_bytes)
        url = hf_hub_url(remote.ref.place, remote.ref.selector, revision=remote.commit, endpoint=self._endpoint)
        kept = "What was downloaded is kept and will be resumed; nothing else was touched."
        try:
            with (
                full_disk_is_said(partial.parent, needed_bytes=remote.size_bytes - have_bytes, then=kept),
                partial.open("ab") as file,
            ):
                http_get(
                    url,
                    file,
                    resume_size=have_bytes,
                    headers=build_hf_headers(),
                    expected_size=remote.size_bytes,
                    tqdm_class=cast("Any", _bar_for(progress)),
                )
        except (HTTPError, OSError) as error:
            have_bytes = partial.stat().st_size if partial.exists() else 0
            raise self._failed(remote.text, error, kept=f"{have_bytes:,} of {remote.size_bytes:,} bytes") from error
        return self._verified(partial, remote)

    def _verified(self, partial: Path, remote: _Remote) -> Path:
        found = file_sha256(partial)
        if found != remote.sha256:
            partial.unlink()
            self._cache.tidy(self._cache.repo_folder(remote.ref))
            raise BadModelFile(
                f"What the Hub sent for {remote.text!r} has the sha256 {found}, not {remote.sha256} as it says.",
                next_step=f"It was removed; start again with `insource models pull {remote.text}`.",
            )
        try:
            check_gguf(partial)
        except BadModelFile:
            partial.unlink()
            self._cache.tidy(self._cache.repo_folder(remote.ref))
            raise
        return partial

    def _failed(self, what: str, error: Exception, *, kept: str = "") -> DownloadFailed:
        place = self._endpoint or "the Hub"
        if isinstance(error, HfHubHTTPError):
            why = f"it answered {error.response.status_code}"
        else:
            why = (str(error).splitlines() or [""])[0] or type(error).__name__
        refused = isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403)
        resumed = f" {kept} are kept; the same command resumes." if kept else ""
        return DownloadFailed(
            f"{place} did not deliver {what!r}: {why}.{resumed}",
            next_step="Check your token (`hf auth login`), or choose another model."
            if refused
            else "Check the network and `hub_url`, or use a file that you have: `file:/path/model.gguf`.",
        )


def _describe(ref: ModelRef, info: ModelInfo) -> _Remote:
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
    name = pick_file(ref.place, list(siblings), ref.selector)
    text, lfs, commit = f"{ref.place}:{name}", siblings[name].lfs, info.sha or ""
    sha256 = lfs.sha256 if lfs else ""
    if not re.fullmatch("[0-9a-f]{64}", sha256) or not re.fullmatch("[0-9a-f]{40}", commit) or lfs is None:
        raise DownloadFailed(
            f"The Hub states no sha256 for {text!r}, so its bytes could not be verified.",
            next_step="Download it yourself and use `file:/path/model.gguf`.",
        )
    if safe_path(name) is None:
        raise BadModelFile(
            f"The file name {name!r} in {ref.place!r} points outside of the cache.",
            next_step="Don't use this repository.",
        )
    if lfs.size > MAX_HTTP_DOWNLOAD_SIZE:
        raise DownloadFailed(
            f"{text!r} has {lfs.size:,} bytes; the Hub serves files above {MAX_HTTP_DOWNLOAD_SIZE:,} by Xet only.",
            next_step=f"Run `hf download {ref.place} {name}`: insource finds it in the same cache.",
        )
    license_id: object = (info.card_data or {}).get("license")
    return _Remote(
        ref=ModelRef(scheme="hub", place=ref.place, selector=name),
        commit=commit,
        sha256=sha256,
        size_bytes=lfs.size,
        license=license_id[:100] if isinstance(license_id, str) else None,
    )


def _check_pin(remote: _Remote, pin: str | None) -> None:
    if pin is not None and pin != remote.sha256:
        raise BadModelFile(
            f"The Hub's {remote.text!r} has the sha256 {remote.sha256}; insource knows it as {pin}.",
            next_step="It was not downloaded. Choose another model, or another source of this one.",
        )


def _bar_for(progress: Progress) -> Callable[..., _Bar]:
    def make(**options: Any) -> _Bar:
        return _Bar(progress, done=int(options.get("initial") or 0), total=options.get("total"))

    return make


class _Bar:
    """The little that the Hub's client asks of a tqdm bar. Never goes back, also when the server starts afresh."""

    def __init__(self, progress: Progress, *, done: int, total: int | None) -> None:
        self._progress = progress
        self._done = self._most = done
        self._total = total
        progress(done, total)

    def update(self, count: int) -> None:
        self._done += count
        self._most = max(self._most, self._done)
        self._progress(self._most, self._total)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        return None
