"""The demo's traffic keeps its promises: its size, its order, its mistakes, and that it is not made of templates."""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from insource.core.errors import BadInput
from insource.core.hashing import file_sha256
from insource.core.values import JsonObject
from insource.demo_data import tool_calls
from insource.demo_data.assemble import assemble
from insource.demo_data.texts import BadText, calculate
from insource.providers.prices import price_usd
from insource.traffic.privacy import PatternDetector
from insource.workflows.demo import prepare_traffic
from tests.demo_lines import BEGINNINGS, demo_lines, lines_of

LEAST = {
    "triage": 1_600,
    "slots": 700,
    "policy": 600,
    "replies": 400,
    "arithmetic": 500,
    "threads": 150,
    "personal": 300,
}


def user(line: JsonObject) -> str:
    return line["request"]["messages"][1]["content"]


def answer(line: JsonObject) -> str:
    return line["response"]["choices"][0]["message"]["content"]


def test_each_kind_of_work_has_its_share() -> None:
    assert len(demo_lines()) >= 4_500
    for task, least in LEAST.items():
        assert len(lines_of(task)) >= least, task
    assert sum(len(lines_of(task)) for task in LEAST) == len(demo_lines())
    assert len({line["id"] for line in demo_lines()}) == len(demo_lines())


def test_six_weeks_in_time_order() -> None:
    times = [datetime.fromisoformat(line["created"]) for line in demo_lines()]
    assert times == sorted(times)
    assert datetime(2026, 10, 5, tzinfo=UTC) <= times[0]
    assert times[-1] < datetime(2026, 11, 16, tzinfo=UTC)
    assert times[-1] - times[0] > timedelta(days=40)
    weekdays = Counter(time.weekday() for time in times)
    assert weekdays[0] > 1.5 * weekdays[6], "a shop has Mondays"


def test_the_same_lines_every_time() -> None:
    assert assemble() == list(demo_lines())


def test_no_line_names_its_task() -> None:
    for line in demo_lines():
        assert line["metadata"] == {"app": "desk"}
        assert "metadata" not in line["request"]
        assert not any(task in line["id"] for task in BEGINNINGS)


def test_twelve_queues_and_a_few_disputes() -> None:
    triage = lines_of("triage")
    queues = Counter(line["reference"] for line in triage)
    assert len(queues) == 12
    assert min(queues.values()) >= 100
    wrong = sum(not line["reference_correct"] for line in triage) / len(triage)
    assert 0.02 <= wrong <= 0.06, wrong


def test_the_rare_answer_is_rare() -> None:
    labels = Counter(line["reference"] for line in lines_of("policy"))
    assert set(labels) == {"yes", "no"}
    assert 0.02 <= labels["no"] / labels.total() <= 0.04, labels


