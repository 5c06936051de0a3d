"""LM Studio's folder: <folder>/publisher/repo/file.gguf, with a projector (`mmproj-*.gguf`) or shards beside it.

Where it lies: `downloadsFolder` in settings.json of LM Studio's home, else `models` in that home; the home is what
`~/.lmstudio-home-pointer` names, else `~/.lmstudio` or, before 0.3.6, `~/.cache/lm-studio` (lmstudio-ai/lms,
src/findLMStudioHome.ts and src/subcommands/importCmd.ts). A folder of safetensors there is MLX's.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath

import msgspec

from insource.core.stored_models import StoredModel, StoreListing
from insource.engines.models.stores.checked import checked
from insource.engines.models.stores.folder import Refused, StoreFolder
from insource.engines.models.stores.ggufs import entry, together

_DEPTH = 6
"""publisher/repo/file, with room for a file in a folder of its own."""
_SETTINGS_BYTES = 1 << 20
_MLX = "It is kept for MLX, which runs on Apple silicon; insource's own engine runs GGUF files."


class LMStudioStore:
    """`core.ports.ModelStore`."""

    name = "lmstudio"

    def __init__(self, folder: Path) -> None:
        self._folder = StoreFolder(folder)

    @property
    def folder(self) -> Path:
        return self._folder.path

    def read(self) -> StoreListing:
        skipped: list[str] = []
        names = [
            path.relative_to(self.folder).as_posix()
            for path in self._folder.walk(self.folder, depth=_DEPTH, skipped=skipped)
        ]
        ggufs = [entry(self._folder, s, ref=f"lmstudio:{s.name}", source=self.name) for s in together(names)]
        return checked((*ggufs, *self._mlx(names)), skipped)

    def _mlx(self, names: list[str]) -> list[StoredModel]:
        """One entry for each folder of safetensors."""
        folders = defaultdict[str, list[str]](list)
        for name in names:
            if name.endswith(".safetensors"):
                folders[PurePosixPath(name).parent.as_posix()].append(name)
        return [self._mlx_entry(below, files) for below, files in folders.items() if below != "."]

    def _mlx_entry(self, below: str, files: list[str]) -> StoredModel:
        size_bytes, problem = 0, _MLX
        for name in files:
            try:
                size_bytes += self._folder.size_bytes(self.folder / name)
            except Refused as refused:
                problem = f"{name!r} {refused}"
        return StoredModel(
            ref=f"lmstudio:{below}",
            source=self.name,
            paths=tuple(self.folder / name for name in files),
            size_bytes=size_bytes,
            kind="mlx",
            problem=problem,
        )


def usual_folders(user_home: Path) -> tuple[Path, ...]:
    """Where LM Studio keeps models for this user; the first that is there is the one it uses."""
    pointer = _first_line(user_home / ".lmstudio-home-pointer")
    homes = [Path(pointer)] if pointer else []
    homes += [user_home / ".lmstudio", user_home / ".cache" / "lm-studio"]
    named = [Path(folder) for home in homes if (folder := _downloads_folder(home / "settings.json"))]
    return tuple(dict.fromkeys(path.absolute() for path in (*named, *(home / "models" for home in homes))))


def _first_line(path: Path) -> str:
    return (_small_text(path).splitlines() or [""])[0].strip()


def _downloads_folder(settings: Path) -> str:
    try:
        found = msgspec.json.decode(_small_text(settings), type=dict[str, object]).get("downloadsFolder")
    except (ValueError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def _small_text(path: Path) -> str:
    """Of one of LM Studio's own settings files; "" where it can't be had."""
    try:
        return StoreFolder(path.parent).read(path, most_bytes=_SETTINGS_BYTES).decode(errors="replace")
    except Refused:
        return ""
