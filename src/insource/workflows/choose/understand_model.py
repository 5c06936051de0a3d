"""What a name on the command line means as a `ModelSpec`: a file on this machine, the Hub, or what is shipped about it.

In this order, because each is more exact than the next: the header of a file that is here; the header, or the
configuration, that the Hub holds; the shipped table of families; a row of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from insource.core.architecture import ModelSpec
from insource.core.catalogue import CatalogueModel
from insource.core.errors import DownloadFailed, UnknownModel, UsageError
from insource.core.gguf import GgufHeader
from insource.core.ports import Catalogue
from insource.core.remote import Allocation, HeaderFile, RemoteModel
from insource.core.stored_models import StoredModel
from insource.engines.models.refs import ModelRef, parse_ref
from insource.fit.catalogue_spec import spec_of_row
from insource.fit.config_spec import spec_of_config
from insource.fit.families import USUAL_QUANTIZATION, known_name, nearest_names, spec_of_family
from insource.fit.gguf_spec import spec_of_gguf
from insource.fit.safetensors_spec import spec_of_safetensors
from insource.hub.facts import catalogue_row, facts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFinder:
    """Where models are looked up; `wiring` joins it."""

    find_stored: Callable[[str], StoredModel]
    """Raises UnknownModel where the model is not on this machine."""
    read_header: Callable[[StoredModel], GgufHeader]
    """Raises BadModelFile."""
    read_remote: Callable[[str], RemoteModel]
    """Raises UnknownModel, DownloadFailed, BadModelFile."""
    catalogue: Catalogue
    measure: Callable[[Sequence[HeaderFile], Mapping[str, object]], Allocation | str] | None = None
    """The engine's own allocation for a header under the settings of a run; a sentence where it has no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    spec: ModelSpec
    found: str
    """A sentence: where the facts are from."""
    requantize: Callable[[str], ModelSpec] | None
    """The same model in another quantisation; None: its shape is not known well enough."""
    header_files: tuple[HeaderFile, ...] = ()
    """For the engine itself to read; empty: there is no GGUF file of it."""


def understand(name: str, *, quantization: str, offline: bool, finder: ModelFinder) -> Understood:
    """`quantization` empty: that of the file, else the usual one; named: no file is asked, for its types are fixed.

    Raises UnknownModel with the nearest names, UsageError for a quantisation asked of a file.
    """
    ref = _parse(name)
    is_hub = ref is not None and ref.scheme == "hub"
    if ref is not None and quantization and not is_hub:
        raise UsageError(
            f"{name!r} is a file: its quantisation is fixed.",
            next_step="Leave out --quantization, or name the model: `insource fit org/name --quantization "
            f"{quantization}`.",
        )
    if ref is not None and not quantization:
        try:
            return _from_file(name, finder)
        except UnknownModel:
            if not is_hub:
                raise
    note = ""
    if ref is not None and is_hub and not offline:
        try:
            return _from_hub(ref, quantization, finder)
        except DownloadFailed as error:
            note = f" The Hub did not answer ({error.message})"
    shipped = _from_shipped(name, quantization or _selected(ref) or USUAL_QUANTIZATION, finder)
    return replace(shipped, found=shipped.found + note)


def _parse(name: str) -> ModelRef | None:
    """None: no reference, perhaps a name that the table knows (`qwen3:8b`)."""
    try:
        return parse_ref(name)
    except UsageError as error:
        near = nearest_names(name)
        if known_name(name) is not None:
            return None
        if not near:
            raise
        raise UnknownModel(error.message, next_step=f"Did you mean {', '.join(near)}? {error.next_step}") from error


def _selected(ref: ModelRef | None) -> str:
    return ref.selector if ref is not None and not ref.selector.lower().endswith(".gguf") else ""


def _from_file(name: str, finder: ModelFinder) -> Understood:
    stored = finder.find_stored(name)
    header = finder.read_header(stored)
    spec = replace(spec_of_gguf(header, name=stored.ref), license=stored.license or header.license)
    files = tuple(HeaderFile(name=path.name, size_bytes=path.stat().st_size, path=path) for path in stored.paths)
    return Understood(spec=spec, found="Read from the file's own header.", requantize=_like(spec), header_files=files)


def _from_hub(ref: ModelRef, quantization: str, finder: ModelFinder) -> Understood:
    selector = f":{ref.selector}" if ref.selector and not quantization else ""
    remote = finder.read_remote(ref.place + selector)
    config = remote.config

    def in_quantization(quantization: str) -> ModelSpec:
        assert config is not None
        spec = spec_of_config(config, name=remote.id, quantization=quantization, parameters=remote.parameters)
        return replace(spec, license=remote.license)

    if config is not None and quantization:
        return Understood(
            spec=in_quantization(quantization),
            found="Sized from its config.json on the Hub.",
            requantize=in_quantization,
        )
    if config is not None:
        spec = spec_of_safetensors(config, remote.tensors, name=remote.id, parameters=remote.parameters)
        found, requantize = "Read from its config.json and safetensors headers on the Hub.", in_quantization
    elif quantization:
        raise UsageError(
            f"{remote.id!r} is a GGUF file: its quantisation is fixed.",
            next_step="Leave out --quantization, name another file of it, or name the original model.",
        )
    else:
        assert remote.header is not None, "a remote model has one of the two"
        spec = spec_of_gguf(remote.header, name=remote.id)
        found, requantize = "Read from the file's header on the Hub.", _like(spec)
    spec = replace(spec, license=remote.license, not_counted=(*spec.not_counted, *_offered(remote)))
    return Understood(spec=spec, found=found, requantize=requantize, header_files=remote.header_files)


def _offered(remote: RemoteModel) -> tuple[str, ...]:
    file = remote.projector
    if file is None:
        return ()
    return (f"the projector {file.name} beside it ({file.size_bytes / 2**30:.2f} GiB), for images or sound",)


def _from_shipped(name: str, quantization: str, finder: ModelFinder) -> Understood:
    spec = spec_of_family(name, quantization=quantization)
    row = finder.catalogue.find(spec.name if spec is not None else name.partition(":")[0])
    if spec is not None:
        return Understood(
            spec=replace(spec, license=row.license if row else None),
            found="Sized from the shipped table; no file was read.",
            requantize=lambda other: spec_of_family(name, quantization=other) or spec,
        )
    if row is not None:
        row = _sized(row)
        return Understood(
            spec=spec_of_row(row, quantization=quantization),
            found=f"Sized from its row in the catalogue of {finder.catalogue.as_of}; no file was read.",
            requantize=lambda other: spec_of_row(row, quantization=other),
        )
    near = nearest_names(name)
    raise UnknownModel(
        f"The model {name!r} is not on this machine, and neither the shipped table nor the catalogue knows it.",
        next_step=f"Did you mean {', '.join(near)}?" if near else "Name a file (`file:/path/model.gguf`) or pull it.",
    )


def _sized(row: CatalogueModel) -> CatalogueModel:
    """With the parameters that `hub show` tells: a row's own may be a count of packed values, and the active ones of a
    mixture stand in its name alone."""
    facts = facts_of(catalogue_row(row))
    return replace(row, parameters=facts.size.value or 0, active_parameters=facts.active_parameters)


def _like(spec: ModelSpec) -> Callable[[str], ModelSpec] | None:
    """The family's estimate in other quantisations, if the table has a model of just this shape under its name."""
    known = spec_of_family(spec.name)
    if known is None or len(known.architecture.layers) != len(spec.architecture.layers):
        return None
    return lambda other: spec_of_family(spec.name, quantization=other) or known
