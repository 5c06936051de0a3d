"""Scores published by others: joined by id, by lineage and by name, always said how, and never a factor."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from insource.cli.main import app
from insource.cli.session import load_settings
from insource.core.errors import BadInput
from insource.hub.published import COLUMNS, Published, published_sentence, read_published

HOME = Path("nowhere")


def table(path: Path, *rows: tuple[str, ...], columns: tuple[str, ...] = COLUMNS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def joined(published: Published, id: str, *copied_from: str) -> list[tuple[str, str, float]]:
    found = published.of(id, copied_from=copied_from)
    return [(one.joined.partition(",")[0], one.row.model, one.row.score) for one in found]


def test_the_surest_way_that_finds_any_is_taken(tmp_path: Path) -> None:
    file = table(
        tmp_path / "scores.csv",
        ("Maker/Model-8B", "MMLU", "71.5", "maker's card", "2026-05-01"),
        ("other/Model-8B", "MMLU", "70", "a blog", ""),
        ("Gemma 3 27B it", "MMLU", "77", "a board", "not a day"),
    )
    published = read_published(HOME, file)
    assert joined(published, "maker/model-8b") == [("this model", "Maker/Model-8B", 71.5)]
    assert joined(published, "packer/Model-8B-v2-GGUF", "maker/MODEL-8B") == [("its parent", "Maker/Model-8B", 71.5)]
    # The same name under other owners: both are given, each with the name that it was published under.
    assert joined(published, "packer/Model-8B-GGUF") == [
        ("the same name elsewhere", "Maker/Model-8B", 71.5),
        ("the same name elsewhere", "other/Model-8B", 70.0),
    ]
    assert joined(published, "google/gemma-3-27b-it") == [("the same name elsewhere", "Gemma 3 27B it", 77.0)]
    assert joined(published, "maker/Model-9B") == []
    [one] = published.of("google/gemma-3-27b-it")
    assert published_sentence(one) == "MMLU 77 (a board; of Gemma 3 27B it (the same name elsewhere))"


def test_rows_that_tell_nothing_are_left_out_and_text_is_cleaned(tmp_path: Path) -> None:
    file = table(
        tmp_path / "scores.csv",
        ("a/b", "MMLU", "nan", "s", ""),
        ("a/b", "MMLU", "inf", "s", ""),
        ("a/b", "MMLU", "", "s", ""),
        ("a/b", "", "1", "s", ""),
        ("", "MMLU", "1", "s", ""),
        ("a/b", "\x1b[31mMMLU", "1", "", "2026-01-01"),
    )
    [one] = read_published(HOME, file).of("a/b")
    assert (one.row.benchmark, one.row.source) == ("[31mMMLU", "source not stated")


@given(text=st.text(max_size=60))
def test_any_bytes_give_rows_or_one_kind_of_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("t") / "scores.csv"
    file.write_text(",".join(COLUMNS) + "\n" + text, "utf-8", errors="surrogatepass")
    try:
        published = read_published(HOME, file)
    except BadInput:
        return
    assert published


@pytest.mark.parametrize("columns", [("model", "score"), ("model", "benchmark", "score", "source")])
def test_a_table_of_other_columns_is_refused(tmp_path: Path, columns: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="has no column"):
        read_published(HOME, table(tmp_path / "t.csv", columns=columns))
    with pytest.raises(BadInput, match="can't be read"):
        read_published(HOME, tmp_path / "none.csv")


def test_scout_and_hub_show_tell_them_apart_and_order_by_none_of_them(tmp_path: Path) -> None:
    """Through the commands; the table lies in the home."""
    (tmp_path / "m.toml").write_text("cores = 8\nmemory_gb = 32\nbandwidth_gbs = 60\nmatmul_tflops = 1.0\n")
    scout = ["scout", "--machine", str(tmp_path / "m.toml"), "--json", "--all"]
    before = json.loads(CliRunner().invoke(app, scout).stdout)
    table(load_settings().home / "evidence" / "t.csv", ("qwen/qwen3-8b", "MMLU", "99.9", "somebody", "2026-01-01"))
    after = json.loads(CliRunner().invoke(app, scout).stdout)
    assert [model["id"] for model in after["models"]] == [model["id"] for model in before["models"]]
    scored = {model["id"]: model["published"] for model in after["models"] if model["published"]}
    assert scored == {
        "Qwen/Qwen3-8B": [
            {
                "model": "qwen/qwen3-8b", "benchmark": "MMLU", "score": 99.9, "source": "somebody",
                "date": "2026-01-01", "joined_by": "this model",
            }
        ]
    }  # fmt: skip
    assert "published" not in next(m["ranks"] for m in after["models"] if m["id"] == "Qwen/Qwen3-8B")
    shown = CliRunner().invoke(app, ["hub", "show", "Qwen/Qwen3-8B"])
    assert "Published by others, not measured here: MMLU 99.9 (somebody, 2026-01-01)" in shown.output
