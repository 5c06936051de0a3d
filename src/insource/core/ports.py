"""The seams between the parts. A part implements a port; workflows know only ports; `wiring.py` joins them.

Each port is as narrow as its use, so that a fake of it is a few lines (`core/fakes.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal, Protocol

from insource.core.catalogue import CatalogueModel, Selection, Wanted
from insource.core.headers import Headers
from insource.core.stored_models import StoreListing
from insource.core.values import (
    Candidate,
    Certificate,
    EngineState,
    Evaluation,
    Example,
    Exchange,
    JsonObject,
    LocalAnswer,
    ModelFile,
    Move,
    Outcome,
    OutputProfile,
    Pin,
    PrivacySpan,
    RecipeName,
    Task,
)


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, UTC and timezone-aware."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; for durations."""
        ...


# ------------------------------------------------------------------------------------------------- upstreams


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request to an upstream. `body` goes out byte for byte."""

    path: str
    """From the root, with its query, percent-encoded as it is sent: `/v1/chat/completions`."""
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None
    """The body in chunks that go out as they come; then `body` is empty."""
    headers: Headers = ()
    """To forward; never those of a connection, never the client's own key unless the provider says so."""
    method: str = "POST"


async def _nothing() -> None:
    return None


@dataclass(slots=True, kw_only=True)
class Reply:
    """An upstream's answer; `chunks` is consumed once. A connection cut before the end raises UpstreamError from
    `chunks`: it never ends as if all were well. Always `close()`, also after an error or a client that went away."""

    status: int
    headers: Headers
    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]] = _nothing

    async def read(self) -> bytes:
        """The whole body; closes."""
        try:
            return b"".join([chunk async for chunk in self.chunks])
        finally:
            await self.close()


class Upstream(Protocol):
    """Anything that answers: a provider or an engine."""

    @property
    def name(self) -> str:
        """`provider:openai`, `engine:llamacpp`, ..."""
        ...

    async def send(self, call: Call) -> Reply:
        """Answers as soon as the status line is there.

        Raises UpstreamError when no HTTP answer can be had; an HTTP error status is a Reply, not an exception.
        """
        ...

    async def close(self) -> None: ...


_Content = Literal["images", "audio", "files"]
Demand = Literal[_Content, "tools", "functions", "web search", "several choices", "log probabilities"]
"""What a request may ask for beyond one text: dropping it silently would change the answer. `functions` are tools in
the form that OpenAI retired, which llama.cpp does not read; `files` stands for every kind of content not known here."""


class Engine(Upstream, Protocol):
    """A local runtime with one model. `send` on an engine that is not ready raises EngineFailed at once."""

    @property
    def honours(self) -> frozenset[Demand]:
        """Demands that this model can meet here; known before it is started."""
        ...

    @property
    def state(self) -> EngineState: ...

    @property
    def model(self) -> str: ...

    async def start(self) -> None:
        """Blocks until ready; raises EngineFailed with the last lines of its stderr. Idempotent."""
        ...

    async def stop(self) -> None:
        """Blocks until the process is gone: within 5 s, killed after. Idempotent."""
        ...


class ModelSource(Protocol):
    """One place that model files come from (`hub`, `wheel`, `file`)."""

    @property
    def scheme(self) -> str: ...

    def fetch(self, ref: str, *, progress: Callable[[int, int | None], None]) -> ModelFile:
        """Downloads or finds the file; progress(done_bytes, total_bytes). Raises DownloadFailed, BadModelFile."""
        ...


class Catalogue(Protocol):
    """The open models that exist, as of a day."""

    @property
    def as_of(self) -> date: ...

    def select(self, wanted: Wanted) -> Selection:
        """All that were wanted, or the most downloaded of them; what is left out is counted."""
        ...

    def find(self, id: str) -> CatalogueModel | None:
        """By `org/name`, whatever the case."""
        ...


class ModelStore(Protocol):
    """A folder of model files that some tool keeps: read, never written."""

    @property
    def name(self) -> str:
        """The scheme of its references: `hub`, `ollama`, `lmstudio`, `llamacpp`, `file`."""
        ...

    @property
    def folder(self) -> Path: ...

    def read(self) -> StoreListing:
        """What its layout says; opens no model file, and nothing outside of the folder. Never raises: a bad entry
        carries its problem or is skipped with a sentence, and hides no other."""
        ...


# --------------------------------------------------------------------------------------------------- recipes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request body to send to the engine; `Fitted.read` turns its completion into an answer."""

    body: JsonObject


class Fitted(Protocol):
    """A recipe fitted to one task. Pure: whoever holds it does the asking."""

    def prepare(self, request: JsonObject) -> Ask | LocalAnswer:
        """What to ask the engine, or the answer itself when the recipe needs no model."""
        ...

    def read(self, completion: JsonObject) -> LocalAnswer:
        """The answer with its confidence, from the completion that `prepare`'s body got."""
        ...

    def artifact(self) -> bytes:
        """Everything needed to load it again, in a canonical form that holds no code (never a pickle)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a recipe can't serve a task."""

    reason: str
    """A sentence."""
    examples_needed: int | None = None
    """Examples in the train part with which it could; None: examples are not what it lacks."""


