"""The drawings of the dashboard: nothing is lost in them, and nothing lies over something else."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from insource.core.log_figures import Way
from insource.web.flow import ENDS, flows, sums

_UPSTREAMS = st.sampled_from(("", "provider:openai", "engine:head", "none"))
_WAYS = st.lists(
    st.builds(
        lambda task, upstream, counts: Way(task_id=task, upstream=upstream, exchanges=max(counts), private=min(counts)),
        st.sampled_from([f"t{number}" for number in range(12)] + [""]),
        _UPSTREAMS,
        st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)),
    ),
    max_size=30,
)
NAMES = {f"t{number}": f"Task {number} with a long name " * 3 for number in range(12)}


@given(_WAYS)
def test_the_flow_holds_every_request_once(ways: list[Way]) -> None:
    counts = sums(ways, NAMES)
    assert sum(each.total() for each in counts.values()) == sum(way.exchanges for way in ways)
    here = sum(way.exchanges for way in ways if way.upstream.startswith("engine:"))
    assert sum(each[ENDS[1]] + each[ENDS[2]] for each in counts.values()) == here
    drawn = flows(ways, NAMES)
    assert bool(drawn) == any(way.exchanges for way in ways)
    for flow in drawn:
        for anchor in ("start", "end"):
            labels = [label for label in flow.labels if label.anchor == anchor]
            assert all(below.y - above.y >= 17.9 for above, below in pairwise(labels))
            assert all(0 < label.y <= flow.height for label in labels)
        assert all(block.y >= -0.1 and block.y + block.height <= flow.height + 0.1 for block in flow.blocks)


def test_nothing_asked_draws_nothing() -> None:
    assert flows([], {}) == ()
