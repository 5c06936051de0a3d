"""Recognising repeats of fitted inputs, without keeping what was said: each input as the hashes of its 4-grams."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from insource.core.errors import BadInput
from insource.core.evidence import TextRules
from insource.core.hashing import canonical_json
from insource.evals.clusters import NearDuplicates, grams
from insource.evals.placing import fold

MOST_BYTES = 64 << 20
"""Of an index; more inputs than fit are not recognised, so repeats of them escalate."""
_KIND = "repeats of fitted inputs"


class RepeatsIndex:
    def __init__(self, rules: TextRules, index: NearDuplicates) -> None:
        self._rules = rules
        self._index = index

    def is_repeat(self, text: str) -> bool:
        return bool(self._index.alike(fold(text, self._rules)))


def repeats_artifact(texts: Sequence[str], rules: TextRules) -> bytes:
    """`texts`: the fitted inputs. A line of JSON and little-endian uint32 arrays; the same for any order."""
    held = sorted({tuple(sorted(grams(fold(text, rules)))) for text in texts})
    kept: list[tuple[int, ...]] = []
    size_bytes = 0
    for each in held:
        size_bytes += 4 * len(each) + 4
        if size_bytes > MOST_BYTES:
            break
        kept.append(each)
    sizes = np.array([len(each) for each in kept], dtype="<u4")
    values = np.array([value for each in kept for value in each], dtype="<u4")
    header = canonical_json({"kind": _KIND, "version": 1, "rules": asdict(rules), "inputs": len(kept)})
    return b"\n".join([header, sizes.tobytes() + values.tobytes()])


def load_repeats(artifact: bytes) -> RepeatsIndex:
    """Raises BadInput for bytes that are none."""
    head, _, body = artifact.partition(b"\n")
    try:
        header = json.loads(head)
        if header["kind"] != _KIND or header["version"] != 1:
            raise ValueError(header["kind"])
        rules, inputs = TextRules(**header["rules"]), int(header["inputs"])
        numbers = np.frombuffer(body, dtype="<u4")
        sizes, values = numbers[:inputs], numbers[inputs:]
        index = NearDuplicates()
        for each in np.split(values, np.cumsum(sizes)[:-1]) if inputs else []:
            index.add_grams(frozenset(each.tolist()))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"This artifact of repeats is damaged: {error}.",
            next_step="Make the candidate again with `insource evaluate`.",
        ) from error
    return RepeatsIndex(rules, index)
