"""A row of the exchange log as an exchange."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Row

from insource.core.values import Exchange, Marks, Route
from insource.store.tables import from_microseconds

NO_MARKS = Marks()


def exchange_of(row: Row[Any]) -> Exchange:
    return Exchange(
        id=row.id,
        created=from_microseconds(row.created_us),
        request=row.request,
        response=row.response,
        status=row.status,
        latency_seconds=row.latency_seconds,
        cost_usd=row.cost_usd,
        reference=row.reference,
        reference_kind=row.reference_kind,
        reference_correct=row.reference_correct,
        private_kinds=None if row.private_kinds is None else tuple(row.private_kinds),
        route=None if row.route is None else msgspec.convert(row.route, Route),
        metadata=row.metadata,
        endpoint=row.endpoint,
        incomplete=row.incomplete,
        cost_source=row.cost_source,
        marks=NO_MARKS if row.marks is None else msgspec.convert(row.marks, Marks),
    )
