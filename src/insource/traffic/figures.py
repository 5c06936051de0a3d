"""What the log holds of a task, in figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from insource.core.errors import UsageError
from insource.core.hashing import canonical_json, sha256_hex
from insource.core.values import Exchange, TaskFigures
from insource.traffic.naming import one_line, shorten
from insource.wire.chat import messages, user_text

EXAMPLES = 3
EXAMPLE_CHARACTERS = 160
READ_CHARACTERS = 4_000
"""Of a request, before it is shortened: scanning a book for three lines helps nobody."""
HIDDEN = "[private]"


def task_figures(exchanges: Sequence[Exchange], *, mask: Callable[[str], str]) -> TaskFigures:
    """`mask` replaces the private spans of a text, and the whole text when it can't tell."""
    if not exchanges:
        raise UsageError("A task without exchanges has no figures.", next_step="Run `insource tasks` again.")
    latencies = [item.latency_seconds for item in exchanges if item.latency_seconds is not None]
    created = [item.created for item in exchanges]
    count = len(exchanges)
    return TaskFigures(
        exchanges=count,
        inputs=len({sha256_hex(canonical_json(messages(item.request))) for item in exchanges}),
        with_reference=sum(item.reference is not None for item in exchanges),
        reference_kinds=tuple(sorted({item.reference_kind for item in exchanges if item.reference_kind is not None})),
        first_created=min(created),
        last_created=max(created),
        cost_usd=sum(item.cost_usd or 0.0 for item in exchanges),
        cost_estimated_share=sum(item.cost_source == "estimate" for item in exchanges) / count,
        latency_p50_seconds=median(latencies) if latencies else None,
        private_share=sum(bool(item.private_kinds) for item in exchanges) / count,
        examples=_examples(exchanges, mask),
    )


def _examples(exchanges: Sequence[Exchange], mask: Callable[[str], str]) -> tuple[str, ...]:
    """Different ones, chosen by hash: in any log order the same, and not three of a kind from its beginning. Never of a
    private request: what a detector overlooks in it would be shown."""
    found: list[str] = []
    for item in sorted(exchanges, key=lambda item: sha256_hex(item.id.encode())):
        whole = user_text(item.request)[:READ_CHARACTERS]
        if item.private_kinds or mask(whole) != whole:
            continue
        text = shorten(one_line(whole), EXAMPLE_CHARACTERS)
        if text and text not in found:
            found.append(text)
        if len(found) == EXAMPLES:
            break
    return tuple(found)
