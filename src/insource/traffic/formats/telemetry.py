"""Spans of OpenTelemetry: the GenAI conventions (attributes, and the span events before them), OpenLLMetry's numbered
attributes, OpenInference's, and the Vercel AI SDK's.

OTLP in JSON (`resourceSpans` or `resourceLogs`, whole or an element of it), spans as the SDKs print them, and as
Phoenix exports them. Only spans of a model's call count; an agent's or a tool's hold the same texts once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from insource.core.values import JsonObject
from insource.traffic.formats.bodies import as_request, as_response
from insource.traffic.formats.fields import count, get, items, moment, number, obj, seconds_between, structure, text
from insource.traffic.formats.recorded import CUT, Lacking, Recorded
from insource.wire import parts

_CALLS = frozenset(
    {"chat", "text_completion", "generate_content", "completion", "responses", "message", "llm", "chat_model"}
)
_NEXT = (
    "Let the instrumentation capture message content "
    "(OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true), and export again."
)
_WITHIN = ("resourceSpans", "scopeSpans", "spans", "resourceLogs", "scopeLogs", "logRecords")
_ASKED = (
    "gen_ai.input.messages",
    "gen_ai.prompt",
    "llm.input_messages",
    "ai.prompt.messages",
    "ai.prompt",
    "mlflow.spanInputs",
    "request_data",
)
_SAID = (
    "gen_ai.output.messages",
    "gen_ai.completion",
    "llm.output_messages",
    "ai.response.text",
    "ai.response.object",
    "mlflow.spanOutputs",
    "response_data",
)
_SETTINGS = (
    *("temperature", "top_p", "top_k", "max_tokens", "frequency_penalty", "presence_penalty", "seed"),
    "stop_sequences",
)
_INPUT_TOKENS = (
    *("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "ai.usage.inputTokens"),
    *("ai.usage.promptTokens", "llm.usage.prompt_tokens"),
)
_OUTPUT_TOKENS = (
    *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
    *("ai.usage.outputTokens", "ai.usage.completionTokens", "llm.usage.completion_tokens"),
)
_MLFLOW = "mlflow.spanType"
_FAILED = (2, "2", "ERROR", "STATUS_CODE_ERROR", "error")


class TelemetryReader:
    name = "opentelemetry"
    rank = 0
    keys = frozenset({"resourceSpans", "scopeSpans", "spans", "attributes", "traceId", "spanId", "context", "kind"})

    def recognises(self, record: JsonObject) -> bool:
        if any(name in record for name in ("resourceSpans", "scopeSpans", "resourceLogs", "scopeLogs")):
            return True
        if "op_name" in record:
            return False  # Weave's, which has attributes too
        span = not {"context", "context.span_id", "traceId", "spanId", "trace_id", "span_id"}.isdisjoint(record)
        return span and ("attributes" in record or any(name.startswith("attributes.") for name in record))

    def read(self, record: JsonObject, outer: JsonObject) -> Iterable[Recorded | Lacking]:
        for span in _spans(record):
            found = _call(span)
            if found is not None:
                yield found


def _spans(record: JsonObject) -> Iterator[JsonObject]:
    nested = [inner for name in _WITHIN for inner in items(record.get(name)) if isinstance(inner, dict)]
    if not nested:
        yield record
    for inner in nested:
        yield from _spans(inner)


def _call(span: JsonObject) -> Recorded | None:
    """None: it is no call to a model."""
    said = _attributes(span)
    kind = str(
        get(said, "gen_ai.operation.name", "openinference.span.kind", "llm.request.type", "ai.operationId", _MLFLOW)
        or ""
    ).strip('"')
    inner = kind.startswith("ai.") and kind.endswith((".doGenerate", ".doStream"))
    if kind and not inner and kind.lower() not in _CALLS:
        return None
    asked, answered, system = _texts(said, span)
    if asked is None and answered is None and not kind and get(said, "gen_ai.request.model") is None:
        return None
    request = _request(asked, said, system)
    response = as_response(answered)
    calls = [call for call in items(said.get("ai.response.toolCalls")) if isinstance(call, dict)]
    if calls:
        named = [{**call, "name": call.get("toolName"), "id": call.get("toolCallId")} for call in calls]
        response = as_response({"role": "assistant", "content": answered, "tool_calls": named})
    begun = get(
        span,
        "startTimeUnixNano",
        "start_time",
        "startTime",
        "start_time_unix_nano",
        "start_timestamp",
        "timeUnixNano",
        "observedTimeUnixNano",
    )
    return Recorded(
        request=request,
        response=response,
        model=text(get(said, "gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "ai.model.id")),
        id=text(get(span, "spanId", "span_id", "context.span_id", "context.spanId")),
        created=moment(begun),
        latency_seconds=seconds_between(
            begun, get(span, "endTimeUnixNano", "end_time", "endTime", "end_time_unix_nano", "end_timestamp")
        ),
        cost_usd=number(get(said, "gen_ai.usage.cost", "llm.cost.total", "gen_ai.usage.total_cost")),
        input_tokens=count(get(said, *_INPUT_TOKENS)),
        output_tokens=count(get(said, *_OUTPUT_TOKENS)),
        status=500 if response is None and _failed(span, said) else 200,
        incomplete=CUT if _is_cut(said) else None,
        metadata=_metadata(span, said),
        next_step=_NEXT,
    )


def _failed(span: JsonObject, said: JsonObject) -> bool:
    return get(span, "status.code", "status.status_code", "status_code") in _FAILED or "error.type" in said


def _metadata(span: JsonObject, said: JsonObject) -> JsonObject:
    session = get(said, "session.id", "gen_ai.conversation.id", "ai.telemetry.metadata.sessionId")
    return {
        "session_id": text(session),
        "trace_id": text(get(span, "traceId", "trace_id", "context.trace_id")),
        "user": text(get(said, "user.id", "enduser.id")),
        "error": text(get(said, "error.type")),
        **(obj(get(said, "metadata")) or {}),
    }


# ------------------------------------------------------------------------------------------- attributes


def _attributes(span: JsonObject) -> JsonObject:
    """Flat names and their values, whether OTLP lists them, or an SDK or a table holds them by name."""
    held = span.get("attributes")
    if isinstance(held, list):
        flat = {str(a.get("key")): _plain(a.get("value")) for a in held if isinstance(a, dict)}
    else:
        flat = dict(obj(held) or {})
        flat |= {k.removeprefix("attributes."): v for k, v in span.items() if k.startswith("attributes.")}
        flat |= _flattened({k: v for k, v in flat.items() if isinstance(v, dict)})
    return _gathered({key: value for key, value in flat.items() if value is not None})


def _plain(value: Any) -> Any:
    """An OTLP AnyValue as the value that it wraps."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, inner),) = value.items()
    if kind == "arrayValue":
        return [_plain(item) for item in items(get(inner, "values"))]
    if kind == "kvlistValue":
        pairs = [pair for pair in items(get(inner, "values")) if isinstance(pair, dict)]
        return {str(pair.get("key")): _plain(pair.get("value")) for pair in pairs}
    return count(inner) if kind == "intValue" else inner


