"""Completions that OpenAI stored: a chat completion together with the messages that it answers."""

from __future__ import annotations

from collections.abc import Iterable

from insource.core.values import JsonObject
from insource.traffic.formats.fields import get, items, moment, obj, text
from insource.traffic.formats.recorded import Lacking, Recorded

_COMPLETION_FIELDS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "request_id"}
)
"""Everything else on such a record is what was asked."""
_NEXT = (
    "Fetch the messages of each (GET /v1/chat/completions/ID/messages) and put them into its record, under `messages`."
)


class StoredReader:
    name = "stored"
    rank = 1
    keys = frozenset({"object", "choices", "messages", "usage", "created", "system_fingerprint"})

    def recognises(self, record: JsonObject) -> bool:
        return isinstance(record.get("choices"), list) and "request" not in record and "prompt" not in record

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        held = record.get("messages")
        messages = items(get(held, "data")) or items(held)
        if not messages:
            yield Lacking(what="messages", reason="it holds an answer and not what was asked", next_step=_NEXT)
            return
        request = {
            key: value
            for key, value in record.items()
            if key not in ("metadata", "messages") and key not in _COMPLETION_FIELDS and value is not None
        }
        yield Recorded(
            request={"model": record.get("model"), **request, "messages": messages},
            response={key: value for key, value in record.items() if key in _COMPLETION_FIELDS},
            id=text(record.get("id")),
            created=moment(record.get("created")),
            metadata=obj(record.get("metadata")) or {},
            next_step=_NEXT,
        )
