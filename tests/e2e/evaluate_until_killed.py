"""Evaluates the one task of a store with an engine that notes what it is asked: `python … HOME NOTES`.

A process of its own, so that a test can kill it. The answer is noted before it is given, so what was noted and not
kept is what the kill cut off.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from insource.core.hashing import sha256_hex
from insource.core.ports import Call, Reply
from tests.fakes.evaluating import evaluate, evaluating
from tests.fakes.traffic import engine_that, label_of

KNOWS = engine_that(label_of)


def main(home: Path, notes: Path) -> None:
    with notes.open("a") as noted:

        def answer(call: Call) -> Reply:
            noted.write(sha256_hex(call.body) + "\n")
            noted.flush()
            return KNOWS(call)

        with evaluating(home, answer) as (services, _):
            found = asyncio.run(evaluate(services))
    best = found.best
    sys.stdout.write(json.dumps(None if best is None else best.certificate_id))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
