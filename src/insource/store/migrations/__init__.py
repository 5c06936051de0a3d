"""The schema's history. Versions are ordered, never edited once released, one transaction each.

To change the schema: change `store/tables.py`, add `versions/vNNNN_<what>.py` with the next number, raise HEAD. Tests
compare HEAD with the last version and the migrated schema with the tables.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

HEAD = "0005"
"""The schema that this insource writes: known without loading Alembic, which takes longer than opening the file."""

VERSION_TABLE = "insource_schema"
"""Own name, so that a database shared with another application that uses Alembic keeps the two apart."""


def pending(current: str | None) -> list[str]:
    """The versions after `current`, in order. Version names are numbers of four digits."""
    return [f"{number:04}" for number in range(int(current or "0") + 1, int(HEAD) + 1)]


def upgrade(connection: Connection, version: str) -> None:
    """Brings the schema to `version` inside the caller's transaction; nothing when it is already there or beyond."""
    from alembic import command  # here: opening a store that is at HEAD must not pay for it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, version)
