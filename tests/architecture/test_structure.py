"""The structure's budgets (DESIGN §3, rules 3 to 6). import-linter holds the arrows, this file the rest."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "insource"
FILES = sorted(SOURCE.rglob("*.py"))
TEST_FILES = sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "bench").rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6
MAX_POSITIONAL = 2

HEAVY = frozenset("torch transformers duckdb starlette uvicorn sklearn scipy numpy sqlalchemy aiohttp".split())  # noqa: SIM905 - reads as a list of words
LAYOUT = "cli gateway web workflows hub machine fit engines providers traffic evals adapt routing store wire stats core"


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _functions(tree: ast.AST) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """Every function, and whether it is a method."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield child, isinstance(node, ast.ClassDef)


def test_a_file_stays_readable_in_one_sitting() -> None:
    sizes = {_name(path): len(path.read_text().splitlines()) for path in FILES + TEST_FILES}
    assert not {name: lines for name, lines in sizes.items() if lines > MAX_FILE_LINES}


def test_functions_are_short_and_take_few_parameters() -> None:
    assert not [problem for path in FILES for problem in _long_functions(path)]


def _long_functions(path: Path) -> list[str]:
    too_much: list[str] = []
    for function, method in _functions(_tree(path)):
        where = f"{_name(path)}:{function.lineno} {function.name}"
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            too_much.append(f"{where}: {lines} lines")
        static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in function.decorator_list)
        own = 1 if method and not static else 0
        positional = len(function.args.posonlyargs) + len(function.args.args) - own
        total = positional + len(function.args.kwonlyargs)
        command = path.parent.name == "cli" and not method and _is_command(function)
        if total > MAX_PARAMETERS and not command:
            too_much.append(f"{where}: {total} parameters")
        # A command's parameters are its options; Typer needs them as they are. Overrides keep their base's order.
        override = function.name in {"settings_customise_sources"} or function.name.startswith("__")
        if positional > MAX_POSITIONAL + 1 and not command and not override:
            too_much.append(f"{where}: {positional} positional parameters")
    return too_much


def _is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether its parameters are options and arguments that Typer reads: then their number is what users asked for."""
    annotations = [ast.unparse(arg.annotation) for arg in function.args.args if arg.annotation is not None]
    return len(annotations) == len(function.args.args) and all(
        name.startswith("Annotated[") or name.endswith(("Option", "Argument")) for name in annotations
    )


def _mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        return True
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in {"list", "dict", "set"}


def test_no_module_level_mutable_state() -> None:
    assert not [place for path in FILES for place in _mutable_state(path)]


def _mutable_state(path: Path) -> list[str]:
    tree = _tree(path)
    found = [
        f"{_name(path)}:{node.lineno}"
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and node.value is not None
        and _mutable(node.value)
        # A table in capitals typed Mapping or Final is a constant; pyright keeps it from being written to.
        and not (isinstance(node, ast.AnnAssign) and ("Mapping" in ast.unparse(node.annotation)))
    ]
    globals_used = [f"{_name(path)}:{n.lineno}" for n in ast.walk(tree) if isinstance(n, ast.Global)]
    return found + globals_used


def test_every_module_says_what_it_is() -> None:
    assert not [_name(path) for path in FILES if not ast.get_docstring(_tree(path))]


@pytest.mark.parametrize(
    ("statement", "needed"),
    [
        ("import insource", frozenset[str]()),
        ("import insource.cli.main", frozenset[str]()),
        # Without a move and without anybody at the dashboard it computes nothing: 80 MB instead of 150.
        (
            "import insource.cli.serve, insource.gateway.server, insource.wiring, insource.web.late",
            frozenset({"aiohttp", "starlette", "uvicorn"}),
        ),
    ],
)
def test_starting_loads_nothing_heavy(statement: str, needed: frozenset[str]) -> None:
    code = f"{statement}\nimport sys\nsys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & (HEAVY - needed)


def test_the_layout_is_the_designs() -> None:
    folders = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*LAYOUT.split(), "demo_data"}


def test_the_hubs_tables_and_connections_stay_inside_of_it() -> None:
    """Whoever reads the ecosystem sees values (`core/ecosystem.py`), so a table may change without them."""
    outside = [path for path in FILES if path.relative_to(SOURCE).parts[0] not in {"hub", "store"}]
    assert not [_name(path) for path in outside if re.search(r"DuckDB|hub\.duck|\.execute\(", path.read_text())]


def test_no_pattern_is_possessive_around_a_group() -> None:
    """Up to Python 3.11.4 such a group may match less than it should; around a class of characters it is right."""
    possessive = re.compile(r"(?<!\\)\)(?:[*+?]|\{\d*,?\d*\})\+")
    assert not [
        f"{_name(path)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and possessive.search(node.value)
    ]
