"""The log of the command `llm`, an SQLite file: `turns` of a tree of `messages`, or the table `responses` of earlier
versions. A file that was upgraded holds both.

Here are the queries and what their rows mean; the file is opened by whoever may (see `Tables`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from insource.core.values import JsonObject
from insource.traffic.formats.bodies import completion
from insource.traffic.formats.fields import count, items, moment, obj, text
from insource.traffic.formats.recorded import Lacking, Recorded
from insource.wire import parts

_MILLISECONDS = 1000
_TURNS = "select * from turns order by datetime_utc, id"
_CHAIN = """
with recursive chain(hash, parent_hash, role, depth) as (
  select hash, parent_hash, role, 0 from messages where hash = ?
  union all
  select m.hash, m.parent_hash, m.role, chain.depth + 1
  from messages m join chain on m.hash = chain.parent_hash where chain.depth < 10000
)
select chain.hash, chain.role, parts.type, parts.text, parts.payload, parts.id as part
from chain left join parts on parts.message_hash = chain.hash order by chain.depth desc, parts.position
"""
_TURN_TOOLS = """
select tools.name, tools.description, tools.input_schema from turn_tools
join tools on tools.id = turn_tools.tool_id where turn_tools.turn_id = ?
"""
_RESPONSES = "select * from responses {where} order by conversation_id, datetime_utc, id"
_NOT_IN_TURNS = "where id not in (select id from turns)"
_FRAGMENTS = """
select fragments.content from {kind}_fragments as used join fragments on fragments.id = used.fragment_id
where used.response_id = ? order by used."order"
"""
_RESPONSE_TOOLS = """
select tools.name, tools.description, tools.input_schema from tool_responses
join tools on tools.id = tool_responses.tool_id where tool_responses.response_id = ?
"""
_TOOL_CALLS = "select name, arguments, tool_call_id from tool_calls where response_id = ? order by id"
_TOOL_RESULTS = "select name, output, tool_call_id from tool_results where response_id = ? order by id"
_FRAGMENT = "select content from fragments where id = ?"
_SCHEMA = "select content from schemas where id = ?"


class Tables(Protocol):
    """An SQLite file that somebody else wrote."""

    @property
    def columns(self) -> Mapping[str, tuple[str, ...]]:
        """Of each table, by its name."""
        ...

    def rows(self, query: str, *values: Any) -> Iterator[JsonObject]: ...


def is_log(tables: Tables) -> bool:
    columns = tables.columns
    turns = {"turns", "messages", "parts"} <= columns.keys() and "parent_message_hash" in columns["turns"]
    return turns or {"prompt", "response", "conversation_id"} <= set(columns.get("responses", ()))


def records(tables: Tables) -> Iterator[JsonObject]:
    """One for each call, with everything that its tables say of it."""
    columns = tables.columns
    if "turns" in columns:
        for turn in tables.rows(_TURNS):
            asked = list(_chain(tables, turn.get("parent_message_hash")))
            whole = list(_chain(tables, turn.get("tip_message_hash")))
            tools = list(tables.rows(_TURN_TOOLS, turn["id"])) if "turn_tools" in columns else []
            schema = _schema(tables, turn.get("schema_id"))
            yield {"llm": "turn", **turn, "asked": asked, "said": whole[len(asked) :], "tools": tools, "schema": schema}
    if "responses" in columns:
        yield from _responses(tables)


def _schema(tables: Tables, id: Any) -> Any:
    found = next(tables.rows(_SCHEMA, id), None) if id and "schemas" in tables.columns else None
    return None if found is None else found.get("content")


# -------------------------------------------------------------------------------------------- turns


def _chain(tables: Tables, hash: Any) -> Iterator[JsonObject]:
    """The messages up to one, oldest first, as roles with parts."""
    message: JsonObject | None = None
    for row in tables.rows(_CHAIN, hash):
        if message is None or message["hash"] != row["hash"]:
            if message is not None:
                yield message
            message = {"hash": row["hash"], "role": row["role"], "content": []}
        if row["type"] is not None:
            message["content"].append(_part(tables, row))
    if message is not None:
        yield message


def _part(tables: Tables, row: JsonObject) -> JsonObject:
    part = {**(obj(row["payload"]) or {}), "type": row["type"]}
    if row["text"] is not None:
        part["text"] = row["text"]
    pieces = part.pop("text_ref", None)
    if isinstance(pieces, list):  # a text that shares fragments with others
        part["text"] = "".join(_piece(tables, piece) for piece in pieces if isinstance(piece, dict))
    return part


def _piece(tables: Tables, piece: JsonObject) -> str:
    if "fragment" not in piece:
        return str(piece.get("literal") or "")
    held = next(tables.rows(_FRAGMENT, piece["fragment"]), {})
    return str(held.get("content") or "")


# ---------------------------------------------------------------------------------------- responses


def _responses(tables: Tables) -> Iterator[JsonObject]:
    """With the earlier turns of each conversation, which were sent again with every prompt."""
    columns = tables.columns
    session, before = None, list[JsonObject]()
    for row in tables.rows(_RESPONSES.format(where=_NOT_IN_TURNS if "turns" in columns else "")):
        if row.get("conversation_id") != session or session is None:
            session, before = row.get("conversation_id"), []
        prompt, system = (
            "\n".join([*_fragments(tables, kind, row["id"]), *([str(row[kind])] if row.get(kind) else [])])
            for kind in ("prompt", "system")
        )
        results = list(tables.rows(_TOOL_RESULTS, row["id"])) if "tool_results" in columns else []
        calls = list(tables.rows(_TOOL_CALLS, row["id"])) if "tool_calls" in columns else []
        # A conversation's system prompt is sent once, unless it changes.
        told = system and {"role": "system", "content": system}
        asked = [told] if told and told not in before else []
        asked += [
            {"role": "tool", "content": _written(r["output"]), "tool_call_id": r["tool_call_id"]} for r in results
        ]
        asked += [{"role": "user", "content": prompt}] if prompt else []
        said = {"role": "assistant", "content": _written(row.get("response"))}
        said |= {"tool_calls": [parts.tool_call(call) for call in calls]} if calls else {}
        yield {
            "llm": "response",
            **row,
            "messages": [*before, *asked],
            "answer": said,
            "tools": list(tables.rows(_RESPONSE_TOOLS, row["id"])) if "tool_responses" in columns else [],
            "schema": _schema(tables, row.get("schema_id")),
        }
        before = [*before, *asked, said]


def _written(value: Any) -> str | None:
    """A column of SQLite may hold a number where a text is meant."""
    return None if value is None else str(value)


def _fragments(tables: Tables, kind: str, id: Any) -> list[str]:
    if f"{kind}_fragments" not in tables.columns:
        return []
    return [str(row["content"]) for row in tables.rows(_FRAGMENTS.format(kind=kind), id)]


# ------------------------------------------------------------------------------------------ records


class LlmReader:
    name = "llm"
    rank = 0
    keys = frozenset({"llm"})

    def recognises(self, record: JsonObject) -> bool:
        return record.get("llm") in ("turn", "response")

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        said: list[JsonObject] = [message for message in items(record.get("said")) if isinstance(message, dict)]
        if record["llm"] == "turn":
            asked = [turn for m in items(record["asked"]) for turn in parts.turn(m["role"], m["content"])]
            content = [part for message in said for part in message["content"]]
            answer = completion(parts.answer(content)) if content else None
        else:
            asked, answer = items(record["messages"]), completion(record["answer"])
        milliseconds = count(record.get("duration_ms"))
        schema = obj(record.get("schema"))
        tools = [_tool(tool) for tool in items(record.get("tools"))]
        yield Recorded(
            request={
                **(obj(record.get("options_json")) or {}),
                "messages": asked,
                **({"tools": tools} if tools else {}),
                **({} if schema is None else {"response_format": _format(schema)}),
            },
            response=answer,
            model=text(record.get("resolved_model")) or text(record.get("model")),
            id=text(record.get("id")),
            created=moment(record.get("datetime_utc")),
            latency_seconds=None if milliseconds is None else milliseconds / _MILLISECONDS,
            input_tokens=count(record.get("input_tokens")),
            output_tokens=count(record.get("output_tokens")),
            metadata={"session_id": text(record.get("thread_id")) or text(record.get("conversation_id"))},
        )


def _tool(row: JsonObject) -> Any:
    return parts.tool(
        {"name": row["name"], "description": row["description"], "parameters": obj(row["input_schema"]) or {}}
    )


def _format(schema: JsonObject) -> JsonObject:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
