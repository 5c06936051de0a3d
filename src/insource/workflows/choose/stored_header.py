"""What a stored model is by its header alone: nothing is hashed, and of its data nothing is read."""

from __future__ import annotations

from insource.core.errors import BadModelFile
from insource.core.gguf import GgufHeader, joined
from insource.core.stored_models import StoredModel
from insource.engines.models.gguf import check_gguf


def stored_header(model: StoredModel) -> GgufHeader:
    """Of all shards together. Raises BadModelFile."""
    if model.kind in ("safetensors", "mlx") or not model.paths:
        raise BadModelFile(
            f"{model.ref!r} is not a GGUF file: {model.problem or model.kind}.",
            next_step="Name its original on the Hub as `org/name`, or a GGUF of it.",
        )
    return joined([check_gguf(path) for path in model.paths])
