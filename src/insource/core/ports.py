"""The seams between the parts. A part implements a port; workflows know only ports; `wiring` joins them.

Each port is as narrow as its use, so that a fake of it is a few lines (`core/fakes.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Literal, Protocol

from insource.core.catalogue import CatalogueModel, Selection, Wanted
from insource.core.evidence import Example
from insource.core.headers import Headers
from insource.core.scanning import Examined, ScanJob
from insource.core.stored_models import StoreListing
from insource.core.values import (
    EngineState,
    Familiar,
    JsonObject,
    LocalAnswer,
    ModelFile,
    OutputProfile,
    PrivacySpan,
    RecipeName,
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
    def is_here(self) -> bool:
        """What it is sent stays on this machine, or with somebody whom the user trusts like it."""
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


def _untold(what: str, done: int, total: int | None) -> None:
    """The progress that nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What a recipe that trains works with. Called again with the same examples and folder, it goes on from there."""

    folder: Path
    """Of its own: checkpoints, and what it makes."""
    base: ModelFile
    """The model that is trained."""
    threads: int = 1
    budget_seconds: float | None = None
    """It trains less where all would take longer; None: as long as it takes."""
    most_examples: int | None = None
    """None: as many as the recipe thinks useful."""
    progress: Callable[[str, int, int | None], None] = _untold
    """(what, done, total). An exception that it raises ends the training; the folder is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training left in the workspace."""

    adapter: Path
    """A GGUF adapter of the base."""
    seen: frozenset[str]
    """Ids of the examples that it was trained on: it can't be judged by these, nor by their clusters."""
    differs: Callable[[Upstream], Awaitable[str | None]]
    """Why what an engine serves is not what was trained, as sentences; None: it is. Asked of the adapter over the base
    in 16 bit, whose answers have no rounding of their own."""
    log: JsonObject
    """Of the training: seed, settings, losses, compute, versions of the libraries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What fitting a recipe gave."""

    fitted: Fitted
    held_out: Mapping[str, LocalAnswer] = field(default_factory=dict[str, LocalAnswer])
    """Exchange id -> the answer to an example by a fit that did not see its cluster, of as many examples as the recipe
    can give one of; none from a recipe that does not learn. Gates are set on these."""
    trained: Trained | None = None
    """From a recipe that `trains`."""


class Familiarity(Protocol):
    """Tells how much a request looks like those that a candidate was fitted beside."""

    def look(self, request: JsonObject) -> Familiar: ...

    def artifact(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a recipe can't serve a task."""

    reason: str
    """A sentence."""
    examples_needed: int | None = None
    """Examples in the fit part with which it could; None: examples are not what it lacks."""


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

    @property
    def meets(self) -> frozenset[Demand]:
        """Demands that it meets itself, whatever the engine can do."""
        ...

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        """Why it can't serve such a task with so many examples in the fit part; None: it can."""
        ...

    def fit(
        self, output: OutputProfile, examples: Sequence[Example], *, seed: int, workspace: Workspace | None = None
    ) -> Learnt:
        """Fits on the fit part only. Deterministic for a seed and a set of examples, in any order. Raises BadInput when
        these examples can't be learnt from. `workspace`: given where the recipe `trains`; then it blocks for minutes,
        and raises UsageError where the libraries of its extra are missing."""
        ...

    def load(self, artifact: bytes) -> Fitted: ...


class Scorer(Protocol):
    """Compares answers. `arguments` are the criterion's: labels, a schema, whatever the scorer documents."""

    @property
    def name(self) -> str: ...

    @property
    def costly(self) -> bool:
        """Scoring takes so long that every loss is kept: it must be the same for the same values."""
        ...

    def canonical(self, answer: str, arguments: JsonObject) -> str:
        """The form in which answers are compared: what is equal in it is the same answer."""
        ...

    def loss(self, answer: str, reference: str, *, request: JsonObject, arguments: JsonObject) -> float:
        """In [0, 1]; 0 is right. The same for the same values."""
        ...


class PrivacyDetector(Protocol):
    """One that also has `kinds: frozenset[str]` says all that it may find: then a policy that names another kind, a
    slip of the pen, is refused."""

    @property
    def linear_time(self) -> bool:
        """The time of a scan grows no faster than the text: then a scan has a limit in proportion to it."""
        ...

    def scan(self, text: str) -> Sequence[PrivacySpan]:
        """Spans in order of start. May raise: whoever calls treats an exception as "private" (fail closed)."""
        ...


class RequestScan(Protocol):
    """Scans whole requests, within a limit of processor time. Blocking; nothing of it raises."""

    def kinds(self, body: bytes) -> tuple[str, ...]:
        """The kinds of private data in a request's body, sorted; with `unscanned` where it was not read to its end."""
        ...

    def kinds_of(self, bodies: Sequence[bytes]) -> list[tuple[str, ...]]:
        """`kinds` of each, for whoever has many: cheaper than one by one."""
        ...

    def examine(self, job: ScanJob) -> Examined:
        """What is private in a request under a policy; with the masked body where the policy says mask."""
        ...

    def close(self) -> None:
        """Ends it at once, also while another thread is in `kinds`. Idempotent."""
        ...
