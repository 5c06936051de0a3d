"""What the samples of a move say, and what follows from it: promote, roll back, warn. Pure.

A certificate answers whether a candidate is good enough; this answers another question, whether something changed since
(DESIGN §6, "Online"). What changed is told apart by anchors, a fixed set of past requests that both sides are asked
again: where the local answers changed it is the system, where the hosted ones did it is the reference, and where
neither did, people ask other things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from scipy.special import bdtrc, chndtr

from insource.core.values import JsonObject, Stage
from insource.stats.change import SHIFT, Watched, detector, watch

Cause = Literal["system", "reference", "traffic", "unknown"]
StepKind = Literal["rolled back", "reference changed", "system changed", "promoted", "suggestion", "worse in shadow"]
SUSPECTED = 0.02
"""p from which anchors name a cause once losses rose, and from which they rule one out."""
UNPROVOKED = 0.001
"""p from which a round of anchors raises an alarm by itself: rounds are many, and most are quiet."""
ENOUGH = 100
"""Covered samples of a stage before the next one."""
_NO_NOISE = 1e-9
_FAULTS = 0.01
"""Share of requests at which the engine may fail in a stage that is to be promoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One request that both sides answered, or one that was answered here and has a label."""

    exchange_id: str
    """Of the request: it counts once."""
    created: datetime
    difference: float
    """What was lost here, less what was lost by the hosted answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideAgain:
    """One side's answers to the anchors, each beside its first one."""

    asked: int = 0
    turned: int = 0
    """Answers that were the same again when the move began, and are other ones now."""
    returned: int = 0
    """Answers that were other ones then, and are the first ones now: the noise."""

    @property
    def p(self) -> float:
        """Of "it changes its answers no more than it did" (sign test)."""
        moved = self.turned + self.returned
        return float(bdtrc(self.turned - 1, moved, 0.5)) if self.turned else 1.0

    @property
    def changed(self) -> bool | None:
        """Whether this side is why losses rose. None: the anchors do not say: they are too few, or too noisy.

        Losses that rose by `SHIFT` need at least that share of other answers. With so many among `asked`, the excess of
        `turned` over `returned` is a difference of two Poisson counts (Skellam, 1946), whose distribution is that of a
        noncentral chi-square (Johnson, 1959): `scipy.stats` says the same and takes the gateway 50 MB to load.
        """
        if self.p < SUSPECTED:
            return True
        excess, noise = max(self.turned - self.returned, 0), max(float(self.returned), _NO_NOISE)
        as_rare = 1 - chndtr(2 * (self.asked * SHIFT + noise), 2 * (excess + 1), 2 * noise)
        return False if as_rare < SUSPECTED else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Novelty:
    """Requests that the candidate did not answer for what they are, before the change and since."""

    before: int = 0
    escalated_before: int = 0
    since: int = 0
    escalated_since: int = 0

    @property
    def words(self) -> str:
        if not (self.before and self.since):
            return ""
        before, since = self.escalated_before / self.before, self.escalated_since / self.since
        return f" Share of requests left to the hosted model: {before:.0%} before, {since:.0%} since."


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What the anchors showed. A side that could not be asked has `asked` 0."""

    here: SideAgain
    hosted: SideAgain


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do about a move, and how to say it."""

    kind: StepKind
    text: str
    """Sentences; the task's name stands before them."""
    figures: JsonObject
    stage: Stage | None = None
    """The stage that follows; None: the move stays as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A move, with what watching it came to."""

    stage: Stage
    certified: bool
    """A certificate that has not expired vouches for its candidate."""
    samples: Sequence[Sample]
    """In their order, since the stage began or the last alarm was raised."""
    margin: float
    better: float = 0.0
    """Share of the evidence at which only the hosted answer was wrong."""
    faults: float = 0.0
    """Share of the requests of this stage at which the engine failed."""

    @property
    def watched(self) -> Watched:
        by = detector(self.margin / 2, better=self.better)
        return watch((sample.difference for sample in self.samples), by)

    @property
    def mean(self) -> float:
        return sum(s.difference for s in self.samples) / len(self.samples) if self.samples else 0.0


def change_began(standing: Standing, watched: Watched) -> datetime:
    return standing.samples[min(watched.since, len(standing.samples) - 1)].created


def diagnose(again: Again) -> tuple[Cause, ...]:
    """Why losses rose. Both sides may have changed; the traffic did where neither can have changed enough."""
    named: list[Cause] = []
    if again.here.changed:
        named.append("system")
    if again.hosted.changed:
        named.append("reference")
    if named:
        return tuple(named)
    return ("unknown",) if again.here.changed is None or again.hosted.changed is None else ("traffic",)


