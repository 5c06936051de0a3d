"""Published findings, found again in the recorded data: drift of GPT-4 on primes, and error bars on MMLU."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from insource.core.answers import find_label, normalise
from insource.stats.drift import mean_shift
from insource.stats.paired import mcnemar_exact, paired_difference

pytestmark = pytest.mark.data

LABELS = ("[Yes]", "[No]")
MARCH, JUNE = "openaichat/gpt-4-0314", "openaichat/gpt-4-0613"


def correct_primes(path: Path, model: str) -> dict[str, bool]:
    """Chen, Zaharia & Zou, "How is ChatGPT's behavior changing over time?" (arXiv:2307.09009): by question."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == model]
    right: dict[str, bool] = {}
    for row in rows:
        label = find_label(row["answer"], LABELS)
        right[row["query"]] = label is not None and normalise(label).strip("[]") == normalise(row["ref_answer"])
    return right


def test_gpt_4_lost_its_primes_between_march_and_june_2023(shared_data: Path) -> None:
    path = shared_data / "llmdrift" / "prime_full.csv.gz"
    march, june = correct_primes(path, MARCH), correct_primes(path, JUNE)
    assert march.keys() == june.keys()
    assert len(march) == 1000
    accuracy_march, accuracy_june = sum(march.values()) / 1000, sum(june.values()) / 1000
    assert accuracy_march == pytest.approx(0.841, abs=0.002)
    assert accuracy_june == pytest.approx(0.511, abs=0.002)
    worse = sum(march[query] and not june[query] for query in march)
    better = sum(june[query] and not march[query] for query in march)
    assert (worse - better) / 1000 == pytest.approx(accuracy_march - accuracy_june, abs=1e-9)
    assert mcnemar_exact(worse=worse, better=better) < 1e-40
    assert mean_shift([1.0 - r for r in march.values()], [1.0 - r for r in june.values()]) < 1e-40


def test_mmlu_error_bars_are_five_times_wider_by_subject(shared_data: Path) -> None:
    with gzip.open(shared_data / "routellm" / "mmlu.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    gpt_4 = np.array([row["gpt_4_1106_correct"] for row in rows], dtype=np.float64)
    mixtral = np.array([row["mixtral_8x7b_correct"] for row in rows], dtype=np.float64)
    result = paired_difference(gpt_4 - mixtral, [row["subject"] for row in rows], confidence=0.95)
    assert (result.n, result.clusters) == (14042, 57)
    assert 100 * result.mean == pytest.approx(12.5, rel=0.02)
    assert 100 * result.standard_error == pytest.approx(0.39, rel=0.02)
    assert result.clustered_standard_error is not None
    assert 100 * result.clustered_standard_error == pytest.approx(2.08, rel=0.02)
    assert result.interval.high - result.interval.low > 3.9 * result.clustered_standard_error
