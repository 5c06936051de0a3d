"""Every format, on a small log in its layout: messages, answers, times, tokens, cost, labels; or its own next step."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from insource.core.errors import BadInput
from insource.core.values import CHAT_ENDPOINT, Exchange
from insource.wire import chat
from insource.workflows.prove.import_traffic import import_traffic
from tests.logs import batches, databases, evaluations, forms, rows, telemetry, texts, tools
from tests.logs.importing import HeldExchanges, import_or_refuse, services_over, written
from tests.logs.mutations import mutate
from tests.logs.sample import ASKED, RULES, Sample, Wanted

SAMPLES = (
    *tools.SAMPLES,
    *telemetry.SAMPLES,
    *texts.SAMPLES,
    *evaluations.SAMPLES,
    *batches.SAMPLES,
    *databases.SAMPLES,
    *forms.SAMPLES,
    *rows.SAMPLES,
)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_log_is_taken_whole_or_refused_with_its_next_step(sample: Sample, tmp_path: Path) -> None:
    store = HeldExchanges()
    paths = written(tmp_path, sample.files)
    if isinstance(sample.wanted, str):
        with pytest.raises(BadInput) as raised:
            import_traffic(services_over(store), paths)
        assert sample.wanted in str(raised.value)
        assert not store.held
        return
    report = import_traffic(services_over(store), paths)
    wanted, found = sample.wanted, list(store.held.values())
    refused = [one for one in report.refused if not one.optional]
    assert (report.added, report.bad_lines, refused) == (wanted.count, 0, [])
    assert wanted.format in report.format
    _check(found[0], wanted)
    again = import_traffic(services_over(store), paths)
    assert (again.added, again.conflicting) == (0, 0), "importing the files again adds nothing"


def _check(exchange: Exchange, wanted: Wanted) -> None:
    assert chat.user_text(exchange.request) == wanted.asked
    assert _rules(exchange) == wanted.rules
    assert chat.answer_or_calls(exchange.response) == wanted.answer
    assert (exchange.reference, exchange.reference_correct) == (wanted.label, wanted.correct)
    assert exchange.reference_kind == (None if wanted.label is None else "label")
    assert (exchange.created if exchange.created.year > 1970 else None) == wanted.created
    assert chat.usage_tokens(exchange.response) == wanted.tokens
    assert (exchange.cost_usd if exchange.cost_source == "recorded" else None) == pytest.approx(wanted.cost_usd)
    assert exchange.latency_seconds == pytest.approx(wanted.latency_seconds)
    assert exchange.request.get("model") == wanted.model
    assert exchange.status == wanted.status
    assert wanted.metadata.items() <= exchange.metadata.items()
    assert exchange.endpoint == (CHAT_ENDPOINT if wanted.asked else "/v1/embeddings")


def _rules(exchange: Exchange) -> str:
    said = (m for m in chat.messages(exchange.request) if m.get("role") in ("system", "developer"))
    return "\n".join(chat.content_text(m.get("content")) for m in said)


def _held(name: str, tmp_path: Path) -> list[Exchange]:
    store = HeldExchanges()
    sample = next(sample for sample in SAMPLES if sample.name == name)
    import_traffic(services_over(store), written(tmp_path, sample.files))
    return list(store.held.values())


def test_keys_in_headers_are_not_kept(tmp_path: Path) -> None:
    assert "never-kept" not in str(_held("har stream", tmp_path))


def test_a_conversation_gives_each_answer_what_came_before_it(tmp_path: Path) -> None:
    turns = {exchange.id: exchange for exchange in _held("open webui", tmp_path)}
    assert [len(chat.messages(turns[id].request)) for id in ("a", "b", "a2")] == [2, 2, 4]
    assert [turns[id].reference_correct for id in ("a", "b", "a2")] == [True, False, None]
    _, second = _held("llm responses", tmp_path)
    assert [m["content"] for m in chat.messages(second.request)] == [RULES, ASKED, "broken", "A note.\nSure?"]


def test_what_another_tool_cut_is_no_evidence(tmp_path: Path) -> None:
    (cut,) = _held("litellm cut", tmp_path)
    assert cut.incomplete == "the tool that recorded it cut a text"
    assert not cut.is_whole


def test_a_stream_without_an_end_is_no_evidence(tmp_path: Path) -> None:
    whole = next(sample for sample in SAMPLES if sample.name == "pairs with chat events")
    cut = whole.files[0].replace(b'\\"finish_reason\\": \\"stop\\"', b'\\"finish_reason\\": null')
    store = HeldExchanges()
    report = import_traffic(services_over(store), written(tmp_path, (cut.replace(b"data: [DONE]", b""),)))
    assert (report.added, report.truncated) == (1, 1)
    assert not next(iter(store.held.values())).is_whole


def test_a_tool_that_llm_declared_is_kept(tmp_path: Path) -> None:
    (turn,) = _held("llm turns", tmp_path)
    declared = {"name": "weather", "description": "now", "parameters": {"type": "object"}}
    assert turn.request["tools"] == [{"type": "function", "function": declared}]


def test_no_mutation_is_taken_wrongly(tmp_path: Path) -> None:
    rng = random.Random()
    seed = rng.random()
    rng.seed(seed)
    taken = 0
    for _ in range(300):
        sample = rng.choice(SAMPLES)
        try:
            taken += bool(import_or_refuse(tmp_path, tuple(mutate(data, rng) for data in sample.files)))
        except Exception as error:
            raise AssertionError(f"a mutation of {sample.name!r}, seed {seed}") from error
    assert taken > 30
