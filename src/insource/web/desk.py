"""What every page works with: the services, the templates, and what a browser asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from insource.core.errors import UsageError
from insource.core.values import Task
from insource.web import shown
from insource.web.access import FORM_FIELD, ROOT, Access
from insource.web.kept import Kept
from insource.workflows.services import Services

NAVIGATION = (
    ("", "Overview"),
    ("tasks", "Tasks"),
    ("review", "Review"),
    ("requests", "Requests"),
    ("privacy", "Privacy"),
    ("models", "Models"),
    ("ecosystem", "Ecosystem"),
    ("machine", "Machine"),
    ("playground", "Playground"),
    ("plan", "Plan to print"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request of a browser."""

    path: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    form: Mapping[str, str] = field(default_factory=dict[str, str])

    def whole(self, name: str, usual: int, *, most: int) -> int:
        """A whole number of the query, from 1."""
        value = self.query.get(name, "")
        return min(max(int(value), 1), most) if value.isascii() and value.isdigit() else usual


@dataclass
class Desk:
    services: Services
    access: Access
    sittings: dict[str, Any] = field(default_factory=dict[str, Any])
    """Reviews that are open, by task id (pages/review.py)."""

    @cached_property
    def kept(self) -> Kept:
        return Kept(self.services.clock.monotonic)

    @cached_property
    def templates(self) -> Environment:
        environment = Environment(
            loader=PackageLoader("insource.web", "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
            finalize=shown.finalize,
        )
        filters: dict[str, Callable[..., Any]] = {
            name: getattr(shown, name)
            for name in ("percent", "usd", "number", "seconds", "size", "moment", "body", "exact", "sentence")
        }
        environment.filters.update(filters)
        fixed: dict[str, Any] = {
            "root": ROOT,
            "navigation": NAVIGATION,
            "form_field": FORM_FIELD,
            "form_token": self.access.form_token,
        }
        environment.globals.update(fixed)
        return environment

    def page(self, template: str, *, here: str, status: int = 200, **values: Any) -> HTMLResponse:
        """`here`: the entry of the navigation that it belongs to."""
        html = self.templates.get_template(f"{template}.html.j2").render(here=here, **values)
        return HTMLResponse(html.encode("utf-8", "replace"), status_code=status)

    def go_to(self, path: str) -> Response:
        """Where a browser goes on after a form."""
        return RedirectResponse(ROOT + path, status_code=303)

    def task(self, task_id: str) -> Task:
        """Raises UsageError."""
        found = next((task for task in self.services.registry.tasks() if task.id == task_id), None)
        if found is None:
            raise UsageError(f"There is no task {task_id!r}.", next_step="`insource tasks` lists them.")
        return found


Page = Callable[[Desk, Ask], Response]
