"""How long a certificate holds: a while without new evidence, and only for the criterion that it was given under."""

from __future__ import annotations

from datetime import timedelta

from insource.core.evidence import Certificate
from insource.workflows.services import Services


def why_expired(services: Services, certificate: Certificate) -> str | None:
    """As a sentence; None: it holds."""
    days = services.settings.certificate_days
    since = certificate.renewed or certificate.created
    if services.clock.now() - since >= timedelta(days=days):
        return f"Its latest evidence is from {since:%Y-%m-%d}, more than {days:g} days ago."
    chosen = services.registry.criteria().get(certificate.task_id)
    if chosen is not None and (chosen.scorer, chosen.arguments) != (
        certificate.criterion.scorer,
        dict(certificate.criterion.arguments),
    ):
        return f"What counts as right was changed to {chosen.scorer!r} since."
    return None


def hosted_changed(services: Services, certificate: Certificate) -> bool:
    """Since its latest evidence: it compares with answers that nobody gives any more."""
    since = certificate.renewed or certificate.created
    events = services.registry.events(task_id=certificate.task_id, kind="reference changed", since=since)
    return bool(events)
