"""`insource hub show`: a model's page as JSON (DESIGN §8), and the facts beside it."""

from __future__ import annotations

from typing import Any

from insource.core.ecosystem import Link, Page


def page_json(page: Page) -> dict[str, Any]:
    """DESIGN §8, and the facts beside it."""
    facts, licence = page.facts, page.licence
    counted = page.derivatives
    return {
        "id": facts.id,
        "parameters": facts.size.value,
        "parameters_method": facts.size.method,
        "parameters_agreement": facts.size.agreement,
        "active_parameters": facts.active_parameters,
        "context_tokens": facts.context_tokens,
        "format": facts.format or None,
        "quantization": facts.quantization or None,
        "library": facts.library,
        "task": facts.task,
        "model_type": facts.model_type,
        "languages": list(facts.languages),
        "gated": facts.gated,
        "downloads": facts.downloads,
        "likes": facts.likes,
        "license": facts.license,
        "license_class": licence.links[0].licence_class,
        "effective_license": licence.strictest.license,
        "effective_license_class": licence.strictest.licence_class,
        "license_chain": [_link_json(link) for link in licence.links],
        "license_conflicts": [_link_json(link) for link in licence.conflicts],
        "license_unstated": [link.id for link in licence.unstated],
        "duties": list(licence.duties),
        "family": page.family,
        "parents": [
            {"id": one.id, "kind": one.kind, "evidence": one.evidence, "confidence": one.confidence}
            for one in page.parents
        ],
        "derivatives": {
            "direct": counted.direct if counted else None,
            "transitive": counted.transitive if counted else None,
            "by_tag": counted.by_tag if counted else None,
        },
        "derivatives_by_kind": dict(page.by_kind),
        "top_derivatives": [{"id": id, "kind": kind, "downloads": downloads} for id, kind, downloads in page.top],
        "spaces": None
        if page.spaces is None
        else {"count": page.spaces.count, "top": [{"id": id, "likes": likes} for id, likes in page.spaces.top]},
        "offers": [
            {
                "id": offer.id,
                "format": offer.format or None,
                "quantization": offer.quantization or None,
                "downloads": offer.downloads,
                "evidence": offer.evidence,
            }
            for offer in page.offers
        ],
        "as_of": page.as_of.isoformat(),
        "note": page.note or None,
    }


def _link_json(link: Link) -> dict[str, Any]:
    return {
        "id": link.id,
        "steps": link.steps,
        "license": link.license,
        "class": link.licence_class,
        "told_by_files": link.told_by_files,
    }
