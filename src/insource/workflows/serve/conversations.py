"""Where conversations were answered: a conversation stays with the upstream that began it.

A conversation is recognised by its earlier messages as the client sends them again, so nothing is added to an answer.
What is kept is a number for each state of a conversation, in bounds: the oldest is forgotten first, and a conversation
that nobody knows is a new one. Examples that an application writes as earlier messages were answered by nobody.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Literal

from insource.core.values import Exchange, JsonObject
from insource.wire.chat import answer_message, answer_or_calls, content_text, messages

Side = Literal["here", "provider"]
MOST = 50_000
"""States that are kept: about 6 MB."""
_SPOKEN = ("system", "developer")


class Conversations:
    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._sides: OrderedDict[int, Side] = OrderedDict()

    def began(self, request: JsonObject) -> Side | None:
        """Where the last answer that the request quotes came from."""
        said = messages(request)
        last = max((at for at, message in enumerate(said) if message.get("role") == "assistant"), default=None)
        return None if last is None else self._sides.get(_key(said[: last + 1]))

    def note(self, request: JsonObject, response: JsonObject, side: Side) -> None:
        answer = answer_message(response)
        if answer is None:
            return
        key = _key([*messages(request), {"role": "assistant", **answer}])
        self._sides[key] = side
        self._sides.move_to_end(key)
        if len(self._sides) > self._most:
            self._sides.popitem(last=False)

    def recall(self, exchanges: Iterable[Exchange]) -> None:
        """What the log knows, the oldest first: after a start, and of other gateways. Newer notes stay."""
        for exchange in exchanges:
            if exchange.marks.is_extra or not exchange.is_whole or exchange.route is None or exchange.response is None:
                continue
            side: Side = "here" if exchange.route.upstream.startswith("engine:") else "provider"
            self.note(exchange.request, exchange.response, side)


def _key(said: Sequence[JsonObject]) -> int:
    """Of what was said by users, tools and assistants; spaces do not count, since clients trim."""
    digest = blake2b(digest_size=8)
    for message in said:
        role = str(message.get("role"))
        if role in _SPOKEN:
            continue
        text = content_text(message.get("content"))
        if message.get("tool_calls"):
            text = answer_or_calls({"choices": [{"message": message}]}) or text
        digest.update(f"{role}\x1f{' '.join(text.split())}\x1e".encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "big")
