"""The published reports that the figures are held against. Numbers come from their texts only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from insource.core.ecosystem_report import Report

REPORTS: Mapping[str, Report] = {
    "spring": Report(
        title="State of Open Source on Hugging Face: Spring 2026",
        published=date(2026, 3, 17),
        address="huggingface.co/blog/huggingface/state-of-os-hf-spring-2026",
    ),
    "summer": Report(
        title="State of Open Models: Summer 2026 Observations",
        published=date(2026, 8, 14),
        address="huggingface.co/blog/state-of-open-models-summer-2026",
    ),
}
