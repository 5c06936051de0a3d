"""The drawings of the dashboard: nothing is lost in them, and nothing lies over something else."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from insource.core.ecosystem import TreeNode
from insource.core.log_figures import Way
from insource.web.differences import differences
from insource.web.flow import ENDS, flows, sums
from insource.web.lineage import count, draw, limited

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


def _tree(shape: list[int]) -> TreeNode:
    """The parent of node n is node shape[n - 1] (mod n)."""
    children: dict[int, list[int]] = {}
    for number, parent in enumerate(shape, 1):
        children.setdefault(parent % number, []).append(number)
    made: dict[int, TreeNode] = {}
    for number in range(len(shape), -1, -1):
        below = tuple(made[each] for each in children.get(number, []))
        kind = ("merge", "finetune")[number % 2] if number else ""
        made[number] = TreeNode(
            id=f"<o>/m{number}", kind=kind, downloads=1, direct=len(below), transitive=len(shape), children=below
        )
    return made[0]


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 80))
def test_a_lineage_keeps_the_nearest_and_counts_what_it_leaves_out(shape: list[int], most: int) -> None:
    whole = _tree(shape)
    kept = limited(whole, most)
    assert count(kept) == min(most, len(shape) + 1)
    waiting = [kept]
    while waiting:
        node = waiting.pop()
        assert len(node.children) + sum(number for _, number in node.folded) == node.direct
        waiting += node.children
    assert limited(whole, len(shape) + 1) == whole


def test_a_deep_chain_is_drawn_and_a_name_stays_text() -> None:
    drawn = draw(_tree(list(range(3_000))), most=5_000)
    assert drawn.shown == 3_001
    assert "<o>" not in drawn.svg


_TEXTS = st.lists(st.sampled_from(["the ", "cat", " sat", ".", "\n", "<b>", "é"]), max_size=20).map("".join)


@given(_TEXTS, _TEXTS)
def test_differences_keep_both_texts_and_mark_what_is_not_common(one: str, other: str) -> None:
    left, right = differences(one, other)
    assert "".join(piece.text for piece in left) == one
    assert "".join(piece.text for piece in right) == other
    common = ["".join(piece.text for piece in side if not piece.differs) for side in (left, right)]
    assert common[0] == common[1]
    assert any(piece.differs for piece in [*left, *right]) == (one != other)
