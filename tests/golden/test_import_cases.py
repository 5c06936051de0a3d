"""The log files of other tools in the shared cases: twelve exchanges each, of one task. Every file is taken whole, or
refused with a next step of its own; what was asked, answered, labelled, counted, paid and timed is all there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from insource.core.errors import BadInput
from insource.core.values import CHAT_ENDPOINT, Exchange
from insource.wire import chat
from insource.workflows.prove.import_traffic import import_traffic
from tests.logs.importing import HeldExchanges, services_over

pytestmark = pytest.mark.data

RULES = "Classify the sentiment of the customer review. Answer with positive or negative."
_ASKED = (
    *("I loved the film", "Great service today", "The food was wonderful", "Superb battery life"),
    *("My order came early", "Lovely hotel staff", "The room was dirty", "Terrible delay at check in"),
    *("It broke after a week", "Rude support agent", "Cold soup again", "Never buying this"),
)
_BY_LLM = ("I loved the film", "Great service today", "The room was dirty", "Terrible delay")
"""The four reviews of its database, three times."""
_TRUE = ("positive",) * 6 + ("negative",) * 6
SEPTEMBER = datetime(2026, 9, 1, 10, tzinfo=UTC)
NOVEMBER = datetime.fromtimestamp(1731000000, UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a file holds, beside its messages. None: the file does not say."""

    rules: str = RULES
    """What precedes the review, in the system prompt or before the review itself."""
    asked: tuple[str, ...] = _ASKED
    true: tuple[str, ...] = _TRUE
    answers: bool = True
    labels: bool = False
    start: datetime | None = None
    step: timedelta = MINUTE
    tokens: tuple[int, int] | None = (30, 1)
    cost_usd: float | None = None
    latency_seconds: float | None = None


_TRAINING = Case(answers=False, labels=True, tokens=None)
_LANGFUSE = Case(start=SEPTEMBER, cost_usd=0.000183, latency_seconds=1.6)
_LITELLM = Case(start=SEPTEMBER, cost_usd=0.000225, latency_seconds=0.7)
_COMPLETION = Case(start=NOVEMBER)
TAKEN = {
    "anthropic_batch_input.jsonl anthropic_batch_output.jsonl": Case(tokens=(30, 4)),
    "anthropic_messages_pair.jsonl": Case(tokens=(30, 4)),
    "gemini_pair.jsonl": Case(),
    "helicone_export.jsonl": Case(start=SEPTEMBER, cost_usd=0.0001, latency_seconds=1.0),
    "langfuse_export.csv": _LANGFUSE,
    "langfuse_export.json": _LANGFUSE,
    "langfuse_export.jsonl": _LANGFUSE,
    "langsmith_runs.jsonl": Case(start=SEPTEMBER, cost_usd=0.0001, latency_seconds=1.0),
    "litellm_spendlogs_api.json": _LITELLM,
    "litellm_spendlogs_messages.jsonl": _LITELLM,
    "litellm_spendlogs_proxyreq.jsonl": _LITELLM,
    "litellm_standard_logging.jsonl": replace(_LITELLM, start=datetime.fromtimestamp(1766000000.5, UTC), step=MINUTE),
    "llm_logs.db": Case(
        asked=_BY_LLM * 3,
        true=("positive", "positive", "negative", "negative") * 3,
        start=datetime(2026, 11, 30, 11, 55, 53, tzinfo=UTC),
        step=timedelta(0),
        tokens=None,
    ),
    "messages_and_output.jsonl": Case(tokens=None),
    "messages_and_response.jsonl": Case(start=SEPTEMBER, latency_seconds=0.512),
    "mitmproxy.har": Case(start=SEPTEMBER, latency_seconds=0.5),
    "openai_batch_both.jsonl": _COMPLETION,
    "openai_batch_input.jsonl openai_batch_output.jsonl": _COMPLETION,
    "openai_batch_responses_both.jsonl": Case(start=NOVEMBER, step=SECOND),
    "openai_completions_pair.jsonl": Case(start=NOVEMBER, step=timedelta(0), tokens=(3, 1)),
    "openai_evals_items.jsonl": Case(rules="", labels=True, tokens=None),
    "openai_ft_chat.jsonl": _TRAINING,
    "openai_ft_dpo.jsonl": _TRAINING,
    "openai_ft_multiturn_weight.jsonl": _TRAINING,
    "openai_ft_rft.jsonl": _TRAINING,
    "openai_legacy_prompt_completion.jsonl": _TRAINING,
    "openai_responses_pair.jsonl": Case(start=NOVEMBER, step=SECOND),
    "openai_stored_joined.jsonl": _COMPLETION,
    "openwebui_export.json": Case(rules="", start=NOVEMBER, step=SECOND, tokens=None),
    "otel_genai_otlp.jsonl": Case(start=NOVEMBER, latency_seconds=1.0),
    "pairs_array.json": _COMPLETION,
    "prompt_response_text.jsonl": Case(tokens=None),
    "promptfoo_output.json": Case(
        labels=True, start=SEPTEMBER, step=timedelta(0), cost_usd=0.0001, latency_seconds=0.5
    ),
    "sharegpt.jsonl": Case(tokens=None),
}
REFUSED = {
    "anthropic_batch_input.jsonl": "import its output file together with it",
    "anthropic_batch_output.jsonl": "import its input file together with it",
    "azure_openai_diag.jsonl": "API Management",
    "llama_server.log": "insource serve",
    "openai_batch_embeddings_in.jsonl": "import its output file together with it",
    "openai_batch_input.jsonl": "import its output file together with it",
    "openai_batch_output.jsonl": "import its input file together with it",
    "openai_stored_list.json": "GET /v1/chat/completions/ID/messages",
    "openrouter_activity.csv": "insource serve",
}
TOOLS = "openai_ft_tools.jsonl"


