"""`import_traffic` and `export_log` over the real store."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.config import Settings
from insource.core.errors import BadInput, StorageError, UsageError
from insource.core.fakes import FakeClock, FakeDetector
from insource.core.ports import PrivacyDetector
from insource.core.values import Exchange, Marks, Route
from insource.providers.prices import price_usd
from insource.store.database import open_database
from insource.store.exchanges import SqlExchangeStore
from insource.traffic.scan_client import ScanProcess
from insource.wire import chat
from insource.workflows.prove.export_log import export_log
from insource.workflows.prove.import_traffic import import_traffic
from insource.workflows.services import Services
from tests.fakes.plugins import install_moody_detector
from tests.fakes.scans import ScanHere

START = datetime(2026, 1, 1, tzinfo=UTC)
MakeServices = Callable[..., Services]
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "x" * 400}}]}


@pytest.fixture
def make_services(tmp_path: Path) -> Iterator[MakeServices]:
    opened: list[Any] = []

    def make(name: str = "log", detector: PrivacyDetector | None = None) -> Services:
        found = detector or FakeDetector("secret")
        database = open_database(f"sqlite:///{tmp_path / name}.db")
        opened.append(database)
        used: dict[str, Any] = {
            "settings": Settings(),  # pyright: ignore[reportCallIssue] - every field has a default
            "clock": FakeClock(),
            "exchanges": SqlExchangeStore(database),
            "detector": found,
            "make_scan": lambda: ScanHere(found),
        }
        others: dict[str, Any] = {field.name: None for field in fields(Services)}  # neither workflow touches them
        return Services(**{**others, **used})

    yield make
    for database in opened:
        database.close()


def _write(path: Path, *lines: dict[str, Any] | str) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def _line(number: int, text: str = "hello", **others: Any) -> dict[str, Any]:
    request = {"model": "gpt-4", "messages": [{"role": "user", "content": text}]}
    created = (START + timedelta(seconds=number)).isoformat()
    return {"id": f"e{number:05}", "created": created, "request": request, "response": ANSWER, **others}


def _all(services: Services) -> list[Exchange]:
    return list(services.exchanges.read())


def test_good_lines_are_kept_and_bad_ones_reported(make_services: MakeServices, tmp_path: Path) -> None:
    services = make_services()
    lines: list[Any] = [_line(number) for number in range(1200)]
    lines[3:3] = ["broken"] * 25
    file = tmp_path / "log.jsonl.gz"
    file.write_bytes(gzip.compress(_write(tmp_path / "plain", *lines).read_bytes()))
    seen: list[tuple[int, int | None]] = []
    report = import_traffic(services, file, progress=lambda _, done, total: seen.append((done, total)))
    assert (report.format, report.read, report.added, report.already_there) == ("insource", 1200, 1200, 0)
    assert (report.bad_lines, [bad.line_number for bad in report.bad]) == (25, list(range(4, 24)))
    assert seen[-1] == (file.stat().st_size, file.stat().st_size)
    again = import_traffic(services, file)
    assert (again.read, again.added, again.already_there) == (1200, 0, 1200)
    assert services.exchanges.count() == 1200


def test_lines_without_ids_are_added_once(make_services: MakeServices, tmp_path: Path) -> None:
    services = make_services()
    file = _write(tmp_path / "f", *[{"messages": [{"role": "user", "content": "same"}]}] * 3)
    assert import_traffic(services, file, without_answers=True).added == 3
    assert import_traffic(services, file, without_answers=True).added == 0


def test_a_log_that_breaks_off_keeps_its_beginning_and_says_so(make_services: MakeServices, tmp_path: Path) -> None:
    services = make_services()
    noise = [_line(number, "".join(f"{number * 7919 + k:x}" for k in range(40))) for number in range(3000)]
    whole = gzip.compress(_write(tmp_path / "plain", *noise).read_bytes())
    file = tmp_path / "cut.gz"
    file.write_bytes(whole[: len(whole) // 2])
    report = import_traffic(services, file)
    assert 0 < report.read < 3000
    assert report.read == services.exchanges.count()
    assert "breaks off" in report.bad[0].reason


def test_an_interrupted_import_keeps_its_batches(make_services: MakeServices, tmp_path: Path) -> None:
    services = make_services()
    file = _write(tmp_path / "f", *(_line(number) for number in range(1100)))

    def interrupt(_what: str, _done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_traffic(services, file, progress=interrupt)
    kept = services.exchanges.count()
    assert 0 < kept < 1100
    assert import_traffic(services, file).added == 1100 - kept


@pytest.mark.parametrize(
    ("content", "format", "says"),
    [
        ("", None, "is empty"),
        ("\n \n\n", None, "is empty"),
        ("a,b,c\n1,2,3\n", None, "fields a, b, c. Say which fields"),
        ('{"prompt": "x"}\n', "openai", "fields prompt"),
        ("neither\n", None, "neither JSON nor a table"),
    ],
)
def test_files_without_an_exchange(
    make_services: MakeServices, tmp_path: Path, content: str, format: str | None, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        import_traffic(make_services(), _write(tmp_path / "f", content), format=format)


def test_an_unknown_format_and_a_missing_file(make_services: MakeServices, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no log format 'xml'.*insource, inspect"):
        import_traffic(make_services(), _write(tmp_path / "f", _line(1)), format="xml")
    with pytest.raises(BadInput, match="can't be read"):
        import_traffic(make_services(), tmp_path / "missing")


# ---------------------------------------------------------------------------------------------------- privacy


def test_requests_are_scanned_everywhere_and_a_log_can_only_add(make_services: MakeServices, tmp_path: Path) -> None:
    services = make_services()
    hidden = _line(2)
    hidden["request"]["tools"] = [{"function": {"description": "a secret"}}]
    report = import_traffic(
        services,
        _write(
            tmp_path / "f",
            _line(1, "a secret", private_kinds=[]),
            hidden,
            _line(3, private_kinds=["email"]),
            _line(4),
        ),
    )
    assert [exchange.private_kinds for exchange in _all(services)] == [("word",), ("word",), ("email",), ()]
    assert (report.private, report.unscanned) == (3, 0)


def test_a_detector_that_fails_makes_requests_private(make_services: MakeServices, tmp_path: Path) -> None:
    services = make_services(detector=FakeDetector(error=RuntimeError("broken")))
    report = import_traffic(services, _write(tmp_path / "f", _line(1), _line(2)))
    assert (report.private, report.unscanned) == (2, 2)
    assert {exchange.private_kinds for exchange in _all(services)} == {("unscanned",)}


def test_a_detector_that_hangs_or_dies_makes_that_request_private(
    make_services: MakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(install_moody_detector(tmp_path)))
    services = replace(make_services(), make_scan=lambda: ScanProcess("moody", cpu_seconds=0.2, hung_seconds=2.0))
    texts = ["hello", "sleep", "a secret", "loop", "die", "hello"]
    report = import_traffic(services, _write(tmp_path / "f", *(_line(n, text) for n, text in enumerate(texts))))
    assert [exchange.private_kinds for exchange in _all(services)] == [
        (),
        ("unscanned",),
        ("word",),
        ("unscanned",),
        ("unscanned",),
        (),
    ]
    assert (report.private, report.unscanned) == (4, 3)


def test_a_long_request_is_scanned_to_its_end(make_services: MakeServices, tmp_path: Path) -> None:
    services = make_services()
    import_traffic(services, _write(tmp_path / "f", _line(1, "x " * 1_500_000 + "secret"), _line(2, "x " * 1_500_000)))
    assert [exchange.private_kinds for exchange in _all(services)] == [("word",), ()]


# ------------------------------------------------------------------------------------------------------- cost


def test_costs(make_services: MakeServices, tmp_path: Path) -> None:
    services = make_services()
    usage = {**ANSWER, "usage": {"prompt_tokens": 1000, "completion_tokens": 10}}
    label = _line(5, "x" * 4000, reference="y" * 40, reference_kind="label", response=None)
    unpriced = _line(6)
    unpriced["request"]["model"] = "nobody/knows-this"
    made_up_time = {name: value for name, value in _line(7, response=usage).items() if name != "created"}
    report = import_traffic(
        services,
        _write(
            tmp_path / "f",
            _line(1, cost_usd=0.5),
            _line(2, response=usage),
            _line(3),
            _line(4, response=None, status=500),
            label,
            unpriced,
            made_up_time,
        ),
    )
    found = {exchange.id: (exchange.cost_usd, exchange.cost_source) for exchange in _all(services)}

    def price(tokens_in: int, tokens_out: int) -> float:
        cost = price_usd("gpt-4", input_tokens=tokens_in, output_tokens=tokens_out, when=START)
        assert cost
        return cost

    assert found["e00001"] == (0.5, "recorded")
    assert found["e00002"] == (price(1000, 10), "list price"), "never shown as recorded"
    assert found["e00003"] == (price(5, 100), "estimate"), "role, user, content, hello: 20 bytes asked, 400 answered"
    assert found["e00004"] == (None, None), "a failed answer without a recorded cost"
    assert found["e00005"] == (price(1004, 10), "estimate"), "what the call would have cost"
    assert found["e00006"] == (None, None)
    assert found["e00007"] == (price(1000, 10), "list price"), "no time: today's price"
    assert report.cost_estimated == 2


# ----------------------------------------------------------------------------------------------------- export


def test_import_of_an_export_is_the_same_log(make_services: MakeServices, tmp_path: Path) -> None:
    services, other = make_services("one"), make_services("two")
    lines = [_line(number, f"hello {number}", tenant=number % 3, metadata={"a": number}) for number in range(700)]
    import_traffic(services, _write(tmp_path / "f", *lines))
    out = tmp_path / "export.jsonl"
    report = export_log(services, out)
    assert (report.written, report.withheld_private) == (700, 0)
    import_traffic(other, out)
    assert _all(other) == _all(services)
    assert {exchange.cost_source for exchange in _all(other)} == {"estimate"}
    assert [path.name for path in tmp_path.glob("export*")] == ["export.jsonl"]


def test_what_became_of_an_exchange_survives_export_and_import(make_services: MakeServices, tmp_path: Path) -> None:
    services, other = make_services("one"), make_services("two")
    route = Route(upstream="provider:openai", model="m", reason="no move")
    kept = Exchange(id="a", created=START, request={"model": "m", "input": "x"}, route=route, private_kinds=())
    services.exchanges.append(
        [
            replace(kept, endpoint="/v1/responses", cost_usd=0.25, cost_source="list price"),
            replace(kept, id="b", incomplete="it was cut by the upstream", marks=Marks(fallback="EngineFailed")),
            replace(kept, id="c", marks=Marks(escalated=True, shadow_of="a")),
        ]
    )
    export_log(services, tmp_path / "out")
    import_traffic(other, tmp_path / "out")
    assert _all(other) == _all(services)


def test_private_exchanges_are_withheld_unless_asked(make_services: MakeServices) -> None:
    services = make_services()
    services.exchanges.append(
        [
            Exchange(id="clean", created=START, request={"a": "x"}, private_kinds=()),
            Exchange(id="private", created=START, request={"a": "x"}, private_kinds=("email",)),
            Exchange(id="unknown and private", created=START, request={"a": "secret"}),
            Exchange(id="unknown and clean", created=START, request={"a": "x"}),
        ]
    )
    out = io.StringIO()
    report = export_log(services, out)
    assert (report.written, report.withheld_private) == (2, 2)
    assert [json.loads(line)["id"] for line in out.getvalue().splitlines()] == ["clean", "unknown and clean"]
    broken = FakeDetector(error=RuntimeError("broken"))
    failing = replace(services, make_scan=lambda: ScanHere(broken))
    assert export_log(failing, io.StringIO()).withheld_private == 3, "what can't be scanned does not leave"
    assert export_log(services, io.StringIO(), include_private=True).written == 4


def test_export_of_a_task_in_the_openai_form(make_services: MakeServices, tmp_path: Path) -> None:
    services, other = make_services("one"), make_services("two")
    import_traffic(services, _write(tmp_path / "f", _line(1), _line(2)))
    services.exchanges.assign({"e00002": "task-1"})
    out = tmp_path / "out.jsonl"
    assert export_log(services, out, format="openai", task_id="task-1").written == 1
    assert json.loads(out.read_text()) == {"id": "e00002", **{key: _line(2)[key] for key in ("request", "response")}}
    assert import_traffic(other, out).format == "openai"


def test_exports_that_can_not_be(make_services: MakeServices, tmp_path: Path) -> None:
    services = make_services()
    with pytest.raises(UsageError, match="no export format 'xml'"):
        export_log(services, io.StringIO(), format="xml")
    with pytest.raises(StorageError, match="can't be written"):
        export_log(services, tmp_path / "no folder" / "out")


@given(
    st.one_of(st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=3), st.none()),
    st.one_of(st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.none()),
)
def test_no_count_of_tokens_brings_the_prices_down(asked: Any, answered: Any) -> None:
    usage = {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked}
    counted = chat.usage_tokens({"usage": usage})
    if counted is not None:
        cost = price_usd("gpt-4o-mini", input_tokens=counted[0], output_tokens=counted[1], when=datetime.now(UTC))
        assert cost is not None
        assert 0 <= cost < 1e9
