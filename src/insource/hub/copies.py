"""Whether a repository that says it is a copy of a model still is that model: in another format or precision only, or
altered (its refusals removed, merged, pruned, or tuned without a word). An altered one is never an offer for its
original.

What tells: words of its name and tags that say so; words of its name that are neither the original's, nor an owner's,
nor of a format or engine (`Qwen3-4B-Persona-GGUF`); and a count of parameters that a change of format can't explain.
Tags are often the original's own, repeated: only those that the original lacks count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from insource.core.altered_models import is_altered, tells_altered
from insource.hub.names import is_copy, model_key

ALTERED = "altered"
"""The kind of an edge from an altered copy to what it was made of."""
_OF_FORMATS = re.compile(
    r"(?:o?q|axq|ymq|glq|k|w|a|g|b|tq|iq|fp|int|bf|nvfp|mxfp|rocmfp|group|block|tr|mtp|v?r?am|npu|rknn|rk|gfx|rdna|rtx"
    r"|oq)\d+(?:\.\d+)?[a-z]{0,3}\d*|mtp|mtplx|nextn|axq|ax|ymq|glq|jang\w*|apex|ud|ptq|qad|trellis|quark|modelopt"
    r"|modelfree|llmcompressor|compressed|tensors|block|group|per|channel|static|weights?|only|calib\w*|pure|budget"
    r"|copy|executorch|ggufs?|webgguf|qnn|npu|xnnpack|ort|ggmf|genai|directml|rocmfpx?|rocm|cuda|cpu|gpu|apple|silicon|strix|halo|snapdragon"
    r"|litert|litertlm|tflite|mnn|ncnn|mlc|wllama|ollama|vllm|sglang|lmstudio|llamafile|llamacpp|llama\.cpp|webgpu|web"
    r"|split|single|file|files|smooth|smoothquant|rtn|spinquant|quip|vptq|prismaquant|prismquant|hybridquant|textonly"
    r"|text|vision|mmproj|fix|fixed|chat|template|tool|tools|with|and|no|for|auto|round|autoround|uint\d|pack\d*|kv|cache"
    r"|attn|mlp|head|embed|lm|ssm|conv|bit|kquant|kld|\d+x?\d*gb?|\d+k|[sml]|xs|xl|xxs|nl|v0"
)
_TOKEN = re.compile(r"\d+(?:\.\d+)*[bmk]?(?![a-z])|[a-z]+|\d+")
LEAST_KEPT, MOST_KEPT = 0.7, 1.4
"""Of the original's parameters: text alone of a model that also sees, or a drafting head more, stay between."""


def alters(original: str, copy: str, *, tags: Sequence[str] = (), original_tags: Sequence[str] | None = None) -> bool:
    """By names, and by tags where the original's are known. An altered original's copies keep its words, and are copies
    of it."""
    if is_altered(copy) and not is_altered(original):
        return True
    if original_tags is not None and tells_altered(tags) and not tells_altered(original_tags):
        return not is_altered(original)
    return _has_new_words(original, copy)


@lru_cache(maxsize=1 << 14)
def _tokens(text: str) -> frozenset[str]:
    return frozenset(_TOKEN.findall(text.lower()))


def _has_new_words(original: str, copy: str) -> bool:
    key = model_key(copy)
    if key == model_key(original):
        return False
    known = _plain(original) + (_plain(copy.rpartition("/")[0]) if is_copy(copy) else "")
    words = [word for word in key.split("-") if not _OF_FORMATS.fullmatch(word)]
    new = {token for word in words for token in _TOKEN.findall(word)} - _tokens(original)
    return any(token not in known and not _OF_FORMATS.fullmatch(token) for token in new)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
