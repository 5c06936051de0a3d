"""Messages read as a colleague would say them: the worst patterns of earlier ones don't come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src/insource"
_SAID = frozenset({"say", "text", "table", "confirm"})
_KEYWORDS = frozenset({"help", "short_help", "next_step"})
STRANGE = (
    re.compile(r"(?<!here) (?:is|are) no (?!longer|more|other|such)\w"),  # "X is no date"; "there is no" is fine
    re.compile(r"\b(?:is|are|be|was|were) told\b"),
    re.compile(r"\bnothing (?:can be said|vouches)\b"),
    re.compile(r"\btaken up\b|\btake up\b|\bcarried\b|\bvouch"),
    re.compile(r"\bcould do it\b|\bNo talk\b|\bthereof\b|\bwhich shall\b|\btool shall\b"),
    re.compile(r"\b[Ss]ay (?:of|whether)\b|\b[Tt]ell what\b"),
)


def messages_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What people meet: errors that are raised, help lines, what is printed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield from _texts(node.exc)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr in _SAID:
                for argument in node.args:
                    yield from _texts(argument)
            for keyword in node.keywords:
                if keyword.arg in _KEYWORDS:
                    yield from _texts(keyword.value)


def _texts(node: ast.AST) -> Iterator[tuple[int, str]]:
    """An f-string as one text, each value in it as an `X`."""
    if isinstance(node, ast.JoinedStr):
        yield node.lineno, "".join(v.value if isinstance(v, ast.Constant) else "X" for v in node.values)  # pyright: ignore[reportArgumentType,reportCallIssue] - a part of an f-string is text
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.lineno, node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


def test_no_message_reads_strangely() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {text[:120]}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, text in messages_in(ast.parse(path.read_text()))
        if any(pattern.search(text) for pattern in STRANGE)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        'raise UsageError(f"{text!r} is no day.", next_step="")',
        'typer.Option(help="Let a candidate answer that nothing vouches for.")',
        'out.say(f"{many} could do it, of {few} nothing can be said.")',
        'typer.Option(help="Where in the context speed is told.")',
    ],
)
def test_a_strange_sentence_is_found(code: str) -> None:
    assert any(pattern.search(text) for _, text in messages_in(ast.parse(code)) for pattern in STRANGE)


def test_a_plain_sentence_is_left_alone() -> None:
    code = 'raise UsageError(f"There is no task {id!r}; it is no longer there.", next_step="Look.")'
    assert not [text for _, text in messages_in(ast.parse(code)) if any(pattern.search(text) for pattern in STRANGE)]
