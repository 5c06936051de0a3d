"""tracer-llm's routing policy on the draws of bench/heads_peers.py, in an environment of its own.

    PYTHON bench/peers/tracer_router.py FOLDER        PYTHON has tracer-llm

FOLDER holds `N.npz` (train, labels, fresh: vectors of texts and the teacher's answers), one a draw. For each `N.json`
is written: {"said": [label or null of each fresh text], "seconds": of processor time, "version"}.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tracer  # pyright: ignore[reportMissingImports]

AGREEMENT = 0.98
"""With the teacher, among what is not deferred: the promise asked for. All other settings are its own, but for the
boosted trees, which take minutes with many labels."""


def main(folder: Path) -> None:
    for path in sorted(folder.glob("*.npz"), key=lambda each: int(each.stem)):
        held = np.load(path)
        started = time.process_time()
        with tempfile.TemporaryDirectory() as work:
            said = route(Path(work), held["train"], held["labels"].tolist(), held["fresh"])
        found = {"said": said, "seconds": time.process_time() - started, "version": version("tracer-llm")}
        path.with_suffix(".json").write_text(json.dumps(found))


def route(work: Path, train: np.ndarray, labels: list[str], fresh: np.ndarray) -> list[str | None]:
    traces = work / "traces.jsonl"
    lines = (json.dumps({"input": f"text {at}", "teacher": label}) for at, label in enumerate(labels))
    traces.write_text("\n".join(lines))
    config = tracer.FitConfig(target_teacher_agreement=AGREEMENT, verbose=False, skip_candidates=("gbt",))
    result = tracer.fit(traces, work / "policy", embeddings=train, config=config)
    if result.manifest.selected_method is None:
        return [None] * len(fresh)
    return tracer.load_router(work / "policy").predict_batch(fresh)["labels"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
