"""The parents that files tell, where they matter: on a model's page, in its licence chain, its bill of materials, and
to a scout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from insource.cli.main import app
from insource.cli.session import load_settings
from insource.core.catalogue import Wanted
from insource.core.ecosystem import Page
from insource.core.errors import StorageError
from insource.hub.archive import Archive
from insource.hub.bom import ai_bom
from insource.hub.duck import connect
from insource.hub.licence_chain import EffectiveLicence, chain
from insource.hub.lineage.build import build_lineage
from insource.hub.page import page_of
from insource.hub.prepared import open_prepared
from insource.hub.repo_files import FilesLog, RepoFiles, Weight
from insource.wiring_choose import open_catalogue
from insource.workflows.choose.sift import effective_licence
from tests.hub_rows import archived, model, world

pytest.importorskip("duckdb")
DAY = date(2026, 6, 1)
MIB = 1 << 20
TEXT: Mapping[str, Any] = {"pipeline_tag": "text-generation"}
SPEECH: Mapping[str, Any] = {"pipeline_tag": "text-to-speech"}
"""Which no scout for text selects: its licence must be asked for."""
ROWS = (
    {"id": "maker/Root", "license": "cc-by-nc-4.0", "created": "2026-01-01", **SPEECH},
    model("maker/Chat", "maker/Root", license="cc-by-nc-4.0", created="2026-01-02", **SPEECH),
    {"id": "thief/Free-Chat", "license": "apache-2.0", "created": "2026-02-01", **TEXT},
    model("user/Tuned-Chat", "thief/Free-Chat", license="apache-2.0", created="2026-03-01", **TEXT),
    {"id": "user/Lora", "license": "mit", "created": "2026-03-02", "config_base_model": "maker/Chat"},
    *(
        model(f"other/Lora-{n}", "maker/Chat", kind="adapter", created="2026-03-02", config_base_model="maker/Chat")
        for n in range(3)
    ),
)  # fmt: skip


def answers(folder: Path, files: Mapping[str, str], *, day: int = 2) -> None:
    """That the Hub gives for models with one file of weights each, by its hash."""
    with FilesLog(folder) as log:
        for id, sha256 in files.items():
            weights = (Weight(size_bytes=500 * MIB, sha256=sha256),)
            asked = datetime(2026, 6, day, tzinfo=UTC)
            log.add(RepoFiles(id=id, asked=asked, weights=weights, stored_bytes=500 * MIB))


def page(archive: Archive, id: str) -> Page:
    connection, day = open_prepared(archive, files=True)
    with connection:
        return page_of(connection, id, as_of=day)


def links(licence: EffectiveLicence) -> Sequence[tuple[str, int, bool]]:
    return [(link.id, link.steps, link.told_by_files) for link in licence.links]


@pytest.fixture
def archive() -> Archive:
    """The home's: a copy of a chat model under a free label, whose files the Hub was asked for."""
    folder = load_settings().home / "hub"
    archive = archived(folder, *ROWS, day=DAY)
    answers(folder, {"maker/Chat": "a", "thief/Free-Chat": "a"})
    return archive


def test_a_copy_under_a_free_label_has_the_licence_of_its_original(archive: Archive) -> None:
    copy = page(archive, "thief/Free-Chat")
    [parent] = copy.parents
    assert (parent.id, parent.kind) == ("maker/Chat", "derived")
    assert parent.evidence.startswith("files:")
    assert links(copy.licence) == [("thief/Free-Chat", 0, False), ("maker/Chat", 1, True), ("maker/Root", 2, True)]
    assert copy.licence.strictest.id == "maker/Chat"
    assert [link.id for link in copy.licence.conflicts] == ["maker/Chat", "maker/Root"]


def test_so_has_what_was_built_on_the_copy(archive: Archive) -> None:
    tuned = page(archive, "user/Tuned-Chat")
    assert [parent.evidence for parent in tuned.parents] == ["declared"]
    assert links(tuned.licence) == [
        ("user/Tuned-Chat", 0, False),
        ("thief/Free-Chat", 1, False),
        ("maker/Chat", 2, True),
        ("maker/Root", 3, True),
    ]
    assert tuned.licence.strictest.licence_class == "non-commercial"


def test_an_adapters_configuration_tells_its_base_without_a_request() -> None:
    archive = archived(load_settings().home / "hub", *ROWS, day=DAY)
    adapter = page(archive, "user/Lora")
    assert [(parent.id, parent.kind) for parent in adapter.parents] == [("maker/Chat", "adapter")]
    assert adapter.licence.strictest.licence_class == "non-commercial"
    assert page(archive, "thief/Free-Chat").parents == ()


