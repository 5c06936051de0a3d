"""The shipped table: what the most used families are made of, so that a name alone can be sized, offline. Pure.

The facts are a `config.json`'s (`families.json`, with the sources of each row), and `config_spec.py` reads both. A name
is understood with its publisher or without, with the suffixes that repositories of the same shape carry (`-Instruct`,
`-GGUF`, `-AWQ`, ...) and as Ollama writes it (`qwen3:8b`). A name that is not certain is not understood.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from insource.core.architecture import ModelSpec
from insource.fit.config_spec import spec_of_config
from insource.fit.table import table

USUAL_QUANTIZATION = "Q4_K_M"
"""What `org/name` means without a file: the choice of llama.cpp's -hf and of Ollama."""

_SAME_SHAPE = frozenset({
    "instruct", "it", "chat", "base", "pt", "hf", "text", "thinking", "reasoning", "latest", "uncensored",
    "abliterated", "gguf", "imatrix", "i1", "mlx", "awq", "gptq", "exl2", "fp8", "fp16", "bf16", "f16", "nvfp4",
    "mxfp4", "bnb", "qat", "dynamic", "unsloth", "int4", "int8", "4bit", "8bit", "6bit", "ud", "quantized", "onnx",
    "dwq", "w4a16", "w8a8", "autoround",
})  # fmt: skip
"""Words at the end of a repository's name that leave the shape as it is."""
_ANYWHERE = frozenset({"instruct", "chat", "base", "it"})
"""The same before a version: `Mistral-7B-Instruct-v0.3`."""
_QUANT = re.compile(r"(?:i?q\d\w*|[kmsl]|xs|xxs|\dbit)")


def spec_of_family(model_id: str, *, quantization: str = USUAL_QUANTIZATION) -> ModelSpec | None:
    """None: the table does not have it. Raises UsageError for an unknown quantisation."""
    known = known_name(model_id)
    if known is None:
        return None
    return spec_of_config(config_of(known), name=known, quantization=quantization, source="table")


def known_name(model_id: str) -> str | None:
    """The table's Hub id for a name."""
    return next((found for key in _keys(model_id) if (found := _index().get(key)) is not None), None)


def config_of(model_id: str) -> Mapping[str, Any]:
    """The facts of one of `model_ids()`, as its config.json would state them."""
    return _configs()[model_id]


def model_ids() -> tuple[str, ...]:
    return tuple(_configs())


def nearest_names(model_id: str, *, count: int = 3) -> list[str]:
    """Ids of the table that look like the name: for the error's next step."""
    wanted = _compact(model_id.rpartition("/")[2])
    names = {_compact(known.rpartition("/")[2]): known for known in model_ids()}
    return [names[near] for near in difflib.get_close_matches(wanted, names, n=count, cutoff=0.6)]


def model_types() -> frozenset[str]:
    return frozenset(family["model_type"] for family in table()["families"])


@lru_cache(maxsize=1)
def _configs() -> Mapping[str, Mapping[str, Any]]:
    return {
        name: {"model_type": family["model_type"], **family["common"], **facts}
        for family in table()["families"]
        for name, facts in family["models"].items()
    }


@lru_cache(maxsize=1)
def _index() -> Mapping[str, str]:
    """Compact names and aliases -> id. The first key of a name counts before shortened ones, so that a model with a row
    of its own is never taken for another."""
    found: dict[str, str] = {}
    names = [(name, name) for name in model_ids()]
    names += [
        (alias, name)
        for family in table()["families"]
        for name, aliases in family["aliases"].items()
        for alias in aliases
    ]
    for shortened in (False, True):
        for text, name in names:
            keys = _keys(text)
            for key in keys[1:] if shortened else keys[:1]:
                found.setdefault(key, name)
    return found


def _keys(model_id: str) -> list[str]:
    """Ways to write the name, the most exact first: whole, then without one suffix after the other."""
    name = model_id.strip().lower()
    if "/" in name:
        name = name.rpartition("/")[2].partition(":")[0]
    words = [word for word in re.split(r"[-_:\s]+", name.replace(":", "-")) if word]
    keys = [_compact("-".join(words))]
    while len(words) > 1 and (words[-1] in _SAME_SHAPE or _QUANT.fullmatch(words[-1])):
        words = words[:-1]
        keys.append(_compact("-".join(words)))
    plain = [word for word in words if word not in _ANYWHERE]
    if plain and plain != words:
        keys.append(_compact("-".join(plain)))
    if len(words) > 1 and words[0] == "meta":
        keys += [key.removeprefix("meta") for key in keys]
    return keys


def _compact(name: str) -> str:
    """Without the separators that people write differently; dots stay, so that 1.5 is not 15."""
    return re.sub(r"[^a-z0-9.]", "", name.lower())
