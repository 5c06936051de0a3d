"""The databases that the contract suites run on: SQLite in a file always; PostgreSQL where its server is installed, or
where INSOURCE_TEST_POSTGRES names a database to empty and use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from insource.store.database import Database, open_database
from insource.store.exchanges import SqlExchangeStore
from tests.fakes.postgres import own_postgres

POSTGRES = os.environ.get("INSOURCE_TEST_POSTGRES", "")  # read before the isolating fixture clears it


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    if POSTGRES:
        yield POSTGRES
        return
    with own_postgres() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'log.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
        _empty(url)
    opened = open_database(url)
    yield opened
    opened.close()


def _empty(url: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()


@pytest.fixture
def store(database: Database) -> SqlExchangeStore:
    return SqlExchangeStore(database)
