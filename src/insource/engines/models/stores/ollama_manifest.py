"""What a manifest of Ollama's says. Pure.

Format: ollama/ollama, manifest/manifest.go and server/images.go: a JSON object with layers, each a media type and a
digest; since 2026 also a list of such manifests, one for each runner, in place or by digest.
"""

from __future__ import annotations

import re

import msgspec

from insource.core.stored_models import ModelKind

_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
_LIST = "application/vnd.ollama.manifest.list.v2+json"
_LAYER = "application/vnd.ollama.image."
_RUNNERS = ("ollama", "llamacpp")
"""Whose manifest of a list we take: those hold GGUF, `mlx`'s holds safetensors."""


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    mediaType: str = ""
    digest: str = ""
    size: int = 0

    @property
    def part(self) -> str:
        """`model`, `projector`, `adapter`, `license`, `tensor`, ...; parameters after a `;` are cut off."""
        return self.mediaType.partition(";")[0].strip().removeprefix(_LAYER)

    @property
    def sha256(self) -> str | None:
        return sha256_of(self.digest)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    mediaType: str = ""
    layers: list[Layer] | None = None
    manifests: list[Manifest] | None = None
    digest: str = ""
    """In a list: of the blob that holds this manifest, when it is not there in place."""
    runner: str = ""

    def of(self, part: str) -> list[Layer]:
        return [layer for layer in self.layers or [] if layer.part == part]

    def chosen(self) -> Manifest | None:
        """Itself, or of a list the one for a runner that takes GGUF; None: the list has none."""
        if self.mediaType != _LIST:
            return self
        by_runner = {child.runner.lower(): child for child in reversed(self.manifests or [])}
        return next((by_runner[runner] for runner in _RUNNERS if runner in by_runner), None)


KINDS: tuple[tuple[str, ModelKind], ...] = (("model", "model"), ("projector", "projector"), ("adapter", "adapter"))
"""Layers that are GGUF files."""


def parse(data: bytes) -> Manifest | None:
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (ValueError, RecursionError):
        return None


def sha256_of(digest: str) -> str | None:
    """Ollama accepts the same pattern only (manifest/paths.go)."""
    found = _DIGEST.fullmatch(digest)
    return found[1].lower() if found else None
