"""The open-model ecosystem as values, and the port that answers with them: made by `hub/`, read by commands.

Whoever asks sees no table and no connection. Of a figure's definition and its rows see `core/ecosystem_report.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from insource.core.ecosystem_report import Taken

if TYPE_CHECKING:
    from insource.core.ecosystem_search import Hits, Search

# ---------------------------------------------------------------------------------------------------- licences

LicenceClass = Literal[
    "permissive", "copyleft", "open-model", "community", "behavioural", "non-commercial", "proprietary", "unknown"
]
"""permissive: any use, terms on attribution at most (OSI-approved, public domain, CC-BY);
copyleft: any use, but derivatives or services carry the licence on;
open-model: a vendor's own licence for models, any use, commercial too, with terms on attribution, patents or naming;
community: commercial use with limits on who (users, revenue), or an acceptable-use policy with a vendor's own terms;
behavioural: uses are restricted (RAIL and its kind);
non-commercial: research or private use only;
proprietary: no right to run it is given;
unknown: not stated, not in the table, or "other"."""


class Policy(Protocol):
    def allows(self, license: str | None) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One model of a chain."""

    id: str
    steps: int
    """Edges between it and the model asked about, by the shortest way; 0: the model itself."""
    license: str | None
    licence_class: LicenceClass
    told_by_files: bool = False
    """No way to it is declared from end to end: a step of each is one that files tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveLicence:
    links: tuple[Link, ...]
    """The model itself, then its ancestors, nearest first."""
    strictest: Link
    """Whose licence is in force; the model itself where none is known."""
    conflicts: tuple[Link, ...]
    """Ancestors that are stricter than the label says."""
    unstated: tuple[Link, ...]
    """Of no known licence, the model itself included."""
    duties: tuple[str, ...]
    """Sentences: of every licence in the chain, the model's own first."""

    def refusals(self, policy: Policy) -> tuple[Link, ...]:
        """What a policy does not allow. A licence that nobody stated is refused unless `unknown` is allowed."""
        return tuple(link for link in self.links if not policy.allows(link.license))


# ----------------------------------------------------------------------------------------------- one model's page

