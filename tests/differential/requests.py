"""A request as the mock received it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    method: str
    target: str
    """Path and query, as sent."""
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in the order of their arrival."""

    def header(self, name: str) -> str | None:
        return next((value for found, value in self.headers if found == name), None)

    @property
    def length_bytes(self) -> int:
        return int(self.header("content-length") or 0)


@dataclass(frozen=True, kw_only=True)
class Request:
    head: Head
    body: bytes
    """Without the framing of chunks."""

    @property
    def path(self) -> str:
        return self.head.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.head.target.partition("?")[2]

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body where it is a JSON object, else {}."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def parse_head(raw: bytes) -> Head:
    first, *lines = raw.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    return Head(method=method, target=target, headers=tuple((name.lower(), value.strip()) for name, _, value in pairs))
