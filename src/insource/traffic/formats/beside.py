"""What stands beside a request and its answer in logs that people write themselves, under the names that they use."""

from __future__ import annotations

from insource.traffic.formats.layout import Layout

_CREATED = (
    *("created", "created_at", "createdAt", "timestamp", "time", "datetime", "date", "ts"),
    *("start_time", "startTime", "started_at", "request_time", "processed_time"),
)
BESIDE = Layout(
    label=(
        *("reference", "label", "expected", "expected_output", "ground_truth", "gold", "correct_label"),
        *("reference_answer", "ideal", "correct_answer"),
    ),
    model=("model", "model_name", "model_id", "modelId", "deployment"),
    settings=("model_parameters", "parameters"),
    id=("id", "request_id", "requestId", "uuid"),
    created=_CREATED,
    ended=("ended_at", "end_time", "endTime", "completed_at"),
    latency_seconds=("latency_seconds", "latency_s", "duration_seconds", "duration_s", "elapsed_seconds"),
    latency_ms=("latency_ms", "latencyMs", "duration_ms", "durationMs", "elapsed_ms", "response_time_ms"),
    cost_usd=("cost_usd", "costUSD", "cost", "total_cost", "totalCost", "total_estimated_cost"),
    input_tokens=(
        *("input_tokens", "prompt_tokens", "inputTokens", "promptTokens", "usage.prompt_tokens", "usage.input_tokens"),
        "metrics.prompt_tokens",
    ),
    output_tokens=(
        *("output_tokens", "completion_tokens", "outputTokens", "completionTokens", "usage.completion_tokens"),
        *("usage.output_tokens", "metrics.completion_tokens"),
    ),
    status=("status_code", "status", "http_status"),
    error=("error", "error_message", "exception"),
    endpoint=("endpoint", "url", "path"),
    session_id=("session_id", "sessionId", "conversation_id", "conversationId", "thread_id"),
    trace_id=("trace_id", "traceId"),
    metadata=("metadata", "tags", "user", "user_id"),
)
