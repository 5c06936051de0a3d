"""What one machine carries of several moves at once: each takes memory for its model and a share of the engine's time.
Pure but for `carried`, which asks `fit` for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import urlsplit

from insource.core.errors import InsourceError, UsageError
from insource.core.hardware import HERE, Machine, say_machine
from insource.core.values import SERVER_PREFIX
from insource.fit.quantization import canonical_quantization
from insource.fit.values import MemoryPrediction
from insource.workflows.choose.fit import FitParts, FitQuestion, answer
from insource.workflows.choose.licence import hub_name

_GIB = 2**30
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Moving:
    """A model to weigh: it asks for some of the machine."""

    task_id: str
    model: str
    """A reference: of a file, of a server, or of one whose answers were made elsewhere."""
    elsewhere: bool
    quantization: str
    """As stated of answers made elsewhere; "" where the file says it."""
    per_minute: float | None
    """Requests that it would answer in the busiest hour; None: the log states no times."""
    moves: bool
    """False: it answers nothing yet, so it takes nothing from the others."""
    saving_usd: float
    """Of hosted calls; any period, the same for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """How much of a move a machine carries."""

    machine: str
    model: str
    requests_per_minute: float | None = None
    """At most, alone on the machine; None: not known."""
    needed_per_minute: float | None = None
    seconds: float | None = None
    """Within which 95 of 100 are answered at that rate."""
    share: float = 1.0
    """Of what the move would answer in its busiest hour."""
    engine_share: float = 0.0
    """Of the engine's time that it takes then."""
    reason: str = ""
    """Sentences: what it can't carry, or what is not known; "" where all is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A move as the machine sees it."""

    task_id: str
    model: str
    engine_share: float
    """Of the engine's time, for all of it; above 1 no machine of this kind carries it alone, infinite: not even one."""
    value: float
    bytes_by_device: Mapping[str, int]


def share_machine(loads: Sequence[Load], free_bytes: Mapping[str, int]) -> dict[str, float]:
    """The share of each that is carried: what saves most for the engine's time comes first. A model is loaded once,
    and one that has no room beside those before it carries nothing."""
    shares: dict[str, float] = {}
    left, room, loaded = 1.0, dict(free_bytes), set[str]()
    for load in sorted(loads, key=lambda each: (-_worth(each), each.engine_share, each.task_id)):
        needs = {} if load.model in loaded else load.bytes_by_device
        fits = all(size <= room.get(device, 0) for device, size in needs.items())
        share = _part(load.engine_share, left) if fits else 0.0
        if share > 0:
            loaded.add(load.model)
            room |= {device: room.get(device, 0) - size for device, size in needs.items()}
            left = max(0.0, left - share * load.engine_share)
        shares[load.task_id] = share
    return shares


def _worth(load: Load) -> float:
    return load.value / load.engine_share if load.engine_share > 0 else float("inf")


def _part(wanted: float, left: float) -> float:
    return 1.0 if wanted <= left else left / wanted


def carried(
    moves: Sequence[Moving], parts: FitParts, *, machine: str, latency_seconds: float, online: bool = False
) -> dict[str, Carried]:
    """By task id. `online`: of a model whose shape nothing here knows the Hub is asked for its header or config.json;
    else no network. Raises UsageError and BadInput for a machine that is none."""
    find_machine = cache(parts.find_machine)  # measured once, not for every move
    parts = replace(parts, find_machine=find_machine)
    found = find_machine(machine) if moves else None
    results: dict[str, Carried] = {}
    loads: list[Load] = []
    for move in moves:
        assert found is not None
        result, memory = _alone(move, parts, machine=machine, latency_seconds=latency_seconds, online=online)
        results[move.task_id] = result
        if move.moves and memory is not None and result.requests_per_minute is not None:
            loads.append(_load(move, result, memory))
    shares = share_machine(loads, _free(found)) if found is not None else {}
    wanted = {load.task_id: load.engine_share for load in loads}
    return results | {
        id: _with_share(results[id], share, wanted=wanted[id], latency_seconds=latency_seconds)
        for id, share in shares.items()
    }