def test_a_declared_parent_is_never_joined_by_another(archive: Archive) -> None:
    answers(archive.folder, {"user/Tuned-Chat": "a"})
    assert [parent.id for parent in page(archive, "user/Tuned-Chat").parents] == ["thief/Free-Chat"]


def test_the_page_and_the_bill_of_materials_say_how_it_is_known(archive: Archive, tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["hub", "show", "user/Tuned-Chat", "--bom", str(tmp_path / "bom.json")])
    assert shown.exit_code == 0, shown.output
    assert "in force, stricter than the label, told by files, not declared" in " ".join(shown.stdout.split())
    notes = json.loads((tmp_path / "bom.json").read_text())["components"][0]["pedigree"]["notes"]
    assert notes == (
        "thief/Free-Chat: 1 step up; maker/Chat: 2 steps up, as files tell, not declared; "
        "maker/Root: 3 steps up, as files tell, not declared"
    )
    as_json = json.loads(CliRunner().invoke(app, ["hub", "show", "user/Tuned-Chat", "--json"]).stdout)
    assert [link["told_by_files"] for link in as_json["license_chain"]] == [False, False, True, True]


def test_a_scout_is_told(archive: Archive) -> None:
    with open_catalogue(load_settings()) as catalogue:
        selection = catalogue.select(Wanted(pipelines=frozenset(TEXT.values())))
    tuned = next(one for one in selection.models if one.id == "user/Tuned-Chat")
    licence = effective_licence(tuned, selection.ancestry)
    assert links(licence) == links(page(archive, "user/Tuned-Chat").licence)
    assert [link.license for link in licence.links] == ["apache-2.0", "apache-2.0", "cc-by-nc-4.0", "cc-by-nc-4.0"]


def test_a_name_that_is_often_wrong_adds_nothing() -> None:
    wrong = (
        model(f"other/Wrong-{n}", "maker/Root", kind="adapter", created="2026-03-02", config_base_model="maker/Chat")
        for n in range(9)
    )
    archive = archived(load_settings().home / "hub", *ROWS, *wrong, day=DAY)
    assert page(archive, "user/Lora").parents == ()


def test_what_a_newer_snapshot_declares_is_no_longer_told_by_files(archive: Archive) -> None:
    assert links(page(archive, "thief/Free-Chat").licence)[1] == ("maker/Chat", 1, True)
    declared = model("thief/Free-Chat", "maker/Root", license="apache-2.0", created="2026-02-01", **TEXT)
    rows = [declared if row["id"] == "thief/Free-Chat" else row for row in ROWS]
    archived(archive.folder, *rows, day=DAY + timedelta(days=1))
    assert links(page(archive, "thief/Free-Chat").licence)[1:] == [("maker/Root", 1, False)]
    connection, _ = open_prepared(archive, files=True)
    with connection:
        assert connection.execute("FROM file_edges SEMI JOIN edges USING (child)").fetchall() == []


def test_edges_that_cannot_be_kept_are_told_all_the_same(archive: Archive) -> None:
    (archive.folder / "file_edges.duckdb").mkdir()
    assert len(page(archive, "thief/Free-Chat").parents) == 1
    assert [path.name for path in archive.folder.glob("*.partial")] == []


def test_edges_are_worked_out_again_after_an_answer_and_only_then(archive: Archive) -> None:
    file = archive.folder / "file_edges.duckdb"
    page(archive, "maker/Root")
    made = file.stat().st_ino
    page(archive, "maker/Root")
    assert file.stat().st_ino == made
    answers(archive.folder, {"thief/Free-Chat": "b"}, day=3)
    assert page(archive, "thief/Free-Chat").parents == ()
    assert page(archive, "thief/Free-Chat").parents == ()
    answers(archive.folder, {"thief/Free-Chat": "a"}, day=4)
    assert len(page(archive, "thief/Free-Chat").parents) == 1
    for damage in (b"", b"no database", file.read_bytes()[:5000]):
        file.write_bytes(damage)
        assert len(page(archive, "thief/Free-Chat").parents) == 1
    assert sorted(path.name for path in archive.folder.glob("*.duckdb*")) == ["file_edges.duckdb", "prepared.duckdb"]


