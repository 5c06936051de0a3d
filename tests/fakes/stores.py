"""Stores as Ollama, LM Studio, llama.cpp and the Hub's client lay them out on disk, made in a temporary folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

APACHE = "                                 Apache License\n                           Version 2.0, January 2004\n"
COMMIT = "c" * 40
LIST = "application/vnd.ollama.manifest.list.v2+json"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def layer(part: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": f"application/vnd.ollama.image.{part}", "digest": digest, "size": size}


@dataclass(frozen=True, slots=True)
class FakeOllama:
    """OLLAMA_MODELS."""

    folder: Path

    def blob(self, data: bytes) -> Path:
        return write(self.folder / "blobs" / f"sha256-{sha256(data)}", data)

    def layer(self, part: str, data: bytes) -> dict[str, object]:
        self.blob(data)
        return layer(part, f"sha256:{sha256(data)}", len(data))

    def manifest(self, name: str, content: object, *, root: str = "manifests") -> Path:
        """`name` is the path below the root: host/namespace/model/tag."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        return write(self.folder / root / name, data)

    def manifest_of(self, layers: Sequence[Mapping[str, object]]) -> dict[str, object]:
        config = self.layer("config", b'{"model_format":"gguf"}')
        return {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "config": {**config, "mediaType": "application/vnd.docker.container.image.v1+json"},
                "layers": list(layers)}  # fmt: skip

    def pull(self, name: str, data: bytes, *, licence: str = APACHE, more: Sequence[Mapping[str, object]] = ()) -> Path:
        """A model as `ollama pull` leaves it. Returns its blob."""
        parts = {"model": data, "template": b"{{ .Prompt }}", "license": licence.encode(), "params": b'{"stop":["<"]}'}
        layers = [self.layer(part, content) for part, content in parts.items()]
        host = "" if name.count("/") == 3 else "registry.ollama.ai/library/"
        self.manifest(host + name, self.manifest_of([*layers, *more]))
        return self.folder / "blobs" / f"sha256-{sha256(data)}"

    def pull_v2(self, name: str, content: object) -> None:
        """As newer versions keep it: the manifest is a blob, and the name links to it."""
        blob = self.blob(json.dumps(content).encode())
        path = self.folder / "manifests-v2" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(blob, path.parent))


def hub_file(folder: Path, repo: str, name: str, data: bytes, *, commit: str = COMMIT, link: bool = True) -> Path:
    """As the Hub's client leaves it; `link` False: as on Windows without the right to make links."""
    root = folder / ("models--" + repo.replace("/", "--"))
    write(root / "refs" / "main", commit.encode())
    pointer = root / "snapshots" / commit / name
    if not link:
        return write(pointer, data)
    blob = write(root / "blobs" / sha256(data), data)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    return pointer


def llamacpp_file(folder: Path, repo: str, name: str, data: bytes) -> Path:
    """As `llama-server -hf` left it until 2026, with the small files beside it."""
    flat = f"{repo}_{name}".replace("/", "_")
    write(folder / f"{flat}.etag", b'"abc"')
    write(folder / f"{flat}.json", b'{"etag":"\\"abc\\"","url":"x"}')
    write(folder / f"other_{flat}.downloadInProgress", data[:10])
    write(folder / f"manifest={repo.replace('/', '=')}=latest.json", b'{"ggufFile":{"rfilename":"x.gguf"}}')
    return write(folder / flat, data)


def tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a folder with what a write would change."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        found[path.relative_to(folder).as_posix()] = (state.st_mode, state.st_mtime_ns, state.st_nlink, _content(path))
    return found


def _content(path: Path) -> object:
    if path.is_symlink():
        return path.readlink()
    return path.read_bytes() if path.is_file() else None
