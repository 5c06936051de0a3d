"""Reading the desk's text files: one reader a file format, each documented in README.md beside this file.

What they give is the same for all: what the customer wrote, what the hosted model answered, and what is right.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from importlib.resources import files
from importlib.resources.abc import Traversable

FOLDER: Traversable = files("insource.demo_data") / "desk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One request of the desk before it gets its time and its tokens."""

    task: str
    """Name of the task's table in tasks.toml."""
    message: str
    hosted: str
    """What the hosted model answered."""
    label: str | None
    """What is right; None: nobody said."""
    correct: bool | None
    """Whether the hosted answer is right; None: nobody looked."""


class BadText(ValueError):
    """A record that breaks its file's format; says where."""


def read_all() -> Iterator[Text]:
    """Every record of every file, file by file."""
    yield from _triage()
    yield from _slots()
    yield from _policy()
    yield from _replies()
    yield from _arithmetic()
    yield from _threads()
    yield from _personal()


# ---------------------------------------------------------------------------------------------- one a line


_TIMES = re.compile(r"(\d+)x ")
"""`3x where is my order`: three people wrote these very words."""
_OTHER = re.compile(r" ~ (\w+)$")
"""What the hosted model answered instead."""


def _triage() -> Iterator[Text]:
    for file in _folder("triage"):
        queue = file.name.removesuffix(".txt")
        for line in _lines(file):
            times = _TIMES.match(line)
            message = line[times.end() :] if times else line
            other = _OTHER.search(message)
            message = message[: other.start()] if other else message
            hosted = other[1] if other else queue
            for _ in range(int(times[1]) if times else 1):
                yield Text(task="triage", message=_breaks(message), hosted=hosted, label=queue, correct=hosted == queue)


def _policy() -> Iterator[Text]:
    for line in _lines(FOLDER / "policy.txt"):
        label, _, question = line.partition(" | ")
        if label not in ("yes", "no") or not question:
            raise BadText(f"policy.txt: not `yes | question` or `no | question`: {line[:60]!r}")
        wrong = question.endswith(" ~")
        hosted = {"yes": "no", "no": "yes"}[label] if wrong else label
        yield Text(
            task="policy",
            message=_breaks(question.removesuffix(" ~")),
            hosted=hosted,
            label=label,
            correct=not wrong,
        )


def _arithmetic() -> Iterator[Text]:
    for line in _lines(FOLDER / "arithmetic.txt"):
        question, equals, rest = line.rpartition(" == ")
        if not equals:
            raise BadText(f"arithmetic.txt: no ` == ` in {line[:60]!r}")
        expression, differs, slip = rest.partition(" != ")
        right = calculate(expression)
        said = slip.strip() if differs else right
        yield Text(
            task="arithmetic",
            message=_breaks(question),
            hosted=f"{expression.strip()} = {said}\nTotal: {said}",
            label=right,
            correct=not differs,
        )


# ------------------------------------------------------------------------------------------- several lines


def _slots() -> Iterator[Text]:
    for file in _folder("slots"):
        for lines in _blocks(file):
            message, stated, *wrong = lines
            if len(wrong) > 1 or any(not line.startswith("! ") for line in wrong):
                raise BadText(f"slots/{file.name}: a third line begins with `! `: {message[:60]!r}")
            right = _slot_json(stated, message)
            hosted = _slot_json(wrong[0].removeprefix("! "), None) if wrong else right
            yield Text(task="slots", message=_breaks(message), hosted=hosted, label=right, correct=hosted == right)


def _slot_json(line: str, message: str | None) -> str:
    """`service | item: haul` as a JSON object; with a `message`, each value must stand in it."""
    kind, *fields = line.split(" | ")
    found = {"kind": kind.strip()}
    for field in fields:
        name, colon, value = field.partition(": ")
        if not colon or name in found or (message is not None and value not in message):
            raise BadText(f"slots: {field!r} is not a slot of {message or line!r}")
        found[name] = value
    return json.dumps(found, ensure_ascii=False)


