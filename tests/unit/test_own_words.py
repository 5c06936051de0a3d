"""What the project contains is written for it: no text of the shared data stands anywhere in the tree.

A common run of 60 characters holds a whole window of 30 that begins at a multiple of 30 in the one text, so it is
enough to look at those windows of the data, and at every place of the tree. A run counts with 8 different characters or
more: a ruler of dashes is not a text.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.data

ROOT = Path(__file__).parents[2]
RUN, WINDOW, LETTERS, LEAST = 60, 30, 8, 22
_FACTS = ("hub", "fit")
"""Folders of records without sentences of people: figures and names of models, which carry over with their source."""


def texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)


def shared_texts(data: Path) -> Iterator[str]:
    """Every string of the shared data, white space folded."""
    csv.field_size_limit(1 << 24)
    for path in sorted(data.rglob("*.gz")):
        if path.relative_to(data).parts[0] in _FACTS:
            continue
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            if path.name.endswith(".csv.gz"):
                found = (text for row in csv.reader(file) for text in row)
            elif path.name.endswith(".jsonl.gz"):
                found = (text for line in file for text in texts_of(json.loads(line)))
            else:
                found = texts_of(json.load(file))
            yield from (folded(text) for text in found)


def folded(text: str) -> str:
    return " ".join(text.split())


def tree_texts() -> Iterator[tuple[str, str]]:
    """(path, content) of everything that git tracks, packed files unpacked."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if not name or not path.is_file():
            continue
        data = path.read_bytes()
        data = gzip.decompress(data) if name.endswith(".gz") else data
        yield name, folded(data.decode("utf-8", "ignore").replace("\\n", " "))


def common_runs(windows: dict[str, str], text: str) -> Iterator[str]:
    """Runs of at least RUN characters that `text` shares with the text that a window was taken from."""
    place = 0
    while place + WINDOW <= len(text):
        whole = windows.get(text[place : place + WINDOW])
        if whole is None:
            place += 1
            continue
        run = _run_around(text, place, whole)
        if len(run) >= RUN and len(set(run)) >= LETTERS:
            yield run
        place += max(1, len(run))


def _run_around(text: str, place: int, whole: str) -> str:
    at = whole.index(text[place : place + WINDOW])
    start, end = 0, WINDOW
    while min(place, at) + start > 0 and text[place + start - 1] == whole[at + start - 1]:
        start -= 1
    while place + end < len(text) and at + end < len(whole) and text[place + end] == whole[at + end]:
        end += 1
    return text[place + start : place + end]


def test_the_search_finds_a_common_run() -> None:
    sentence = "The quick brown fox jumps over the lazy dog while nobody in the village is looking at them at all."
    windows = {sentence[at : at + WINDOW]: sentence for at in range(0, len(sentence) - WINDOW + 1, WINDOW)}
    assert list(common_runs(windows, "before " + sentence[7:70] + " after")) == [sentence[7:70]]
    assert not list(common_runs(windows, "before " + sentence[7:60] + " after"))


def test_no_text_of_the_shared_data_stands_in_the_tree(shared_data: Path) -> None:
    windows: dict[str, str] = {}
    for text in shared_texts(shared_data):
        for at in range(0, len(text) - WINDOW + 1, WINDOW):
            windows[text[at : at + WINDOW]] = text
    assert len(windows) > 100_000
    found = [f"{name}: {run[:100]!r}" for name, text in tree_texts() for run in common_runs(windows, text)]
    assert not found, "\n".join(found[:20])


def test_no_whole_record_of_the_shared_data_stands_in_the_tree(shared_data: Path) -> None:
    """Short records too: from four words and LEAST characters on."""
    by_start: dict[str, set[str]] = {}
    for text in shared_texts(shared_data):
        if len(text) >= LEAST and len(re.findall(r"[^\W\d]{2,}", text)) >= 4:
            by_start.setdefault(text[:LEAST], set()).add(text)
    found = [
        f"{name}: {text!r}"
        for name, content in tree_texts()
        for at in range(len(content) - LEAST + 1)
        for text in by_start.get(content[at : at + LEAST], ())
        if content.startswith(text, at)
    ]
    assert not found, "\n".join(found[:20])
