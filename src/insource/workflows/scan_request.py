"""The kinds of private data in a request: every string of it, tool results and keys included."""

from __future__ import annotations

from functools import lru_cache

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
_REMEMBERED = 512
_LONGEST_REMEMBERED = 8192
"""Characters. System prompts, tool descriptions and the earlier turns of a session come again with every request; what
is remembered stays under 4 M characters."""


class RequestScanner:
    """Remembers the kinds of the last strings. A scan that raised is not remembered."""

    def __init__(self, detector: PrivacyDetector) -> None:
        """The detector must answer equal texts equally."""

        def kinds(text: str) -> frozenset[str]:
            return frozenset(span.kind for span in detector.scan(text))

        self._kinds = kinds
        self._remembered = lru_cache(maxsize=_REMEMBERED)(kinds)

    def __call__(self, request: JsonObject) -> tuple[str, ...]:
        """Sorted, each once. Raises what the detector raises: the caller counts that as private."""
        found: set[str] = set()
        for text in strings(request):
            if text not in _DIALECT:
                found |= (self._remembered if len(text) <= _LONGEST_REMEMBERED else self._kinds)(text)
        return tuple(sorted(found))
