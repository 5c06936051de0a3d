"""Samples of `llm`'s databases, in both schemas."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.logs.sample import ASKED, CALLS, ISO, MODEL, RULES, SAID, Sample, Wanted


def _database(*statements: tuple[str, tuple[Any, ...]]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "logs.db"
        with sqlite3.connect(path) as database:
            for statement, values in statements:
                database.execute(statement, values)
        database.close()
        return path.read_bytes()


def _llm_samples() -> tuple[Sample, ...]:
    old = _database(
        (
            "create table responses (id text, model text, prompt text, system text, options_json text, response text, "
            "conversation_id text, duration_ms integer, datetime_utc text, input_tokens integer, "
            "output_tokens integer)",
            (),
        ),
        ("create table fragments (id integer, content text)", ()),
        ('create table prompt_fragments (response_id text, fragment_id integer, "order" integer)', ()),
        ('create table system_fragments (response_id text, fragment_id integer, "order" integer)', ()),
        ("insert into fragments values (1, 'A note.')", ()),
        ("insert into prompt_fragments values ('b', 1, 0)", ()),
        (
            "insert into responses values (?,?,?,?,?,?,?,?,?,?,?)",
            ("a", MODEL, ASKED, RULES, '{"temperature": 0}', SAID, "c1", 700, ISO, 30, 2),
        ),
        (
            "insert into responses values (?,?,?,?,?,?,?,?,?,?,?)",
            ("b", MODEL, "Sure?", None, None, "yes", "c1", 700, ISO.replace("2026", "2027"), 40, 1),
        ),
    )
    new = _database(
        ("create table messages (hash text, parent_hash text, role text, provider_metadata text)", ()),
        (
            "create table parts (id integer, message_hash text, position integer, type text, tool_name text, "
            "text text, payload text)",
            (),
        ),
        ("create table fragments (id integer, hash text, content text)", ()),
        ("create table schemas (id text, content text)", ()),
        ("create table tools (id integer, name text, description text, input_schema text)", ()),
        ("create table turn_tools (turn_id text, tool_id integer)", ()),
        (
            "create table turns (id text, thread_id text, parent_message_hash text, tip_message_hash text, model text, "
            "resolved_model text, options_json text, schema_id text, input_tokens integer, output_tokens integer, "
            "duration_ms integer, "
            "datetime_utc text)",
            (),
        ),
        (
            "insert into messages values ('s', null, 'system', null), ('u', 's', 'user', null), "
            "('a', 'u', 'assistant', null)",
            (),
        ),
        ("insert into fragments values (1, 'h', ?)", (ASKED,)),
        ("insert into parts values (1, 's', 0, 'text', null, ?, null)", (RULES,)),
        ("insert into parts values (2, 'u', 0, 'text', null, null, ?)", ('{"text_ref": [{"fragment": 1}]}',)),
        (
            "insert into parts values (3, 'a', 0, 'tool_call', 'weather', null, ?)",
            (json.dumps({"name": "weather", "arguments": {"city": "Quito"}, "tool_call_id": "c1"}),),
        ),
        ("insert into tools values (1, 'weather', 'now', '{\"type\": \"object\"}')", ()),
        ("insert into turn_tools values ('t1', 1)", ()),
        ("insert into turns values ('t1', 'th', 'u', 'a', 'm', ?, null, null, 30, 2, 700, ?)", (MODEL, ISO)),
    )
    wanted = Wanted(latency_seconds=0.7, format="llm")
    return (
        Sample(name="llm responses", files=(old,), wanted=replace(wanted, count=2, metadata={"session_id": "c1"})),
        Sample(name="llm turns", files=(new,), wanted=replace(wanted, answer=CALLS, metadata={"session_id": "th"})),
        Sample(
            name="another database",
            files=(_database(("create table t (a text)", ()), ("insert into t values ('x')", ())),),
            wanted="holds records with the fields a",
        ),
    )


SAMPLES = (*_llm_samples(),)
