"""The JSON of a scout (DESIGN §8: fields are added, never renamed): every factor with its value and its rank."""

from __future__ import annotations

from insource.core.values import JsonObject
from insource.fit.values import Estimate
from insource.hub.licences import licence_class
from insource.hub.published import published_json
from insource.workflows.choose.scout import ScoutReport, closing_steps, long_request
from insource.workflows.choose.shortlist import RULE, Measurement, Ranked
from insource.workflows.choose.sift import Removed


def scout_json(report: ScoutReport, *, everything: bool = False) -> JsonObject:
    """`everything`: the whole ranked list instead of the shortlist."""
    needs = report.needs
    return {
        "task": None if report.task is None else {"id": report.task.id, "name": report.task.name},
        "machine": report.machine.name,
        "catalogue": {
            "as_of": report.as_of.isoformat(),
            "rows": report.listed,
            "models": report.models,
            "rows_left_out": dict(report.left_out),
        },
        "licences_read": "chain" if report.chain_read else "label",
        "lineage": {
            "as_of": None if report.lineage_as_of is None else report.lineage_as_of.isoformat(),
            "repositories_stating_parents": report.stating_parents,
        },
        "purpose": report.purpose,
        "needs": {
            "languages": list(needs.languages),
            "context_tokens": needs.context_tokens,
            "images": needs.images,
            "tools": needs.tools,
            "specialised": needs.specialised,
            "convertible": needs.convertible,
            "licenses": str(needs.licences),
            "floor": report.question.floor,
            "spill": report.question.spill,
            "long_request_tokens": dict(zip(("prompt", "answer"), long_request(report.fit), strict=True)),
            "latency_seconds": needs.latency_seconds,
            "requests_per_minute": needs.requests_per_minute,
            "exchanges_read": None if report.traffic is None else report.traffic.exchanges,
            "tokens_estimated_share": None if report.traffic is None else report.traffic.estimated_share,
        },
        "removed": [_removed(item) for item in report.removed],
        "candidates": len(report.ranked),
        "cannot_say": report.cannot_say,
        "rule": RULE,
        "models": [model_json(item) for item in (report.ranked if everything else report.shortlist)],
        "next_steps": [] if report.ranked else list(closing_steps(report)),
    }


def _removed(item: Removed) -> JsonObject:
    return {
        "filter": item.filter,
        "asked": item.asked,
        "removed": item.removed,
        "cannot_say": item.cannot_say,
        "reasons": dict(item.reasons),
        "next_step": item.next_step,
    }


def model_json(item: Ranked) -> JsonObject:
    model, fit, evidence = item.found.model, item.found.fit, item.evidence
    activity, arena, licence = evidence.activity, evidence.arena, item.found.licence
    return {
        "position": item.position,
        "band": item.band,
        "id": model.id,
        "family": item.family,
        "parameters": model.parameters,
        "active_parameters": fit.active_parameters or model.active_parameters,
        "license": model.license,
        "license_class": licence_class(model.license),
        "effective_license": licence.strictest.license,
        "effective_license_class": licence.strictest.licence_class,
        "effective_license_from": licence.strictest.id,
        "context_tokens": fit.context_tokens,
        "languages": list(model.languages),
        "images": item.found.purpose.images,
        "tools_stated": item.found.purpose.tools,
        "specialised_in": item.found.purpose.field,
        "gguf_repositories": list(item.found.group.gguf_repositories),
        "quantization": fit.quantization,
        "needed_bytes": fit.needed_bytes,
        "decode_tokens_per_second": _estimate(fit.decode),
        "prefill_tokens_per_second": _estimate(fit.prefill),
        "long_request_seconds": fit.seconds,
        "carries_rate": fit.carries_rate,
        "unknown": list(fit.unknown),
        "factors": {
            "this_task": [_measurement(m) for m in evidence.this_task],
            "other_tasks": [_measurement(m) for m in evidence.other_tasks],
            "copies": activity.copies,
            "derivatives": activity.derivatives,
            "recent_derivatives": activity.recent_derivatives,
            "downloads_30_days": model.downloads,
            "downloads_percentile": activity.downloads_percentile,
            "likes": model.likes,
            "likes_percentile": activity.likes_percentile,
            "arena": None
            if arena is None
            else {"name": arena.name, "score": arena.score, "low": arena.low, "high": arena.high, "votes": arena.votes},
            "age_months": activity.age_months,
        },
        "published": published_json(evidence.published),
        "tier": item.tier,
        "ranks": dict(item.ranks),
        "mean_rank": item.mean_rank,
    }


def _estimate(value: Estimate | None) -> JsonObject | None:
    return None if value is None else {"low": value.low, "mid": value.mid, "high": value.high}


def _measurement(item: Measurement) -> JsonObject:
    return {
        "task": item.task_id,
        "candidate": item.candidate_id,
        "recipe": item.recipe,
        "end": item.end,
        "n": item.n,
        "quality": item.quality,
        "quality_interval": {"low": item.quality_interval.low, "high": item.quality_interval.high},
        "coverage": item.coverage,
        "certificate": item.certificate_id,
    }
