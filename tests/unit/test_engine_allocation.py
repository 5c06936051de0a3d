"""The engine's own allocation: exact beside the formulas, a sentence where there is none, and used where they end."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from insource.core.errors import UnknownModel
from insource.core.remote import Allocation, HeaderFile
from insource.core.stored_models import StoredModel
from insource.engines.allocation import measure_allocation
from insource.engines.models.gguf import read_header
from insource.fit.values import RunSettings
from insource.hub.snapshot import SnapshotCatalogue
from insource.workflows.choose.fit import FitParts, FitQuestion, FitReport, answer
from insource.workflows.choose.fit_report import fit_json, sentences
from insource.workflows.choose.stored_header import stored_header
from insource.workflows.choose.understand_model import ModelFinder
from tests.oracle.cases import LLAMA_31_8B
from tests.oracle.facts import Case
from tests.oracle.truth import cpu_machine, truths

pytestmark = pytest.mark.engine
RUN = RunSettings(context_tokens=4096, slots=2)
FOREIGN = replace(LLAMA_31_8B, name="foreign", arch="nanbeige")
"""A Llama under a name that the engine knows and the formulas do not."""


def header_file(case: Case, folder: Path) -> HeaderFile:
    """As it would come from the Hub: the beginning, and how large the whole is."""
    path = case.write(folder)
    with path.open("rb") as file:
        data = file.read(read_header(path).data_start_bytes)
    return HeaderFile(name=path.name, size_bytes=path.stat().st_size, data=data)


def test_a_header_alone_gives_what_the_whole_file_would(tmp_path: Path) -> None:
    found = measure_allocation([header_file(LLAMA_31_8B, tmp_path)], asdict(RUN))
    truth = truths(tmp_path / "llama-3.1-8b.gguf", [RUN])[0]
    assert found == Allocation(context_bytes=truth.kv_cache_bytes, compute_bytes=truth.compute_bytes)


@pytest.mark.parametrize(
    ("file", "word"),
    [
        (HeaderFile(name="x", size_bytes=100, data=b"GGUF and then nothing"), "could not plan it"),
        (HeaderFile(name="x", size_bytes=0, path=Path("/nowhere/x.gguf")), "could not plan it"),
    ],
)
def test_what_the_engine_refuses_is_a_sentence(file: HeaderFile, word: str) -> None:
    found = measure_allocation([file], asdict(RUN))
    assert isinstance(found, str)
    assert word in found


def test_an_engine_that_is_too_slow_is_a_sentence(tmp_path: Path) -> None:
    found = measure_allocation([header_file(LLAMA_31_8B, tmp_path)], asdict(RUN), seconds=0.001)
    assert isinstance(found, str)
    assert "did not answer" in found


def report(case: Case, folder: Path, *, measures: bool) -> FitReport:
    path = case.write(folder)
    stored = StoredModel(ref=f"file:{path}", source="file", paths=(path,), size_bytes=path.stat().st_size)

    def nowhere(ref: str) -> None:
        raise UnknownModel(f"{ref} is nowhere.", next_step="Nothing.")

    finder = ModelFinder(
        find_stored=lambda _: stored,
        read_header=stored_header,
        read_remote=nowhere,  # type: ignore[arg-type]
        catalogue=SnapshotCatalogue(),
        measure=measure_allocation if measures else None,
    )
    parts = FitParts(
        finder=finder,
        find_machine=lambda _: cpu_machine(),
        exchanges=None,
        registry=None,
        engine_run=RUN,
    )
    return answer(FitQuestion(model=stored.ref, run=RUN), parts)


def test_a_fit_is_measured_only_where_the_formulas_end(tmp_path: Path) -> None:
    formulas = report(LLAMA_31_8B, tmp_path, measures=True)
    assert not formulas.measured
    measured = report(FOREIGN, tmp_path, measures=True)
    assert measured.measured
    assert measured.memory.fits
    assert measured.memory.kv_cache_bytes == formulas.memory.kv_cache_bytes
    assert measured.memory.compute_bytes == pytest.approx(formulas.memory.compute_bytes, rel=0.03)
    assert any("measured by the engine" in sentence for sentence in sentences(measured))
    assert fit_json(measured)["measured_by_engine"] is True


def test_without_an_engine_nothing_is_said(tmp_path: Path) -> None:
    silent = report(FOREIGN, tmp_path, measures=False)
    assert silent.memory.fits is None
    assert "nanbeige" in " ".join(silent.unknown)