Method = Literal["safetensors", "safetensors unpacked", "gguf", "name", "none"]
Agreement = Literal["agree", "differ", "one source", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    value: int | None
    """Parameters; None: no source says."""
    method: Method
    agreement: Agreement
    """Of the sources that say anything about this repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """None or empty: not stated."""

    id: str
    size: Size
    active_parameters: int | None
    """Of a mixture of experts."""
    context_tokens: int | None
    format: str
    quantization: str
    library: str | None
    task: str | None
    model_type: str | None
    languages: tuple[str, ...]
    gated: str | None
    license: str | None
    downloads: int | None
    """Of the last 30 days."""
    likes: int | None
    sha: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The model in another format or precision."""

    id: str
    owner: str
    format: str
    quantization: str
    downloads: int | None
    evidence: str
    """`lineage`, `name` (the same words but for the format), or `catalogue`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    id: str
    kind: str
    evidence: str
    confidence: float
    told_by_files: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivatives:
    """Counted in three ways that differ by an order of magnitude (`hub/lineage/counts.py`)."""

    direct: int
    transitive: int
    by_tag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spaces:
    """Apps on the Hub that name the model."""

    count: int
    top: tuple[tuple[str, int | None], ...]
    """(id, likes), the most liked first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    facts: Facts
    family: str | None
    """The most downloaded of its ancestors without parents; None where it is such a one itself."""
    parents: tuple[Parent, ...]
    licence: EffectiveLicence
    derivatives: Derivatives | None
    """None: this source holds no lineage."""
    by_kind: Mapping[str, int]
    """Direct derivatives by kind."""
    top: tuple[tuple[str, str, int | None], ...]
    """Direct derivatives (id, kind, downloads), the most downloaded first."""
    spaces: Spaces | None
    """None: no snapshot of Spaces is here."""
    offers: tuple[Offer, ...]
    as_of: date
    note: str
    """What this source can't say, and what to do about it; "" for nothing."""


# -------------------------------------------------------------------------------------------------------- lineage


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The columns of every table of edges (DESIGN 8)."""

    child: str
    parent: str
    kind: str
    """finetune, adapter, quantized, merge; altered where a declared quantisation is not the parent any more; derived
    where nobody says which."""
    evidence: str
    confidence: float
    """Chance that the edge is true, as measured where edges are declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode:
    """A model in a tree of descendants. A model with several parents in it has its children at its first place only."""

    id: str
    kind: str
    """Of the edge from the model above; "" of the first."""
    downloads: int | None
    direct: int
    transitive: int
    shown_above: bool = False
    children: tuple[TreeNode, ...] = ()
    folded: tuple[tuple[str, int], ...] = ()
    """Children that are not shown, by kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredCounts:
    """What became of the declared parents."""

    stated: int
    """Distinct (child, name) pairs."""
    edges: int
    """After repair; two names may turn out to be one parent."""
    by_evidence: dict[str, int]
    unresolved: dict[str, int]
    """By reason. Parents that the snapshot does not list stay edges too: their children are still siblings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One root in a window of days."""

    root: str
    per_week: float
    per_week_before: float
    """In the window of the same length before."""
    published: int
    """All derivatives in the window, before any guard."""
    owners: int
    """Whose derivatives count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trends:
    rule: str
    """How derivatives are counted, for people."""
    roots: Sequence[Trend]
    until: date | None
    """The window's last day; None: no row states what it needs."""
    stating: int
    """Models that state when they were created, their parents and their downloads."""
    listed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenEdges:
    edges: int
    inferred: Mapping[str, int]
    """By what told them: `files`, `name`, `learned`."""


# -------------------------------------------------------------------------------------------- between two snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    id: str
    downloads: int | None
    """Between the two days."""
    last_30_days_first: int | None
    last_30_days_last: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was downloaded between two snapshots, as far as they can tell."""

    first: date
    last: date
    """Of the snapshots used."""
    both: int
    """Ids in both; only these have a row."""
    only_first: int
    only_last: int
    differences: int
    """Ids with a difference of all downloads."""
    fell: int
    """Ids whose count of all downloads fell."""
    thirty_days: int
    """Ids with the last 30 days of each day."""
    rows: Sequence[WindowRow] = ()
    """The most downloaded first."""


# ------------------------------------------------------------------------------------------------------------ ports

Inferred = Literal["none", "told", "learned"]
"""Which inferred edges are added to the declared ones: those that files and names tell, or the learned ones too."""


class Ecosystem(Protocol):
    """What is known of the Hub as of a day: models, what was built on what, and what is used."""

    @property
    def as_of(self) -> date: ...

    @property
    def described(self) -> str:
        """Which snapshot it is, for people."""
        ...

    def page(self, model: str) -> Page:
        """Raises UnknownModel."""
        ...

    def search(self, asked: Search) -> Hits:
        """Models by words and by what they state. Raises UsageError where this source can't tell."""
        ...

    def declared(self) -> DeclaredCounts: ...

    def tree(self, model: str, *, depth: int = 3, most: int = 12, direct: bool = False) -> TreeNode:
        """The descendants of a model, at most `most` children of each: those with the most descendants, then downloads.
        With `direct`, copies by intermediaries are passed over. Raises UnknownModel."""
        ...

    def trends(self, *, days: int, rows: int = 20) -> Trends:
        """The roots that are built upon fastest in the last `days` of the snapshot."""
        ...

    def write_edges(self, out: Path, *, inferred: Inferred = "none") -> WrittenEdges:
        """As Parquet: child, parent, kind, evidence, confidence. Raises StorageError."""
        ...

    def report(
        self, *, only: Sequence[str] = (), organisations: Path | None = None, since: date | None = None
    ) -> Taken:
        """The figures, with those of a window since a snapshot of that day. Raises UsageError, BadInput."""
        ...
