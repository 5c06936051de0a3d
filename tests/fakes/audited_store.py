"""Reads a store to its end in a process of its own and prints what the process opened and listed meanwhile:
python -m tests.fakes.audited_store KIND FOLDER NOTES -> {"opened": [[event, place, flags]], "refs": [...]}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from insource.core.errors import InsourceError
from insource.core.ports import ModelStore
from insource.engines.models.cache import ModelCache
from insource.engines.models.notes import Notes
from insource.engines.models.stores.headers import Headers
from insource.engines.models.stores.hub_cache import HubCacheStore
from insource.engines.models.stores.llamacpp import LlamaCppStore
from insource.engines.models.stores.lmstudio import LMStudioStore
from insource.engines.models.stores.ollama import OllamaStore
from insource.engines.models.stores.source import StoreSource

STORES: Mapping[str, Callable[[Path], ModelStore]] = {
    "hub": lambda folder: HubCacheStore(ModelCache(folder)),
    "llamacpp": LlamaCppStore,
    "lmstudio": LMStudioStore,
    "ollama": OllamaStore,
}


def main(kind: str, folder: Path, notes: Path) -> None:
    opened: list[tuple[str, str, int]] = []

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | bytes):
            flags = arguments[2] if event == "open" else 0
            opened.append((event, str(arguments[0]), flags if isinstance(flags, int) else 0))

    store = STORES[kind](folder)
    sys.addaudithook(hook)
    models = Headers(notes / "headers.json").describe(store.read().models)
    source = StoreSource("ollama" if kind == "hub" else kind, [store], notes=Notes(notes / "used.json"))
    for model in models:
        try:
            source.fetch(model.ref, progress=lambda done, total: None)
        except InsourceError:
            continue
    sys.stdout.write(json.dumps({"opened": opened, "refs": [model.ref for model in models]}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
