"""How many parameters a model has, from three sources that contradict each other, with the method used.

Three sources: what safetensors headers count (`parameters_stated` and `parameters_by_type`), what a GGUF's header
counts, and the name. Headers count *elements*: a format that packs eight 4-bit values into one U32 is then eight times
too small. The Hub unpacks some formats itself and others not, and does not say which, so there are two readings:

* with the name: the reading that lies nearer to a size the name states;
* without: U32 (MLX) is never unpacked by the Hub; I32, U8 and I8 are, except where the stated total leaves them out.

Where counts by type are known and nothing is packed, the name decides nothing. A bare total is the weakest source: in
a repository that says it is quantised, the name's size outranks a total that contradicts it, and in any repository one
that is a thousand times smaller (it counts something else). Drafts and adapters carry the name of the model they
serve: their names' sizes are not theirs.

`parameters` is the definition for one row. `sizes_sql.py` says the same to DuckDB for all of them, from the same
patterns, and `tests/unit/test_hub_facts_size.py` holds both together on every real row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from insource.core.ecosystem import Agreement, Method, Size

PACKED_TYPES: Mapping[str, int] = {"U32": 32, "I32": 32, "U8": 8, "I8": 8}
"""Types that hold packed values, with their bits."""
NEVER_UNPACKED = "U32"
"""MLX's: by the 5 of 411 API records that hold it, the Hub counts its elements."""
USUAL_BITS = 4
FAR = 2.0
"""Two sizes that differ by this factor or more contradict each other."""
SAME = 1.25
"""A quantisation has as many parameters as its original, but for a part for images or drafts that is left out or added:
within this factor they agree."""
ABSURD = 1000.0
"""A bare total so many times below the name's size counts something else."""
UNITS: Mapping[str, float] = {"b": 1e9, "m": 1e6}
MOST = 1e15
"""No name states more parameters than this."""

# RE2 (DuckDB) knows no look-around: every word of a name stands between two blanks of its own (`_words`).
POINT = r"([0-9])_([0-9]+b)"
"""`1_6b` is 1.6 B, or version 1 with 6 B: both are read."""
SEPARATORS = "-_ /+"
SIZE = r" (?:jang  [0-9]m|((?:[0-9]+x)?[0-9]+(?:\.[0-9]+)?[bm])) "
"""`8b`, `8x7b`, `135m`, but not the level of quantisation in `JANG_4M`."""
SMALL = 100e6
"""Fewer are a context or a data set (`7B-Instruct-1M`) where the name states more too: among the 112 real names that
state millions and billions the models' own millions begin at 124, all others end at 59."""
QUANTISED = (
    r" (?:[1-9](?:\.[0-9]+)?bits?|[2-8]  bits?|int[2-8]|w[0-9]+a[0-9]+|o?q[2-8][a-z0-9.]*|iq[1-4]|tq[0-9a-z]*|nf4"
    r"|nvfp4|mxfp[48]|fp[48]|bnb|awq|gptq|autoround|auto  round|mlx|hqq|aqlm|exl[23]|[0-9.]+bpw|qx[0-9]+|dwq[0-9]*"
    r"|jang[a-z0-9]*|paro|w[2-8]|wmix[0-9]+|mtplx|qat|quantized|gpt  oss) "
)
"""gpt-oss is published in MXFP4, and its fine-tunes mostly keep that."""
BITS = r" (?:(?:int|w|o?q|iq|tq|nf|nvfp|mxfp|dwq)([2-8])[a-z0-9]*|([2-8])(?:  )?bits?) "
SERVES_ANOTHER = (
    r" (?:lora|loras|qlora|adapter|adapters|draft|drafter|eagle[0-9]*|dflash[0-9]*|dflare|domino|dspark|vispec"
    r"|speculator[0-9.a-z]*|mmproj|[0-9.]+b  [0-9]+e) "
)
"""Named with the size of the model that they serve; also Llama 4's `17B-16E`, which states the active parameters (a
learning rate of `1e-5` does not)."""
DRAFT_TYPE = r"_(?:assistant|mtp)$"
"""Of model types (`gemma4_assistant`, `qwen3_5_mtp`): so a configuration says what a name does not, for many a chat
fine-tune is called an assistant too."""
_BLANKS: Mapping[int, str] = {ord(separator): "  " for separator in SEPARATORS}
FORMAT_TAGS = ("2-bit", "3-bit", "4-bit", "5-bit", "6-bit", "8-bit", "mlx", "gptq", "awq", "auto-round")


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeSources:
    """The columns of `schema.MODEL_COLUMNS` that tell of size; missing ones as the source leaves them."""

    id: str
    stated: int | None = None
    by_type: Mapping[str, int | None] | None = None
    gguf: int | None = None
    tags: Sequence[str] = ()
    adapter: bool = False
    model_type: str | None = None


