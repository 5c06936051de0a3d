"""Opening: fresh, at head, from a newer insource, by several at once; and what the driver's errors become."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from insource.core.errors import StorageError, UsageError
from insource.store import migrations
from insource.store.database import open_database
from insource.store.exchanges import SqlExchangeStore
from insource.store.registry import SqlRegistry
from insource.store.tables import metadata


def _url(path: Path) -> str:
    return f"sqlite:///{path}"


def test_the_folder_is_created_and_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    file = tmp_path / "new folder 100%" / "deep" / "log.db"
    open_database(_url(file)).close()
    assert file.stat().st_mode & 0o077 == 0
    assert SqlExchangeStore(open_database(_url(file))).count() == 0


def test_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    database = open_database(_url(tmp_path / "log.db"))
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrations.VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_head_is_the_last_version_and_versions_are_one_line() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    script = ScriptDirectory.from_config(config)
    assert script.get_current_head() == migrations.HEAD
    assert [version.revision for version in script.walk_revisions()][::-1] == migrations.pending(None)


def test_a_store_at_head_is_opened_without_loading_alembic(tmp_path: Path) -> None:
    url = _url(tmp_path / "log.db")
    open_database(url).close()
    code = (
        "import sys; from insource.store.database import open_database\n"
        f"open_database({url!r}).close(); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_several_processes_may_create_the_same_store(tmp_path: Path) -> None:
    url = _url(tmp_path / "log.db")
    code = f"from insource.store.database import open_database\nopen_database({url!r}).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr.decode()
    assert SqlExchangeStore(open_database(url)).count() == 0


@pytest.mark.parametrize("version", ["9999", "8f2c01"])
def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path, version: str) -> None:
    file = tmp_path / "log.db"
    open_database(_url(file)).close()
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE {migrations.VERSION_TABLE} SET version_num = ?", (version,))
    connection.close()
    before = file.read_bytes()
    with pytest.raises(StorageError, match=f"newer insource.*{version}.*Update insource"):
        open_database(_url(file))
    assert file.read_bytes() == before


def test_reading_needs_no_lock_and_writing_says_that_it_is_locked(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    database = open_database(_url(file), busy_seconds=0.05)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert SqlExchangeStore(database).count() == 0
    with pytest.raises(StorageError, match="is locked by another program"), database.writing():
        pytest.fail("the lock was given twice")
    other.close()
    database.close()


def test_a_full_disk(tmp_path: Path) -> None:
    database = open_database(_url(tmp_path / "log.db"))
    with database.reading() as connection:  # the limit stays with the pooled connection, as a full disk does
        connection.execute(text("PRAGMA max_page_count = 1"))
    registry = SqlRegistry(database)
    with pytest.raises(StorageError, match=r"the disk is full.*Free some space"):
        registry.put_artifact(b"x" * 1_000_000)
    database.close()


def test_a_file_that_may_not_be_written(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    open_database(_url(file)).close()
    database = open_database(f"sqlite:///file:{file}?mode=ro&uri=true")
    assert SqlExchangeStore(database).count() == 0
    with pytest.raises(StorageError, match="can't be written"), database.writing() as connection:
        connection.execute(text("DELETE FROM exchanges"))
    database.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    file.write_bytes(b"these are somebody's notes\n" * 200)
    with pytest.raises(StorageError, match="is not an SQLite file"):
        open_database(_url(file))
    assert file.read_bytes().startswith(b"these are somebody's notes")


def test_a_damaged_file(tmp_path: Path) -> None:
    file = tmp_path / "log.db"
    open_database(_url(file)).close()
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(StorageError, match="is damaged"):
        SqlExchangeStore(open_database(_url(file))).count()


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be created"):
        open_database(_url(tmp_path / "file" / "log.db"))


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "nodb://host/name"])
def test_urls_that_name_no_usable_database(url: str) -> None:
    with pytest.raises(UsageError, match="sqlite:///FILE"):
        open_database(url)


def test_errors_hold_neither_passwords_nor_what_people_wrote(tmp_path: Path) -> None:
    database = open_database(_url(tmp_path / "log.db"))
    with pytest.raises(StorageError) as caught, database.writing() as connection:
        connection.execute(text("INSERT INTO artifacts VALUES (:a, :b, :c)"), {"a": "private", "b": 1, "c": 2})
    assert "private" not in str(caught.value)
    database.close()
