"""The words of evidence (DESIGN §1, §6) as frozen values. Losses and shares lie in [0, 1]; a loss of 0 is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from insource.core.values import EngineSettings, JsonObject, RecipeName, ReferenceKind

# -------------------------------------------------------------------------------------------------- criterion


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """What counts as right in a task."""

    scorer: str | None
    """The name of a scorer; None: nobody can tell an answer from a wrong one yet."""
    arguments: JsonObject = field(default_factory=dict[str, Any])
    """What the scorer needs to know: the labels, a schema, a command."""
    chosen_by: Literal["inferred", "user"] = "inferred"
    confidence: float = 1.0
    """How surely this is what counts; 1.0 where a user chose it."""
    reason: str = ""
    """A sentence."""


SURE = 0.8
"""Confidence from which an inferred criterion is used without asking."""

# ------------------------------------------------------------------------------------------- places and examples

Part = Literal["fit", "held out", "evidence", "between"]
"""Fitted on; of a fitted cluster but left out of the fit; of a cluster that nothing was fitted on; near both."""
Stratum = Literal["new", "repeats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRules:
    """How a task's inputs are compared; fixed with its first exchanges."""

    prefix: str
    suffix: str
    """What all inputs begin and end with: a template says nothing of what is asked."""
    drop_digits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an exchange stands in its task's ledger; given once."""

    exchange_id: str
    place: int
    """From 0, in the ledger's order."""
    cluster: str
    """Id of the exchange that began it."""
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One exchange as recipes and evaluations see it: a request and what its answer is compared with."""

    exchange_id: str
    created: datetime
    request: JsonObject
    text: str
    """What was asked, without the system prompt."""
    input_sha256: str
    cluster: str
    """Id of the exchange that began its cluster of near-duplicates; its own id before it has a place."""
    reference: str
    reference_kind: ReferenceKind
    hosted_text: str | None = None
    hosted_correct: bool | None = None
    """Whether the hosted answer was right, where a label, a user or a review said so."""
    judged: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """What a person said of answers, by their comparable form: whether they are right."""

    @property
    def teaches(self) -> bool:
        """Whether its reference may be learnt from: it is not a hosted answer that somebody found wrong."""
        return self.reference_kind != "hosted" or self.hosted_correct is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a person said of one answer to one exchange's request."""

    exchange_id: str
    answer: str
    """In the form that answers are compared in."""
    right: bool
    judged: datetime


# --------------------------------------------------------------------------------------------------- candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class WaryLabel:
    """A label of which too many could be answered wrongly: requests that look like it are not answered here."""

    label: str
    threshold: float
    """Of P(label); at or above it a request escalates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a candidate may answer; fixed on the fit part, before any evidence was looked at."""

    thresholds: tuple[float, ...]
    """Of the confidence; the tightest gate first."""
    coverages: tuple[float, ...]
    """Expected of each gate, as a share of what is familiar and not wary."""
    first: int
    """Index of the gate that is expected to be certified first."""
    new_share: float
    """Of the error budget that goes to new inputs; the rest goes to repeats of fitted inputs."""
    familiarity_sha256: str | None = None
    """Artifact that tells how familiar a request looks; None: the candidate has no fit part."""
    floor: float = float("-inf")
    """Requests whose familiarity is below it are never answered here."""
    wary: tuple[WaryLabel, ...] = ()
    repeats_sha256: str | None = None
    """Artifact that recognises repeats of fitted inputs."""
    certainty_sha256: str | None = None
    """Artifact by which confidences are made comparable between empty answers and others; None: they are used as the
    recipe gives them."""
    fitted: int = 0
    """Exchanges of the fit part that this was fixed on."""
    clusters: int = 0
    """Clusters among them."""
    promise: float = 1.0
    """The most that it can be expected to cover, going by the fit part: what promises less than is certified already
    is not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Model file + recipe + engine settings + terms, for one task, on this machine."""

    id: str
    """`<recipe>-` and eight hex digits over everything below."""
    task_id: str
    recipe: RecipeName
    artifact_sha256: str
    """Hash of the fitted recipe's bytes, which lie in the artifact store under this name."""
    model_ref: str | None
    """None for a recipe that answers without a model."""
    model_sha256: str | None
    settings: EngineSettings | None
    criterion: Criterion
    """By which its gates were set."""
    terms: Terms
    adapter_sha256: str | None = None
    """Of a trained recipe: hash of its adapter, a file in the home's folder of candidates."""
    stated: JsonObject = field(default_factory=dict[str, Any])
    """What only somebody's word stands for: of answers made elsewhere their model, quantisation and training."""

    @property
    def made_elsewhere(self) -> bool:
        """Its answers came as a file: nothing here can give another."""
        return self.model_ref is not None and self.model_sha256 is None

    @property
    def model_key(self) -> str | None:
        """What its engine runs, as the key of kept answers."""
        return model_key(self.model_sha256, self.adapter_sha256)

    def counts(self, created: datetime) -> bool:
        """Whether an exchange of then may be evidence: not where the model is said to have been trained on it."""
        return counts_after(self.stated, created)


def model_key(model_sha256: str | None, adapter_sha256: str | None) -> str | None:
    return model_sha256 if adapter_sha256 is None else f"{model_sha256}+{adapter_sha256}"


def counts_after(stated: JsonObject, created: datetime) -> bool:
    until = stated.get("trained_until")
    return until is None or created > as_moment(str(until))