def _alone(
    move: Moving, parts: FitParts, *, machine: str, latency_seconds: float, online: bool
) -> tuple[Carried, MemoryPrediction | None]:
    nothing = Carried(machine=machine, model=move.model, needed_per_minute=move.per_minute)
    if machine == HERE and (move.elsewhere or _is_far(move.model)):
        why = f"{move.model} answered on another machine; name it with --machine to see what it can serve."
        return replace(nothing, reason=why), None
    try:
        question = FitQuestion(
            model=_fit_name(move),
            run=parts.engine_run,
            machine=machine,
            quantization=_quantization(move.quantization),
            task=move.task_id,
            latency_seconds=latency_seconds,
            offline=True,
        )
        report = answer(question, parts)
        if online and report.memory.fits is None:
            report = answer(replace(question, offline=False), parts)
    except InsourceError as error:
        return replace(nothing, reason=f"How much this machine can serve is unknown. {error.message}"), None
    capacity = report.load.capacity if report.load is not None else None
    if report.memory.fits is False:
        needed = sum(device.total_bytes + device.margin_bytes for device in report.memory.devices)
        why = f"{report.spec.name} needs {needed / _GIB:.1f} GiB and does not fit {say_machine(machine)}."
        return replace(nothing, requests_per_minute=0.0, share=0.0, reason=why), None
    if capacity is None:
        why = " ".join(report.unknown) or "Its speed could not be estimated."
        if report.memory.fits is None and not online:
            why += f" `insource fit {question.model}` reads them from the Hub; so does `insource plan --pull`."
        return replace(nothing, reason=f"How much this machine can serve is unknown. {why}"), None
    return (
        replace(nothing, requests_per_minute=capacity.requests_per_minute, seconds=capacity.seconds),
        report.memory,
    )


def _load(move: Moving, alone: Carried, memory: MemoryPrediction) -> Load:
    most, needed = alone.requests_per_minute or 0.0, move.per_minute or 0.0
    return Load(
        task_id=move.task_id,
        model=move.model,
        engine_share=needed / most if most > 0 else float("inf"),
        value=move.saving_usd,
        bytes_by_device={each.device: each.total_bytes + each.margin_bytes for each in memory.devices},
    )


def _with_share(alone: Carried, share: float, *, wanted: float, latency_seconds: float) -> Carried:
    most, needed = alone.requests_per_minute or 0.0, alone.needed_per_minute
    if most <= 0:
        why = (
            f"{say_machine(alone.machine, begins=True)} takes {alone.seconds:,.0f} s for a request alone (95 of 100); "
            f"the setting `latency_seconds` allows {latency_seconds:g}."
        )
        return replace(alone, share=0.0, reason=why)
    if needed is None:
        return replace(alone, reason="The log states no times, so the load of its busiest hour is unknown.")
    if share >= 1:
        return replace(alone, engine_share=wanted)
    beside = "" if wanted > 1 else " beside the other moves"
    why = (
        f"{say_machine(alone.machine, begins=True)} can serve {share:.0%} of it{beside}: it needs {needed:,.3g} "
        f"requests a minute in its busiest hour, and {most:,.3g} is the most within {latency_seconds:g} s."
    )
    return replace(alone, share=share, engine_share=share * wanted, reason=why)


def _free(machine: Machine) -> dict[str, int]:
    return {device.name: device.memory_free_bytes for device in machine.devices}


def _fit_name(move: Moving) -> str:
    """As `fit` knows it. Raises UsageError where the name says nothing."""
    if not move.elsewhere and not move.model.startswith(SERVER_PREFIX):
        return move.model
    name = hub_name(move.model)
    if name is None:
        raise UsageError(f"The size of {move.model!r} is not known by its name.", next_step="Name it by its Hub id.")
    return name


def _quantization(stated: str) -> str:
    try:
        return canonical_quantization(stated) if stated else ""
    except UsageError:
        return ""  # somebody's own word for it: then the usual one stands for it


def _is_far(ref: str) -> bool:
    """Behind a server on another machine."""
    if not ref.startswith(SERVER_PREFIX):
        return False
    return (urlsplit(ref.removeprefix(SERVER_PREFIX)).hostname or "") not in _LOOPBACK
