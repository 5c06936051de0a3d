"""`insource export CANDIDATE`: everything that it takes to run, check and pass on a candidate, in a new folder.

    README.md            the model card, with the base and the relation to it
    candidate.json       recipe, criterion, terms and settings; hashes of all below
    recipe.bin           the fitted recipe; familiarity.bin, repeats.bin, certainty.json where its terms name them
    certificate.json     the evidence bundle that `insource evaluate --verify` derives it from
    licences.json        the licences of the model and of what it was made of, with what they ask for
    model.gguf, adapter.gguf, template.jinja, training.json, Modelfile      of a recipe that asks a model
    lmstudio/            one merged file, which is what LM Studio takes, where there is an adapter

Nothing of the exchanges goes with it but what the certificate's bundle holds: hashes of inputs, and short answers.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from insource import __version__
from insource.adapt.equivalence import compare, served
from insource.adapt.lora.job import Probe
from insource.adapt.lora.merge import merge
from insource.adapt.quantize.convert import widen
from insource.core.errors import BadInput, StorageError, UsageError
from insource.core.evidence import Candidate, Certificate
from insource.core.hashing import file_sha256
from insource.core.values import JsonObject, ModelFile
from insource.engines.models.catalogue import DEFAULT_MODEL
from insource.engines.models.gguf import read_header
from insource.engines.models.refs import parse_ref
from insource.evals.documents import plain
from insource.hub.licence_chain import EffectiveLicence
from insource.workflows.files.export_model import place
from insource.workflows.services import Services, candidate_files, engine_settings, model_file

LicenceOf = Callable[[str], EffectiveLicence | None]
"""Of a model by `org/name`, over its lineage; None: the catalogue does not know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedCandidate:
    folder: Path
    files: tuple[str, ...]
    """Relative to the folder, sorted."""
    certificate_id: str | None


async def export_candidate(
    services: Services,
    candidate_id: str,
    folder: Path,
    *,
    licence_of: LicenceOf = lambda id: None,
    copy: bool = False,
) -> ExportedCandidate:
    """Raises UsageError for an unknown candidate or a folder that holds something, StorageError."""
    candidate = find_candidate(services, candidate_id)
    certificate = _certificate(services, candidate)
    _new(folder)
    artifacts = _artifacts(services, candidate)
    for name, data in artifacts.items():
        (folder / name).write_bytes(data)
    if certificate is not None:
        bundle = services.evidence.bundle(certificate.id)
        if bundle is not None:
            (folder / "certificate.json").write_bytes(zlib.decompress(bundle))
    base = None if candidate.model_ref is None else model_file(services, candidate.model_ref)
    licence = None if base is None else licence_of(model_id(base))
    if base is not None:
        _model(candidate, base, services, folder=folder, copy=copy)
        if candidate.adapter_sha256 is not None:
            await _adapted(services, candidate.adapter_sha256, base, folder=folder, name=candidate.id)
    _json(folder / "licences.json", licences_json(base, licence))
    _json(folder / "candidate.json", plain(candidate))
    card = model_card(candidate, base, certificate, licences=licence)
    (folder / "README.md").write_text(card, encoding="utf-8")
    hashes = _hashes(folder)
    _json(folder / "hashes.json", hashes)
    return ExportedCandidate(
        folder=folder,
        files=tuple(sorted([*hashes, "hashes.json"])),
        certificate_id=certificate.id if certificate else None,
    )


def _hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): file_sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def find_candidate(services: Services, candidate_id: str) -> Candidate:
    known = {candidate.id: candidate for candidate in services.registry.candidates()}
    if candidate_id not in known:
        raise UsageError(
            f"There is no candidate {candidate_id!r}.", next_step="Choose one from `insource candidates list`."
        )
    return known[candidate_id]


def _certificate(services: Services, candidate: Candidate) -> Certificate | None:
    found = [c for c in services.evidence.certificates(candidate.task_id) if c.candidate_id == candidate.id]
    return max(found, key=lambda certificate: certificate.created, default=None)


