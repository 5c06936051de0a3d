"""A layout cut to the keys of a record reads the record as the whole layout does."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from insource.traffic.formats.fields import get
from insource.traffic.formats.layout import Layout, within
from insource.traffic.formats.tools import AZURE, LANGFUSE, PAIRS, TEXTS


def _paths(layout: Layout, name: str) -> tuple[str, ...]:
    value = getattr(layout, name)
    return value if isinstance(value, tuple) else ()


_LAYOUTS = (AZURE.layout, LANGFUSE.layout, PAIRS.layout, TEXTS.layout, Layout(request=("a.0.b", "a[1]", "a.b", "c")))
_PATHS = sorted({path for layout in _LAYOUTS for f in fields(layout) for path in _paths(layout, f.name)})
_VALUES = st.sampled_from([None, "", 0, "text", ["x", {"b": 1}], {"b": "y", "0": {"b": 2}}, '{"b": {"c": 3}}'])


@given(st.sampled_from(_LAYOUTS), st.dictionaries(st.sampled_from(_PATHS), _VALUES, max_size=6))
def test_the_cut_layout_reads_the_same(layout: Layout, held: dict[str, Any]) -> None:
    record = {**held, **{path.split(".")[0].split("[")[0]: value for path, value in held.items()}}
    cut = within(layout, frozenset(record))
    for each in fields(layout):
        assert get(record, *_paths(cut, each.name)) == get(record, *_paths(layout, each.name))
