"""A Hugging Face Hub on loopback, for the real huggingface_hub client: model records, resolve with ETag and Range,
404, gated repositories, and connections that drop. No Xet headers, so the client stays on plain HTTP.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub

COMMIT = "c0ffee" + "0" * 34


@dataclass(slots=True, kw_only=True)
class FakeRepo:
    files: dict[str, bytes]
    license: str | None = "apache-2.0"
    gated: bool = False
    stated_sha256: dict[str, str] = field(default_factory=dict[str, str])
    """What the record says where it differs from the truth."""
    without_lfs: frozenset[str] = frozenset()
    parameters: dict[str, int] | None = None
    """By dtype, as the record's `safetensors` counts them; its total is wrong, as on the real Hub."""
    stated_sizes: dict[str, int] = field(default_factory=dict[str, int])
    """What the record says where it differs from the truth: a file too large for a test."""

    def sha256(self, name: str) -> str:
        return self.stated_sha256.get(name) or hashlib.sha256(self.files[name]).hexdigest()

    def record(self, repo_id: str) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for name, data in self.files.items():
            size = self.stated_sizes.get(name, len(data))
            sibling: dict[str, Any] = {"rfilename": name, "size": size, "blobId": "b" * 40}
            if name not in self.without_lfs:
                sibling["lfs"] = {"size": len(data), "sha256": self.sha256(name), "pointerSize": 134}
            siblings.append(sibling)
        card = {"license": self.license} if self.license else {}
        record: dict[str, Any] = {"_id": "1", "id": repo_id, "modelId": repo_id, "sha": COMMIT}
        record |= {"siblings": siblings, "cardData": card}
        if self.parameters is not None:
            record["safetensors"] = {"parameters": self.parameters, "total": 1}
        return record


@dataclass(slots=True, kw_only=True)
class FakeHub:
    repos: dict[str, FakeRepo]
    drops: list[int] = field(default_factory=list[int])
    """Each entry cuts one download after so many bytes of its body."""
    broken_status: int | None = None
    """Answer every request with this status."""
    ignore_range: bool = False
    requests: list[tuple[str, str, str | None]] = field(default_factory=list[tuple[str, str, "str | None"]])
    """(method, path, Range header)."""
    url: str = ""

    def ranges(self) -> list[str | None]:
        """The Range headers of the downloads, in order."""
        return [range_ for method, path, range_ in self.requests if method == "GET" and "/resolve/" in path]


@contextmanager
def running_hub(hub: FakeHub) -> Generator[FakeHub]:
    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        huggingface_hub.close_session()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append((self.command, path, self.headers.get("Range")))
        if self.state.broken_status is not None:
            self._send(self.state.broken_status, {})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path):
            self._record(found[1])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(found[1], found[3])
        else:
            self._send(404, {"X-Error-Code": "RepoNotFound"})

    def _record(self, repo_id: str) -> None:
        repo = self.state.repos.get(repo_id)
        if repo is None:
            self._send(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        elif repo.gated:
            self._send(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        else:
            self._send(200, {"Content-Type": "application/json"}, json.dumps(repo.record(repo_id)).encode())

    def _file(self, repo_id: str, name: str) -> None:
        repo = self.state.repos.get(repo_id)
        if repo is None or name not in repo.files:
            self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        data = repo.files[name]
        etag = repo.sha256(name)
        headers = {
            "ETag": f'"{etag}"',
            "X-Linked-ETag": f'"{etag}"',
            "X-Linked-Size": str(len(data)),
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        found = None if self.state.ignore_range else found
        start = int(found[1]) if found else 0
        end = min(int(found[2]) + 1 if found and found[2] else len(data), len(data))
        if start >= len(data) > 0:
            self._send(416, headers)
        elif found:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            self._send(206, headers, data[start:end], may_drop=True)
        else:
            self._send(200, headers, data, may_drop=True)

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"", *, may_drop: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if may_drop and self.state.drops:
            body = body[: self.state.drops.pop(0)]
            self.close_connection = True
        with contextlib.suppress(ConnectionError):  # a client may close when it has read enough
            self.wfile.write(body)
