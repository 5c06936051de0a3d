"""Which models of a catalogue could do a piece of work here. Pure: the fit on a machine is a callable passed in.

The filters run in a fixed order, the cheap ones first; each says how many models it removed, why, and what would let
them through. What can't be determined never passes: it is counted apart, as "cannot say".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from insource.core.catalogue import Ancestry, CatalogueModel
from insource.core.ecosystem import EffectiveLicence, Link
from insource.fit.values import Estimate
from insource.hub.activity import Group
from insource.hub.licence_chain import chain, class_rank
from insource.hub.licences import LicencePolicy
from insource.hub.purpose import Purpose
from insource.hub.sizes import named_sizes

FilterName = Literal["purpose", "licence", "languages", "format", "parameters", "context", "memory", "speed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What the work asks of a model."""

    context_tokens: int
    """Of one request with its answer, the longest but one in a hundred."""
    images: bool = False
    tools: bool = False
    specialised: bool = False
    """Models made for code, mathematics, medicine, ... are wanted too."""
    field: str | None = None
    """Of specialists, those made for this are wanted whatever `specialised` says."""
    embeddings: bool = False
    """Models that turn texts into vectors are wanted, and no others."""
    languages: tuple[str, ...] = ()
    """ISO 639-1; a model that states its languages must state all of these."""
    convertible: bool = False
    """Models that nobody is known to offer as GGUF are wanted too: their safetensors must be converted first."""
    licences: LicencePolicy
    latency_seconds: float | None = None
    """Of a long request (the 95 % quantile of the lengths), from its arrival to the last token."""
    requests_per_minute: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSummary:
    """How a model fits a machine, with the best quantisation that does."""

    fits: bool | None
    """None: cannot say."""
    reason: str
    """Why it does not fit, or what could not be determined; empty when it fits."""
    quantization: str | None = None
    needed_bytes: int | None = None
    """Over all devices, margins included; of the smallest quantisation tried when none fits."""
    active_parameters: int | None = None
    context_tokens: int | None = None
    """That it was trained for; from the architecture where the catalogue does not say."""
    decode: Estimate | None = None
    prefill: Estimate | None = None
    seconds: float | None = None
    """Of a long request alone, by the slow end of the speed's interval."""
    carries_rate: bool | None = None
    """Whether the rate asked for is sustained within the latency; None: not asked, or cannot say."""
    unknown: tuple[str, ...] = ()
    """What of the speed could not be determined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A model that passed."""

    group: Group
    purpose: Purpose
    licence: EffectiveLicence
    """Over the whole chain; where the catalogue holds no lineage, the label alone."""
    fit: FitSummary

    @property
    def model(self) -> CatalogueModel:
        return self.group.original


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What one filter did."""

    filter: FilterName
    asked: int
    """Models that reached it."""
    removed: int
    """Surely not."""
    cannot_say: int
    reasons: tuple[tuple[str, int], ...]
    """The most frequent first."""
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _No:
    reason: str
    certain: bool = True


Judge = Callable[[Group], _No | None]
_REASONS_KEPT = 8
_LONGEST_ID = 96


def sift(
    groups: Sequence[Group],
    *,
    needs: Needs,
    purpose_of: Callable[[CatalogueModel], Purpose],
    fits: Callable[[CatalogueModel], FitSummary],
    ancestry: Ancestry | None = None,
) -> tuple[list[Found], list[Removed]]:
    """In the order of the groups. `fits` is asked only of models that passed everything else."""
    purposes: dict[str, Purpose] = {}
    fit_of: dict[str, FitSummary] = {}
    licences: dict[str, EffectiveLicence] = {}

    def purpose(group: Group) -> _No | None:
        purposes[group.key] = found = purpose_of(group.original)
        return _purpose(found, needs)

    def licence(group: Group) -> _No | None:
        licences[group.key] = found = effective_licence(group.original, ancestry)
        return _licence(found, needs.licences)

    def memory(group: Group) -> _No | None:
        fit_of[group.key] = fit = fits(group.original)
        return _memory(fit, needs)

    stages: tuple[tuple[FilterName, Judge], ...] = (
        ("purpose", purpose),
        ("licence", licence),
        ("languages", lambda group: _languages(group.original.languages, needs)),
        ("format", lambda group: _format(group, convertible=needs.convertible)),
        ("parameters", lambda group: _parameters(group.original)),
        ("context", lambda group: _context(group.original.context_tokens, needs)),
        ("memory", memory),
        ("speed", lambda group: _speed(fit_of[group.key], needs)),
    )
    left = list(groups)
    removed: list[Removed] = []
    for name, judge in stages:
        left, done = _apply(name, judge, left)
        removed.append(done)
    return [Found(group=g, purpose=purposes[g.key], licence=licences[g.key], fit=fit_of[g.key]) for g in left], removed


def _apply(name: FilterName, judge: Judge, groups: Iterable[Group]) -> tuple[list[Group], Removed]:
    passed: list[Group] = []
    sure: Counter[str] = Counter()
    unsure: Counter[str] = Counter()
    for group in groups:
        refusal = judge(group)
        if refusal is None:
            passed.append(group)
        else:
            (sure if refusal.certain else unsure)[refusal.reason] += 1
    return passed, Removed(
        filter=name,
        asked=len(passed) + sure.total() + unsure.total(),
        removed=sure.total(),
        cannot_say=unsure.total(),
        reasons=tuple((sure + unsure).most_common(_REASONS_KEPT)),
        next_step=next_step(name),
    )


def next_step(name: FilterName) -> str:
    """What would let more through."""
    match name:
        case "purpose":
            return (
                "`--admit specialised` admits models made for code, mathematics, medicine and the like, `--for` asks "
                "for another purpose."
            )
        case "languages":
            return "`--languages` names the languages that are needed; `--languages any` asks for none."
        case "licence":
            return "`--licenses` names other classes or single licences, as `permissive,open-model,community`."
        case "format":
            return "`--admit convertible` admits models that nobody is known to offer as GGUF."
        case "parameters":
            return "`insource fit ORG/NAME` reads the repository itself."
        case "context":
            return "`--context` asks for fewer tokens per request."
        case "memory":
            return (
                "`--floor` admits fewer bits, `--admit spill` the system's memory beside the accelerators', "
                "`--context` asks for fewer tokens, `--machine NAME` for a larger machine."
            )
        case "speed":
            return "`--latency` allows more seconds, `--machine NAME` asks for a faster machine."


def _purpose(purpose: Purpose, needs: Needs) -> _No | None:
    if needs.embeddings:
        return None if purpose.embeddings else _No(reason="makes no embeddings", certain=purpose.pipeline != "")
    if purpose.refusal is not None:
        return _No(reason=purpose.refusal, certain=purpose.pipeline != "")
    if purpose.field is not None and purpose.field != needs.field and not needs.specialised:
        return _No(reason=f"specialised in {purpose.field}")
    if needs.images and not purpose.images:
        return _No(reason="takes no images")
    if needs.tools and not purpose.tools:
        return _No(reason="tool calling is not stated", certain=False)
    return None


def _languages(stated: Sequence[str], needs: Needs) -> _No | None:
    """Half of all models state none; they pass."""
    missing = [language for language in needs.languages if stated and language not in stated]
    return _No(reason=f"states its languages, without {missing[0]!r}") if missing else None


def effective_licence(model: CatalogueModel, ancestry: Ancestry | None) -> EffectiveLicence:
    if ancestry is None:
        return chain(model.id, {}, lambda _: model.license)
    return chain(model.id, ancestry.parents, ancestry.licences.get, told_by_files=ancestry.told_by_files)


def _licence(licence: EffectiveLicence, policy: LicencePolicy) -> _No | None:
    """The model's own label first; then the ancestor whose licence is surely refused, the strictest of them."""
    refused = licence.refusals(policy)
    if not refused:
        return None
    certain = [link for link in refused if link.licence_class != "unknown" and not link.told_by_files]
    link = refused[0] if refused[0].steps == 0 else max(certain or refused, key=_strictness)
    said = "licence not stated" if link.license is None else link.licence_class
    reason = "unknown licence" if said == "unknown" else said
    if link.steps:
        by_files = " as files tell" if link.told_by_files else ""
        whose = "not stated" if link.license is None else said
        reason = f"built on {link.id[:_LONGEST_ID]}{by_files}, whose licence is {whose}"
    return _No(reason=reason, certain=bool(certain))


