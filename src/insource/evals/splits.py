"""Train, calibration and test parts by a hash of the input, and what is suspicious about them. Pure.

The same input is always in the same part, whoever computes it and whatever else is in the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from insource.core.hashing import canonical_json, sha256_hex, unit_interval
from insource.core.values import Example, JsonObject, Part
from insource.stats.drift import categorical_shift, mean_shift

TRAIN_SHARE = 0.5
"""Half: a head's errors fall with its examples, and screening must not touch the other parts."""
CALIBRATION_SHARE = 0.3
"""More than the test: the certificate's bound comes from it, and 313 exchanges prove 2 % with two losses."""
_SALT = "insource split 1"
_INPUT_KEYS = ("messages", "tools", "functions", "tool_choice", "response_format")
"""What determines the right answer. Not `model`, `temperature`, `stream` or `user`: a repeat is a repeat."""
_SURPRISE = 0.001
"""p below which a difference is said: one warning in a thousand healthy checks."""
_SORTED_RUN = 0.25
"""A log has about n * P(neighbours differ) changes of label when mixed; with a quarter of that it is sorted."""


def input_sha256(request: JsonObject) -> str:
    return sha256_hex(canonical_json({key: request[key] for key in _INPUT_KEYS if key in request}))


def part_of(input_hash: str) -> Part:
    place = unit_interval(_SALT, input_hash)
    if place < TRAIN_SHARE:
        return "train"
    return "calibration" if place < TRAIN_SHARE + CALIBRATION_SHARE else "test"


def split(examples: Sequence[Example]) -> dict[Part, list[Example]]:
    """Each part in the order of a hash, which knows nothing of time or label: its beginning is a random sample."""
    parts: dict[Part, list[Example]] = {"train": [], "calibration": [], "test": []}
    for example in examples:
        parts[part_of(example.input_sha256)].append(example)
    for part in parts.values():
        part.sort(key=lambda e: (sha256_hex(f"{_SALT} order {e.input_sha256}".encode()), e.created, e.exchange_id))
    return parts


def split_warnings(
    examples: Sequence[Example], *, categories: Sequence[str], hosted_losses: Sequence[float]
) -> tuple[str, ...]:
    """Sentences about what makes the figures doubtful. `categories` are the references in comparable form (labels), or
    [] where they have none; `hosted_losses` go with `examples`."""
    if not examples:
        return ()
    said: list[str] = []
    order = sorted(range(len(examples)), key=lambda i: (examples[i].created, examples[i].exchange_id))
    references = {example.reference.strip() for example in examples}
    if len(references) == 1 and len(examples) > 1:
        said.append(f"All {len(examples)} references are the same: a constant or a dummy.")
    if categories and len(set(categories)) > 1:
        said.extend(_category_warnings(examples, [categories[i] for i in order], categories))
    losses = [hosted_losses[i] for i in order]
    half = len(losses) // 2
    if _drifted(losses):
        before, after = 1 - sum(losses[:half]) / half, 1 - sum(losses[half:]) / (len(losses) - half)
        said.append(
            f"The hosted quality drifted: {before:.1%} in the first half of the time, {after:.1%} in the second. "
            "Only the second half is compared with."
        )
    return tuple(said)


def _drifted(losses_by_time: Sequence[float]) -> bool:
    half = len(losses_by_time) // 2
    return half > 0 and mean_shift(losses_by_time[:half], losses_by_time[half:]) < _SURPRISE


def compared_since(examples: Sequence[Example], hosted_losses: Sequence[float]) -> datetime | None:
    """The time from which exchanges are compared with, where the hosted quality drifted: a move replaces the hosted
    model as it is now, not the average of its past. None: it did not drift, and all count."""
    order = sorted(range(len(examples)), key=lambda i: (examples[i].created, examples[i].exchange_id))
    if not _drifted([hosted_losses[i] for i in order]):
        return None
    return examples[order[len(order) // 2]].created


def _category_warnings(examples: Sequence[Example], by_time: Sequence[str], categories: Sequence[str]) -> list[str]:
    said: list[str] = []
    parts = [part_of(example.input_sha256) for example in examples]
    train = [c for c, part in zip(categories, parts, strict=True) if part == "train"]
    held_out = [c for c, part in zip(categories, parts, strict=True) if part != "train"]
    if categorical_shift(train, held_out) < _SURPRISE:
        said.append("The labels are distributed differently in the train part and the held-out parts.")
    n = len(by_time)
    differ = 1 - sum((count / n) ** 2 for count in Counter(by_time).values())
    changes = sum(a != b for a, b in pairwise(by_time))
    if n >= 20 and changes < _SORTED_RUN * differ * (n - 1):
        said.append(
            "The log is sorted by label; parts are drawn by a hash of the input, so they are mixed all the same."
        )
    half = n // 2
    if categorical_shift(by_time[:half], by_time[half:]) < _SURPRISE:
        said.append("What is asked drifted: the labels of the first and the second half of the time differ.")
    return said
