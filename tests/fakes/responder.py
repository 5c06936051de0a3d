"""A fake model server that runs as a subprocess and misbehaves on request. Standard library only.

It keeps the worker's side of the bargain (engines/process.py): reads one line from stdin, reports `{"port": …}` on
stdout, answers /health, and ends at the end of its stdin. In a test of `WorkerProcess` use `responder_argv(*options)`;
elsewhere `with running_responder(*options) as responder:` gives `.url`, `.pid`, `.requests()` (the bodies it received),
`.headers()` and `.kill()`.

    --ready-after SECONDS    /health answers 503 until then
    --no-port                never reports its port
    --stderr-lines N         writes N lines `line 0` ... to stderr before anything else
    --die-at-start TEXT      writes TEXT to stderr and exits with code 7, before it reports a port
    --die-after-health       exits with code 8 right after /health answered 200
    --die-after-chunks N     SIGKILLs itself after N chunks of a stream (0: before the status line of any chat request)
    --cut-after-chunks N     cuts the connection after N chunks, and lives on
    --answer TEXT            the answer's text; streamed word by word (default: "The capital of France is Paris.")
    --chunk-delay SECONDS    before every chunk of a stream
    --answer-delay SECONDS   before the status line of a chat request
    --status N               answers chat requests with this status and an OpenAI-shaped error
    --model NAME             in /v1/models and in answers (default: responder); a request for another model gets a 404
    --any-model              answers whatever model is asked for
    --key KEY                401 without `authorization: Bearer KEY` (not for /health)
    --context N              more than N words of content get a 400 `exceed_context_size_error`
    --ignore-sigterm         SIGTERM does nothing
    --ignore-stdin           outlives the end of its stdin (needed by nothing but a test that then kills it)

Answers: GET /health, GET /v1/models, GET /requests (a JSON list of the raw bodies of all POSTs so far),
GET /headers (their headers), POST /v1/chat/completions (streamed when the body says `"stream": true`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def responder_argv(*options: str) -> list[str]:
    return [sys.executable, str(Path(__file__)), *options]


@dataclass(frozen=True, slots=True)
class Responder:
    url: str
    pid: int

    def requests(self) -> list[str]:
        return json.loads(self._get("/requests"))

    def headers(self) -> list[dict[str, str]]:
        """Header names in lower case."""
        return json.loads(self._get("/headers"))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return response.read()


@contextlib.contextmanager
def running_responder(*options: str) -> Generator[Responder]:
    """Started when entered (its port is bound; /health may still say 503), gone when left."""
    pipe = subprocess.PIPE
    with subprocess.Popen(responder_argv(*options), stdin=pipe, stdout=pipe) as process:
        try:
            if process.stdin is None or process.stdout is None:
                raise AssertionError("spawned with pipes")
            process.stdin.write(b"{}\n")
            process.stdin.flush()
            port = json.loads(process.stdout.readline())["port"]
            yield Responder(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.kill()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.options = options
        self.ready_at = time.monotonic() + options.ready_after
        self.bodies: list[str] = []
        self.request_headers: list[dict[str, str]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are expected here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] - narrower than in the base class, by construction

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: stderr belongs to --stderr-lines."""

    def do_GET(self) -> None:
        options = self.server.options
        if self.path == "/health":
            ready = time.monotonic() >= self.server.ready_at
            self._json(200 if ready else 503, {"status": "ok" if ready else "loading model"})
            if ready and options.die_after_health:
                self.wfile.flush()
                os._exit(8)
        elif self.path == "/requests":
            self._json(200, self.server.bodies)
        elif self.path == "/headers":
            self._json(200, self.server.request_headers)
        elif not self._authorised():
            self._error(401, "invalid key", "invalid_request_error")
        elif self.path == "/v1/models":
            self._json(200, {"object": "list", "data": [{"id": options.model, "object": "model"}]})
        else:
            self._error(404, f"no such path: {self.path}", "not_found_error")

    def do_POST(self) -> None:
        options = self.server.options
        raw = self.rfile.read(int(self.headers.get("content-length", "0")))
        self.server.bodies.append(raw.decode(errors="replace"))
        self.server.request_headers.append({name.lower(): value for name, value in self.headers.items()})
        if not self._authorised():
            self._error(401, "invalid key", "invalid_request_error")
            return
        try:
            body = json.loads(raw)
        except ValueError:
            self._error(400, "the body is not JSON", "invalid_request_error")
            return
        time.sleep(options.answer_delay)
        if options.die_after_chunks == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        words = sum(len(str(message.get("content")).split()) for message in body.get("messages", []))
        if options.status != 200:
            self._error(options.status, "told to fail", "server_error")
        elif not options.any_model and body.get("model", options.model) != options.model:
            self._error(404, f"no such model: {body['model']}", "not_found_error")
        elif options.context and words > options.context:
            self._overflow(words)
        elif body.get("stream"):
            self._stream(body)
        else:
            message = {"role": "assistant", "content": options.answer}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            answer_words = len(options.answer.split())
            usage = {
                "prompt_tokens": words,
                "completion_tokens": answer_words,
                "total_tokens": words + answer_words,
            }
            self._json(200, {**self._head("chat.completion"), "choices": [choice], "usage": usage})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1_760_000_000, "model": self.server.options.model}

    def _stream(self, body: dict[str, Any]) -> None:
        options = self.server.options
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": word} for word in options.answer.replace(" ", " \0").split("\0")]
        events: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        events.append({"index": 0, "delta": {}, "finish_reason": "stop"})
        for sent, choice in enumerate(events):
            if sent == options.die_after_chunks:
                os.kill(os.getpid(), signal.SIGKILL)
            if sent == options.cut_after_chunks:
                self.close_connection = True
                return
            time.sleep(options.chunk_delay)
            event = {**self._head("chat.completion.chunk"), "choices": [choice]}
            self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 1, "completion_tokens": len(deltas), "total_tokens": 1 + len(deltas)}
            event = {**self._head("chat.completion.chunk"), "choices": [], "usage": usage}
            self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _overflow(self, words: int) -> None:
        context = self.server.options.context
        error = {
            "code": 400,
            "message": f"request ({words} tokens) exceeds the available context size ({context} tokens)",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": words,
            "n_ctx": context,
        }
        self._json(400, {"error": error})

    def _authorised(self) -> bool:
        key = self.server.options.key
        return not key or self.headers.get("authorization") == f"Bearer {key}"

    def _error(self, status: int, message: str, kind: str) -> None:
        self._json(status, {"error": {"message": message, "type": kind, "code": status}})

    def _json(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--ready-after", "--chunk-delay", "--answer-delay"):
        parser.add_argument(name, type=float, default=0.0)
    for name in ("--die-after-chunks", "--cut-after-chunks"):
        parser.add_argument(name, type=int, default=-1)
    parser.add_argument("--stderr-lines", type=int, default=0)
    parser.add_argument("--context", type=int, default=0)
    parser.add_argument("--status", type=int, default=200)
    parser.add_argument("--die-at-start", default="")
    parser.add_argument("--answer", default="The capital of France is Paris.")
    parser.add_argument("--model", default="responder")
    parser.add_argument("--key", default="")
    for name in ("--no-port", "--die-after-health", "--any-model", "--ignore-sigterm", "--ignore-stdin"):
        parser.add_argument(name, action="store_true")
    return parser.parse_args()


def main() -> None:
    options = _options()
    if options.ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in range(options.stderr_lines):
        sys.stderr.write(f"line {line}\n")
    sys.stderr.flush()
    sys.stdin.buffer.readline()
    if options.die_at_start:
        sys.stderr.write(options.die_at_start + "\n")
        sys.stderr.flush()
        os._exit(7)
    server = _Server(options)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if not options.no_port:
        sys.stdout.write(json.dumps({"port": server.server_address[1]}) + "\n")
        sys.stdout.flush()
    sys.stdin.buffer.read()
    if options.ignore_stdin:
        threading.Event().wait()
    os._exit(0)


if __name__ == "__main__":
    main()
