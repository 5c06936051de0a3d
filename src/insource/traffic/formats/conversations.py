"""Conversations that people had: each answer of the assistant's is a call, with everything before it as its request.

Open WebUI's export (and its table `chat`), ChatGPT's, Claude's; and ShareGPT-like lines, which are made for training
and come to one call each, for the last answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from insource.core.values import JsonObject
from insource.traffic.formats.bodies import as_message, as_messages, completion
from insource.traffic.formats.fields import count, get, items, moment, obj, text
from insource.traffic.formats.recorded import Lacking, Recorded

_MOST_TURNS = 10_000


class ChatsReader:
    name = "chats"
    rank = 0
    keys = frozenset({"chat", "title", "mapping", "current_node", "chat_messages", "history", "messages", "models"})

    def recognises(self, record: JsonObject) -> bool:
        if isinstance(record.get("mapping"), dict) or isinstance(record.get("chat_messages"), list):
            return True
        chat = obj(record.get("chat"))
        return chat is not None and ("history" in chat or "messages" in chat)

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        nodes, system = _nodes(record)
        settings = _settings(obj(record.get("chat")) or {})
        session = text(get(record, "id", "conversation_id", "uuid"))
        answers = list(_answers(nodes))
        if not answers:
            yield Lacking(what="answer" if nodes else "messages", reason="nobody answers in it")
        for node in answers:
            path = _path(nodes, node)
            asked = [*([system] if system else []), *[turn for before in path if (turn := _turn(before)) is not None]]
            yield _call(node, {**settings, "messages": asked}, after=path[-1] if path else {}, session=session)


def _nodes(record: JsonObject) -> tuple[dict[str, JsonObject], JsonObject | None]:
    """(the messages by id, each with the `parent` that it follows; the system prompt)."""
    chat = obj(record.get("chat")) or {}
    tree = obj(get(chat, "history.messages"))
    if tree:
        system = text(get(chat, "params.system", "system"))
        nodes = {key: {**node, "parent": node.get("parentId")} for key, node in _objects(tree)}
        return nodes, None if system is None else {"role": "system", "content": system}
    mapping = obj(record.get("mapping"))
    if mapping is not None:
        held = {
            key: {**(obj(node.get("message")) or {}), "parent": node.get("parent")} for key, node in _objects(mapping)
        }
        return {key: _chatgpt(node) for key, node in held.items()}, None
    nodes: dict[str, JsonObject] = {}
    before: str | None = None
    for at, message in enumerate(items(record.get("chat_messages")) or items(chat.get("messages"))):
        if isinstance(message, dict):
            nodes[str(at)] = {**message, "parent": before, "role": message.get("role") or message.get("sender")}
            before = str(at)
    return nodes, None


def _objects(held: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    return ((key, value) for key, value in held.items() if isinstance(value, dict))


def _chatgpt(message: JsonObject) -> JsonObject:
    """ChatGPT's export names the author and holds the text in parts; what it hides was not said."""
    content = get(message, "content.parts") or get(message, "content.text", "content.result")
    said = [part for part in content if part] if isinstance(content, list) else content
    if isinstance(said, list) and all(isinstance(part, str) for part in said):
        said = "\n".join(said)
    hidden = get(message, "metadata.is_visually_hidden_from_conversation") is True
    return {
        "id": message.get("id"),
        "parent": message.get("parent"),
        "role": get(message, "author.role"),
        "content": None if hidden or not said else said,
        "created_at": message.get("create_time"),
        "model": get(message, "metadata.model_slug"),
    }


def _answers(nodes: Mapping[str, JsonObject]) -> Iterator[JsonObject]:
    for node in nodes.values():
        if node.get("role") == "assistant" or node.get("sender") == "assistant":
            turn = _turn(node)
            if turn is not None and turn.get("content"):
                yield node


def _path(nodes: Mapping[str, JsonObject], node: JsonObject) -> list[JsonObject]:
    """What came before, oldest first. A tree that bites its tail ends after so many turns."""
    found: list[JsonObject] = []
    parent = node.get("parent")
    while isinstance(parent, str) and parent in nodes and len(found) < min(len(nodes), _MOST_TURNS):
        found.append(nodes[parent])
        parent = nodes[parent].get("parent")
    return found[::-1]


def _turn(node: JsonObject) -> JsonObject | None:
    """A node as a message; None for one without a text (a root, a hidden one)."""
    content = node.get("content") or node.get("text")
    role = node.get("role") or node.get("sender")
    turns = as_messages([{"role": role, "content": content}]) if role and content else None
    pictures = [file["url"] for file in items(node.get("files")) if isinstance(file, dict) and _is_picture(file)]
    if not turns or not pictures:
        return None if not turns else turns[0]
    listed: list[Any] = [{"type": "text", "text": content}]
    listed += [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
    return {"role": turns[0]["role"], "content": listed}


def _is_picture(file: JsonObject) -> bool:
    return file.get("type") == "image" and isinstance(file.get("url"), str)


def _settings(chat: JsonObject) -> JsonObject:
    params = obj(chat.get("params")) or {}
    return {key: value for key, value in params.items() if key != "system" and value is not None}


def _call(node: JsonObject, request: JsonObject, *, after: JsonObject, session: str | None) -> Recorded:
    usage = obj(node.get("usage")) or {}
    rating = get(node, "annotation.rating")
    answer = as_message({"role": "assistant", "content": node.get("content") or node.get("text")}) or {}
    failure = node.get("error")
    times = (moment(get(turn, "timestamp", "created_at")) for turn in (after, node))
    return Recorded(
        request=request,
        response=None if failure else completion(answer, model=text(node.get("model"))),
        model=text(node.get("model")),
        id=text(get(node, "id", "uuid")),
        created=next((time for time in times if time is not None), None),
        input_tokens=count(get(usage, "prompt_tokens", "input_tokens", "prompt_eval_count")),
        output_tokens=count(get(usage, "completion_tokens", "output_tokens", "eval_count")),
        status=500 if failure else 200,
        incomplete="it was stopped" if node.get("done") is False else None,
        reference_correct={1: True, -1: False, "1": True, "-1": False}.get(rating) if rating else None,
        metadata={"session_id": session, **({"error": failure} if failure else {})},
    )


class ShareGptReader:
    name = "sharegpt"
    rank = 1
    keys = frozenset({"conversations", "conversation", "items", "from", "value", "system", "tools"})

    def recognises(self, record: JsonObject) -> bool:
        return _listed(record) is not None

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        messages = as_messages(_listed(record) or []) or []
        system = text(get(record, "system", "system_prompt"))
        if system is not None:
            messages = [{"role": "system", "content": system}, *messages]
        answered = bool(messages) and messages[-1]["role"] == "assistant"
        tools = {"tools": items(record["tools"])} if items(record.get("tools")) else {}
        yield Recorded(
            request={"messages": messages[:-1] if answered else messages, **tools},
            response=completion(messages[-1]) if answered else None,
            model=text(record.get("model")),
            id=text(record.get("id")),
            created=moment(get(record, "created_at", "timestamp", "create_time")),
            no_answer="the conversation ends without an answer",
        )


def _listed(record: JsonObject) -> list[Any] | None:
    for name in ("conversations", "conversation", "items"):
        listed = items(record.get(name))
        if listed and isinstance(listed[0], dict) and ("from" in listed[0] or "role" in listed[0]):
            return listed
    return None
