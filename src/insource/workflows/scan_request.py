"""The kinds of private data in a request: every string of it, tool results and keys included."""

from __future__ import annotations

from insource.core.ports import PrivacyDetector
from insource.core.values import JsonObject
from insource.wire.chat import strings

_DIALECT = frozenset(
    {
        *("model", "messages", "role", "content", "user", "assistant", "system", "developer", "tool", "name", "type"),
        *("text", "stream", "temperature", "top_p", "max_tokens", "seed", "tools", "function", "tool_calls"),
    }
)
"""Words of the dialect itself, which every request holds and which are nobody's data."""


def private_kinds(detector: PrivacyDetector, request: JsonObject) -> tuple[str, ...]:
    """Sorted, each once. Raises what the detector raises: the caller counts that as private."""
    found = {span.kind for text in strings(request) if text not in _DIALECT for span in detector.scan(text)}
    return tuple(sorted(found))
