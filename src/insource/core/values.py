"""The words of the product (DESIGN §1) as frozen values; those of evidence are in evidence.py. Plain data.

Times are timezone-aware UTC datetimes, money is US dollars, losses and shares lie in [0, 1] (a loss of 0 is right,
of 1 is wrong). "Not known" is None; "not sent" is an absent key in a JSON body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

JsonObject = dict[str, Any]
"""A decoded JSON object. Unknown keys stay in it: nothing that a client sent is dropped."""

ReferenceKind = Literal["hosted", "label", "feedback"]
RecipeName = str
"""`prompt`, `constrained`, `head`, or the name a plugin registered."""


# ---------------------------------------------------------------------------------------------------- traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where an exchange went and why; the content of the `x-insource-route` header."""

    upstream: str
    """`provider:<name>` or `engine:<name>`; `engine:<recipe>` for a recipe that answers here without a model file."""
    model: str
    reason: str
    task_id: str | None = None
    candidate_id: str | None = None
    certificate_id: str | None = None
    confidence: float | None = None
    pinned: bool = False


CHAT_ENDPOINT = "/v1/chat/completions"
CostSource = Literal["recorded", "list price", "estimate"]
"""Stated by the log or the provider; counted tokens at the list price; estimated tokens at the list price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What happened to an exchange on its way through the gateway that its route does not say."""

    escalated: bool = False
    """The local answer was below the gate, so the provider answered."""
    fallback: str | None = None
    """Class of the error for which the provider answered instead of the local side."""
    shadow_of: str | None = None
    """Id of the exchange that this one answers a second time; no client saw it."""
    covered: bool | None = None
    """Of such an answer: whether it would have been given to a client had the task been moved."""
    selected: bool = False
    """A move sent it to the provider for what it is, as a demand that the candidate can't meet: no sample."""
    share_of: str | None = None
    """Id of the exchange that was answered here, of which this is the provider's answer; no client saw it."""
    anchor_of: str | None = None
    """Id of the past exchange whose request was asked again, to see whether the answers changed; no client saw it."""

    @property
    def is_extra(self) -> bool:
        """A further answer to a request that is in the log already."""
        return any(of is not None for of in (self.shadow_of, self.share_of, self.anchor_of))

    @property
    def is_biased(self) -> bool:
        """The provider answered it because of what it is, or because the engine failed at it: no sample of its task."""
        return self.escalated or self.selected or self.fallback is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer. `request` and `response` are the bodies as they came, where they are JSON objects;
    what is no chat (`endpoint`) or can't be read is described in an object instead."""

    id: str
    created: datetime
    request: JsonObject
    response: JsonObject | None = None
    """None: no hosted answer was recorded (only a label is known), or the answer failed; then `status` says so."""
    status: int = 200
    latency_seconds: float | None = None
    cost_usd: float | None = None
    cost_source: CostSource | None = None
    """None where the cost is None."""
    reference: str | None = None
    reference_kind: ReferenceKind | None = None
    reference_correct: bool | None = None
    """Whether the *hosted* answer was correct, where a label or a user said so."""
    private_kinds: tuple[str, ...] | None = None
    """Kinds of personal data or secrets found in the request; () none; None: not scanned yet."""
    route: Route | None = None
    metadata: JsonObject = field(default_factory=dict[str, Any])
    endpoint: str = CHAT_ENDPOINT
    incomplete: str | None = None
    """Why the answer is not whole, as the end of a sentence ("its stream was cut"); None: it is, or there is none
    (see `status`)."""
    marks: Marks = Marks()

    @property
    def is_whole(self) -> bool:
        """Answered in full: what may be shown, priced and compared as an answer."""
        return self.status == 200 and self.response is not None and self.incomplete is None


class OutputKind(StrEnum):
    LABEL = "label"
    JSON = "json"
    NUMBER = "number"
    TOOL_CALL = "tool_call"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputProfile:
    """What a task's answers look like."""

    kind: OutputKind
    labels: tuple[str, ...] = ()
    """For LABEL: the observed labels in the surface form that the application receives, sorted."""
    json_schema: JsonObject | None = None
    """For JSON: a schema that every observed answer satisfies (from `response_format` or inferred)."""


