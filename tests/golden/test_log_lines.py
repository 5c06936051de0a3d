"""Recorded logs and what they are read as: `NAME.jsonl` and `NAME.expected.json`, side by side.

To accept a change that is meant: delete the expected file, run the test, read the difference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from insource.core.values import Exchange
from insource.traffic.log_line import to_line
from insource.traffic.readers import BadLine, InsourceReader, OpenAIReader, Reader

FOLDER = Path(__file__).parent / "log_lines"


def _shown(record: Exchange | BadLine) -> dict[str, Any]:
    if isinstance(record, BadLine):
        return {"bad": record.line_number, "reason": record.reason, "excerpt": record.excerpt}
    return json.loads(json.dumps(to_line(record)))


@pytest.mark.parametrize("reader", [InsourceReader(), OpenAIReader()], ids=lambda reader: reader.name)
def test_read_as_expected(reader: Reader) -> None:
    lines = (FOLDER / f"{reader.name}.jsonl").read_bytes().splitlines()
    found = [_shown(record) for record in reader.read(lines)]
    expected = FOLDER / f"{reader.name}.expected.json"
    if not expected.exists():
        expected.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        pytest.fail(f"{expected.name} was written: read it, then run again")
    assert found == json.loads(expected.read_text(encoding="utf-8"))