def _replies() -> Iterator[Text]:
    for file in _folder("replies"):
        for lines in _blocks(file):
            if len(lines) != 2 or not lines[0].startswith("> "):
                raise BadText(f"replies/{file.name}: not `> message` and a reply: {lines[0][:60]!r}")
            wrong = lines[1].endswith(" ~")
            yield Text(
                task="replies",
                message=_breaks(lines[0].removeprefix("> ")),
                hosted=_breaks(lines[1].removesuffix(" ~")),
                label=None,
                correct=False if wrong else None,
            )


def _threads() -> Iterator[Text]:
    for file in _folder("threads"):
        for record in file.read_text("utf-8").split("\n---"):
            thread, equals, summary = record.strip().rpartition("\n= ")
            if not record.strip():
                continue
            if not equals or "\n" in summary:
                raise BadText(f"threads/{file.name}: no line `= summary` at the end of {record.strip()[:60]!r}")
            yield Text(
                task="threads",
                message=_breaks(thread.strip()),
                hosted=summary.removesuffix(" ~"),
                label=None,
                correct=False if summary.endswith(" ~") else None,
            )


def _personal() -> Iterator[Text]:
    for lines in _blocks(FOLDER / "personal.txt"):
        message, answer, *truth = lines
        wrong = answer.endswith(" ~")
        if len(truth) != int(wrong) or any(not line.startswith("= ") for line in truth):
            raise BadText(f"personal.txt: a wrong answer, and no other, needs the right one below: {message[:60]!r}")
        yield Text(
            task="personal",
            message=_breaks(message),
            hosted=answer.removesuffix(" ~"),
            label=truth[0].removeprefix("= ") if wrong else None,
            correct=False if wrong else None,
        )


# ------------------------------------------------------------------------------------------------- bits


def _folder(name: str) -> list[Traversable]:
    return sorted((FOLDER / name).iterdir(), key=lambda file: file.name)


def _lines(file: Traversable) -> list[str]:
    """Without blank lines and comments."""
    return [line for line in file.read_text("utf-8").splitlines() if line.strip() and not line.startswith("# ")]


def _blocks(file: Traversable) -> Iterator[list[str]]:
    """Lines that stand together, between empty ones."""
    for block in re.split(r"\n\s*\n", file.read_text("utf-8")):
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith("# ")]
        if len(lines) > 1:
            yield lines
        elif lines:
            raise BadText(f"{file.name}: a single line stands alone: {lines[0][:60]!r}")


def _breaks(text: str) -> str:
    return text.replace("\\n", "\n").strip()


_OPERATORS: Mapping[type[ast.AST], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def calculate(expression: str) -> str:
    """The exact value of numbers, + - * /, brackets, min, max, round(x, 2) and floor, halves rounded up.

    Whole numbers that come of `floor` or of whole numbers alone are printed as such, all others with two decimals.
    Raises BadText."""
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        value = _value(tree)
    except (SyntaxError, ZeroDivisionError, KeyError, IndexError, TypeError) as error:
        raise BadText(f"arithmetic.txt: can't calculate {expression!r}: {error}") from error
    counts = "." not in expression and value.denominator == 1
    return str(value.numerator) if counts else f"{_cents(value)}"


def _cents(value: Fraction) -> Decimal:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(ast.unparse(node))
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        arguments = [_value(argument) for argument in node.args]
        return _called(node.func.id, arguments)
    raise TypeError(f"{ast.unparse(node)!r} is not allowed")


def _called(name: str, arguments: list[Fraction]) -> Fraction:
    if name == "floor":
        return Fraction(math.floor(arguments[0]))
    if name == "round":
        return Fraction(_cents(arguments[0])) if arguments[1:] else Fraction(math.floor(arguments[0] + Fraction(1, 2)))
    return {"min": min, "max": max}[name](arguments)
