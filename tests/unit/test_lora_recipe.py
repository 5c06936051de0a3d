"""The recipe `lora` without its libraries: what it chooses to learn from, what it asks and reads, what it lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.adapt.lora.recipe import LoraRecipe, chosen_examples, epochs_of
from insource.core.errors import BadInput, StorageError, UsageError
from insource.core.evidence import Example
from insource.core.ports import Ask
from insource.core.values import JsonObject, OutputKind, OutputProfile
from insource.store.files import CandidateFiles
from insource.wire.chat import answer_or_calls
from insource.workflows.prove.adapt import Wish, adapt_task
from insource.workflows.prove.candidates import prune, pruning
from insource.workflows.prove.find_tasks import find_tasks
from tests.fakes.evaluating import evaluating, only_task
from tests.fakes.evidence import START
from tests.fakes.traffic import exchanges

TOOLS: list[JsonObject] = [{"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}]


def example(number: int, *, cluster: str | None = None, **changes: Any) -> Example:
    one = Example(
        exchange_id=f"x{number}",
        created=START,
        request={"messages": [{"role": "user", "content": f"message {number}"}]},
        text=f"message {number}",
        input_sha256=str(number),
        cluster=cluster or f"x{number}",
        reference="{}",
        reference_kind="label",
    )
    return replace(one, **changes)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=120), st.integers(1, 60), st.randoms())
def test_no_cluster_is_both_learnt_and_left_unseen_in_whatever_order(clusters: list[int], most: int, draw: Any) -> None:
    examples = [example(number, cluster=f"c{cluster}") for number, cluster in enumerate(clusters)]
    chosen, unseen = chosen_examples(examples, most=most)
    assert len(chosen) <= most
    assert {e.cluster for e in chosen}.isdisjoint(e.cluster for e in unseen)
    assert len(chosen) + len(unseen) == len(examples)
    assert unseen, "gates need answers to what was not learnt"
    draw.shuffle(examples)
    assert chosen_examples(examples, most=most) == (chosen, unseen)


def test_what_a_person_said_is_wrong_is_not_learnt() -> None:
    wrong = [example(1, judged={"{}": False}), example(2, reference_kind="hosted", hosted_correct=False)]
    chosen, unseen = chosen_examples([*wrong, *(example(number) for number in range(3, 30))], most=100)
    assert {"x1", "x2"}.isdisjoint(e.exchange_id for e in [*chosen, *unseen])


@pytest.mark.parametrize(("rows", "epochs"), [(20, 6), (200, 6), (400, 4), (800, 3), (2_000, 2), (9_000, 2)])
def test_fewer_rows_are_gone_through_more_often(rows: int, epochs: int) -> None:
    assert epochs_of(rows) == epochs


def told(text: str) -> JsonObject:
    tokens = [{"token": text, "logprob": -0.1}]
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "logprobs": {"content": tokens}, "finish_reason": "stop"}]}


def test_calls_are_asked_for_without_tools_and_read_as_calls() -> None:
    fitted = LoraRecipe().load(b'{"calls":true,"recipe":"lora","version":1}')
    request: JsonObject = {"messages": [{"role": "user", "content": "a table"}], "tools": TOOLS, "temperature": 1}
    asked = fitted.prepare(request)
    assert isinstance(asked, Ask)
    assert "tools" not in asked.body
    assert asked.body["temperature"] == 0
    said = '[{"arguments":{"day":"Monday"},"name":"book"}]'
    answer = fitted.read(told(said))
    assert json.loads(answer_or_calls(answer.completion) or "") == json.loads(said)
    assert answer.confidence == pytest.approx(0.905, abs=1e-3)
    for broken in ("no JSON", "[]", '[{"name":"book"}]', '[{"name":1,"arguments":{}}]', "[1]"):
        assert fitted.read(told(broken)).confidence == 0
    with pytest.raises(BadInput):
        fitted.prepare({"messages": request["messages"]})
    with pytest.raises(BadInput):
        fitted.prepare({**request, "tool_choice": "none"})


def test_fitting_without_a_workspace_names_the_command() -> None:
    with pytest.raises(BadInput) as error:
        LoraRecipe().fit(OutputProfile(kind=OutputKind.JSON), [example(n) for n in range(100)], seed=0)
    assert "insource adapt" in error.value.next_step


async def test_without_the_extra_it_names_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("insource.adapt.extras.find_spec", lambda name: None)
    with evaluating(tmp_path, recipes=("lora",)) as (services, _):
        services.exchanges.append(exchanges(300))
        find_tasks(services)
        wish = Wish(recipes=["lora"], terms_noticed=True)
        with pytest.raises(UsageError) as error:
            await adapt_task(services, only_task(services), wish=wish)
        assert error.value.next_step == "Install the extra: pip install 'insource[adapt]'"
        ladder = await adapt_task(services, only_task(services), wish=Wish(terms_noticed=True))
        assert [(r.recipe, r.state) for r in ladder.rungs] == [("lora", "not tried")]
        assert "insource[adapt]" in ladder.rungs[0].reason


async def test_the_terms_of_a_provider_are_asked_about_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insource.adapt.extras.find_spec", lambda name: None)
    with evaluating(tmp_path, recipes=("lora",)) as (services, _):
        services.exchanges.append(exchanges(300, reference=None, reference_kind=None))
        find_tasks(services)
        said: list[str] = []
        for noticed in (False, True, False):
            with pytest.raises(UsageError) as error:
                await adapt_task(services, only_task(services), wish=Wish(recipes=["lora"], terms_noticed=noticed))
            said.append(error.value.message)
        assert "the provider of gpt-4, whose terms may restrict" in said[0]
        assert "terms" not in said[1] + said[2], "from then on only the extra is missing"


def test_files_are_kept_by_hash_and_pruned_where_nothing_uses_them(tmp_path: Path) -> None:
    with evaluating(tmp_path, recipes=()) as (services, _):
        files = CandidateFiles(tmp_path)
        made = files.workspace("lora-1") / "adapter.gguf"
        made.write_bytes(b"GGUF")
        sha256 = files.keep(made, log={"seed": 1})
        assert files.check(sha256).read_bytes() == b"GGUF"
        assert files.log(sha256) == {"seed": 1}
        found = pruning(services)
        assert {file.sha256 for file in found.files} == {sha256, None}
        prune(services, found)
        assert files.all() == []
        with pytest.raises(StorageError):
            files.find(sha256)


def test_a_damaged_adapter_is_not_served(tmp_path: Path) -> None:
    files = CandidateFiles(tmp_path)
    made = tmp_path / "adapter.gguf"
    made.write_bytes(b"GGUF")
    sha256 = files.keep(made, log={})
    files.find(sha256).write_bytes(b"GGUf")
    with pytest.raises(StorageError, match="damaged"):
        files.check(sha256)
