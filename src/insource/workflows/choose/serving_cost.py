"""What an answer token of a model costs to serve: the bytes that are read for it. Asks no network."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from insource.core.errors import InsourceError
from insource.core.values import SERVER_PREFIX
from insource.engines.models.catalogue import DEFAULT_MODEL
from insource.workflows.choose.licence import hub_name
from insource.workflows.choose.understand_model import ModelFinder, understand


def cheapest_first(refs: Sequence[str], finder: ModelFinder) -> tuple[str, ...]:
    """What nothing is known of comes last; what is equal keeps its order."""
    costs = {ref: _bytes_a_token(ref, finder) for ref in refs}
    return tuple(sorted(refs, key=lambda ref: costs[ref]))


def _bytes_a_token(ref: str, finder: ModelFinder) -> float:
    """Infinite: its size is not known."""
    name = hub_name(ref) if ref.startswith(SERVER_PREFIX) else ref or DEFAULT_MODEL.refs[0]
    if name is None:
        return inf
    try:
        spec = understand(name, quantization="", offline=True, finder=finder).spec
    except InsourceError:
        return inf
    weights = spec.weights
    size = sum(weights.layer_bytes) + weights.input_bytes + weights.output_bytes
    return size * spec.active_parameters / max(spec.parameters, 1)
