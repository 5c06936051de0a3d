"""What a repository's name says. Names are all that a catalogue row tells about where a model comes from; lineage
(`base_model` tags) comes with the Hub's own data and will then outrank these rules.

Copy: the same weights in another format or precision, or with their refusals removed ("abliterated"). Its key, the name
without the words that say so, is its original's. Re-uploads share the key because the owner is no part of it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from insource.core.altered_models import ALTERED_WORDS

_SPLIT = re.compile(r"[-_\s]+")
_QUANTISED = re.compile(
    r"""(?<![a-z0-9])(?:
        ud-?i?q\d\w* | i?q\d(?:[_-](?:k|0|1|xxs|xs|s|m|l|xl|nl))* | w\d+a\d+ | [a-z]*fp(?:4|8|16|32) | bf16 | f16 | f32
        | int\d | \d+(?:\.\d+)?-?bits? | \d+(?:\.\d+)?bpw | gs?(?:32|64|128|256) | nf4 | bnb | awq | gptq | exl[23]
        | auto-?round | hqq | aqlm | torchao | eetq | dwq | qat | mlx | gguf | ggml | onnx | openvino | ov | coreml
        | quanti[sz]ed | unquanti[sz]ed | quants? | imatrix | i1 | dynamic | marlin | mixed | sym | asym | hf
    )(?![a-z0-9])""",
    re.VERBOSE,
)
_UPLOADERS = frozenset({"huihui", "meta", "unsloth"})
"""Put in front of the original's name by those who upload it again."""
_FORMATS = re.compile(r"(?<![a-z0-9])(gguf|mlx|awq|gptq|exl2|exl3|onnx|nvfp4|mxfp4|mxfp8|fp8|bnb|w\d+a\d+)(?![a-z0-9])")
_GENERIC_TYPES = frozenset({"", "llama", "mistral", "gpt2", "gpt_neox", "mixtral", "transformer", "custom"})
"""Model types that so many makers use that they tell no family."""
CHAT_WORDS = frozenset({"instruct", "it", "chat", "inst", "sft", "dpo", "assistant"})


def words(id: str) -> tuple[str, ...]:
    """The words of a name in lower case, without its owner."""
    return tuple(word for word in _SPLIT.split(id.rpartition("/")[2].lower()) if word)


@lru_cache(maxsize=1 << 16)
def model_key(id: str) -> str:
    """What copies of one model share: its name without owner, format, precision and "abliterated"."""
    name = id.rpartition("/")[2].lower()
    kept = [w for w in _SPLIT.split(ALTERED_WORDS.sub("", _QUANTISED.sub("", name))) if w.strip(".")]
    while len(kept) > 1 and kept[0] in _UPLOADERS:
        kept = kept[1:]
    return "-".join(kept) or name


def is_copy(id: str) -> bool:
    """The name says that it is another's weights in another format, precision or without refusals."""
    name = id.rpartition("/")[2].lower()
    return _QUANTISED.search(name) is not None or ALTERED_WORDS.search(name) is not None


def format_of(id: str) -> str:
    """The file format or precision that a name states; "" when it states none."""
    found = _FORMATS.search(id.rpartition("/")[2].lower())
    return found[1] if found else ""


def family(id: str, model_type: str) -> str:
    """A word for models of one descent: the model type without its version, or, where the type is everybody's
    (`llama`), the name's first word."""
    root = re.match(r"[a-z]+", model_type.lower())
    if root is not None and model_type.lower() not in _GENERIC_TYPES:
        return root[0]
    key = model_key(id)
    found = re.search(r"[a-z]{2,}", key)
    return found[0] if found else key
