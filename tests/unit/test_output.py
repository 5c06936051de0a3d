"""Tables as they are shown: words and ids stay whole, and what is too wide becomes records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from insource.cli import output
from insource.cli.output import Output, needed_width

COLUMNS = ["id", "name", ">quality"]
ROWS = [("task-ee97846f", "Is this message about a compromised card?", "99.3%")]


def shown(out: Output, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(out, "_data", Console(highlight=False, width=width, force_terminal=False))
    out.table("Tasks", COLUMNS, ROWS)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [20, 40, 60, 80, 160])
def test_words_and_ids_stay_whole_at_any_width(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shown(Output(), width, capsys, monkeypatch)
    for word in ("task-ee97846f", "message", "99.3%"):
        assert word in found
    assert ("┃" in found) == (needed_width(COLUMNS, ROWS) <= width)


def test_nothing_to_show_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table("Moves", ["task", "stage"], [])
    assert capsys.readouterr().out == "Moves: none.\n"


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30)), max_size=4))
def test_the_width_is_that_of_the_words(rows: list[tuple[str, str]]) -> None:
    wide = needed_width(["a", ">b"], rows)
    assert 9 <= wide <= 7 + 2 * output._LONGEST_WHOLE  # pyright: ignore[reportPrivateUsage]
