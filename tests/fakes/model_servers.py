"""Model servers on loopback that answer as the real ones do, by GET alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OLLAMA: Mapping[str, Any] = {
    "/api/version": {"version": "0.21.4"},
    "/api/tags": {
        "models": [
            {
                "name": "qwen3:8b",
                "model": "qwen3:8b",
                "modified_at": "2026-10-05T23:18:23.0Z",
                "size": 5225388164,
                "digest": "500a1f067a9f782620b40bee6f7b0c89e17ae61f686b92c24933e4ca4b2b8b41",
                "details": {"format": "gguf", "family": "qwen3", "quantization_level": "Q4_K_M"},
            }
        ]
    },
    "/v1/models": {"object": "list", "data": [{"id": "qwen3:8b", "object": "model", "owned_by": "library"}]},
}
LM_STUDIO: Mapping[str, Any] = {
    "/api/v0/models": {
        "object": "list",
        "data": [
            {
                "id": "meta-llama-3.1-8b-instruct",
                "object": "model",
                "type": "llm",
                "publisher": "lmstudio-community",
                "arch": "llama",
                "compatibility_type": "gguf",
                "quantization": "Q4_K_M",
                "state": "not-loaded",
                "max_context_length": 131072,
            },
            {"id": "text-embedding-nomic-embed-text-v1.5", "object": "model", "type": "embeddings"},
        ],
    },
    "/v1/models": {"object": "list", "data": [{"id": "meta-llama-3.1-8b-instruct", "owned_by": "organization_owner"}]},
}
LLAMA_SERVER: Mapping[str, Any] = {
    "/props": {
        "default_generation_settings": {"n_ctx": 4096},
        "total_slots": 4,
        "model_path": "m.gguf",
        "build_info": "b11549-abcdef",
    },
    "/v1/models": {"object": "list", "data": [{"id": "m.gguf", "object": "model", "owned_by": "llamacpp"}]},
    "/api/tags": {"models": [{"name": "m.gguf"}]},
}
VLLM: Mapping[str, Any] = {
    "/version": {"version": "0.15.1"},
    "/v1/models": {"object": "list", "data": [{"id": "Qwen/Qwen3-8B", "object": "model", "owned_by": "vllm"}]},
}
OTHER: Mapping[str, Any] = {"/v1/models": {"data": [{"id": "some-model"}]}}


@dataclass(slots=True)
class FakeServer:
    answers: Mapping[str, Any]
    unknown: tuple[int, bytes] = (404, b"404 page not found")
    """What any other path gets. LM Studio: status 200 and an error."""
    requests: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    hold: threading.Event = field(default_factory=threading.Event)
    """For `slow`: how long an answer waits."""
    slow: bool = False
    location: str = ""
    """Where a redirect leads."""
    port: int = 0


@contextmanager
def running_server(fake: FakeServer) -> Generator[FakeServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.requests.append(("GET", self.path))
            if fake.slow:
                fake.hold.wait(30)
            status, body = fake.unknown
            if self.path in fake.answers:
                answer = fake.answers[self.path]
                status, body = 200, answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            if fake.location:
                self.send_header("location", fake.location + self.path)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign] - a client that left
    fake.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield fake
    finally:
        fake.hold.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
