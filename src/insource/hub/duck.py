"""The one place that opens DuckDB, which comes with the extra `hub`: it is not in the base install."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from insource.core.errors import UsageError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DEFAULT_MEMORY_BYTES = 1_500_000_000
"""Ours of the 2 GB that a run may take at its peak: DuckDB's limit leaves out some of its buffers, and Python."""


def connect(
    path: Path | None = None,
    *,
    threads: int | None = None,
    memory_limit_bytes: int = DEFAULT_MEMORY_BYTES,
    read_only: bool = False,
) -> DuckDBPyConnection:
    """A database in memory, or the file. Nothing is fetched: extensions are neither installed nor loaded from afar.
    Threads: None for as many as there are cores. Raises UsageError without the extra."""
    try:
        import duckdb
    except ImportError as error:
        raise UsageError(
            "The ecosystem's data needs DuckDB, which is not installed.",
            next_step="Install the extra: pip install 'insource[hub]'",
        ) from error
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_limit_bytes}B",
        "autoinstall_known_extensions": False,
        "temp_directory": str(Path(tempfile.gettempdir()) / "insource-duckdb"),
        "preserve_insertion_order": False,
        "TimeZone": "UTC",
    }
    if threads is not None:
        config["threads"] = threads
    connection = duckdb.connect(str(path or ":memory:"), read_only=read_only, config=config)
    connection.execute("SET enable_progress_bar = false")
    return connection


def quoted(text: str) -> str:
    """A literal, for the few places where DuckDB takes no parameter (a view's definition)."""
    return "'" + text.replace("'", "''") + "'"


def paths_list(paths: tuple[Path, ...]) -> str:
    """A literal list for `read_parquet`. Paths are taken as they are, so that one with a `*` in it is one file."""
    return "[" + ", ".join(quoted(_unglobbed(str(path))) for path in paths) + "]"


def _unglobbed(path: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def table_names(connection: DuckDBPyConnection) -> set[str]:
    """Tables and views of every attached database."""
    return {str(name) for (name,) in connection.execute("SELECT table_name FROM information_schema.tables").fetchall()}
