"""What a part of a message is, whatever JSON a client or another tool's log puts in its place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from insource.wire.parts import kind

_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(_ANY | st.fixed_dictionaries({}, optional={"type": _ANY, "text": _ANY, "thought": _ANY}))
def test_every_value_is_one_of_the_kinds(part: object) -> None:
    assert kind(part) in ("text", "call", "result", "thought", "refusal", "")


def test_a_text_under_a_type_that_is_no_name_is_a_text() -> None:
    assert kind({"type": ["text"], "text": "Hi"}) == "text"
    assert kind({"type": "text", "text": "Hi"}) == "text"
    assert kind({"type": "refusal"}) == "refusal"