def test_who_needs_no_files_does_not_wait_for_them(archive: Archive) -> None:
    open_prepared(archive)[0].close()
    assert not (archive.folder / "file_edges.duckdb").exists()


def test_whoever_reads_keeps_what_was_told_before(archive: Archive) -> None:
    page(archive, "maker/Root")
    reader, day = open_prepared(archive, files=True)
    with reader:
        answers(archive.folder, {"thief/Free-Chat": "b"}, day=3)
        assert page(archive, "thief/Free-Chat").parents == ()
        assert len(page_of(reader, "thief/Free-Chat", as_of=day).parents) == 1


@st.composite
def lineages(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], dict[int, int]]:
    """Models, declared edges with circles and self-loops, and one parent by files of some that declare none."""
    count = draw(st.integers(1, 9))
    places = st.integers(0, count - 1)
    declared = draw(st.lists(st.tuples(places, places), max_size=12))
    free = sorted(set(range(count)) - {child for child, _ in declared})
    told = draw(st.dictionaries(st.sampled_from(free), places, max_size=6)) if free else {}
    return count, declared, {child: parent for child, parent in told.items() if child != parent}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lineages())
def test_every_way_up_is_found_whichever_told_it(lineage: tuple[int, list[tuple[int, int]], dict[int, int]]) -> None:
    count, declared, told = lineage
    above = {n: sorted({f"o/m{parent}" for child, parent in declared if child == n}) for n in range(count)}
    connection = world(*(model(f"o/m{n}", *above[n], license=_licence(n)) for n in range(count)))
    build_lineage(connection)
    for child, parent in told.items():
        connection.execute(f"INSERT INTO file_edges VALUES ('o/m{child}', 'o/m{parent}', 'derived', 'files: x', 0.95)")
    parents = {f"o/m{n}": [id for id in above[n] if id != f"o/m{n}"] for n in range(count)}
    parents |= {f"o/m{child}": [f"o/m{parent}"] for child, parent in told.items()}
    for n in range(count):
        expected = chain(
            f"o/m{n}",
            parents,
            {f"o/m{n}": _licence(n) for n in range(count)}.get,
            told_by_files={f"o/m{child}" for child in told},
        )
        found = page_of(connection, f"o/m{n}", as_of=DAY).licence
        assert sorted(links(found)) == sorted(links(expected))
        assert found.strictest.licence_class == expected.strictest.licence_class


def _licence(n: int) -> str:
    return ("mit", "gemma", "cc-by-nc-4.0")[n % 3]


def test_what_is_declared_on_any_way_is_not_marked() -> None:
    parents = {"mix": ["copy", "tune"], "copy": ["root"], "tune": ["between"], "between": ["root"]}
    found = chain("mix", parents, lambda _: "mit", told_by_files={"copy"})
    assert not any(link.told_by_files for link in found.links)


def test_a_rename_that_was_learned_counts_at_once() -> None:
    row = {"id": "user/Lora", "created": "2026-03-02", "config_base_model": "old/Chat"}
    archive = archived(load_settings().home / "hub", *ROWS[:2], row, *ROWS[5:], day=DAY)
    assert page(archive, "user/Lora").parents == ()
    archive.add_renames({"old/Chat": "maker/Chat"})
    assert [parent.id for parent in page(archive, "user/Lora").parents] == ["maker/Chat"]


def test_answers_that_cannot_be_read_are_said_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FilesLog, "stamp", "1 1")  # they go while they are read
    with connect() as connection, pytest.raises(StorageError, match="can't be read") as raised:
        FilesLog(tmp_path).load(connection)
    assert "hub files" in raised.value.next_step


def test_a_folder_in_the_place_of_the_answers_is_none(archive: Archive) -> None:
    lines = archive.folder / "files.jsonl"
    lines.unlink()
    lines.mkdir()
    assert page(archive, "thief/Free-Chat").parents == (), "a folder holds no answers"


def test_a_step_that_files_tell_marks_all_above_it() -> None:
    found = chain("a", {"a": ["b"], "b": ["c"], "c": ["d"]}, lambda _: "mit", told_by_files={"b"})
    assert [link.told_by_files for link in found.links] == [False, False, True, True]


def test_a_bill_of_materials_without_files_says_nothing_of_them(archive: Archive) -> None:
    chat = page(archive, "maker/Chat")
    document = ai_bom(chat.facts, chat.licence, made_at=datetime(2026, 6, 2, tzinfo=UTC), tool_version="1")
    assert document["components"][0]["pedigree"]["notes"] == "maker/Root: 1 step up"
