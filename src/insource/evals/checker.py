"""The scorer `checker`: a command of the user's says what an answer lost.

The command gets one JSON object on its standard input (`request`, `answer`, `reference`) and prints a number from 0
(right) to 1 (wrong). It runs without a shell, within a time limit, and only because the user named it.
"""

from __future__ import annotations

import json
import math
import subprocess
from typing import Any

from insource.core.errors import BadInput
from insource.core.values import JsonObject

LIMIT_SECONDS = 10.0
_SHOWN = 300


class CheckerScorer:
    """Arguments: `command` (a list of words) and `seconds`."""

    name = "checker"
    costly = True

    def canonical(self, answer: str, arguments: JsonObject) -> str:
        return answer.strip()

    def loss(self, answer: str, reference: str, *, request: JsonObject, arguments: JsonObject) -> float:
        """Raises BadInput when the command fails, takes too long or prints no such number."""
        found: Any = arguments.get("command")
        command = [str(word) for word in found] if isinstance(found, list) else []
        seconds = float(arguments.get("seconds") or LIMIT_SECONDS)
        said = json.dumps({"request": request, "answer": answer, "reference": reference}, ensure_ascii=False)
        try:
            done = subprocess.run(command, input=said.encode("utf-8", "replace"), capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise _failed(command, f"it took longer than {seconds:g} s") from error
        except (OSError, ValueError, IndexError) as error:
            raise _failed(command, str(error)) from error
        printed = done.stdout.decode("utf-8", "replace").strip()
        if done.returncode != 0:
            problem = done.stderr.decode("utf-8", "replace").strip()[-_SHOWN:] or printed[-_SHOWN:]
            raise _failed(command, f"it ended with {done.returncode}: {problem}")
        try:
            loss = float(printed)
        except ValueError as error:
            raise _failed(command, f"it printed {printed[:_SHOWN]!r}") from error
        if not (math.isfinite(loss) and 0.0 <= loss <= 1.0):
            raise _failed(command, f"it printed {printed[:_SHOWN]!r}")
        return loss


def _failed(command: list[str], problem: str) -> BadInput:
    return BadInput(
        f"The checker {' '.join(command)!r} did not score an answer: {problem}.",
        next_step="It must read one JSON object and print a number from 0 (right) to 1 (wrong).",
    )


class ReviewScorer:
    """The scorer `review`: answers that are not the same are a person's to judge; until then they count as wrong."""

    name = "review"
    costly = False

    def canonical(self, answer: str, arguments: JsonObject) -> str:
        return " ".join(answer.split())

    def loss(self, answer: str, reference: str, *, request: JsonObject, arguments: JsonObject) -> float:
        return float(self.canonical(answer, arguments) != self.canonical(reference, arguments))
