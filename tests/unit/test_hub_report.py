"""The report on the Hub: definitions are complete, the page is self-contained and safe, the tables say one thing."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from insource.cli.main import app
from insource.core.ecosystem_report import Taken
from insource.core.errors import BadInput, UsageError
from insource.hub.duck import connect
from insource.hub.ecosystem import HubEcosystem
from insource.hub.report.figures import FIGURES, choose
from insource.hub.report.prepare import read_organisations
from insource.hub.report.reports import REPORTS
from insource.hub.schema import MODEL_COLUMNS
from insource.web import hub_figures
from insource.workflows.ecosystem.report import compared, csv_text, report_json

HOSTILE = "</text><script>alert('x')</script><img src=http://evil.example/x.png onerror=alert(1)>"
_SCALARS = {"VARCHAR", "BIGINT", "TIMESTAMP", "DOUBLE"}


def connection_with(rows: list[dict[str, Any]]) -> Any:
    """A connection whose view `models` holds the rows; columns that a row leaves out are NULL."""
    connection = connect()
    columns = ", ".join(f"{column.name} {column.type}" for column in MODEL_COLUMNS)
    connection.execute(f"CREATE TEMP TABLE given ({columns})")
    for row in rows:
        connection.execute(
            f"INSERT INTO given ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values())
        )
    connection.execute("CREATE TEMP VIEW models AS FROM given")
    return connection


def model(id: str, **said: Any) -> dict[str, Any]:
    return {"id": id, "author": id.split("/")[0] if "/" in id else None, "source": "api", **said}


def many(n: int = 300) -> list[dict[str, Any]]:
    return [
        model(
            f"{'Qwen' if i % 3 == 0 else 'google' if i % 7 == 0 else f'org-{i}'}/m-{i}-{1 + i % 90}B"
            + ("-GGUF" if i % 5 == 0 else ""),
            created=f"202{5 + i % 2}-0{1 + i % 9}-1{i % 9}",
            downloads=i * i % 977,
            downloads_all=i * i * 31 % 9973,
            likes=i * 7 % 101,
            trending=float(i % 11),
            library=("gguf", "transformers", "mlx")[i % 3],
            license=("apache-2.0", "mit", "llama3.1")[i % 3],
            tags=["gguf", "qwen2"] if i % 2 else ["llama"],
            base_models=[] if i % 4 else [{"relation": "finetune", "id": f"Qwen/m-{max(0, i - 3)}-1B"}],
            parameters_stated=(1 + i % 90) * 10**9,
        )
        for i in range(1, n)
    ]


def taken(connection: Any, *, source: str = "", only: Sequence[str] = ()) -> Taken:
    return HubEcosystem(connection, as_of=date(2026, 5, 20), described=source).report(only=only)


@pytest.fixture(scope="module")
def report() -> Iterator[Taken]:
    with connection_with([*many(), model(f"{HOSTILE}/x", created="2026-05-01", downloads_all=10**6, likes=10**6)]) as c:
        yield taken(c, source=HOSTILE)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.id)
def test_a_definition_is_complete(figure: Any) -> None:
    for text in (figure.title, figure.question, figure.definition, figure.chart.x_title):
        assert text.strip()
    assert figure.question.endswith("?")
    assert figure.needs
    names = {measure.name for measure in figure.measures}
    for item in figure.published:
        assert item.report in REPORTS
        assert item.measure is None or item.measure in names
        assert re.search(r"\d|exactly one|almost nothing|whole range|all of", item.text)
    assert bool(figure.measures) == (figure.headline is not None)
    if figure.published and "accounts and traffic" not in figure.needs:
        assert figure.difference


def test_ids_are_names_of_files_and_distinct() -> None:
    ids = [figure.id for figure in FIGURES]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9_]+", id) for id in ids)


def test_every_figure_that_is_drawn_has_labels_for_its_columns(report: Taken) -> None:
    assert len(report.drawn) == len(FIGURES) - 7
    for found in report.drawn:
        chart = found.figure.chart
        used = [chart.x, chart.y, *filter(None, (chart.colour, chart.label))]
        assert set(used) <= set(found.rows[0]), found.figure.id
        assert {measure.name for measure in found.figure.measures} == set(found.values), found.figure.id
        definition = hub_figures.chart(found, basis="").to_json()
        assert f'"{chart.x_title}"' in definition
        assert len(found.rows) < 2_000


def test_what_the_snapshot_cannot_support_is_listed_and_not_drawn(tmp_path: Path) -> None:
    with connection_with([model("a/b", created="2026-01-01"), model("a/c", created="2026-02-01")]) as connection:
        made = taken(connection, source="two models")
    assert {found.figure.id for found in made.drawn} == {"growth", "weekly", "weekly_organisations"}
    missing = {item.figure.id: item.what for item in made.missing}
    assert missing["concentration"] == ("no row states downloads",)
    assert "datasets" in missing["dataset_categories"][0]
    stale = tmp_path / "trending.svg"
    stale.write_text("of a run before")
    page = hub_figures.write(made, tmp_path).read_text()
    assert not stale.exists()
    assert not (tmp_path / "concentration.csv").exists()
    assert "no row states downloads" in page
    assert "a sample of the Hub" in page


def test_data_sets_are_counted_where_the_snapshot_has_them() -> None:
    with connection_with([model("a/b")]) as connection:
        connection.execute(
            """CREATE TEMP VIEW datasets AS SELECT *, DATE '2025-02-03' AS created FROM (VALUES
            ('x', ['task_categories:robotics', 'en']), ('y', ['task_categories:robotics', 'task_categories:other']))
            t(id, tags)"""
        )
        made = taken(connection, source="", only=("dataset_categories",))
    (found,) = made.drawn
    assert {(row["year"], row["category"], row["datasets"]) for row in found.rows} == {
        ("2025-01-01", "robotics", 2),
        ("2025-01-01", "other", 1),
    }
    assert found.values == {"robotics_2024": 0, "robotics_2025": 2}


def test_the_page_fetches_nothing_and_shows_hostile_names_as_text(report: Taken, tmp_path: Path) -> None:
    page = hub_figures.write(report, tmp_path).read_text()
    assert "alert(" in page  # the name is shown …
    assert "<script" not in page.lower()
    assert not re.search(r"<(img|iframe|link|object|embed|use|image|foreignobject)\b", page.lower())
    assert not re.search(
        r"\b(src|href|xlink:href)\s*=\s*[\"']?(?!#)", page.lower().replace("&lt;", "").split("<body")[0]
    )
    loads = re.findall(r"<[^>]*\b(?:src|xlink:href|href)\s*=\s*[\"']([^\"']*)", page)
    assert all(target.startswith("#") for target in loads)
    assert not re.search(r"url\((?!#)|@import", page)
    for picture in tmp_path.glob("*.svg"):
        assert "<script" not in picture.read_text().lower()


def test_csv_and_json_hold_the_same_values(report: Taken) -> None:
    told = {figure["id"]: figure["rows"] for figure in json.loads(json.dumps(report_json(report)))["figures"]}
    for found in report.drawn:
        read = list(csv.DictReader(io.StringIO(csv_text(found.rows))))
        assert len(read) == len(told[found.figure.id])
        for row, other in zip(read, told[found.figure.id], strict=True):
            assert {name: "" if value is None else str(value) for name, value in other.items()} == row


def test_a_name_that_a_spreadsheet_would_run_is_written_as_text() -> None:
    assert csv_text(({"account": "=HYPERLINK(1)", "n": -3},)).splitlines()[1] == "'=HYPERLINK(1),-3"


def test_every_published_number_stands_beside_ours(report: Taken) -> None:
    for found in report.drawn:
        lines = compared(found.figure, found.values)
        assert [line.published for line in lines if line.where] == [item.text for item in found.figure.published]
        assert lines
        if not found.figure.published:
            assert {line.published for line in lines} == {"not found"}


def test_descent_ends_on_cycles_and_self_loops_and_counts_chains() -> None:
    def derived(id: str, *parents: str) -> dict[str, Any]:
        return model(id, tags=["x"], base_models=[{"relation": "merge", "id": parent} for parent in parents])

    def counts(rows: list[dict[str, Any]]) -> dict[Any, Any]:
        with connection_with(rows) as connection:
            made = taken(connection, source="", only=("derivatives_by_organisation",))
        return {(row["account"], row["counted"]): row["derivatives"] for row in made.drawn[0].rows}

    chain = [derived(f"me-{i}/step-{i}", f"me-{i - 1}/step-{i - 1}") for i in range(1, 76)]
    rows = [
        model("me-0/step-0", tags=["x"]),
        *chain,
        derived("me-0/own", "me-0/step-0"),
    ]
    assert counts(rows)["me-0", "direct"] == 1
    assert counts(rows)["me-0", "transitive"] == 75
    cycle = [derived("a/one", "b/two"), derived("b/two", "a/one", "b/two"), derived("c/three", "b/two")]
    assert counts(cycle) == {
        ("a", "direct"): 1,
        ("a", "transitive"): 2,
        ("b", "direct"): 2,
        ("b", "transitive"): 2,
    }


def test_the_command_writes_the_page_and_prints_one_document(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["hub", "report", "--only", "size_bands", "--out", str(tmp_path / "r"), "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert [figure["id"] for figure in told["figures"]] == ["size_bands"]
    assert told["snapshot"]["is_sample"]
    assert {path.suffix for path in (tmp_path / "r").iterdir()} == {".html", ".svg", ".png", ".csv", ".json"}


def test_strangers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no figure 'x'"):
        choose(["x"])
    for text in ("[accounts]\nQwen = 3", "accounts = 1", "x"):
        (tmp_path / "o.toml").write_text(text)
        with pytest.raises(BadInput, match=r"o\.toml"):
            read_organisations(tmp_path / "o.toml")


def test_the_shipped_annotation_is_well_formed() -> None:
    found = read_organisations()
    assert len(found) > 100
    assert {kind for kind, _ in found.values()} == {"company", "research", "community", "individual"}
    assert all(country.strip() for _, country in found.values())
