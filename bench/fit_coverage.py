"""Of the most downloaded models, how many `fit` can't say anything about without the network, and why.

    PYTHONPATH=. python bench/fit_coverage.py       prints a table and writes bench/results/fit_coverage.txt

Asked of the shipped catalogue and the shipped table alone, on a machine on which memory is no question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from insource.core.catalogue import CatalogueModel, Wanted
from insource.core.errors import InsourceError, UnknownModel
from insource.fit.memory import predict_memory
from insource.fit.values import RunSettings
from insource.hub.snapshot import SnapshotCatalogue
from insource.machine.parse import parse_machine
from insource.workflows.choose.understand_model import ModelFinder, understand

OUT = Path(__file__).parent / "results" / "fit_coverage.txt"
MOST = 100
PIPELINES = ("text-generation", "image-text-to-text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    model: CatalogueModel
    why: str


def most_downloaded(catalogue: SnapshotCatalogue, pipeline: str) -> list[CatalogueModel]:
    wanted = Wanted(pipelines=frozenset([pipeline]), convertible=False)
    of_kind = [model for model in catalogue.select(wanted).models if model.pipeline_tag == pipeline]
    return sorted(of_kind, key=lambda model: -(model.downloads or 0))[:MOST]


def silent(catalogue: SnapshotCatalogue, models: Sequence[CatalogueModel]) -> list[Silent]:
    def nowhere(ref: str) -> None:
        raise UnknownModel(f"{ref} is not here.", next_step="Ask the catalogue.")

    finder = ModelFinder(
        find_stored=nowhere,  # type: ignore[arg-type]
        read_header=nowhere,  # type: ignore[arg-type]
        read_remote=nowhere,  # type: ignore[arg-type]
        catalogue=catalogue,
    )
    machine = parse_machine("8x b200")
    found: list[Silent] = []
    for model in models:
        try:
            spec = understand(model.id, quantization="", offline=True, finder=finder).spec
            why = predict_memory(spec, machine, RunSettings()).unknown
        except InsourceError as error:
            why = (error.message,)
        found += [Silent(model=model, why=why[0])] if why else []
    return found


def main() -> None:
    catalogue = SnapshotCatalogue()
    lines = [f"Of the {MOST} most downloaded in the catalogue of {catalogue.as_of}, offline: cannot say", ""]
    for pipeline in PIPELINES:
        found = silent(catalogue, most_downloaded(catalogue, pipeline))
        lines += [f"{pipeline}: {len(found)}", *(f"  {each.model.id}: {each.why}" for each in found), ""]
    text = "\n".join(lines)
    print(text)
    OUT.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
