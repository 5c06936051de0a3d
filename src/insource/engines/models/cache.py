"""The Hugging Face cache as our only store of model files: <folder>/models--org--name/{blobs,refs,snapshots}.

The layout itself is the index: a snapshot's entry is a link to a blob whose name is its sha256. Nothing else is needed
after a restart. What can't be read off the layout (the hash of a file without links, a licence) is kept as a note,
which may be lost at any time and costs a recomputation then. A wheel's file lies under models--wheel--<package>, one
that was imported from another tool under models--imported--<name>.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from insource.core.errors import BadModelFile, UnknownModel
from insource.core.hashing import file_sha256
from insource.core.values import ModelFile
from insource.engines.models.notes import Note, Notes
from insource.engines.models.refs import ModelRef, is_gguf, pick_file, safe_path

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOT_HUB = ("wheel", "imported")
"""Schemes that have one file under one name; on disk they stand where the Hub's repositories have their owner."""


class ModelCache:
    """The model files in one cache folder. Reading never changes anything but the notes. What there is besides, whoever
    pulled it, lists `stores/hub_cache.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()
        self.notes = Notes(self.folder / ".locks" / "insource.json")

    # ------------------------------------------------------------------------------------------------- reading

    def find(self, ref: ModelRef) -> ModelFile | None:
        """The cached file that a reference to the Hub, a wheel or an import means; the newest revision first."""
        repo = self.repo_folder(ref)
        for snapshot in self._snapshots(repo):
            names = [path.relative_to(snapshot).as_posix() for path in _ggufs(snapshot)]
            if ref.scheme in _NOT_HUB and names:
                return self._model_file(repo, snapshot / names[0], snapshot)
            with contextlib.suppress(UnknownModel):  # not in this snapshot
                return self._model_file(repo, snapshot / pick_file(ref.place, names, ref.selector), snapshot)
        return None

    def repo_folder(self, ref: ModelRef) -> Path:
        place = ref.place if ref.scheme == "hub" else f"{ref.scheme}/{ref.place}"
        return self.folder / ("models--" + place.replace("/", "--"))

    def sha256(self, path: Path) -> str:
        """Of a file: its blob's name, else a note for just this size and time of change, else computed and noted.

        Only the link's first hop counts: a blob may itself link to the Hub client's shared store, whose names are
        other hashes.
        """
        if path.is_relative_to(self.folder) and path.is_symlink() and _SHA256.fullmatch(path.readlink().name):
            return path.readlink().name
        note = self.notes.of(path)
        if note is None:
            note = Note.about(path, sha256=file_sha256(path), license=None)
            self.notes.put(path, note)
        return note.sha256

    # ------------------------------------------------------------------------------------------------- writing

    @contextmanager
    def lock(self, ref: ModelRef) -> Generator[None]:
        """One pull of a repository at a time, across processes; the same lock folder as the Hub's own client."""
        from huggingface_hub.utils import WeakFileLock  # late: reading the cache must not cost its import

        path = self.folder / ".locks" / self.repo_folder(ref).name / "insource.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(path):
            yield

    def partial(self, ref: ModelRef, sha256: str) -> Path:
        """Where a download of these bytes is written until it is whole; found again by the next attempt."""
        blobs = self.repo_folder(ref) / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        return blobs / f"{sha256}.insource.incomplete"

    def adopt(self, whole: Path, ref: ModelRef, *, revision: str, name: str, license: str | None) -> ModelFile:
        """Moves a verified file, named `<sha256>...`, to its blob and links it into the revision's snapshot."""
        repo = self.repo_folder(ref)
        sha256 = whole.name[:64]
        relative, safe_revision = safe_path(name), safe_path(revision)
        if relative is None or safe_revision is None or len(safe_revision.parts) != 1:
            raise BadModelFile(
                f"The file name {name!r} at revision {revision!r} of {ref.place!r} points outside of the cache.",
                next_step="Don't use this repository.",
            )
        blob = repo / "blobs" / sha256
        pointer = repo / "snapshots" / revision / relative
        whole.replace(blob)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        _link(blob, pointer)
        main = repo / "refs" / "main"
        main.parent.mkdir(exist_ok=True)
        main.write_text(revision)
        self.notes.put(pointer, Note.about(pointer, sha256=sha256, license=license))
        file = self._model_file(repo, pointer, repo / "snapshots" / revision)
        assert file is not None, "just written"
        return file

    def link(self, path: Path, ref: ModelRef, *, sha256: str, license: str | None) -> ModelFile:
        """A second name, in the cache, for a file of another tool's: a hard link, so that nothing is copied and the
        bytes stay when the other tool lets go of them. Raises OSError where the disk or its rules allow none."""
        blobs = self.repo_folder(ref) / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        linked = blobs / f"{sha256}.insource.linked"
        linked.unlink(missing_ok=True)
        try:
            linked.hardlink_to(path.resolve())
            return self.adopt(linked, ref, revision=sha256[:40], name=f"{ref.place}.gguf", license=license)
        finally:
            linked.unlink(missing_ok=True)  # a rename onto a name of the same file leaves both (POSIX)
            self.tidy(self.repo_folder(ref))

    def remove(self, file: ModelFile) -> int:
        """Removes a cached file from every snapshot, its blob when nothing else links to it, and emptied folders.
        Returns the bytes freed."""
        repo = self._repo_of(file.path)
        freed = 0
        blobs = set[Path]()
        name = file.path.relative_to(repo).parts[2:]
        for pointer in [snapshot.joinpath(*name) for snapshot in self._snapshots(repo)]:
            if not os.path.lexists(pointer):
                continue
            if pointer.is_symlink():
                blobs.add(Path(os.path.normpath(pointer.parent / pointer.readlink())))
            else:
                freed += _freed_bytes(pointer)
            pointer.unlink()
            self.notes.drop(pointer)
        kept = {path.resolve() for snapshot in self._snapshots(repo) for path in snapshot.rglob("*")}
        for blob in blobs:
            if blob.resolve() not in kept and blob.parent == repo / "blobs" and os.path.lexists(blob):
                freed += _freed_bytes(blob)
                blob.unlink()
        self.tidy(repo)
        return freed

    def tidy(self, repo: Path) -> None:
        """Removes empty folders, and the repository's when no snapshot and no blob is left."""
        for folder in sorted(repo.rglob("*"), key=lambda path: -len(path.parts)):
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()
        if repo.is_dir() and not (repo / "snapshots").exists() and not (repo / "blobs").exists():
            shutil.rmtree(repo)

    # ------------------------------------------------------------------------------------------------- inside

    def _repo_of(self, path: Path) -> Path:
        return self.folder / path.relative_to(self.folder).parts[0]

    def _snapshots(self, repo: Path) -> list[Path]:
        """The one that `main` names first, then by time, the newest first."""
        main = repo / "refs" / "main"
        first = main.read_text().strip() if main.is_file() else ""
        found = [path for path in repo.glob("snapshots/*") if path.is_dir()]
        return sorted(found, key=lambda path: (path.name != first, -path.stat().st_mtime, path.name))

    def _model_file(self, repo: Path, path: Path, snapshot: Path) -> ModelFile | None:
        if not path.is_file():  # a link whose blob is gone
            return None
        org, _, name = repo.name.removeprefix("models--").partition("--")
        single = org in _NOT_HUB
        note = self.notes.of(path)
        return ModelFile(
            ref=f"{org}:{name}" if single else f"{org}/{name}:{path.relative_to(snapshot).as_posix()}",
            path=path,
            sha256=self.sha256(path),
            size_bytes=path.stat().st_size,
            source=org if single else "hub",
            license=note.license if note else None,
        )


def _freed_bytes(path: Path) -> int:
    """By removing this name: nothing while the file has another, as an import has that its tool still keeps."""
    state = path.lstat()
    return state.st_size if state.st_nlink == 1 else 0


def _ggufs(snapshot: Path) -> list[Path]:
    return sorted(path for path in snapshot.rglob("*") if is_gguf(path.name) and path.is_file())


def _link(blob: Path, pointer: Path) -> None:
    """As the Hub's client does: a relative link; where links fail, the file itself moves to the snapshot."""
    pointer.unlink(missing_ok=True)
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:
        blob.replace(pointer)
