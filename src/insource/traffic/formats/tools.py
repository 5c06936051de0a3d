"""Formats whose records are one call each: LiteLLM, Langfuse, Helicone, LangSmith, Portkey, TensorZero's model calls,
Amazon's and Google's and Azure's request logs, OpenAI's evals, and the plain pairs that people write themselves.

Only where the fields are; how they are read is in layout.py. Layouts as documented by each tool, November 2026.
"""

from __future__ import annotations

from dataclasses import replace

from insource.traffic.formats.beside import BESIDE
from insource.traffic.formats.layout import Layout, LayoutReader

LITELLM = LayoutReader(
    name="litellm",
    has=(("call_type",), ("spend", "response_cost")),
    layout=Layout(
        parsed=False,
        request=("proxy_server_request.body", "proxy_server_request", "messages"),
        response=("response",),
        model=("model",),
        settings=("model_parameters",),
        id=("request_id", "id"),
        created=("startTime",),
        ended=("endTime",),
        latency_seconds=("response_time",),
        latency_ms=("request_duration_ms",),
        cost_usd=("spend", "response_cost"),
        input_tokens=("prompt_tokens",),
        output_tokens=("completion_tokens",),
        status=("status",),
        error=("error_str", "error_information.error_message", "metadata.error_information.error_message"),
        session_id=("session_id",),
        trace_id=("trace_id",),
        metadata=("metadata.spend_logs_metadata", "metadata.requester_metadata", "request_tags", "end_user", "user"),
    ),
    next_step="Let LiteLLM keep the texts (general_settings: store_prompts_in_spend_logs: true), and export again.",
)

LANGFUSE = LayoutReader(
    name="langfuse",
    has=(
        ("traceId", "trace_id", "usageDetails", "costDetails", "modelParameters"),
        ("input",),
        ("startTime", "start_time"),
    ),
    only=("type", frozenset({"generation", "llm"})),
    lacks=("run_type", "attributes"),
    layout=Layout(
        request=("input",),
        response=("output",),
        model=("model", "providedModelName", "provided_model_name"),
        settings=("modelParameters", "model_parameters"),
        id=("id",),
        created=("startTime", "start_time"),
        ended=("endTime", "end_time"),
        latency_seconds=("latency",),
        cost_usd=("totalCost", "total_cost", "calculatedTotalCost", "costDetails.total", "cost_details.total"),
        input_tokens=(
            *("usageDetails.input", "usage_details.input", "usage.input", "usage.promptTokens", "promptTokens"),
            "inputUsage",
        ),
        output_tokens=(
            *("usageDetails.output", "usage_details.output", "usage.output", "usage.completionTokens"),
            *("completionTokens", "outputUsage"),
        ),
        status=("level",),
        session_id=("sessionId", "session_id"),
        trace_id=("traceId", "trace_id"),
        metadata=("metadata", "tags", "name", "userId", "user_id", "statusMessage", "status_message"),
    ),
    next_step="Export the observations with their input and output.",
)

HELICONE = LayoutReader(
    name="helicone",
    has=(("request_body", "signed_body_url"), ("request_created_at", "response_created_at", "request_path")),
    layout=Layout(
        parsed=False,
        request=("request_body",),
        response=("response_body",),
        endpoint=("request_path",),
        model=("request_model", "response_model", "model"),
        id=("request_id",),
        created=("request_created_at",),
        ended=("response_created_at",),
        latency_ms=("delay_ms",),
        cost_usd=("costUSD", "cost_usd", "cost"),
        input_tokens=("prompt_tokens",),
        output_tokens=("completion_tokens",),
        status=("response_status",),
        metadata=("request_properties", "request_user_id"),
    ),
    next_step="Export with the bodies: npx @helicone/export --include-body.",
)

LANGSMITH = LayoutReader(
    name="langsmith",
    has=(("run_type",), ("inputs",)),
    only=("run_type", frozenset({"llm"})),
    layout=Layout(
        request=("inputs",),
        response=("outputs",),
        model=(
            "extra.invocation_params.model",
            "extra.invocation_params.model_name",
            "extra.metadata.ls_model_name",
            "outputs.llm_output.model_name",
        ),
        settings=("extra.invocation_params",),
        id=("id",),
        created=("start_time",),
        ended=("end_time",),
        cost_usd=("total_cost",),
        input_tokens=(
            *("prompt_tokens", "outputs.llm_output.token_usage.prompt_tokens", "outputs.usage_metadata.input_tokens"),
            "outputs.messages.0.usage_metadata.input_tokens",
        ),
        output_tokens=(
            *("completion_tokens", "outputs.llm_output.token_usage.completion_tokens"),
            *("outputs.usage_metadata.output_tokens", "outputs.messages.0.usage_metadata.output_tokens"),
        ),
        error=("error",),
        # Not its session_id: that is the project, the same for all.
        session_id=("extra.metadata.session_id", "extra.metadata.thread_id", "extra.metadata.conversation_id"),
        trace_id=("trace_id",),
        metadata=("extra.metadata", "tags"),
    ),
    next_step="Export the runs with their inputs and outputs.",
)

