"""Ollama's store: <folder>/manifests/<host>/<namespace>/<model>/<tag> and <folder>/blobs/sha256-<hex>.

A blob's name is its sha256, checked by Ollama when it was pulled; `insource models show --verify` checks it again.
Newer versions keep `manifests-v2`, whose entries link to manifests that are blobs themselves; where both name a model,
that one counts (ollama/ollama, manifest/paths.go and manifest/manifest.go).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from insource.core.stored_models import StoredModel, StoreListing
from insource.engines.models.refs import ollama_name
from insource.engines.models.stores.checked import checked
from insource.engines.models.stores.folder import Refused, StoreFolder
from insource.engines.models.stores.licences import licence_of
from insource.engines.models.stores.ollama_manifest import KINDS, Layer, Manifest, parse, sha256_of

_ROOTS = ("manifests-v2", "manifests")
_DEPTH = 4
"""host, namespace, model, tag."""
_MANIFEST_BYTES = 4 << 20
"""Real ones have a kilobyte; those of safetensors models, with a layer for each tensor, some hundred."""
_LICENCE_BYTES = 4096
_QUIET = (".DS_Store",)


class OllamaStore:
    """`core.ports.ModelStore`."""

    name = "ollama"

    def __init__(self, folder: Path) -> None:
        self._folder = StoreFolder(folder)

    @property
    def folder(self) -> Path:
        return self._folder.path

    def read(self) -> StoreListing:
        skipped: list[str] = []
        found: dict[str, Path] = {}
        for root in _ROOTS:
            for name, path in self._names(self.folder / root, skipped):
                found.setdefault(name, path)
        return checked((model for name, path in found.items() for model in self._model(name, path)), skipped)

    def _names(self, root: Path, skipped: list[str]) -> Iterator[tuple[str, Path]]:
        for path in self._folder.walk(root, depth=_DEPTH, skipped=skipped):
            parts = path.relative_to(root).parts
            if path.name in _QUIET:
                continue
            name = ollama_name("/".join(parts[:3]) + f":{parts[3]}") if len(parts) == _DEPTH else None
            if name is None or "@" in name:
                skipped.append(f"{str(path)!r} is not a manifest: those are named host/namespace/model/tag.")
            else:
                yield name, path

    def _model(self, name: str, path: Path) -> Iterator[StoredModel]:
        """The model, and beside it what its manifest adds to it."""
        try:
            manifest = self._manifest(path)
        except Refused as refused:
            yield _entry(name, problem=str(refused))
            return
        license_id = self._licence(manifest)
        weights = [(kind, layer) for part, kind in KINDS for layer in manifest.of(part)]
        counts = dict[str, int]()
        for kind, layer in weights:
            counts[kind] = counts.get(kind, 0) + 1
            number = "" if counts[kind] == 1 else str(counts[kind])
            model = self._weights(name if kind == "model" else f"{name}@{kind}{number}", layer)
            if kind != "model" or counts[kind] == 1:
                yield replace(model, kind=kind, license=license_id, problem=model.problem or _not_alone(kind, manifest))
        if "model" not in counts:
            yield replace(self._without_gguf(name, manifest), license=license_id)

    def _manifest(self, path: Path) -> Manifest:
        """Of a model that a GGUF runner takes. Raises Refused with a whole sentence."""
        manifest = self._parsed(path, f"Its manifest {str(path)!r}").chosen()
        if manifest is not None and manifest.layers is None and manifest.digest:
            sha256 = sha256_of(manifest.digest)
            if sha256 is None:
                raise Refused(f"Its manifest names {manifest.digest[:80]!r}, which is not a sha256 digest.")
            manifest = self._parsed(self._blob(sha256), "The manifest that its list names")
        if manifest is None:
            raise Refused("Its manifest lists versions for other runners only, none with a GGUF file.")
        return manifest

    def _parsed(self, path: Path, what: str) -> Manifest:
        try:
            data = self._folder.read(path, most_bytes=_MANIFEST_BYTES + 1)
        except Refused as refused:
            raise Refused(f"{what} {refused}") from None
        manifest = parse(data) if len(data) <= _MANIFEST_BYTES else None
        if manifest is None:
            raise Refused(f"{what} is too long, or is not a valid Ollama manifest.")
        return manifest

    def _weights(self, name: str, layer: Layer) -> StoredModel:
        sha256 = layer.sha256
        if sha256 is None:
            return _entry(name, problem=f"Its manifest names {layer.digest[:80]!r}, which is not a sha256 digest.")
        blob = self._blob(sha256)
        try:
            size_bytes = self._folder.size_bytes(blob)
        except Refused as refused:
            return replace(_entry(name, problem=f"Its blob {str(blob)!r} {refused}"), sha256=sha256)
        problem = None
        if size_bytes != layer.size:
            problem = f"Its blob {str(blob)!r} has {size_bytes:,} bytes, not {layer.size:,} as its manifest says."
        return StoredModel(
            ref=f"ollama:{name}",
            source=self.name,
            paths=(blob,),
            size_bytes=size_bytes,
            sha256=sha256,
            problem=problem,
        )

    def _without_gguf(self, name: str, manifest: Manifest) -> StoredModel:
        tensors = manifest.of("tensor")
        if not tensors:
            return _entry(name, problem="Its manifest names no weights: they are not on this machine.")
        blobs = tuple(self._blob(layer.sha256) for layer in tensors if layer.sha256)
        return StoredModel(
            ref=f"ollama:{name}",
            source=self.name,
            paths=blobs,
            size_bytes=sum(max(0, layer.size) for layer in tensors),
            kind="safetensors",
            problem="Ollama keeps it as single tensors for MLX; insource's own engine runs GGUF files.",
        )

    def _licence(self, manifest: Manifest) -> str | None:
        for layer in manifest.of("license"):
            sha256 = layer.sha256
            try:
                data = self._folder.read(self._blob(sha256), most_bytes=_LICENCE_BYTES) if sha256 else b""
            except Refused:
                continue
            return licence_of(data.decode(errors="replace"))
        return None

    def _blob(self, sha256: str) -> Path:
        """By its name; the older spelling with a colon where only that one is there."""
        blobs = self.folder / "blobs"
        older = not os.path.lexists(blobs / f"sha256-{sha256}") and os.path.lexists(blobs / f"sha256:{sha256}")
        return blobs / f"sha256{':' if older else '-'}{sha256}"


def _entry(name: str, *, problem: str) -> StoredModel:
    return StoredModel(ref=f"ollama:{name}", source="ollama", paths=(), size_bytes=0, problem=problem)


def _not_alone(kind: str, manifest: Manifest) -> str | None:
    if kind != "model":
        return None
    if manifest.of("adapter"):
        return "Ollama applies an adapter to it; insource would run the model without it, which answers differently."
    if len(manifest.of("model")) > 1:
        return f"It is made of {len(manifest.of('model'))} files; insource runs a model from one."
    return None