def as_moment(text: str) -> datetime:
    """A date or a time in ISO 8601; UTC where it names no zone. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# ---------------------------------------------------------------------------------------------------- outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One answer of a candidate beside its reference."""

    exchange_id: str
    place: int
    cluster: str
    stratum: Stratum
    day: int
    """Days since 1970 (UTC): repeats of a cluster count once a day."""
    answer: str
    confidence: float
    admitted: bool
    """Familiar enough, and not like a wary label: the gate alone decides."""
    answered: bool
    """False: the engine failed at it, again and again; served, it would escalate."""
    label: str | None
    """The reference in its comparable form, where the task has labels."""
    loss_local: float
    loss_hosted: float
    requests: int = 1
    """Exchanges of the evidence that this one stands for: the size of its cluster."""

    @property
    def difference(self) -> float:
        return self.loss_local - self.loss_hosted


class Verdict(StrEnum):
    MOVE = "MOVE"
    MOVE_PART = "MOVE PART"
    ADAPT = "ADAPT"
    KEEP = "KEEP"
    PIN = "PIN"
    MORE_DATA = "MORE DATA"
    SAY_WHAT_COUNTS = "SAY WHAT COUNTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of a candidate on some exchanges; the row of every table (DESIGN §6, last line)."""

    n: int
    clusters: int
    quality: float
    """Mean of 1 - loss_local."""
    quality_interval: Interval
    hosted_quality: float
    difference: float
    """Mean of d = loss_local - loss_hosted."""
    difference_interval: Interval
    worse: int
    """Flips against: the hosted answer was right and the local one wrong."""
    better: int
    """Flips in favour."""
    mcnemar_p: float | None
    """None when the losses are not binary."""
    minimum_detectable_difference: float
    n_needed: int | None
    """Exchanges needed to show non-inferiority at the margin, if the difference stays as it is; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFigures:
    """What becomes of the requests whose reference is one label."""

    label: str
    n: int
    covered: float
    """Share that is answered here."""
    wrong: float
    """Share that is answered here and wrong."""
    recall: float | None
    """Share of those answered here that are right; None: none is."""
    low: float
    high: float
    """95 % interval of the recall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFigures:
    """What one ledger of a candidate has come to: of new inputs, or of repeats of fitted ones."""

    stratum: Stratum
    bets: int
    """Exchanges that counted: one a cluster; of repeats one a cluster and day."""
    gate: int | None
    """Index of the widest certified gate; None: none is."""
    loss_upper: float
    """Bound on the mean loss difference among what that gate (or else the first one) covers, per input."""
    loss_per_request: float
    """Mean loss difference where each exchange counts, not each cluster."""
    shown_worse: bool
    """At the certified gate the loss difference is shown to be above the margin."""
    capital: float
    """Of the bet at the gate that is nearest to its certificate, as a share of what it needs; at least 1 there."""


End = Literal["refused", "dropped", "too few", "unfinished", "unmeasured", "waiting", "not shown", "certified"]
"""waiting: for a person to say which of two answers is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the evidence says of a candidate, as of the latest look."""

    id: str
    """One per candidate and criterion: the next look replaces it."""
    task_id: str
    candidate_id: str
    created: datetime
    end: End
    reason: str
    margin: float
    confidence: float
    """1 - alpha of the task."""
    rank: int
    """The how-many-th candidate of the task whose outcomes on evidence were seen; 0: none was looked at."""
    alpha: float
    """The candidate's share of the task's error budget."""
    gate: float | None = None
    """The confidence below which a request escalates; None: no gate is certified."""
    serves: tuple[Stratum, ...] = ()
    coverage: float = 0.0
    """Share of the task's requests that it may answer, on evidence."""
    whole: bool = False
    """It may answer all requests that look familiar."""
    loss_upper: float | None = None
    n: int = 0
    """Evidence exchanges with an outcome."""
    clusters: int = 0
    unanswered: int = 0
    """Of them, those at which the engine failed."""
    n_needed: int | None = None
    """Exchanges of the task with which it is expected to be certified; None: more would not help, or nobody knows."""
    ledgers: tuple[LedgerFigures, ...] = ()
    covered: Figures | None = None
    """On what it may answer; before a certificate, on what its first gate covers."""
    overall: Figures | None = None
    """On all evidence, whatever the confidence."""
    labels: tuple[LabelFigures, ...] = ()
    self_agreement: Interval | None = None
    """Of the hosted model with itself on repeated inputs: the ceiling of an agreement; None: no repeats."""
    warnings: tuple[str, ...] = ()
    certificate_id: str | None = None
    answers: int = 0
    """Answers that an engine gave for it, over all looks."""
    seconds: float = 0.0
    """Of this look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """An evaluation's verdict with its bound; its evidence bundle, of the same id, holds all that it rests on."""

    id: str
    """`cert-` and sixteen hex digits of the hash of its evidence bundle."""
    created: datetime
    task_id: str
    candidate_id: str
    criterion: Criterion
    n: int
    clusters: int
    margin: float
    confidence: float
    coverage: float
    gate: float
    serves: tuple[Stratum, ...]
    loss_upper: float
    quality: float
    labels: tuple[LabelFigures, ...] = ()
    licences: tuple[str, ...] = ()
    """Of the model and what it was made of, the model's own first."""
    renewed: datetime | None = None
    """When its latest evidence was looked at first: from here it holds for a while. None: when it was created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a task: for people, in order."""

    created: datetime
    task_id: str | None
    kind: str
    text: str
    """Sentences, with the next command where there is one."""
    figures: JsonObject = field(default_factory=dict[str, Any])