PORTKEY = LayoutReader(
    name="portkey",
    has=(("ai_model", "ai_org", "req_units"), ("request", "request.body")),
    layout=Layout(
        parsed=False,
        request=("request.body", "request"),
        response=("response.body", "response"),
        endpoint=("request_url", "request.url"),
        model=("ai_model",),
        id=("id",),
        created=("created_at",),
        latency_ms=("response_time", "response.time"),
        cost_cents=("cost",),
        input_tokens=("req_units",),
        output_tokens=("res_units",),
        status=("response_status_code", "response.status", "is_success"),
        trace_id=("trace_id", "metadata.traceId"),
        metadata=("metadata", "prompt_slug"),
    ),
    next_step="Request the export with the fields `request` and `response`.",
)

TENSORZERO_CALLS = LayoutReader(
    name="tensorzero-calls",
    has=(("raw_request",), ("raw_response",)),
    layout=Layout(
        parsed=False,
        request=("raw_request",),
        response=("raw_response",),
        model=("model_name",),
        id=("id",),
        created=("timestamp",),
        latency_ms=("response_time_ms",),
        cost_usd=("cost",),
        input_tokens=("input_tokens",),
        output_tokens=("output_tokens",),
        trace_id=("inference_id",),
        metadata=("tags",),
    ),
)

BEDROCK = LayoutReader(
    name="bedrock",
    has=(("modelId", "schemaType"), ("input.inputBodyJson", "input.inputBodyS3Path"), ("operation", "output")),
    layout=Layout(
        parsed=False,
        # The bodies of models with a dialect of their own (Titan, Llama, Mistral, Claude 2) before those of all others.
        request=("input.inputBodyJson.inputText", "input.inputBodyJson.prompt", "input.inputBodyJson"),
        response=(
            *("output.outputBodyJson.generation", "output.outputBodyJson.results.0.outputText"),
            *("output.outputBodyJson.outputs.0.text", "output.outputBodyJson.completion", "output.outputBodyJson"),
        ),
        model=("modelId",),
        id=("requestId",),
        created=("timestamp",),
        input_tokens=("input.inputTokenCount",),
        output_tokens=("output.outputTokenCount",),
        error=("errorCode",),
        metadata=("requestMetadata",),
    ),
    next_step="Import the objects that Bedrock stored beside the log (inputBodyS3Path) instead of the log.",
)

VERTEX = LayoutReader(
    name="vertex",
    has=(("full_request", "request_payload"), ("full_response", "response_payload")),
    layout=Layout(
        parsed=False,
        request=("full_request", "request_payload.0", "request_payload"),
        response=("full_response", "response_payload.0", "response_payload"),
        model=("model", "deployed_model_id"),
        id=("request_id",),
        created=("logging_time",),
        latency_ms=("metadata.request_latency",),
        metadata=("metadata",),
    ),
)

AZURE = LayoutReader(
    name="azure",
    has=(
        ("resourceId", "ResourceId", "_ResourceId", "CorrelationId", "correlationId", "TimeGenerated"),
        ("operationName", "OperationName", "RequestMessages"),
        ("properties", "RequestMessages", "RequestBody", "BackendRequestBody"),
    ),
    layout=Layout(
        parsed=False,
        request=(
            *("RequestMessages", "BackendRequestBody", "RequestBody", "properties.requestMessages"),
            *("properties.backendRequestBody", "properties.requestBody", "properties.RequestMessages"),
        ),
        response=(
            *("ResponseMessages", "BackendResponseBody", "ResponseBody", "properties.responseMessages"),
            *("properties.backendResponseBody", "properties.responseBody", "properties.ResponseMessages"),
        ),
        model=(
            *("ModelName", "DeploymentName", "properties.modelName", "properties.modelDeploymentName"),
            *("properties.deploymentName", "properties.ModelName", "properties.DeploymentName"),
        ),
        id=("CorrelationId", "correlationId"),
        created=("TimeGenerated", "time"),
        latency_ms=("TotalTime", "durationMs"),
        input_tokens=("PromptTokens", "properties.promptTokens", "properties.PromptTokens"),
        output_tokens=("CompletionTokens", "properties.completionTokens", "properties.CompletionTokens"),
        status=("ResponseCode", "resultSignature", "properties.responseCode"),
    ),
    next_step="Azure OpenAI's own diagnostics hold no texts: put API Management in front and log the prompts and "
    "completions (ApiManagementGatewayLlmLog), or record with: insource serve.",
)