def test_sums_are_computed_and_some_hosted_ones_are_wrong() -> None:
    lines = lines_of("arithmetic")
    for line in lines:
        said = answer(line).rpartition("Total: ")[2]
        assert (float(said) == float(line["reference"])) == line["reference_correct"], line["id"]
    wrong = sum(not line["reference_correct"] for line in lines) / len(lines)
    assert 0.05 <= wrong <= 0.12, wrong


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("3 * 6.90 + 24.50", "45.20"),
        ("(89.90 + 12.50) * 0.9", "92.16"),
        ("floor(149.90)", "149.00"),
        ("floor(149)", "149"),
        ("7 * 12", "84"),
        ("round(10 / 3, 2)", "3.33"),
        ("0.125 * 1.0", "0.13"),
        ("max(0, 60 - 72.5)", "0.00"),
        ("-2 + 5", "3"),
    ],
)
def test_expressions(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize("expression", ["1 / 0", "open('x')", "a + 1", "2 ** 9", "", "1 +", "(1).real"])
def test_expressions_that_are_refused(expression: str) -> None:
    with pytest.raises(BadText):
        calculate(expression)


def test_slots_are_copied_from_the_message() -> None:
    for line in lines_of("slots"):
        stated = json.loads(line["reference"])
        assert stated["kind"] in ("service", "rental", "demo_ride", "return", "pickup")
        assert all(value in user(line).replace("\n", "\\n") for name, value in stated.items() if name != "kind")
        assert isinstance(json.loads(answer(line)), dict)
    wrong = sum(not line["reference_correct"] for line in lines_of("slots")) / len(lines_of("slots"))
    assert 0.02 <= wrong <= 0.06, wrong


def test_personal_data_is_found_where_it_was_put() -> None:
    detector = PatternDetector()
    share = {task: float(np.mean([bool(detector.scan(user(line))) for line in lines_of(task)])) for task in BEGINNINGS}
    assert share["personal"] > 0.3, share
    assert max(share[task] for task in share if task != "personal") < 0.03, share


def test_no_text_is_repeated_except_where_people_repeat_themselves() -> None:
    for task in BEGINNINGS:
        again = Counter(user(line).casefold() for line in lines_of(task))
        repeated = {text: count for text, count in again.items() if count > 1}
        if task != "triage":
            assert not repeated, (task, list(repeated)[:3])
        assert all(len(text.split()) <= 9 for text in repeated), repeated
        assert sum(repeated.values()) <= 0.08 * len(lines_of(task))


def test_no_two_texts_of_different_tasks_are_alike() -> None:
    tasks = list(BEGINNINGS)
    texts = [user(line) for task in tasks for line in lines_of(task)]
    owner = np.repeat(np.arange(len(tasks)), [len(lines_of(task)) for task in tasks])
    vectors: Any = TfidfVectorizer(analyzer="char_wb", ngram_range=(4, 4), binary=True).fit_transform(texts)
    for at in range(len(tasks) - 1):
        mine, later = np.flatnonzero(owner == at), np.flatnonzero(owner > at)
        alike: Any = (vectors[mine] @ vectors[later].T).tocoo()
        close = alike.data > 0.75
        found = [(texts[mine[i]], texts[later[j]]) for i, j in zip(alike.row[close], alike.col[close], strict=True)]
        assert not found, found[:5]


def test_few_texts_of_a_task_are_the_same_sentence_filled_in() -> None:
    """Digits aside, near-copies within a task are rare: templates would make them the rule."""
    for task in BEGINNINGS:
        texts = sorted({re.sub(r"\d+", "", user(line).casefold()) for line in lines_of(task)})
        vectors: Any = TfidfVectorizer(analyzer="char_wb", ngram_range=(4, 4), binary=True).fit_transform(texts)
        alike: Any = (vectors @ vectors.T).tocoo()
        copies = {
            i for i, j, likeness in zip(alike.row, alike.col, alike.data, strict=True) if i < j and likeness > 0.7
        }
        assert len(copies) <= 0.03 * len(texts), (task, len(copies), [texts[i] for i in list(copies)[:5]])


@pytest.mark.slow
def test_words_tell_most_of_the_queues_but_not_all() -> None:
    pairs = sorted({(user(line), line["reference"]) for line in lines_of("triage")})
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)), LinearSVC(random_state=0))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    accuracy = cross_val_score(model, [p[0] for p in pairs], [p[1] for p in pairs], cv=folds).mean()
    assert 0.85 <= accuracy <= 0.95, accuracy


def test_costs_are_the_list_prices() -> None:
    for task in BEGINNINGS:
        line = lines_of(task)[0]
        usage = line["response"]["usage"]
        listed = price_usd(
            line["request"]["model"],
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            when=datetime.fromisoformat(line["created"]),
        )
        assert line["cost_usd"] == pytest.approx(listed, abs=1e-9)


# ------------------------------------------------------------------------------------------------- tool calls


def _package(folder: Path) -> Path:
    function = {
        "name": "desk.find",
        "description": "Finds a ticket.",
        "parameters": {
            "type": "dict",
            "required": ["number"],
            "properties": {
                "number": {"type": "integer", "description": "Of the ticket."},
                "weight": {"type": "float"},
                "type": {"type": "any", "description": "Anything."},
            },
        },
    }
    question = {
        "id": "live_simple_0-0-0",
        "question": [[{"role": "user", "content": "Find 7."}]],
        "function": [function],
    }
    right = {"id": "live_simple_0-0-0", "ground_truth": [{"desk.find": {"number": [7], "weight": ["", 1.5]}}]}
    path = folder / "package.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bfcl_eval/data/BFCL_v4_live_simple.json", json.dumps(question) + "\n")
        archive.writestr("bfcl_eval/data/possible_answer/BFCL_v4_live_simple.json", json.dumps(right) + "\n")
    return path


def test_tool_calls_become_requests_with_a_label(tmp_path: Path) -> None:
    wheel = _package(tmp_path)
    (line,) = tool_calls.read_wheel(wheel, sha256=file_sha256(wheel))
    (tool,) = line["request"]["tools"]
    assert tool["function"]["name"] == "desk_find"
    properties = tool["function"]["parameters"]["properties"]
    assert tool["function"]["parameters"]["type"] == "object"
    assert properties["weight"] == {"type": "number"}
    assert properties["type"] == {"description": "Anything."}
    assert json.loads(line["reference"]) == [{"name": "desk_find", "arguments": {"number": 7}}]
    assert "response" not in line


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="sha256"):
        tool_calls.read_wheel(_package(tmp_path))


def test_without_the_package_the_demo_names_what_is_missing(tmp_path: Path) -> None:
    found = prepare_traffic(tmp_path, downloads=tmp_path / "downloads", pip=("false",))
    assert [path.name for path in found.files] == ["desk.jsonl"]
    assert found.missing is not None
    assert "bfcl-eval" in found.missing
