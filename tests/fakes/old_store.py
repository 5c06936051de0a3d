"""Stores as an older insource left them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from insource.store import migrations

_INSERT = text(
    "INSERT INTO exchanges (id, created_us, request, status, cost_usd, cost_estimated, route, metadata)"
    ' VALUES (:id, :created_us, \'{"model":"m"}\', 200, :cost_usd, :cost_estimated, :route, :metadata)'
)


def old_store(file: Path, *rows: dict[str, Any]) -> str:
    """A store of schema 0001 with these exchanges (`id`, and what is not usual of it); returns its URL."""
    file.parent.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{file}"
    engine = create_engine(url)
    with engine.begin() as connection:
        migrations.upgrade(connection, "0001")
        for number, row in enumerate(rows):
            values = {"cost_usd": None, "cost_estimated": False, "route": None, "metadata": {}, **row}
            values |= {name: json.dumps(values[name]) for name in ("route", "metadata") if values[name] is not None}
            connection.execute(_INSERT, {"created_us": number, **values})
    engine.dispose()
    return url