class Recipe(Protocol):
    """How a model is fitted to a task. What a recipe can do is data here; nobody asks for it by its name."""

    @property
    def name(self) -> RecipeName: ...

    @property
    def effort(self) -> int:
        """Order in which recipes are tried: the least effort first."""
        ...

    @property
    def learns(self) -> bool:
        """What it answers depends on the examples that it was fitted on."""
        ...

    @property
    def asks_model(self) -> bool:
        """It needs an engine with a model to answer."""
        ...

    @property
    def trains(self) -> bool:
        """Fitting it makes a model file or an adapter: minutes of work, and libraries of an extra."""
        ...

    @property
    def streams(self) -> bool:
        """`read` gives the engine's text back unchanged, so the engine's own stream may be the answer."""
        ...

    @property
    def honours(self) -> frozenset[Demand]:
        """Demands that it hands on to the engine."""
        ...

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        """Why it can't serve such a task with so many examples in the train part; None: it can."""
        ...

    def fit(self, output: OutputProfile, examples: Sequence[Example], *, seed: int) -> Fitted:
        """Fits on the train part only. Deterministic for a seed and a set of examples, in any order."""
        ...

    def load(self, artifact: bytes) -> Fitted: ...


class Scorer(Protocol):
    @property
    def name(self) -> str: ...

    def loss(self, answer: str, reference: str) -> float:
        """In [0, 1]; 0 is right. Pure."""
        ...


class PrivacyDetector(Protocol):
    @property
    def linear_time(self) -> bool:
        """The time of a scan grows no faster than the text: then a scan has a limit in proportion to it."""
        ...

    def scan(self, text: str) -> Sequence[PrivacySpan]:
        """Spans in order of start. May raise: whoever calls treats an exception as "private" (fail closed)."""
        ...


class RequestScan(Protocol):
    """Scans whole requests, within a limit of processor time. Blocking."""

    def kinds(self, body: bytes) -> tuple[str, ...]:
        """The kinds of private data in a request's body, sorted; with `unscanned` where it was not read to its end.
        Never raises."""
        ...

    def close(self) -> None:
        """Ends it at once, also while another thread is in `kinds`. Idempotent."""
        ...


# --------------------------------------------------------------------------------------------------- storage


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFilter:
    task_id: str | None = None
    ids: frozenset[str] | None = None
    since: datetime | None = None
    upstream: str | None = None
    """The beginning of the route's upstream, as `engine:`; exchanges without a route (imported ones) never match."""
    unscanned: bool = False
    """Only those whose request was not scanned for private data yet."""
    newest: int | None = None
    """Only so many of those that match the rest, the newest; still read in the order of the log."""


class ExchangeStore(Protocol):
    """The exchange log. Order is (created, id)."""

    def append(self, exchanges: Iterable[Exchange]) -> int:
        """Writes in one transaction; an id that is already there is left as it is. Returns how many were new."""
        ...

    def read(self, where: ExchangeFilter = ...) -> Iterator[Exchange]: ...

    def count(self) -> int: ...

    def count_before(self, moment: datetime) -> int:
        """How many exchanges are older."""
        ...

    def prune(self, before: datetime) -> int:
        """Deletes what is older and gives its space back to the disk. Returns how many were deleted."""
        ...

    def assign(self, task_of: Mapping[str, str]) -> None:
        """Replaces all assignments: exchange id -> task id."""
        ...

    def assignments(self) -> dict[str, str]: ...

    def set_private_kinds(self, kinds_of: Mapping[str, tuple[str, ...]]) -> None:
        """Exchange id -> kinds that a later scan found; ids that are not in the log are passed over."""
        ...

    def set_reference(self, exchange_id: str, *, reference: str, kind: str) -> None: ...


class Registry(Protocol):
    """What was found, made and decided. Every `put` replaces the row with the same id."""

    def put_tasks(self, tasks: Iterable[Task]) -> None:
        """Replaces all tasks."""
        ...

    def tasks(self) -> list[Task]: ...

    def put_candidate(self, candidate: Candidate) -> None: ...

    def candidates(self, task_id: str | None = None) -> list[Candidate]: ...

    def put_evaluation(self, evaluation: Evaluation, outcomes: Sequence[Outcome]) -> None: ...

    def evaluations(self, task_id: str | None = None) -> list[Evaluation]: ...

    def outcomes(self, evaluation_id: str) -> list[Outcome]: ...

    def put_certificate(self, certificate: Certificate, evaluation_id: str) -> None: ...

    def certificate(self, certificate_id: str) -> tuple[Certificate, str] | None:
        """With the id of its evaluation."""
        ...

    def put_move(self, move: Move) -> None:
        """Sets the task's move and keeps the former in the history."""
        ...

    def moves(self) -> list[Move]:
        """The move in force of every task that ever had one."""
        ...

    def move_history(self, task_id: str) -> list[Move]: ...

    def put_pin(self, pin: Pin) -> None: ...

    def pins(self) -> list[Pin]: ...

    def remove_pin(self, task_id: str) -> None:
        """A task that has no pin stays as it is."""
        ...

    def put_artifact(self, data: bytes) -> str:
        """Stores bytes under their sha256 and returns it."""
        ...

    def artifact(self, sha256: str) -> bytes: ...

    def fact(self, name: str) -> str | None:
        """A single value about the store, as the privacy mode that it was begun under."""
        ...

    def put_fact(self, name: str, value: str) -> None: ...

    def revision(self) -> int:
        """Grows with every change of tasks, candidates, moves or pins; a gateway reloads when it sees a new one."""
        ...
