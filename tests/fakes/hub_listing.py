"""The Hub's list of models on loopback, for the real huggingface_hub client: pages with cursors, rate limits, server
errors, connections that drop in a page, renamed and deleted ids, what the files of one repository are, and files with
ETag and Range.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import huggingface_hub


@dataclass(slots=True, kw_only=True)
class FakeListing:
    models: list[dict[str, Any]]
    """As the API says them; a listing holds them in this order."""
    repo_type: str = "models"
    """What they are: also `datasets` or `spaces`."""
    faults: dict[int, list[str]] = field(default_factory=dict[int, "list[str]"])
    """By number of the page, from 0: what happens before it is given: `429`, `retry-after`, `503`, `400`, `drop`."""
    record_faults: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])
    """By id: what happens before its own record is given."""
    renamed: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """By path from the root."""
    cut_files: list[int] = field(default_factory=list[int])
    """Each entry cuts one file after so many bytes."""
    elsewhere: str = ""
    """The next page is said to be on this host."""
    requests: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list[tuple[str, "dict[str, list[str]]"]])
    headers: list[dict[str, str]] = field(default_factory=list["dict[str, str]"])
    url: str = ""

    def pages(self) -> list[int]:
        """The cursors that were asked for, in order."""
        return [int(query.get("cursor", ["0"])[0]) for path, query in self.requests if path == self.path]

    @property
    def path(self) -> str:
        return f"/api/{self.repo_type}"


@contextmanager
def running_listing(listing: FakeListing) -> Generator[FakeListing]:
    class Handler(_Handler):
        state = listing

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listing.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield listing
    finally:
        huggingface_hub.close_session()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: FakeListing
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        self.state.requests.append((path, query))
        self.state.headers.append(dict(self.headers.items()))
        if path == self.state.path:
            self._page(query)
        elif path.startswith(f"{self.state.path}/"):
            self._record(path.removeprefix(f"{self.state.path}/"), query)
        elif path in self.state.files:
            self._file(self.state.files[path])
        else:
            self._send(404, {})

    def _page(self, query: dict[str, list[str]]) -> None:
        start, size = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        headers: dict[str, str] = {}
        if start + size < len(self.state.models):
            host = self.state.elsewhere or self.state.url
            fields = "".join(f"&expand={quote(name)}" for name in query.get("expand", []))
            headers["Link"] = f'<{host}{self.state.path}?limit={size}&cursor={start + size}{fields}>; rel="next"'
        shown = [_without_blobs(model) for model in self.state.models[start : start + size]]
        self._answer(shown, self.state.faults.get(start // size, []), headers)

    def _answer(self, body: Any, faults: list[str], headers: dict[str, str]) -> None:
        """After the next of the faults."""
        fault = faults.pop(0) if faults else ""
        if fault == "429":
            self._send(429, {"RateLimit": '"api";r=0;t=7', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'})
        elif fault == "retry-after":
            self._send(429, {"Retry-After": "3"})
        elif fault.isdigit():
            self._send(int(fault), {})
        else:
            data = json.dumps(body).encode()
            told = {"RateLimit": '"api";r=400;t=100', "Content-Type": "application/json", **headers}
            self._send(200, told, data, cut=len(data) // 2 if fault == "drop" else None)

    def _record(self, id: str, query: dict[str, list[str]]) -> None:
        if id in self.state.renamed:
            self._send(307, {"Location": f"{self.state.path}/{self.state.renamed[id]}"})
            return
        found = next((model for model in self.state.models if model["id"] == id), None)
        if found is None:
            self._send(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        else:
            shown = found if query.get("blobs") == ["true"] else _without_blobs(found)
            self._answer(shown, self.state.record_faults.get(id, []), {})

    def _file(self, data: bytes) -> None:
        start = 0
        if (asked := self.headers.get("Range", "")) and self.headers.get("If-Range") == '"one"':
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        cut = self.state.cut_files.pop(0) if self.state.cut_files else None
        self._send(206 if start else 200, {"ETag": '"one"'}, data[start:], cut=cut)

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"", *, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if cut is not None:
            body = body[:cut]
            self.close_connection = True
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)


def _without_blobs(record: dict[str, Any]) -> dict[str, Any]:
    """Sizes and hashes are told where they are asked for."""
    if "siblings" not in record:
        return record
    return {**record, "siblings": [{"rfilename": file["rfilename"]} for file in record["siblings"]]}
