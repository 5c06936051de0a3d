"""Placeholders of conversations that the provider keeps: a request that goes on with one holds only what is new.

In memory, by the id of a response or conversation; the oldest are forgotten. The values are what people wrote, so they
are written nowhere.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from typing import Any
from urllib.parse import unquote

from insource.core.scanning import Placeholders
from insource.core.values import JsonObject

_MOST, _MOST_CHARACTERS = 10_000, 32 << 20
_OF_RESPONSE = re.compile(r"/responses/([^/]+)")


class KeptPlaceholders:
    def __init__(self) -> None:
        self._kept: OrderedDict[str, Placeholders] = OrderedDict()
        self._characters = 0

    def of(self, path: str, request: JsonObject) -> Placeholders:
        """Of the conversation that a request goes on with or asks for."""
        if not self._kept and not _earlier(request):
            return Placeholders()
        ids = [*_earlier(request), *(unquote(found) for found in _OF_RESPONSE.findall(path))]
        for id in ids:
            if id in self._kept:
                self._kept.move_to_end(id)
                return self._kept[id]
        # Of a conversation that is not known any more: numbers that its old placeholders hardly have.
        return (
            Placeholders(first=1000 + zlib.crc32(ids[0].encode()) % 90_000 * 100)
            if _earlier(request)
            else Placeholders()
        )

    def keep(self, id: str, placeholders: Placeholders) -> None:
        self._drop(id)
        self._kept[id] = placeholders
        self._characters += _size(placeholders)
        while len(self._kept) > _MOST or self._characters > _MOST_CHARACTERS:
            self._drop(next(iter(self._kept)))

    def keep_all(self, answer: JsonObject, placeholders: Placeholders) -> None:
        """Under the ids of an answer, or of the event of a stream that holds one."""
        response = answer.get("response", answer)
        if isinstance(response, dict) and str(response.get("object") or "") == "response":
            for id in (response.get("id"), _id_of(response.get("conversation"))):
                if isinstance(id, str):
                    self.keep(id, placeholders)

    def _drop(self, id: str) -> None:
        former = self._kept.pop(id, None)
        if former is not None:
            self._characters -= _size(former)


def _earlier(request: JsonObject) -> list[str]:
    ids = (request.get("previous_response_id"), _id_of(request.get("conversation")))
    return [id for id in ids if isinstance(id, str) and id]


def _id_of(conversation: Any) -> Any:
    return conversation.get("id") if isinstance(conversation, dict) else conversation


def _size(placeholders: Placeholders) -> int:
    return sum(len(value) for _, value in placeholders.values) + 100
