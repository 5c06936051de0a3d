"""Recorded logs and what they are read as: `NAME.jsonl` and `NAME.expected.json`, side by side.

To accept a change that is meant: delete the expected file, run the test, read the difference.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from insource import plugins
from insource.core.values import Exchange
from insource.traffic.containers import BadLine, json_lines
from insource.traffic.log_line import to_line
from insource.traffic.readers import FileReader, Halves

FOLDER = Path(__file__).parent / "log_lines"


def _shown(record: Exchange | BadLine) -> dict[str, Any]:
    if isinstance(record, BadLine):
        return {"bad": record.line_number, "reason": record.reason, "excerpt": record.excerpt}
    return json.loads(json.dumps(to_line(record)))


@pytest.mark.parametrize("name", ["insource", "openai"])
def test_read_as_expected(name: str) -> None:
    lines = (FOLDER / f"{name}.jsonl").read_bytes().splitlines()
    with closing(Halves()) as halves:
        reader = FileReader(plugins.load_all("readers"), halves)
        found = [_shown(record) for record in (*reader.read(json_lines(lines)), *reader.left_over())]
    expected = FOLDER / f"{name}.expected.json"
    if not expected.exists():
        expected.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        pytest.fail(f"{expected.name} was written: read it, then run again")
    assert found == json.loads(expected.read_text(encoding="utf-8"))
