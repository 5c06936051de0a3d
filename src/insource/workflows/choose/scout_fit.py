"""How any model of the catalogue fits a machine: the best quantisation that does, its memory, its speed. Pure.

One fit is asked for hundreds of models, and fine-tunes of one base have one shape: what depends on the shape alone is
computed once for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from insource.core.architecture import ModelSpec
from insource.core.catalogue import CatalogueModel
from insource.core.errors import InsourceError, UsageError
from insource.fit.catalogue_spec import spec_of_row
from insource.fit.memory import predict_memory
from insource.fit.speed import predict_speed
from insource.fit.values import MemoryPrediction, RunSettings
from insource.fit.work import Load
from insource.workflows.choose.carried_load import Demand, carries
from insource.workflows.choose.scout import FitQuestion, long_request, slot_tokens
from insource.workflows.choose.sift import FitSummary

LADDER = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K")
"""What is tried, the best first; below 4 bits only when asked for."""
READING_PACE = 7.0
"""Tokens a second, about 300 words a minute: where no latency is asked for, bits are given up for it, not below the
floor. What can't reach it keeps its bits."""
_PARTICULAR = re.compile(r"'[^']*'|\d[\d,.]*\d|\d")
_LONGEST_REASON = 100


def make_fits(question: FitQuestion) -> Callable[[CatalogueModel], FitSummary]:
    """Raises UsageError for a floor that is not on the ladder."""
    if question.floor not in LADDER:
        raise UsageError(
            f"The quantisation {question.floor!r} can't be the floor.", next_step=f"Choose one of {', '.join(LADDER)}."
        )
    run = RunSettings(context_tokens=slot_tokens(question.needs) * question.slots, slots=question.slots)
    fit = _Fit(question, run)
    known: dict[ModelSpec, FitSummary] = {}

    def fits(model: CatalogueModel) -> FitSummary:
        try:
            spec = spec_of_row(model, quantization=question.floor)
            shape = replace(spec, name="", license=None)
            if shape not in known:
                known[shape] = fit.of(model, spec)
            return known[shape]
        except InsourceError as error:
            return FitSummary(fits=None, reason=_kind_of(error.message))

    return fits


class _Tried(NamedTuple):
    spec: ModelSpec
    memory: MemoryPrediction


class _Fit:
    def __init__(self, question: FitQuestion, run: RunSettings) -> None:
        self._question = question
        self._run = run
        self._ladder = LADDER[: LADDER.index(question.floor) + 1]
        self._long_prompt, self._long_answer = long_request(question)

    def of(self, model: CatalogueModel, spec: ModelSpec) -> FitSummary:
        """The most bits that are quick enough. The floor's spec is tried first: what does not fit with it does not fit,
        and what spills with it is slow enough."""
        smallest = self._try(spec)
        if smallest.memory.fits is None:
            return FitSummary(fits=None, reason=_kind_of(smallest.memory.unknown[0]))
        if not smallest.memory.fits or not (self._question.spill or self._whole(smallest)):
            reason = "larger than the accelerators" if smallest.memory.fits else "larger than the free memory"
            return FitSummary(fits=False, reason=reason, needed_bytes=_needed(smallest.memory))
        better = (self._try(spec_of_row(model, quantization=name)) for name in self._ladder[:-1])
        whole = (tried for tried in better if tried.memory.fits and self._whole(tried))
        first: FitSummary | None = None
        for found in map(self._fitting, whole):
            if self._quick_enough(found):
                return found
            first = first or found
        least = self._fitting(smallest)
        return least if first is None or self._quick_enough(least) or self._is_asked else first

    @property
    def _is_asked(self) -> bool:
        return self._question.needs.latency_seconds is not None

    def _quick_enough(self, found: FitSummary) -> bool:
        """Fewer bits are read faster. Where the speed is unknown nothing is gained by fewer."""
        most = self._question.needs.latency_seconds
        if found.decode is None or found.seconds is None:
            return True
        if most is None:
            return found.decode.mid >= READING_PACE
        return found.seconds <= most and found.carries_rate is not False

    def _try(self, spec: ModelSpec) -> _Tried:
        return _Tried(spec, predict_memory(spec, self._question.machine, self._run))

    def _whole(self, tried: _Tried) -> bool:
        """No layer lies beside the accelerators, where there are any."""
        return not self._question.machine.accelerators or tried.memory.gpu_layers > len(tried.spec.architecture.layers)

    def _fitting(self, tried: _Tried) -> FitSummary:
        spec, memory = tried
        machine, run = self._question.machine, self._run
        depth = self._long_prompt + self._long_answer // 2
        speed = predict_speed(spec, machine, run, memory=memory, load=Load(depth_tokens=depth))
        summary = FitSummary(
            fits=True,
            reason="",
            quantization=spec.weights.quantization,
            needed_bytes=_needed(memory),
            active_parameters=spec.active_parameters,
            context_tokens=spec.architecture.context_tokens,
        )
        if speed is None:
            return replace(summary, unknown=("the bandwidth or throughput of a device is not known",))
        decode, prefill = speed.decode_tokens_per_second, speed.prefill_tokens_per_second
        seconds = self._long_prompt / prefill.low + self._long_answer / decode.low
        summary = replace(summary, decode=decode, prefill=prefill, seconds=seconds)
        needs = self._question.needs
        if needs.requests_per_minute is None or needs.latency_seconds is None or seconds > needs.latency_seconds:
            return summary
        # A simulation, so only when a rate is asked for, and of models that are quick enough alone.
        demand = Demand(
            prompt_tokens=self._question.prompt_tokens,
            answer_tokens=self._question.answer_tokens,
            latency_seconds=needs.latency_seconds,
        )
        carried = carries(spec, machine, run, demand=demand, requests_per_minute=needs.requests_per_minute)
        return replace(summary, carries_rate=carried)


def _needed(memory: MemoryPrediction) -> int:
    return sum(device.total_bytes + device.margin_bytes for device in memory.devices)


def _kind_of(sentence: str) -> str:
    """A sentence about one model as one about its kind, so that they can be counted: its beginning, without names and
    figures."""
    return _PARTICULAR.sub("…", re.split(r" \(|[:;.] |\.$", sentence, maxsplit=1)[0])[:_LONGEST_REASON]