def _new(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = next(folder.iterdir(), None) is None
    except OSError as error:
        raise StorageError(
            f"The folder {str(folder)!r} can't be made: {error.strerror}.", next_step="Choose another with --out."
        ) from error
    if not empty:
        raise UsageError(
            f"The folder {str(folder)!r} holds something already; nothing was written.",
            next_step="Name a new one with --out.",
        )


def _artifacts(services: Services, candidate: Candidate) -> dict[str, bytes]:
    terms = candidate.terms
    named = {
        "recipe.bin": candidate.artifact_sha256,
        "familiarity.bin": terms.familiarity_sha256,
        "repeats.bin": terms.repeats_sha256,
        "certainty.json": terms.certainty_sha256,
    }
    return {name: services.registry.artifact(sha256) for name, sha256 in named.items() if sha256 is not None}


def _model(candidate: Candidate, base: ModelFile, services: Services, *, folder: Path, copy: bool) -> None:
    place(base, folder / "model.gguf", root=folder, copy=copy)
    template = read_header(base.path).metadata.get("tokenizer.chat_template")
    if isinstance(template, str):
        (folder / "template.jinja").write_text(template, encoding="utf-8")
    context_tokens = (candidate.settings or services.settings).context_tokens
    adapter = ["ADAPTER ./adapter.gguf"] if candidate.adapter_sha256 is not None else []
    lines = ["FROM ./model.gguf", *adapter, f"PARAMETER num_ctx {context_tokens}", "PARAMETER temperature 0"]
    (folder / "Modelfile").write_text("\n".join(lines) + "\n", encoding="utf-8")


async def _adapted(services: Services, sha256: str, base: ModelFile, *, folder: Path, name: str) -> None:
    """The adapter, the log of its training, and both in one file of 16 bit, laid out as LM Studio's folder is:
    publisher, model, file. `insource quantize` makes it smaller, with figures of what that costs. Raises BadInput where
    the merged file is not what was trained; then it is removed."""
    files = candidate_files(services)
    adapter, log = files.check(sha256), files.log(sha256)
    shutil.copyfile(adapter, folder / "adapter.gguf")
    _json(folder / "training.json", {key: value for key, value in log.items() if not key.startswith("probe")})
    target = folder / "lmstudio" / "insource" / name / f"{name}-F16.gguf"
    target.parent.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        merge(widen(base.path, Path(work) / "wide.gguf").path, adapter, target)
    refusal = await differs(services, target, log)
    if refusal is not None:
        target.unlink()
        raise BadInput(
            f"The merged file is not what was trained, so it was not exported. {refusal}",
            next_step="Train the candidate again: insource adapt TASK --recipe lora.",
        )


async def differs(services: Services, merged: Path, log: JsonObject) -> str | None:
    """Why a file, served, is not what was trained; None: it is. The training's own held-out requests are asked."""
    probes, requests = [Probe(**probe) for probe in log.get("probes", ())], log.get("probe_requests", ())
    file = _as_model(merged)
    engine = services.make_engine(file, engine_settings(services))
    await engine.start()
    try:
        return compare(probes, await served(engine, requests, probes)).reason
    finally:
        await engine.stop()


def _as_model(path: Path) -> ModelFile:
    size_bytes = path.stat().st_size
    return ModelFile(ref=f"file:{path}", path=path, sha256=file_sha256(path), size_bytes=size_bytes, source="file")


def model_id(file: ModelFile) -> str:
    """`org/name` where it is known, else the reference."""
    if file.sha256 == DEFAULT_MODEL.sha256:
        return parse_ref(DEFAULT_MODEL.refs[0]).place
    ref = parse_ref(file.ref)
    return ref.place if ref.scheme == "hub" else file.ref


def licences_json(base: ModelFile | None, licence: EffectiveLicence | None) -> JsonObject:
    if base is None:
        return {"chain": [], "note": "No model takes part: the recipe was fitted on the task's own exchanges."}
    if licence is None:
        own = {"id": model_id(base), "license": base.license, "steps": 0}
        return {"chain": [own], "effective": base.license, "note": "The catalogue does not know what it was made of."}
    return {
        "chain": [{"id": link.id, "license": link.license, "steps": link.steps} for link in licence.links],
        "effective": licence.strictest.license,
        "conflicts": [link.id for link in licence.conflicts],
        "unstated": [link.id for link in licence.unstated],
        "duties": list(licence.duties),
    }


def model_card(
    candidate: Candidate,
    base: ModelFile | None,
    certificate: Certificate | None,
    *,
    licences: EffectiveLicence | None,
) -> str:
    """In the Hub's form: its header declares what the model was made of, and how."""
    head = _header(candidate, base, licences)
    told = ["---", *head, "---", "", f"# {candidate.id}", ""]
    made = "an adapter of" if candidate.adapter_sha256 else "prompts and gates for"
    what = f"It is {made} `{model_id(base)}`." if base else "It answers without a model."
    told += [f"A candidate of insource {__version__}, by the recipe `{candidate.recipe}`, for one task. {what}", ""]
    told += [f"Criterion: {candidate.criterion.scorer}. Fitted on {candidate.terms.fitted:,} exchanges.", ""]
    if certificate is None:
        told += ["It has no certificate: nothing is proven of its quality.", ""]
        return "\n".join(told)
    told += [
        f"Certificate `{certificate.id}`: it may answer {certificate.coverage:.1%} of the task's requests, those whose "
        f"confidence is at least {certificate.gate:g}, and loses at most {certificate.loss_upper:.2%} against the "
        f"reference there (confidence {certificate.confidence:.0%}, {certificate.n:,} exchanges of evidence). The rest "
        "goes to the provider. Without its gate the certificate says nothing of it.",
        "",
    ]
    return "\n".join(told)


def _header(candidate: Candidate, base: ModelFile | None, licences: EffectiveLicence | None) -> Sequence[str]:
    tags = ["tags:", "- insource", f"- {candidate.recipe}"]
    if base is None:
        return ["library_name: insource", *tags]
    license = (licences.strictest.license if licences else None) or base.license or "unknown"
    relation = "adapter" if candidate.adapter_sha256 else "quantized"
    return [
        f"license: {json.dumps(license.lower())}",
        f"base_model: {json.dumps(model_id(base))}",
        f"base_model_relation: {relation}",
        "library_name: gguf",
        *tags,
    ]


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
