"""A log of another tool, however damaged, is imported right or refused with a next step: never taken with neither
messages nor answers, never with a traceback. `make promises` tries 10,000 mutations.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.logs.importing import import_or_refuse
from tests.logs.mutations import mutate

pytestmark = pytest.mark.data

CASES = int(os.environ.get("INSOURCE_PROMISE_CASES", "300"))


def test_no_mutation_of_the_shared_logs_is_taken_wrongly(shared_cases: Path, tmp_path: Path) -> None:
    files = [path.read_bytes() for path in sorted((shared_cases / "imports").iterdir())]
    rng = random.Random(20)
    taken = 0
    for _ in range(CASES):
        taken += bool(import_or_refuse(tmp_path, (mutate(rng.choice(files), rng),)))
    assert 0.2 < taken / CASES < 0.95, "the mutations are neither harmless nor hopeless"
