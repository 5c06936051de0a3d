"""The recipe `span` on its port, from the log to the gateway: JSON and calls of a tool."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from insource.adapt.span_recipe import SpanRecipe
from insource.core.errors import BadInput, UsageError
from insource.core.evidence import Example
from insource.core.hashing import canonical_json, file_sha256
from insource.core.values import Exchange, JsonObject, LocalAnswer, OutputKind, OutputProfile, Stage
from insource.evals.certainty import says_nothing
from insource.wire.chat import answer_message, answer_or_calls, call_completion, completion
from insource.workflows.files.export_candidate import export_candidate
from insource.workflows.prove.move import move_task
from insource.workflows.serve.answer_locally import answer_locally, client_completion
from insource.workflows.serve.engine_pool import EnginePool
from insource.workflows.serve.load_routing import load_routing
from tests.fakes.evaluating import evaluate, evaluating, only_task
from tests.fakes.evidence import START
from tests.fakes.traffic import exchange, message

DAYS = ("Monday", "Tuesday", "Friday", "Sunday")
TIMES = ("noon", "7pm", "19:30", "8")
TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "book_table",
        "parameters": {"type": "object", "properties": {"day": {"type": "string"}, "time": {"type": "string"}}},
    },
}


def said(number: int) -> tuple[str, JsonObject]:
    """A message that is worded anew, and what it states: nothing in a third of them."""
    draw, (noise, _) = random.Random(f"booking {number}"), message(number)
    words, slots = noise.split(), dict[str, Any]()
    if draw.random() < 0.67:
        slots["day"] = draw.choice(DAYS)
        words.insert(draw.randint(0, len(words)), f"on {slots['day']}")
    if slots and draw.random() < 0.6:
        slots["time"] = draw.choice(TIMES)
        words.append(f"at {slots['time']}")
    return " ".join(words), slots


def asked(text: str, *, tools: bool) -> JsonObject:
    system = {"role": "system", "content": "State the day and the time of the booking as JSON."}
    request: JsonObject = {"model": "gpt-4", "messages": [system, {"role": "user", "content": text}]}
    return {**request, "tools": [TOOL]} if tools else request


def example(number: int, *, tools: bool = False) -> Example:
    text, slots = said(number)
    reference = canonical_json([{"name": "book_table", "arguments": slots}]).decode() if tools else json.dumps(slots)
    return Example(
        exchange_id=f"x{number}",
        created=START,
        request=asked(text, tools=tools),
        text=text,
        input_sha256=str(number),
        cluster=f"x{number}",
        reference=reference,
        reference_kind="hosted",
    )


def profile(tools: bool) -> OutputProfile:
    return OutputProfile(kind=OutputKind.TOOL_CALL if tools else OutputKind.JSON)


@pytest.mark.parametrize("tools", [False, True])
def test_it_answers_in_the_form_of_its_examples(tools: bool) -> None:
    examples = [example(number, tools=tools) for number in range(120)]
    learnt = SpanRecipe().fit(profile(tools), examples, seed=0)
    assert set(learnt.held_out) == {e.exchange_id for e in examples}
    right = sum(json.loads(learnt.held_out[e.exchange_id].text) == json.loads(e.reference) for e in examples)
    assert right > 100
    again = SpanRecipe().load(learnt.fitted.artifact())
    text, slots = said(1_000)
    answer = again.prepare(asked(text, tools=tools))
    assert isinstance(answer, LocalAnswer)
    assert answer == learnt.fitted.prepare(asked(text, tools=tools))
    if tools:
        assert json.loads(answer_or_calls(answer.completion) or "") == [{"name": "book_table", "arguments": slots}]


def test_a_request_for_the_other_kind_of_answer_goes_to_the_provider() -> None:
    for tools in (False, True):
        fitted = SpanRecipe().fit(profile(tools), [example(n, tools=tools) for n in range(60)], seed=0).fitted
        with pytest.raises(BadInput):
            fitted.prepare(asked("a table on Monday", tools=not tools))
    with pytest.raises(BadInput):
        fitted.prepare({**asked("a table on Monday", tools=True), "tool_choice": "none"})


def test_words_in_the_place_of_calls_are_refused() -> None:
    with pytest.raises(BadInput, match="one call of a tool"):
        SpanRecipe().fit(profile(True), [example(n) for n in range(60)], seed=0)


def logged(number: int, *, tools: bool) -> Exchange:
    one, (_, slots) = example(number, tools=tools), said(number)
    whole = completion(id="c", created=0, model="gpt-4", text=one.reference)
    if tools:
        whole["choices"][0]["message"] = answer_message(call_completion([("book_table", slots)]))
    return exchange(number, request=one.request, response=whole, reference=None, reference_kind=None)


@pytest.mark.parametrize("tools", [False, True])
async def test_from_the_log_to_the_gateway(tmp_path: Path, tools: bool) -> None:
    with evaluating(tmp_path, recipes=("span",), margin=0.05) as (services, engine):
        found = await evaluate(services, [logged(number, tools=tools) for number in range(400)])
        assert found.best is not None, found.reason
        assert engine.calls == []
        terms = services.registry.candidates()[0].terms
        assert terms.certainty_sha256 is not None, "empty answers are gated apart from the others"
        move_task(services, only_task(services).id, to=found.best.candidate_id, stage=Stage.LIVE)
        state = load_routing(services, EnginePool(make=services.make_engine, clock=services.clock))
        local = state.locals[found.best.candidate_id]
        text, slots = said(5_000)
        answer = await answer_locally(local, asked(text, tools=tools))
        assert says_nothing(answer.text) is (not slots)
        told = client_completion(answer, local, asked(text, tools=tools), id="1", created=1)
        assert told["id"] == "chatcmpl-1"
        choice = told["choices"][0]
        if tools:
            assert local.honours == {"tools"}
            assert choice["finish_reason"] == "tool_calls"
            assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == slots
        else:
            assert json.loads(choice["message"]["content"]) == slots


async def test_a_candidate_is_exported_with_what_checks_it_and_never_into_a_folder_that_holds_something(
    tmp_path: Path,
) -> None:
    with evaluating(tmp_path / "home", recipes=("span",), margin=0.05) as (services, _):
        found = await evaluate(services, [logged(number, tools=False) for number in range(400)])
        assert found.best is not None, found.reason
        done = await export_candidate(services, found.best.candidate_id, tmp_path / "out")
        assert done.certificate_id == found.best.certificate_id
        assert {"README.md", "recipe.bin", "certainty.json", "certificate.json", "licences.json"} <= set(done.files)
        hashes = json.loads((tmp_path / "out" / "hashes.json").read_text())
        assert all(file_sha256(tmp_path / "out" / name) == sha256 for name, sha256 in hashes.items())
        fitted = SpanRecipe().load((tmp_path / "out" / "recipe.bin").read_bytes())
        assert isinstance(fitted.prepare(example(1).request), LocalAnswer)
        card = (tmp_path / "out" / "README.md").read_text()
        assert done.certificate_id is not None
        assert done.certificate_id in card
        with pytest.raises(UsageError, match="holds something"):
            await export_candidate(services, found.best.candidate_id, tmp_path / "out")
        with pytest.raises(UsageError, match="no candidate"):
            await export_candidate(services, "span-00000000", tmp_path / "other")