def _strictness(link: Link) -> tuple[int, int]:
    return class_rank(link.licence_class), -link.steps


def _format(group: Group, *, convertible: bool) -> _No | None:
    if group.gguf_repositories:
        return None
    if group.original.format == "safetensors":
        return None if convertible else _No(reason="nobody is known to offer it as GGUF")
    return _No(reason=f"{group.original.format or 'unknown format'} only")


def _parameters(model: CatalogueModel) -> _No | None:
    """A count far below the name's is that of packed values, or of a part."""
    if not model.parameters:
        return _No(reason="number of parameters not stated", certain=False)
    sizes = named_sizes(model.id)
    if sizes and model.parameters < sizes[0] / 2:
        return _No(reason="the metadata counts less than half of what the name says", certain=False)
    return None


def _context(tokens: int | None, needs: Needs) -> _No | None:
    """Not stated passes here; the architecture may tell later."""
    if tokens is None or tokens >= needs.context_tokens:
        return None
    return _No(reason=f"trained for fewer than {needs.context_tokens:,} tokens")


def _memory(fit: FitSummary, needs: Needs) -> _No | None:
    if fit.fits is None:
        return _No(reason=fit.reason, certain=False)
    if not fit.fits:
        return _No(reason=fit.reason)
    if fit.context_tokens is None:
        return _No(reason="the context that it was trained for is not stated", certain=False)
    return _context(fit.context_tokens, needs)


def _speed(fit: FitSummary, needs: Needs) -> _No | None:
    if needs.latency_seconds is not None:
        if fit.seconds is None:
            return _No(reason="its speed can't be told here", certain=False)
        if fit.seconds > needs.latency_seconds:
            return _No(reason=f"a long request takes more than {needs.latency_seconds:g} s")
    if needs.requests_per_minute is not None:
        if fit.carries_rate is None:
            return _No(reason="its capacity can't be told here", certain=False)
        if not fit.carries_rate:
            return _No(reason=f"sustains fewer than {needs.requests_per_minute:g} requests a minute")
    return None