def _imported(folder: Path, names: str) -> list[Exchange]:
    store = HeldExchanges()
    report = import_traffic(services_over(store), [folder / "imports" / name for name in names.split()])
    assert (report.added, report.bad_lines, report.refused) == (12, 0, ())
    assert (report.without_answer, report.truncated, report.conflicting) == (0, 0, 0)
    return list(store.held.values())


@pytest.mark.parametrize("names", TAKEN)
def test_a_file_is_taken_whole(names: str, shared_cases: Path) -> None:
    case, found = TAKEN[names], _imported(shared_cases, names)
    for at, exchange in enumerate(found):
        texts = "\n".join(chat.content_text(message["content"]) for message in chat.messages(exchange.request))
        assert case.asked[at] in texts
        assert case.rules in texts
        assert exchange.endpoint == CHAT_ENDPOINT
        assert chat.answer_or_calls(exchange.response) == (case.true[at] if case.answers else None)
        assert exchange.reference == (case.true[at] if case.labels else None)
        assert chat.usage_tokens(exchange.response) == case.tokens
        assert (exchange.cost_usd if exchange.cost_source == "recorded" else None) == pytest.approx(case.cost_usd)
        if case.latency_seconds is not None:
            assert exchange.latency_seconds == pytest.approx(case.latency_seconds)
        if case.start is None:
            assert exchange.created.year == 1970, "no time is made up that looks like one"
        else:
            assert abs(exchange.created - (case.start + at * case.step)) < SECOND


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_is_refused_with_its_own_next_step(name: str, shared_cases: Path) -> None:
    store = HeldExchanges()
    with pytest.raises(BadInput) as refused:
        import_traffic(services_over(store), shared_cases / "imports" / name)
    assert REFUSED[name] in refused.value.next_step
    assert not store.held


def test_called_tools_are_the_label(shared_cases: Path) -> None:
    first, *_ = _imported(shared_cases, TOOLS)
    assert chat.user_text(first.request) == "Weather in Paris?"
    assert first.reference == '[{"arguments":{"city":"Paris"},"name":"get_weather"}]'
    assert first.request["tools"][0]["function"]["name"] == "get_weather"


def test_no_file_is_forgotten(shared_cases: Path) -> None:
    named = {name for names in TAKEN for name in names.split()} | REFUSED.keys() | {TOOLS}
    assert {path.name for path in (shared_cases / "imports").iterdir()} == named
