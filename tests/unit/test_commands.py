"""What holds for every command: `--json`, `--quiet`, completion, and what a wrong configuration says."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from insource.cli.candidates import wanted
from insource.cli.main import app
from insource.cli.session import load_settings, session
from insource.config import PROJECT_FAMILIES, Settings, closest_setting, unknown_variables
from insource.core.errors import InsourceError, UsageError
from tests.fakes.gguf_writer import gguf_bytes

ROOT = Path(__file__).parents[2]


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children or command.invoke_without_command:
        yield " ".join(path), command
    for name, child in children.items():
        yield from _commands(child, (*path, name))


PROGRAM: Any = typer.main.get_command(app)
GROUPS = sorted(name for name, child in PROGRAM.commands.items() if getattr(child, "commands", None))
COMMANDS = {name: command for name, command in _commands(PROGRAM) if name}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_json_and_quiet(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--json", "--quiet"} <= options


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_the_list_of_a_group_cuts_no_sentence(group: str) -> None:
    shown = CliRunner().invoke(app, [*group.split(), "--help"], env={"COLUMNS": "80"}, terminal_width=80).output
    _, _, listed = shown.partition("Commands:")
    assert listed
    assert not [line for line in listed.splitlines() if line.endswith("...")]


def test_completion_is_on() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "--install-completion" in shown
    assert "--show-completion" in shown


@pytest.mark.parametrize("setting", sorted(Settings.model_fields))
def test_a_setting_is_known_and_found_when_misspelled(setting: str) -> None:
    variable = f"INSOURCE_{setting.upper()}"
    assert unknown_variables([variable, variable.lower()]) == []
    if len(setting) > 4:
        wrong = setting[:-2] + setting[-1]
        if wrong not in Settings.model_fields:
            assert unknown_variables([f"INSOURCE_{wrong.upper()}"])
            found = closest_setting(f"INSOURCE_{wrong.upper()}")
            assert found is not None
            # The right one, or one that is as near.
            near = [difflib.SequenceMatcher(None, wrong, each).ratio() for each in (found, setting)]
            assert near[0] >= near[1]


@given(st.lists(st.text(st.characters(codec="ascii", categories=("Lu",)), min_size=1, max_size=12)))
def test_names_of_other_programs_are_left_alone(names: list[str]) -> None:
    assert unknown_variables(names) == []
    assert unknown_variables([f"INSOURCE_{family}_{name}" for family in PROJECT_FAMILIES for name in names]) == []


def test_the_project_reads_no_variable_that_the_program_refuses() -> None:
    files = [ROOT / "Makefile", *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    set_or_read = re.compile(r"""(?:environ(?:\.get)?[(\[]\s*"|^\s*)(INSOURCE_[A-Z_]+)["=]""", re.MULTILINE)
    names = {name for file in files for name in set_or_read.findall(file.read_text())}
    assert "INSOURCE_PROMISE_CASES" in names
    assert unknown_variables(names) == []


def test_an_unknown_variable_names_the_setting_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSOURCE_PROVIDER_ULR", "https://example.com")
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert "INSOURCE_PROVIDER_ULR" in caught.value.message
    assert "INSOURCE_PROVIDER_URL" in caught.value.next_step


def test_the_variable_that_holds_the_key_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSOURCE_HOSTED_KEY", "secret")
    monkeypatch.setenv("INSOURCE_PROVIDER_KEY_ENV", "INSOURCE_HOSTED_KEY")
    assert load_settings().provider_key_env == "INSOURCE_HOSTED_KEY"


def _broken(kind: str, folder: Path) -> Path:
    file = folder / "settings.toml"
    if kind == "folder":
        file.mkdir()
    elif kind != "missing":
        texts = {"not TOML": b"port = [", "not UTF-8": b'host = "\xff"', "unknown": b"prot = 1", "value": b"port = -1"}
        file.write_bytes(texts[kind])
    return file


@pytest.mark.parametrize("kind", ["missing", "folder", "not TOML", "not UTF-8", "unknown", "value"])
def test_a_broken_settings_file_is_an_error_and_the_doctor_says_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSOURCE_CONFIG", str(_broken(kind, tmp_path)))
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert caught.value.next_step
    found = CliRunner().invoke(app, ["doctor", "--json"])
    assert found.exit_code == 1
    (check,) = json.loads(found.output)["checks"]
    assert (check["name"], check["ok"]) == ("settings", False)
    assert caught.value.message in check["detail"]


def test_the_doctor_checks_the_rest_where_the_store_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "broken"
    home.mkdir()
    (home / "insource.db").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("INSOURCE_HOME", str(home))
    found = CliRunner().invoke(app, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(found.output)["checks"]}
    assert checks["settings"]["ok"]
    assert not checks["store"]["ok"]
    assert checks["disk"]["ok"]


@pytest.mark.parametrize("ref", ["no/such", "there-is-none.gguf", "file:there-is-none.gguf", "wheel:no-such-package"])
def test_a_model_that_is_not_here_is_told_before_anything_is_measured(ref: str) -> None:
    with session(quiet=True) as (services, _), pytest.raises(InsourceError) as raised:
        wanted(services, models=["", ref])
    assert raised.value.next_step


def test_a_path_names_a_model_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.gguf").write_bytes(gguf_bytes(values=10))
    monkeypatch.chdir(tmp_path)
    with session(quiet=True) as (services, _):
        assert wanted(services, models=["own.gguf"]).models == (f"file:{tmp_path / 'own.gguf'}",)
