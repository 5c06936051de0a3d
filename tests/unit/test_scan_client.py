"""Scanner processes whose detector misbehaves in every way: the body that it had is unscanned, the next is not."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from insource.traffic.scan_client import ScanProcess
from insource.traffic.scan_process import allowance_seconds
from tests.fakes.plugins import install_moody_detector

CPU_SECONDS = 0.3
HUNG_SECONDS = 2.0
PATIENCE_SECONDS = 60.0


def body(*texts: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text} for text in texts]}).encode()


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[ScanProcess]:
    monkeypatch.setenv("PYTHONPATH", str(install_moody_detector(tmp_path)))
    with closing(ScanProcess("moody", cpu_seconds=CPU_SECONDS, hung_seconds=HUNG_SECONDS)) as scan:
        assert scan.kinds(body("a secret")) == ("word",)
        yield scan


def test_kinds_are_found_by_one_process_for_many_bodies() -> None:
    with closing(ScanProcess("patterns", cpu_seconds=5.0)) as scan:
        assert scan.pid is None, "started with the first body"
        assert scan.kinds(body("mail a@b.com", "card 4111 1111 1111 1111")) == ("card", "email")
        first = scan.pid
        assert scan.kinds(body("hello")) == ()
        assert scan.kinds(b"not JSON") == ("unreadable",)
        assert scan.kinds(b"") == ()
        assert scan.kinds(body("x " * 1_500_000 + "a@b.com")) == ("email",), "more than a pipe holds"
        assert scan.pid == first


@pytest.mark.parametrize("mood", ["raise", "loop", "exit"])
def test_what_goes_wrong_within_the_limit_costs_one_body(moody: ScanProcess, mood: str) -> None:
    assert moody.kinds(body(f"{mood} a secret")) == ("unscanned",)
    assert moody.kinds(body("a secret")) == ("word",)
    assert moody.kinds(body("hello")) == ()


@pytest.mark.parametrize("mood", ["raise", "loop", "exit", "die"])
def test_among_many_bodies_only_the_one_that_goes_wrong_is_unscanned(moody: ScanProcess, mood: str) -> None:
    bodies = [body("a secret"), body("hello"), body(f"{mood} a secret"), body("a secret")]
    assert moody.kinds_of(bodies) == [("word",), (), ("unscanned",), ("word",)]
    assert moody.kinds_of([]) == []


def test_many_bodies_give_what_each_gives_by_itself() -> None:
    texts = ["mail a@b.com", "hello", "x " * 100_000, "card 4111 1111 1111 1111"]
    bodies = [b"not JSON", b"", *(body(text) for text in texts * 20)]
    with closing(ScanProcess("patterns", cpu_seconds=5.0)) as scan:
        assert scan.kinds_of(bodies) == [scan.kinds(one) for one in bodies]


def test_what_was_found_before_it_went_wrong_is_kept(moody: ScanProcess) -> None:
    assert moody.kinds(body("a secret", "loop")) == ("unscanned", "word")


@pytest.mark.parametrize("mood", ["stubborn", "sleep", "die"])
def test_a_process_that_dies_hangs_or_will_not_stop_is_replaced(moody: ScanProcess, mood: str) -> None:
    first = moody.pid
    assert first is not None
    started = time.monotonic()
    assert moody.kinds(body(f"{mood} a secret")) == ("unscanned",)
    assert time.monotonic() - started < PATIENCE_SECONDS
    assert not psutil.pid_exists(first)
    assert moody.kinds(body("a secret")) == ("word",)
    assert moody.pid not in (None, first)


def test_a_detector_that_prints_disturbs_no_answer(moody: ScanProcess) -> None:
    first = moody.pid
    for _ in range(3):
        assert moody.kinds(body("chatter about a secret")) == ("word",)
        assert moody.kinds(body("hello")) == ()
    assert moody.pid == first


def test_a_process_that_died_between_two_bodies_costs_none(moody: ScanProcess) -> None:
    assert moody.pid is not None
    os.kill(moody.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while psutil.Process(moody.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert moody.kinds(body("a secret")) == ("word",)


def test_a_detector_that_can_not_be_loaded_leaves_everything_unscanned() -> None:
    with closing(ScanProcess("nobody registered this", cpu_seconds=5.0)) as scan:
        assert [scan.kinds(body("hello")) for _ in range(2)] == [("unscanned",)] * 2


def test_after_closing_nothing_is_scanned_any_more(moody: ScanProcess) -> None:
    first = moody.pid
    assert first is not None
    for _ in range(2):
        moody.close()
    assert (moody.pid, psutil.pid_exists(first)) == (None, False)
    assert moody.kinds(body("a secret")) == ("unscanned",)
    assert moody.pid is None


def test_closing_does_not_wait_for_a_detector_that_sleeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(install_moody_detector(tmp_path)))
    scan = ScanProcess("moody", cpu_seconds=CPU_SECONDS, hung_seconds=3600.0)
    assert scan.kinds(body("a secret")) == ("word",)
    found: list[tuple[str, ...]] = []
    asking = threading.Thread(target=lambda: found.append(scan.kinds(body("sleep"))))
    asking.start()
    time.sleep(0.1)
    scan.close()
    asking.join(PATIENCE_SECONDS)
    assert (found, scan.pid) == ([("unscanned",)], None)


def test_a_process_with_many_open_files_still_scans() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("this machine allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with closing(ScanProcess("patterns", cpu_seconds=5.0)) as scan:
            assert scan.kinds(body("mail a@b.com")) == ("email",)
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_grows_with_the_body_where_the_detectors_time_is_linear() -> None:
    assert allowance_seconds(0, 5.0, linear_time=True) == 5.0
    assert allowance_seconds(3 << 20, 5.0, linear_time=True) == 20.0
    assert allowance_seconds(3 << 20, 5.0, linear_time=False) == 5.0