OPENROUTER = LayoutReader(
    name="openrouter",
    has=(("generation_id",), ("model_permaslug", "provider_name")),
    layout=Layout(request=("messages", "prompt", "input"), response=("completion", "response", "output")),
    next_step="OpenRouter's activity holds no texts: record with insource serve in front of it, or export from the "
    "tool that it broadcasts to (Langfuse, Helicone, …).",
)

EVALS = LayoutReader(
    name="openai-evals",
    has=(("item", "datasource_item"),),
    lacks=("messages", "request"),
    layout=Layout(
        request=(
            *("sample.input", "item.input", "datasource_item.input", "item.messages", "item.prompt", "item.question"),
            *("datasource_item.prompt", "datasource_item.question", "item", "datasource_item"),
        ),
        response=("sample.output_text", "sample.output", "sample.outputs"),
        label=tuple(
            f"{item}.{name}"
            for item in ("item", "datasource_item")
            for name in ("correct_label", "reference_answer", "label", "ideal", "expected", "answer", "ground_truth")
        ),
        model=("sample.model",),
        id=("id",),
        created=("created_at",),
        input_tokens=("sample.usage.prompt_tokens",),
        output_tokens=("sample.usage.completion_tokens",),
    ),
)

CLOUDFLARE = LayoutReader(
    name="cloudflare",
    has=(("tokens_in",), ("tokens_out",), ("request", "request_head", "request_type", "provider")),
    layout=Layout(
        parsed=False,
        request=("request", "request_body"),
        response=("response", "response_body"),
        endpoint=("path",),
        model=("model",),
        id=("id",),
        created=("created_at",),
        latency_ms=("duration",),
        cost_usd=("cost",),
        input_tokens=("tokens_in",),
        output_tokens=("tokens_out",),
        status=("status_code", "success"),
        metadata=("metadata",),
    ),
    next_step="Let the gateway store payloads, and fetch the request and the response of each log with it.",
)

BRAINTRUST = LayoutReader(
    name="braintrust",
    has=(("span_attributes",), ("input",), ("root_span_id", "metrics")),
    only=("span_attributes.type", frozenset({"llm"})),
    layout=Layout(
        request=("input",),
        response=("output",),
        label=("expected",),
        model=("metadata.model",),
        id=("id", "span_id"),
        created=("metrics.start", "created"),
        ended=("metrics.end",),
        input_tokens=("metrics.prompt_tokens",),
        output_tokens=("metrics.completion_tokens",),
        cost_usd=("metrics.estimated_cost",),
        error=("error",),
        trace_id=("root_span_id",),
        metadata=("metadata", "tags"),
    ),
    next_step="Export the spans of the type llm with their input and output.",
)

WEAVE = LayoutReader(
    name="weave",
    has=(("op_name",), ("inputs",), ("output", "exception", "ended_at")),
    layout=Layout(
        parsed=False,
        request=("inputs",),
        response=("output",),
        model=("inputs.model", "output.model"),
        id=("id",),
        created=("started_at",),
        ended=("ended_at",),
        error=("exception",),
        session_id=("thread_id",),
        trace_id=("trace_id",),
    ),
    next_step="Export the calls of the provider's own function (openai.chat.completions.create and the like).",
)

PAIRS = LayoutReader(
    name="openai",
    rank=1,
    has=(("request", "request_body", "requestBody", "req", "kwargs.messages"),),
    keep_rest=True,
    layout=replace(
        BESIDE,
        parsed=False,
        request=("request.body", "request", "request_body", "requestBody", "req", "kwargs"),
        response=("response.body", "response", "response_body", "responseBody", "resp", "res", "completion", "output"),
        status=(*BESIDE.status, "response.status_code"),
    ),
    next_step='Write one JSON object a line: {"request": {"model": …, "messages": […]}, "response": {…}}.',
)

_ASKED = (
    *("messages", "prompt", "input", "inputs", "question", "query", "user_message", "instruction"),
    *("user_input", "user_prompt", "user_query", "user_question"),
)
_ANSWER = (
    *("response", "output", "outputs", "answer", "completion", "reply", "output_text", "generated_text"),
    *("assistant_message", "result", "generated_answer", "prediction", "bot_response", "ai_response"),
    *(f"{who}_{what}" for who in ("llm", "model") for what in ("answer", "response", "output")),
)

TEXTS = LayoutReader(
    name="texts",
    rank=2,
    has=(_ASKED, (*_ANSWER, *BESIDE.label)),
    lacks=("observations", "spans", "conversations", "custom_id"),
    keep_rest=True,
    layout=replace(
        BESIDE,
        request=_ASKED,
        system=("system", "system_prompt", "instructions"),
        response=_ANSWER,
    ),
)
"""A text or messages, and what was said to them, under the names that people give them."""
