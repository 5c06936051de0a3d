"""Slots as JSON by the tagger (`span`): F1, exact answers, what its confidence is worth, seconds and milliseconds.

    python bench/slots.py        prints a table and writes bench/results/slots.txt

restaurant8k: messages of the test part whose text is in no fit part. LoRA on the same task: bench/lora_here.py slots.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from bench.adapt_data import RESULTS, Labelled, as_object, data_folder, restaurant, share, slot_figures
from bench.lora_here import coverages

from insource.adapt.span import fit, load

_SIZES = (200, 400, 800, 2049)


def row(learnt: Sequence[Labelled], asked: Sequence[Labelled]) -> str:
    began = time.process_time()
    fitted = fit([one.text for one in learnt], [as_object(one.answer) for one in learnt])
    seconds = time.process_time() - began
    artifact = fitted.artifact()
    served = load(artifact)
    began = time.process_time()
    found = [served.find(one.text) for one in asked]
    each = (time.process_time() - began) / len(asked)
    wanted = [as_object(one.answer) for one in asked]
    pairs = [(one.answer, other) for one, other in zip(found, wanted, strict=True)]
    f1, exact = slot_figures(pairs)
    told = [(one.confidence, one.answer == other) for one, other in zip(found, wanted, strict=True)]
    sure = sorted(told, reverse=True)
    return (
        f"{len(learnt):5} examples: F1 {f1:.3f}, exact {share(exact, len(asked))}; covered at 2, 5 and 10 % risk "
        f"{coverages(sure)}; ECE {calibration_error(sure):.3f}; fitted in {seconds:.1f} s of processor, "
        f"{each * 1000:.2f} ms an answer, {len(artifact) / 1e6:.1f} MB"
    )


def calibration_error(sure: Sequence[tuple[float, bool]], bins: int = 10) -> float:
    """Expected calibration error over bins of equal width."""
    total = 0.0
    for at in range(bins):
        inside = [(c, right) for c, right in sure if min(bins - 1, int(c * bins)) == at]
        if inside:
            total += abs(sum(c for c, _ in inside) - sum(right for _, right in inside))
    return total / len(sure)


def main() -> None:
    folder = data_folder()
    if folder is None:
        print("skipped: shared data not found")
        return
    learnt, asked = restaurant(folder)
    sizes = [int(word) for word in sys.argv[1:]] or list(_SIZES)
    lines = [f"restaurant8k, {len(asked)} messages asked", *(row(learnt[:size], asked) for size in sizes)]
    text = "\n".join(lines)
    print(text)
    (RESULTS / "slots.txt").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