MatcherKind = Literal["declared", "contains", "system", "prefix", "shape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """How a request is recognised as belonging to a task; tried in the order of `MatcherKind`."""

    kind: MatcherKind
    value: str
    """declared: the app's own name; contains: a text; system: hash of system prompt and tool set; prefix: the text
    that the request begins with; shape: an output kind (known only after the answer, never routed)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A recurring kind of request."""

    id: str
    """`task-` and eight hex digits of the hash of its first matcher: the same traffic gives the same id."""
    name: str
    matchers: tuple[Matcher, ...]
    output: OutputProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFigures:
    """What the log holds of a task. Shares are of `exchanges`."""

    exchanges: int
    inputs: int
    """Distinct inputs; equal inputs are one."""
    with_reference: int
    reference_kinds: tuple[ReferenceKind, ...]
    first_created: datetime
    last_created: datetime
    cost_usd: float
    cost_estimated_share: float
    latency_p50_seconds: float | None
    private_share: float
    examples: tuple[str, ...]
    """Three requests without private data, shortened; fewer where there are not so many."""


# ---------------------------------------------------------------------------------------- models and candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """A model file on disk."""

    ref: str
    """What the user names: `org/name:quant`, `org/name:file.gguf`, `file:/path`, `wheel:package`."""
    path: Path
    sha256: str
    size_bytes: int
    source: str
    license: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model behind a server that somebody else runs."""

    url: str
    """Its base URL, without `/v1`."""
    name: str
    """As the server calls it; empty: the first that it offers."""

    @property
    def ref(self) -> str:
        return f"{SERVER_PREFIX}{self.url}#{self.name}"

    @property
    def sha256(self) -> str:
        """Of the reference: what the server runs under this name is the server's word."""
        return hashlib.sha256(self.ref.encode()).hexdigest()


Model = ModelFile | ServedModel
SERVER_PREFIX = "server:"


def served_model(ref: str) -> ServedModel | None:
    """What `server:URL#NAME` means; None for another reference."""
    if not ref.startswith(SERVER_PREFIX):
        return None
    url, _, name = ref.removeprefix(SERVER_PREFIX).partition("#")
    return ServedModel(url=url.rstrip("/").removesuffix("/v1"), name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How a local model is run; part of a candidate's identity, because it changes answers."""

    context_tokens: int = 8192
    """In all; each slot has context_tokens / slots."""
    slots: int = 4
    threads: int | None = None
    """None: the number of physical cores that this process may use."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAnswer:
    """An answer given here, with how sure the recipe is of it."""

    text: str
    confidence: float
    """In [0, 1]; only its order matters to a gate, so it need not be a probability."""
    completion: JsonObject | None = None
    """The engine's OpenAI chat completion; None when no engine was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Familiar:
    """How much a request looks like those that a candidate was fitted beside."""

    score: float
    """Higher is more familiar; comparable only within one fit."""
    probabilities: Mapping[str, float] | None = None
    """Of the task's labels; None where it has none."""


# ---------------------------------------------------------------------------------------------------- routing


class Stage(StrEnum):
    OBSERVE = "observe"
    SHADOW = "shadow"
    CANARY = "canary"
    LIVE = "live"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A task's route."""

    task_id: str
    candidate_id: str
    stage: Stage
    gate: float
    certificate_id: str | None
    """None: moved by hand without a certificate, which `move` allows only when told so."""
    canary_share: float
    changed: datetime
    reason: str
    serves: tuple[str, ...] = ("new", "repeats")
    """Which requests the candidate may answer: `new` inputs, `repeats` of those that it was fitted on, or both."""
    engine: str | None = None
    """Reference of the model that answers, where the candidate's answers were made elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A hard rule that every request of a task stays local. It outranks the task's move."""

    task_id: str
    changed: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySpan:
    """A piece of personal data or a secret; `start` and `end` are character offsets, end exclusive."""

    start: int
    end: int
    kind: str
    confidence: float


# ---------------------------------------------------------------------------------------------------- engines


class EngineState(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"