def _flattened(nested: JsonObject, prefix: str = "", depth: int = 4) -> JsonObject:
    """`{"llm": {"model_name": …}}` (Phoenix) as `llm.model_name`, beside the objects themselves."""
    flat: JsonObject = {}
    for key, value in nested.items():
        flat[f"{prefix}{key}"] = value
        if isinstance(value, dict) and depth:
            flat |= _flattened(value, f"{prefix}{key}.", depth - 1)
    return flat


def _gathered(flat: JsonObject) -> JsonObject:
    """With lists where names are numbered: `llm.input_messages.0.message.role` and `gen_ai.prompt.0.content`."""
    trees: JsonObject = {}
    for key, value in flat.items():
        steps = key.split(".")
        at = next((n for n, step in enumerate(steps) if step.isdecimal()), None)
        if at is None or ".".join(steps[:at]) not in (*_ASKED, *_SAID, "llm.tools", "llm.request.functions"):
            continue
        node = trees.setdefault(".".join(steps[:at]), {})
        for step in steps[at:-1]:
            inner = node.setdefault(step, {})
            node = inner if isinstance(inner, dict) else {}
        node[steps[-1]] = value
    return {**flat, **{name: _listed(tree) for name, tree in trees.items()}}


def _listed(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if tree and all(key.isdecimal() for key in tree):
        return [_listed(tree[key]) for key in sorted(tree, key=int)]
    return {key: _listed(value) for key, value in tree.items()}


# ------------------------------------------------------------------------------------------------ texts


def _texts(said: JsonObject, span: JsonObject) -> tuple[Any, Any, Any]:
    """(what was asked, what was answered, the system's instructions) in whichever convention."""
    asked, answered = get(said, *_ASKED), get(said, *_SAID)
    if asked is None and answered is None:
        asked, answered = _events([*items(span.get("events")), *items(said.get("events"))])
    if asked is None:
        asked = get(said, "input.value")
    if answered is None:
        answered = get(said, "output.value")
    system = get(said, "gen_ai.system_instructions", "gen_ai.system.instructions")
    return _messages(asked), _messages(answered), _messages(system)


def _events(events: list[Any]) -> tuple[Any, Any]:
    """The conventions before 1.37 put each message into an event of its span; Logfire keeps these in an attribute."""
    asked: list[Any] = []
    answered: list[Any] = []
    for event in events:
        if not isinstance(event, dict):
            continue
        name = str(get(event, "event.name", "name", "event_name") or "")
        body = event if "event.name" in event else {**_attributes(event), **(obj(_plain(event.get("body"))) or {})}
        if name == "gen_ai.choice":
            message = obj(body.get("message")) or body
            answered.append({"role": "assistant", **message})
        elif name.startswith("gen_ai.") and name.endswith(".message"):
            asked.append({"role": name.split(".")[1], **body})
        elif name in ("gen_ai.content.prompt", "gen_ai.content.completion"):
            held = get(body, "gen_ai.prompt", "gen_ai.completion")
            (asked if name.endswith("prompt") else answered).extend(items(held) or [held])
    return asked or None, answered or None


def _messages(value: Any) -> Any:
    """OpenInference's names without their prefixes; other conventions' values as they are."""
    found = structure(value)
    if isinstance(found, list):
        return [_message(item) for item in found]
    return value if found is None else found


def _message(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    flat = _flattened(item) if "message" in item else item
    if not any(key.startswith("message.") for key in flat):
        return item
    message: JsonObject = {"role": flat.get("message.role"), "content": flat.get("message.content")}
    contents = items(flat.get("message.contents"))
    if contents and not message["content"]:
        message["content"] = [_content(part) for part in contents]
    calls = [_flattened(call) for call in items(flat.get("message.tool_calls")) if isinstance(call, dict)]
    if calls:
        message["tool_calls"] = [
            parts.tool_call(
                {
                    "id": call.get("tool_call.id"),
                    "name": call.get("tool_call.function.name"),
                    "arguments": call.get("tool_call.function.arguments"),
                }
            )
            for call in calls
        ]
    message |= {key: flat[f"message.{key}"] for key in ("name", "tool_call_id") if flat.get(f"message.{key}")}
    return message


def _content(part: Any) -> Any:
    flat = _flattened(part) if isinstance(part, dict) else {}
    url = get(flat, "message_content.image.image.url")
    if url is not None:
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "text", "text": str(flat.get("message_content.text") or "")}


def _request(asked: Any, said: JsonObject, system: Any) -> JsonObject | None:
    request = as_request(asked)
    if request is None:
        return None
    listed = request.get("messages")
    if system and isinstance(listed, list):
        request = {**request, "messages": [*parts.turn("system", system), *listed]}
    settings = {name: said[f"gen_ai.request.{name}"] for name in _SETTINGS if f"gen_ai.request.{name}" in said}
    parameters = obj(said.get("llm.invocation_parameters")) or {}
    tools = [obj(tool) or tool for tool in items(get(said, "gen_ai.tool.definitions", "ai.prompt.tools"))]
    tools += [found for t in items(said.get("llm.tools")) if (found := obj(get(t, "tool.json_schema"))) is not None]
    tools += [function for function in items(said.get("llm.request.functions")) if isinstance(function, dict)]
    declared = {"tools": [parts.tool(tool) for tool in tools]} if tools else {}
    return {**parameters, **settings, **declared, **request}


def _is_cut(said: JsonObject) -> bool:
    """A limit on attributes cuts JSON in its middle."""
    return any(
        isinstance(said.get(name), str) and said[name].lstrip()[:1] == "[" and structure(said[name]) is None
        for name in (*_ASKED, *_SAID)
    )