def after_change(standing: Standing, watched: Watched, again: Again, *, novelty: Novelty) -> Step:
    """Once a change was found. A changed hosted model is no fault of the candidate: an alarm, and the move stays."""
    causes = diagnose(again)
    recent = standing.samples[watched.since : watched.found_at]
    mean = sum(s.difference for s in recent) / max(len(recent), 1)
    figures: JsonObject = {
        "causes": list(causes),
        "samples": watched.n,
        "samples_since_change": len(recent),
        "loss_since_change": mean,
        "change_found": SHIFT,
        "anchors_here": [again.here.turned, again.here.asked],
        "anchors_hosted": [again.hosted.turned, again.hosted.asked],
    }
    worse = (
        f"Over the last {len(recent)} comparisons ({watched.n} in all) the local answers were {_points(mean)} worse "
        "than the hosted ones."
    )
    why = _why(causes, again, novelty)
    if causes == ("reference",):
        text = f"{why} {worse} The move stays in force; evaluate it against the new hosted answers."
        return Step(kind="reference changed", text=text, figures=figures)
    if standing.stage is Stage.SHADOW:
        text = f"The candidate became worse in shadow. {worse} Clients did not get these answers. {why}"
        return Step(kind="worse in shadow", text=text, figures=figures)
    text = f"Rolled back automatically; the hosted model answers again. {worse} {why}"
    return Step(kind="rolled back", text=text, figures=figures, stage=Stage.ROLLED_BACK)


def _points(loss: float) -> str:
    return f"{100 * loss:.1f} points"


def _why(causes: Sequence[Cause], again: Again, novelty: Novelty) -> str:
    here, hosted = again.here, again.hosted
    sentences = {
        "system": f"The local model, its engine or its settings changed: {_differently(here)}.",
        "reference": f"The hosted model changed: {_differently(hosted)}.",
        "traffic": f"The requests changed: both models answer the {hosted.asked} test requests from before the move as "
        f"they did then, so people now ask for other things.{novelty.words}",
        "unknown": f"{_unknown(again)}{novelty.words}",
    }
    return " ".join(sentences[cause] for cause in causes)


def _differently(side: SideAgain) -> str:
    return f"it answers {side.turned} of {side.asked} test requests differently than when the move began"


def _unknown(again: Again) -> str:
    here, hosted = again.here, again.hosted
    if not here.asked or not hosted.asked:
        return "The cause is unknown: the test requests could not be sent to both models again."
    return (
        f"The cause is unknown: the local model answers {here.turned} of {here.asked} test requests differently than "
        f"when the move began, and the hosted model {hosted.turned} of {hosted.asked}, which is too few to tell."
    )


def after_round(again: Again) -> Step | None:
    """After a scheduled round of anchors, though losses did not rise."""
    for kind, side, who in (
        ("reference changed", again.hosted, "The hosted model"),
        ("system changed", again.here, "The local model, its engine or its settings"),
    ):
        if side.p < UNPROVOKED:
            text = f"{who} changed: {_differently(side)}."
            figures: JsonObject = {"turned": side.turned, "asked": side.asked, "p": side.p}
            name: StepKind = "reference changed" if kind == "reference changed" else "system changed"
            return Step(
                kind=name, text=f"{text} Quality has not dropped so far; the move stays in force.", figures=figures
            )
    return None


def promotion(standing: Standing, *, by_itself: bool) -> Step | None:
    """The next stage, once enough samples were quiet; a suggestion unless the user lets it go by itself."""
    following = {Stage.SHADOW: Stage.CANARY, Stage.CANARY: Stage.LIVE}.get(standing.stage)
    n = len(standing.samples)
    if following is None or not standing.certified or n < ENOUGH or standing.watched.found:
        return None
    if standing.mean > standing.margin or standing.faults > _FAULTS:
        return None
    figures: JsonObject = {"samples": n, "loss": standing.mean, "faults": standing.faults, "to": following.value}
    side = "worse" if standing.mean >= 0 else "better"
    said = (
        f"over {n} comparisons in stage {standing.stage.value} the local answers were "
        f"{_points(abs(standing.mean))} {side} than the hosted ones"
    )
    if by_itself:
        text = f"Promoted to stage {following.value} automatically: {said}."
        return Step(kind="promoted", text=text, figures=figures, stage=following)
    return Step(kind="suggestion", text=f"Ready for stage {following.value}: {said}.", figures=figures)
