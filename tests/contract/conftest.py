"""The databases that the contract suites run on: SQLite in a file always, PostgreSQL when INSOURCE_TEST_POSTGRES names
one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from insource.store.database import Database, open_database
from insource.store.exchanges import SqlExchangeStore

POSTGRES = os.environ.get("INSOURCE_TEST_POSTGRES", "")  # read before the isolating fixture clears it


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'log.db'}"
    elif POSTGRES:
        url = POSTGRES
        _empty(url)
    else:
        pytest.skip("skipped: INSOURCE_TEST_POSTGRES names no PostgreSQL database to empty and use")
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
