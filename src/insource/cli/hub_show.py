"""`insource hub show`: one page on a model: facts, family, licence chain, what the community built on it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.cli.options import EvidenceOption, JsonOption, QuietOption
from insource.cli.output import Output
from insource.cli.session import load_settings

if TYPE_CHECKING:
    from insource.core.ecosystem import EffectiveLicence, Link, Page

BomOption = Annotated[
    Path | None, typer.Option("--bom", metavar="FILE.json", help="Also write an AI bill of materials (CycloneDX 1.7).")
]
HubModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The model's Hub id, such as Qwen/Qwen2.5-7B.")]
_SHOWN_LINKS = 25
_SHOWN_SPACES = 3


def show(
    model: HubModelArgument,
    bom: BomOption = None,
    evidence: EvidenceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show a model's facts, its family, the licence that its whole chain implies, and what was built on it."""
    from insource.hub.published import published_json, published_sentence, read_published
    from insource.workflows.ecosystem.show import page_json

    published = read_published(load_settings().home, evidence)
    page = _page(model)
    copied_from = [one.id for one in page.parents if one.kind == "quantized" and not one.told_by_files]
    scores = published.of(page.facts.id, copied_from=copied_from)
    if bom is not None:
        _write_bom(page, bom)
    out = Output(as_json=as_json, quiet=quiet)
    if as_json:
        out.data(page_json(page) | {"published": published_json(scores)})
    else:
        _print(page, out)
        for score in scores:
            out.text(f"Published by others, not measured here: {published_sentence(score)}")


def _page(model: str) -> Page:
    from insource.wiring_choose import open_ecosystem

    with open_ecosystem(load_settings(), files=True) as ecosystem:
        return ecosystem.page(model)


def _write_bom(page: Page, path: Path) -> None:
    import json

    from insource import __version__
    from insource.core.errors import StorageError
    from insource.hub.bom import ai_bom, files_of
    from insource.wiring import open_models

    stored = (model for store in open_models(load_settings()).stores for model in store.read().models)
    document = ai_bom(
        page.facts,
        page.licence,
        made_at=datetime.now(UTC),
        tool_version=__version__,
        files=files_of(page.facts.id, stored),
    )
    try:
        path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise StorageError(
            f"The bill of materials can't be written to {str(path)!r}: {error.strerror}.",
            next_step="Name another file.",
        ) from error


def _print(page: Page, out: Output) -> None:
    facts, licence = page.facts, page.licence
    out.text(_clean(f"{facts.id} · as of {page.as_of}"))
    out.text(_clean(_facts_line(page)))
    out.table(
        "Licence chain",
        ("model", ">steps up", "licence", "class", ""),
        [
            (
                _clean(link.id),
                str(link.steps),
                _clean(link.license or "not stated"),
                link.licence_class,
                _remarks(link, licence),
            )
            for link in licence.links[:_SHOWN_LINKS]
        ],
    )
    if len(licence.links) > _SHOWN_LINKS:
        out.text(f"… and {len(licence.links) - _SHOWN_LINKS} more ancestors; --json lists all.")
    for sentence in licence.duties:
        out.text(f"- {_clean(sentence)}")
    _print_family(page, out)
    if page.note:
        out.say(page.note)


def _remarks(link: Link, licence: EffectiveLicence) -> str:
    remarks = (
        (link == licence.strictest and bool(link.license), "in force"),
        (link in licence.conflicts, "stricter than the label"),
        (link.told_by_files, "told by files, not declared"),
    )
    return ", ".join(text for holds, text in remarks if holds)


def _print_family(page: Page, out: Output) -> None:
    for one in page.parents:
        out.text(_clean(f"From {one.id} ({one.kind}; {one.evidence}, confidence {one.confidence:.2f})."))
    if page.family:
        out.text(_clean(f"Of the family of {page.family}."))
    if page.derivatives is not None:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in page.by_kind.items())
        out.text(
            f"Derivatives: {page.derivatives.direct:,} direct{f' ({kinds})' if kinds else ''}, "
            f"{page.derivatives.transitive:,} over any number of steps, {page.derivatives.by_tag:,} by tag."
        )
    if page.top:
        rows = [(_clean(id), kind, _count(downloads)) for id, kind, downloads in page.top]
        out.table("Built on it", ("model", "kind", ">downloads, 30 days"), rows)
    if page.spaces is not None:
        liked = ", ".join(f"{id} ({_count(likes)} likes)" for id, likes in page.spaces.top[:_SHOWN_SPACES])
        out.text(_clean(f"Spaces that name it: {page.spaces.count:,}{f', most liked {liked}' if liked else ''}."))
    if page.offers:
        offered = [
            (_clean(offer.id), offer.format or "-", offer.quantization or "-", _count(offer.downloads), offer.evidence)
            for offer in page.offers[:_SHOWN_LINKS]
        ]
        columns = ("repository", "format", "quantisation", ">downloads, 30 days", "known by")
        out.table(f"Offered in other formats ({len(page.offers):,})", columns, offered)


def _facts_line(page: Page) -> str:
    facts = page.facts
    size = "size not stated"
    if facts.size.value is not None:
        size = f"{_parameters(facts.size.value)} parameters ({facts.size.method}; sources: {facts.size.agreement})"
    return " · ".join(
        part
        for part in (
            size,
            f"{_parameters(facts.active_parameters)} active" if facts.active_parameters else "",
            f"context {facts.context_tokens:,} tokens" if facts.context_tokens else "",
            facts.task or "",
            " ".join(part for part in (facts.format, facts.quantization) if part),
            facts.library or "",
            "languages " + ", ".join(facts.languages[:8]) if facts.languages else "",
            f"gated: {facts.gated}" if facts.gated not in (None, "no") else "",
            f"{facts.downloads:,} downloads in 30 days" if facts.downloads is not None else "",
        )
        if part
    )


def _parameters(value: int) -> str:
    return f"{value / 1e9:,.2f} B" if value >= 1e9 else f"{value / 1e6:,.1f} M"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _clean(text: str) -> str:
    """A stranger's text for a terminal."""
    return "".join(c for c in text if c.isprintable())
