"""The display of long work: what has ended is not shown, and nothing claims to run that does not."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from insource.cli.output import Output
from insource.cli.progress import ProgressReport, Steps, duration, how_far, seconds_left


def _open(*reports: tuple[str, int, int | None]) -> list[str]:
    steps = Steps()
    for report in reports:
        steps.report(*report)
    return [step.what for step in steps.open]


def test_what_has_ended_is_not_open() -> None:
    assert _open(("pull", 0, 10), ("pull", 10, 10)) == []
    assert _open(("read", 5, 10), ("find", 0, None)) == ["find"], "a log that ended early"
    assert _open(("find", 0, None), ("find", 7, 7)) == []
    assert _open(("fitting", 0, None), ("trying", 3, 50)) == ["trying"]


def test_a_list_of_works_stays_open_around_them() -> None:
    tasks: list[tuple[str, int, int | None]] = [("tasks", 0, 2), ("fit", 0, None), ("try", 3, 9)]
    assert _open(*tasks) == ["tasks", "try"]
    tasks.append(("tasks", 1, 2))
    assert _open(*tasks) == ["tasks"]
    tasks.append(("fit", 0, None))
    assert _open(*tasks) == ["tasks", "fit"]
    tasks.append(("tasks", 2, 2))
    assert _open(*tasks) == []


_REPORTS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 5), st.none() | st.integers(0, 5)), min_size=1, max_size=30
)


@given(_REPORTS)
def test_the_last_report_is_the_innermost_open_step_or_has_ended(reports: list[tuple[str, int, int | None]]) -> None:
    found = _open(*reports)
    what, done, total = reports[-1]
    ended = total is not None and done >= total
    assert (what not in found) if ended else (found[-1] == what)
    assert len(found) == len(set(found))


@given(st.floats(2, 1e6), st.integers(1, 10**9), st.integers(1, 10**9))
def test_time_left_is_by_the_rate_so_far(elapsed: float, done: int, total: int) -> None:
    left = seconds_left(elapsed, done, total)
    assert left == (pytest.approx(elapsed * (total - done) / done) if total > done else None)
    assert seconds_left(elapsed, done, None) is None
    assert seconds_left(elapsed, 0, total) is None


def test_time_left_counts_down_between_two_advances_and_then_says_nothing() -> None:
    found = [seconds_left(10 + since, 1, 3, since_seconds=since) for since in (0, 5, 19, 25)]
    assert found == [20, 15, 1, None]


def test_amounts_are_said_as_people_say_them() -> None:
    assert [how_far(3, 7), how_far(5_000_000, 10_000_000), how_far(12, None), how_far(0, None)] == [
        "3 of 7",
        "50 %",
        "12",
        "",
    ]
    assert [duration(8), duration(180), duration(7800)] == ["8 s", "3 min", "2 h 10 min"]


def test_without_a_terminal_each_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Output().progress() as progress:
        for done in range(5):
            progress("Reading [the] log", done, 4)
        progress("Finding tasks", 0, None)
    assert capsys.readouterr().err == "Reading [the] log …\nFinding tasks …\n"


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(quiet=True).progress() as progress:
        progress("Reading the log", 1, 4)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_terminal_shows_the_open_steps_only_each_on_one_line(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    report = ProgressReport(console, silent=False, say=lambda _: None)
    report("Evaluating tasks", 0, 7)
    report("A task with a rather long name that must give way: fitting head", 0, None)
    report("A task with a rather long name that must give way: trying head", 3, 50)
    drawn = Console(file=io.StringIO(), width=width)
    drawn.print(report.bars.get_renderable())
    lines = drawn.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue] - a StringIO
    assert len(lines) == 2
    assert "0 of 7" in lines[0]
    assert "3 of 50" in lines[1]
    assert max(map(len, lines)) <= width
