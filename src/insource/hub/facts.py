"""What a snapshot's row says of one model, read once for every page, export and report line. Pure.

Not here: who descends from it (`lineage/`), what its licence chain asks (`licence_chain.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from insource.core.catalogue import CatalogueModel
from insource.core.ecosystem import Facts, Offer
from insource.hub.licence_chain import stated_licence
from insource.hub.names import format_of, model_key
from insource.hub.sizes import SizeSources, active_parameters, parameters

_QUANTISATION = re.compile(
    r"(?<![a-z0-9])(i?q[1-8](?:_[a-z0-9]+)*|nvfp4|mxfp[48]|nf4|fp8|bf16|f16|int[2-8]|w\d+a\d+|\d(?:\.\d+)?-?bits?"
    r"|\d+(?:\.\d+)?bpw)(?![a-z0-9])"
)
_FORMAT_TAGS = ("gguf", "mlx", "awq", "gptq", "exl2", "exl3", "onnx", "openvino", "safetensors")
"""The narrowest first: an MLX repository is tagged `safetensors` too."""


def facts_of(row: Mapping[str, Any]) -> Facts:
    """Of a row of the view `models`; a model that is only named as a parent has nothing but its id."""
    id, tags = str(row["id"]), tuple(row.get("tags") or ())
    return Facts(
        id=id,
        size=parameters(
            SizeSources(
                id=id,
                stated=row.get("parameters_stated"),
                by_type=row.get("parameters_by_type"),
                gguf=row.get("gguf_parameters"),
                tags=tags,
                adapter=any(base["relation"] == "adapter" for base in row.get("base_models") or ()),
                model_type=row.get("model_type"),
            )
        ),
        active_parameters=row.get("active_parameters") or active_parameters(id),
        context_tokens=row.get("gguf_context") or row.get("context"),
        format=format_in(id, tags),
        quantization=quantization_in(id),
        library=row.get("library"),
        task=row.get("pipeline_tag"),
        model_type=row.get("model_type"),
        languages=tuple(row.get("languages") or ()),
        gated=row.get("gated"),
        license=stated_licence(row.get("license"), row.get("license_name")),
        downloads=row.get("downloads"),
        likes=row.get("likes"),
        sha=row.get("sha"),
    )


def catalogue_row(model: CatalogueModel) -> dict[str, Any]:
    """A shipped catalogue's model as a row of `models`: it knows less, but active parameters too."""
    return {
        "id": model.id,
        "parameters_stated": model.parameters or None,
        "active_parameters": model.active_parameters,
        "context": model.context_tokens,
        "tags": [model.format] if model.format else [],
        "pipeline_tag": model.pipeline_tag or None,
        "model_type": model.model_type or None,
        "languages": list(model.languages),
        "license": model.license,
        "downloads": model.downloads,
        "likes": model.likes,
    }


def format_in(id: str, tags: Iterable[str]) -> str:
    """Of a repository's files: by its name, else by its tags."""
    told = set(tags)
    return format_of(id) or next((tag for tag in _FORMAT_TAGS if tag in told), "")


def quantization_in(id: str) -> str:
    found = _QUANTISATION.search(id.rpartition("/")[2].lower())
    return found[1].upper() if found else ""


def is_namesake(model: str, id: str) -> bool:
    """Whether a repository's name is the model's but for the format or precision that it tells."""
    return model_key(id) == model_key(model) and bool(format_of(id) or quantization_in(id))


def offers(
    model: str, children: Iterable[tuple[str, Sequence[str], int | None]], *, evidence: str
) -> tuple[Offer, ...]:
    """Of repositories (id, tags, downloads) that hold the model in another format."""
    return tuple(
        Offer(
            id=id,
            owner=id.partition("/")[0] if "/" in id else "",
            format=format_in(id, tags),
            quantization=quantization_in(id),
            downloads=downloads,
            evidence=evidence,
        )
        for id, tags, downloads in children
        if id != model
    )
