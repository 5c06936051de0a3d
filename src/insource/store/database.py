"""Opening the store: SQLite in a file by default, PostgreSQL by URL. Nothing above this folder sees SQLAlchemy.

SQLite runs in WAL mode with synchronous=NORMAL. What that keeps (promise 5): a commit lies in the operating system's
hands when it returns, so killing the process loses no commit; losing the power may lose the last ones, but the file
stays intact either way. Writing transactions begin IMMEDIATE: they wait for the lock at their start instead of failing
half way. Readers never wait for the writer.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from insource.core.errors import StorageError, UsageError
from insource.store.migrations import HEAD, VERSION_TABLE, pending, upgrade

_LOG = logging.getLogger(__name__)
_BUSY_SECONDS = 5.0
_EMPTY_WAL_SECONDS = 10.0
_LARGEST_IDLE_WAL_BYTES = 16 << 20
"""The write-ahead log is cut to this where a large transaction made it larger."""
_UPGRADE_LOCK = 7_305_001
"""Number of the PostgreSQL advisory lock under which one process at a time upgrades the schema."""


class Database:
    """Connections, one transaction at a time; every error of the driver becomes a StorageError."""

    def __init__(self, engine: Engine, url: URL) -> None:
        self._engine = engine
        self.url = url.render_as_string(hide_password=False)
        self.shown_url = url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A snapshot: what is committed while it is open is not seen."""
        try:
            with self._engine.connect() as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise _storage_error(error, self.shown_url) from error

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """One transaction: all of it is committed, or nothing."""
        try:
            with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
                yield connection
        except SQLAlchemyError as error:
            raise _storage_error(error, self.shown_url) from error

    def shrink(self) -> None:
        """Gives the space of deleted rows back to the disk; other databases do that by themselves. Needs as much free
        space as the file has left. Who writes meanwhile waits. A file that is kept busy stays as large as it is, and
        its free pages are used again."""
        if self._engine.dialect.name != "sqlite":
            return
        pooled = self._engine.raw_connection()  # past the event that begins a transaction: VACUUM runs outside of any
        try:
            connection = cast("sqlite3.Connection", pooled.driver_connection)
            connection.execute("VACUUM")
            problem = None if _emptied_wal(connection) else "others are reading it"
        except sqlite3.OperationalError as error:
            problem = str(error)
        finally:
            pooled.close()
        if problem is not None:
            _LOG.warning("The store's file could not be made smaller: %s. Its free space is used again.", problem)

    def close(self) -> None:
        self._engine.dispose()


def open_database(url: str, *, busy_seconds: float = _BUSY_SECONDS) -> Database:
    """Opens, creates if need be, and brings the schema up to date.

    Raises StorageError when it can't be opened or was written by a newer insource, UsageError for a URL that is none.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UsageError(
            f"The database URL is not valid ({error}).",
            next_step="Set database_url to sqlite:///FILE or postgresql://USER@HOST/NAME.",
        ) from error
    engine = _sqlite(parsed, busy_seconds) if parsed.get_backend_name() == "sqlite" else _server(parsed)
    database = Database(engine, parsed)
    try:
        _bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    return database


def _sqlite(url: URL, busy_seconds: float) -> Engine:
    named = url.database or ""
    if named in ("", ":memory:"):
        raise UsageError(
            "The store can't live in memory: its readers and its writer use separate connections.",
            next_step="Set database_url to sqlite:///FILE.",
        )
    if not named.startswith("file:"):
        file = Path(named)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)  # the log holds what people wrote: for its owner's eyes
        except OSError as error:
            raise StorageError(
                f"The database file {named!r} can't be created ({error.strerror}).",
                next_step="Check the folder's permissions and free space, or set INSOURCE_HOME to another folder.",
            ) from error
    engine = create_engine(url, connect_args={"timeout": busy_seconds, "cached_statements": 0})

    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; `begin` below does
        _wal(connection, busy_seconds)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA journal_size_limit={_LARGEST_IDLE_WAL_BYTES}")

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)
    return engine


def _server(url: URL) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    try:
        return create_engine(url, pool_pre_ping=True)
    except (ArgumentError, ImportError) as error:
        raise UsageError(
            f"There is no driver for {url.drivername!r} databases ({error}).",
            next_step="Use sqlite:///FILE, or postgresql://... after: pip install 'insource[postgres]'.",
        ) from error


def _wal(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Switches to WAL. SQLite does not wait for the lock here, so two processes that create the file collide."""
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _emptied_wal(connection: sqlite3.Connection) -> bool:
    """Whether the write-ahead log, which holds what VACUUM wrote, is empty. SQLite does not wait for another program's
    checkpoint here."""
    deadline = time.monotonic() + _EMPTY_WAL_SECONDS
    while True:
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)


def _bring_up_to_date(database: Database) -> None:
    with database.reading() as connection:
        current = _version(connection)
    if current == HEAD:
        return
    _refuse_unknown(current, database.shown_url)
    for version in pending(current):
        with database.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            now = _version(connection)  # another process may have been first
            _refuse_unknown(now, database.shown_url)
            if int(now or "0") < int(version):
                upgrade(connection, version)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


def _refuse_unknown(current: str | None, url: str) -> None:
    if current is None or (current.isdecimal() and int(current) <= int(HEAD)):
        return
    raise StorageError(
        f"The store {url!r} was written by a newer insource: its schema is {current!r}, this one knows {HEAD!r}.",
        next_step="Update insource (pip install --upgrade insource), or use another INSOURCE_HOME.",
    )


_CAUSES = (
    ("locked", "is locked by another program", "Close what holds it (a backup, a database browser), then try again."),
    ("full", "can't grow: the disk is full", "Free some space, then try again; nothing that was written is lost."),
    ("readonly", "can't be written", "Give yourself write permission on the file and its folder."),
    ("read-only", "can't be written", "Give yourself write permission, or use a database that is not a replica."),
    ("malformed", "is damaged", "Restore a copy, or save what is left: sqlite3 FILE .recover | sqlite3 NEW-FILE."),
    ("not a database", "is not an SQLite file", "Move it away, or name another in database_url."),
    ("unable to open", "can't be opened", "Check that the path is right and its folder can be written."),
    ("disk i/o", "can't be read or written", "Check the disk, then restore a copy if the file is damaged."),
    ("connection", "does not answer", "Start the database server and check database_url."),
    ("password", "refused the login", "Check user and password in database_url."),
)
"""(part of the driver's message, what it means, what to do)."""


def _storage_error(error: SQLAlchemyError, url: str) -> StorageError:
    """The driver's error as a sentence. Never with the statement's parameters: they hold what people wrote."""
    said = str(getattr(error, "orig", None) or error).strip()
    for part, meaning, next_step in _CAUSES:
        if part in said.casefold():
            return StorageError(f"The store {url!r} {meaning} ({said}).", next_step=next_step)
    return StorageError(f"The store {url!r} failed ({said}).", next_step="Run insource doctor.")
