"""Reading a transformers `config.json` whatever its nesting and whichever of several names a fact goes by. Pure.

A configuration leaves out what equals its class's default: those defaults (of the classes in the shipped table) are
filled in here, as transformers does when it loads one. Values of a wrong kind count as absent: it is text from
strangers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

_BLOCK_LETTERS: Mapping[str, str] = {
    "mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*", "mlp": "-", "moe": "E",
}  # fmt: skip
_TEXT_PARTS = ("text_config", "llm_config", "language_config", "language_model")
_MOST = 1 << 40
"""Of any count in a configuration; a larger one is damage."""
MOST_LAYERS = 4096
"""The deepest published models have under 130."""


class Facts:
    """The text model's part of a configuration, with the whole around it for what it does not say itself."""

    def __init__(self, config: Mapping[str, Any], defaults: Mapping[str, Mapping[str, Any]]) -> None:
        text = _text_part(config)
        self.model_type = _text(text.get("model_type")) or _text(config.get("model_type"))
        self._values = {
            **defaults.get(_text(config.get("model_type")), {}),
            **defaults.get(self.model_type, {}),
            **config,
            **{key: value for key, value in text.items() if value is not None},
        }
        self.pattern = self._layer_pattern()
        """Of a Nemotron-H: one letter a layer, M (Mamba), * (attention), - (feed-forward), E (experts)."""
        self.multimodal = any(
            isinstance(config.get(key), Mapping) for key in ("vision_config", "audio_config", "visual")
        )

    def number(self, *names: str) -> int | None:
        """The first of the names that holds a count."""
        for name in names:
            value = self._values.get(name)
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST:
                return value
        return None

    def of_layer(self, name: str, index: int) -> int | None:
        """A count that may be one for all layers or a list of one each."""
        values = self.items(name)
        if values is None:
            return self.number(name)
        value = values[index] if index < len(values) else None
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None

    def real(self, name: str) -> float | None:
        value = self._values.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return float(value) if 0 <= value < _MOST else None

    def flag(self, name: str) -> bool | None:
        value = self._values.get(name)
        return value if isinstance(value, bool) else None

    def text(self, name: str, *, most: int = 100) -> str:
        value = self._values.get(name)
        return value if isinstance(value, str) and len(value) <= most else ""

    def items(self, name: str) -> list[Any] | None:
        value = self._values.get(name)
        return cast("list[Any]", value) if isinstance(value, list) else None

    def _layer_pattern(self) -> str:
        if self.model_type != "nemotron_h":
            return ""
        words = self.items("layers_block_type") or []
        return self.text("hybrid_override_pattern", most=MOST_LAYERS) or "".join(
            _BLOCK_LETTERS.get(word, "?") if isinstance(word, str) else "?" for word in words[: MOST_LAYERS + 1]
        )

    def part(self, name: str) -> Mapping[str, Any]:
        value = self._values.get(name)
        return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def native_quantization(config: Mapping[str, Any]) -> str:
    """How the repository's own weights are stored: `BF16`, `AWQ-Int4`, `FP8`, `MXFP4`, ..."""
    facts = Facts(config, {})
    how = facts.part("quantization_config") or facts.part("compression_config")
    method = _text(how.get("quant_method")).lower()
    if method in ("awq", "gptq", "auto-round"):
        return f"{'AWQ' if method == 'awq' else 'GPTQ'}-Int{_bits(how) or 4}"
    if method in ("mxfp4", "fp8", "fbgemm_fp8"):
        return "MXFP4" if method == "mxfp4" else "FP8"
    if method in ("modelopt", "compressed-tensors"):
        said = str(how).lower()
        return "NVFP4" if "nvfp4" in said else "FP8" if "fp8" in said or "'float'" in said else "GPTQ-Int4"
    if method == "bitsandbytes":
        return "BNB-Int4" if how.get("load_in_4bit") is True else "BNB-Int8"
    return {"float16": "F16", "float32": "F32"}.get(facts.text("dtype") or facts.text("torch_dtype"), "BF16")


def _bits(how: Mapping[str, Any]) -> int | None:
    bits = how.get("bits", how.get("w_bit"))
    return bits if bits in (2, 3, 4, 8) else None


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    thinker = config.get("thinker_config")
    if isinstance(thinker, Mapping):  # Qwen's omni models nest twice
        return _text_part(cast("Mapping[str, Any]", thinker))
    for name in _TEXT_PARTS:
        part = config.get(name)
        if isinstance(part, Mapping):
            return cast("Mapping[str, Any]", part)
    return config


def _text(value: object) -> str:
    return value[:100] if isinstance(value, str) else ""