def parameters(row: SizeSources, *, use_name: bool = True) -> Size:
    """Of one repository. Without `use_name`, the size in the name decides nothing (the words for formats still do)."""
    named = named_sizes(row.id) if use_name and not _serves_another(row) else ()
    types = {name: count for name, count in (row.by_type or {}).items() if count and count > 0}
    total = sum(types.values())
    counted = max(row.stated or 0, total)
    gguf = max(row.gguf or 0, 0)
    unpacked = _unpacked(row, types, total)
    value, method = _decide(row, counted=counted, unpacked=unpacked, gguf=gguf, named=named)
    return Size(
        value=value or None, method=method, agreement=_agreement(value, method, counted=counted, gguf=gguf, named=named)
    )


def compared(size: Size, original: int | None) -> Size:
    """With one more witness: the size of the model whose quantisation it is declared to be, which has as many."""
    if size.value is None or not original:
        return size
    near = 1 / SAME < size.value / original < SAME
    if not near:
        return replace(size, agreement="differ")
    return replace(size, agreement="agree") if size.agreement == "one source" else size


def named_sizes(id: str) -> tuple[float, ...]:
    """The sizes that a name states, smallest first, whether they are its own or those of the model that it serves."""
    words = _words(id)
    stated = [word for word in re.findall(SIZE, words) if word]
    sizes = [_size(word) for word in stated]
    if len(stated) > 1 and f" {stated[0]}  {stated[0]} " in words:  # `2b-2b`: an encoder and a decoder, of so many each
        sizes = [2 * size if size == sizes[0] else size for size in sizes]
    found = {size for size in sizes if 0 < size < MOST}
    return tuple(sorted({size for size in found if size >= SMALL} or found))


def active_parameters(id: str) -> int | None:
    """What a mixture's name states as active: `30B-A3B` (3 B), `17B-16E` (17 B)."""
    words = _words(id)
    found = re.search(r" a([0-9]+(?:\.[0-9]+)?)b ", words) or re.search(r" ([0-9]+(?:\.[0-9]+)?)b  [0-9]+e ", words)
    return int(float(found[1]) * 1e9) if found else None


def says_quantised(id: str, tags: Sequence[str]) -> bool:
    return re.search(QUANTISED, _words(id, tags)) is not None


def _words(id: str, tags: Sequence[str] = ()) -> str:
    name = id.rpartition("/")[2].lower()
    spellings = [re.sub(POINT, r"\1.\2", name), name] if "_" in name else [name]
    parts = [*spellings, *(tag for tag in tags if tag in FORMAT_TAGS)]
    return "".join("  " + part.translate(_BLANKS) + "  " for part in parts)


def _size(word: str) -> float:
    times, _, number = word[:-1].rpartition("x")
    return float(times or 1) * float(number) * UNITS[word[-1]]


def _serves_another(row: SizeSources) -> bool:
    """Its name's sizes are not its own."""
    said = re.search(DRAFT_TYPE, row.model_type or "") or re.search(SERVES_ANOTHER, _words(row.id))
    return row.adapter or said is not None


def _unpacked(row: SizeSources, types: Mapping[str, int], total: int) -> int:
    """The elements with every packed type unpacked; 0 where nothing is packed."""
    if not types.keys() & PACKED_TYPES.keys() or not says_quantised(row.id, row.tags):
        return 0
    found = re.search(BITS, _words(row.id, row.tags))
    bits = int(found[1] or found[2]) if found else USUAL_BITS
    return total + sum(
        count * PACKED_TYPES[name] // bits - count for name, count in types.items() if name in PACKED_TYPES
    )


def _decide(row: SizeSources, *, counted: int, unpacked: int, gguf: int, named: Sequence[float]) -> tuple[int, Method]:
    if not counted:
        return (gguf, "gguf") if gguf else (int(named[0]), "name") if named else (0, "none")
    if unpacked:
        closer = named and _distance(unpacked, named) < _distance(counted, named)
        take = closer if named else _hub_left_packed(row)
        return (unpacked, "safetensors unpacked") if take else (counted, "safetensors")
    if named and not any((row.by_type or {}).values()):
        nearest = _nearest(counted, named)
        factor = nearest / counted
        if factor >= ABSURD or (not 1 / FAR < factor < FAR and says_quantised(row.id, row.tags)):
            return int(nearest), "name"
    return counted, "safetensors"


def _hub_left_packed(row: SizeSources) -> bool:
    types = row.by_type or {}
    return bool(types.get(NEVER_UNPACKED)) or (row.stated or 0) < sum(count or 0 for count in types.values())


def _nearest(count: int, named: Sequence[float]) -> float:
    return min(named, key=lambda size: abs(math.log(size / count)))


def _distance(count: int, named: Sequence[float]) -> float:
    return min(abs(math.log(size / count)) for size in named)


def _agreement(value: int, method: Method, *, counted: int, gguf: int, named: Sequence[float]) -> Agreement:
    if not value:
        return "none"
    others = [float(gguf)] if gguf and method != "gguf" else []
    if method == "name":
        others += [float(counted)] if counted else []
    elif named:
        others.append(_nearest(value, named))
    if not others:
        return "one source"
    return "agree" if all(1 / FAR < other / value < FAR for other in others) else "differ"
