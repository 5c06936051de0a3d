"""llama.cpp's own cache (LLAMA_CACHE, ~/.cache/llama.cpp): flat files named `<org>_<repo>_<file>.gguf`.

Beside them lie `manifest=<org>=<repo>=<tag>.json`, `<file>.etag` (formerly `<file>.json`) and, while a download runs,
`<file>.downloadInProgress` (common/download.cpp); none of those is a model. Builds since 2026 keep the Hugging Face
layout, and when LLAMA_CACHE is set they keep it here (common/hf-cache.cpp), so both are read.
"""

from __future__ import annotations

from pathlib import Path

from insource.core.stored_models import StoreListing
from insource.engines.models.stores.checked import checked
from insource.engines.models.stores.folder import Refused, StoreFolder
from insource.engines.models.stores.ggufs import entry, together
from insource.engines.models.stores.hub_cache import hub_layout


class LlamaCppStore:
    """`core.ports.ModelStore`."""

    name = "llamacpp"

    def __init__(self, folder: Path) -> None:
        self._folder = StoreFolder(folder)

    @property
    def folder(self) -> Path:
        return self._folder.path

    def read(self) -> StoreListing:
        try:
            names = self._folder.names(self.folder)
        except Refused as refused:
            return StoreListing(models=(), skipped=(f"{str(self.folder)!r} {refused}",))
        flat = [entry(self._folder, s, ref=f"llamacpp:{s.name}", source=self.name) for s in together(names)]
        layout = hub_layout(self._folder, ref_of=_ref, source=self.name)
        return checked((*flat, *layout.models), layout.skipped)


def _ref(org: str, name: str, file: str) -> str:
    return f"llamacpp:{org}/{name}" + (f":{file}" if file else "")
