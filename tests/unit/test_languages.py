"""The languages of a task's requests, and what the task is for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.core.values import OutputKind, OutputProfile, Task
from insource.workflows.choose.languages import language_of, languages_of
from insource.workflows.choose.purposes import PurposeName, purpose_of_task
from insource.workflows.choose.task_traffic import TaskTraffic


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my parcel and what can I do?", "en"),
        ("Wo ist mein Paket, und wann kommt es auf den Hof?", "de"),
        ("Où est mon colis et quand est-ce que je le reçois ?", "fr"),
        ("¿Dónde está mi paquete y cómo puedo pagar por los gastos?", "es"),
        ("Dov'è il mio pacco e come posso pagare?", "it"),
        ("Waar is mijn pakket en hoe kan ik het betalen?", "nl"),
        ("荷物はどこですか", "ja"),
        ("我的包裹在哪里", "zh"),
        ("Где моя посылка?", "ru"),
        ("", None),
        ("4711", None),
        ("ok", None),
    ],
)
def test_a_language_is_recognised(text: str, language: str | None) -> None:
    assert language_of(text) == language


@given(st.text(max_size=200))
def test_any_text_has_one_language_or_none(text: str) -> None:
    assert language_of(text) in {None, *languages_of([text])}


def test_a_language_of_few_requests_is_not_needed() -> None:
    english, german = ["what is the price of this"] * 19, ["was ist der Preis und wie"]
    assert languages_of(english + german) == ("en",)
    assert languages_of(english + german * 3) == ("en", "de")
    assert languages_of([]) == ()


@pytest.mark.parametrize(
    ("kind", "shows", "purpose"),
    [
        (OutputKind.LABEL, {}, "classification"),
        (OutputKind.JSON, {}, "extraction"),
        (OutputKind.TEXT, {}, "chat"),
        (OutputKind.TEXT, {"code_share": 0.8}, "code"),
        (OutputKind.LABEL, {"tools": True}, "tools"),
        (OutputKind.JSON, {"tools": True, "images": True}, "vision"),
    ],
)
def test_a_task_tells_what_it_is_for(kind: OutputKind, shows: dict[str, float | bool], purpose: PurposeName) -> None:
    usual = {"exchanges": 1, "prompt_tokens": (9,), "answer_tokens": (9,), "estimated_share": 0.0}
    traffic = TaskTraffic(**{"images": False, "tools": False, **usual, **shows})  # pyright: ignore[reportArgumentType]
    task = Task(id="t", name="t", matchers=(), output=OutputProfile(kind=kind))
    assert purpose_of_task(task, traffic) == purpose
    assert purpose_of_task(None, None) == "chat"
