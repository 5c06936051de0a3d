"""What `plan` and `evaluate` try, from their options."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from insource.core.values import served_model

if TYPE_CHECKING:
    from insource.workflows.prove.evaluate import Wanted
    from insource.workflows.services import Services

ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="REF",
        help="Try this model: a file or server:URL#NAME; repeatable, the cheapest first. Default: the "
        "configured one and the cheapest others on this machine.",
    ),
]
AnswersOption = Annotated[
    list[Path] | None,
    typer.Option("--answers", metavar="FILE", help="Measure answers that were produced elsewhere; repeatable."),
]
StatedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--stated",
        metavar="KEY=VALUE",
        help="Describe the model behind --answers: model, revision, quantisation, settings, trained_on, trained_until.",
    ),
]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        min=0.1,
        metavar="MINUTES",
        help="Stop asking models after this many minutes; the next run continues from there.",
    ),
]


def wanted(
    services: Services,
    *,
    recipes: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    answers: Sequence[Path] | None = None,
    stated: Sequence[str] | None = None,
) -> Wanted:
    """Raises BadInput for a file of answers that can't be used, UnknownModel for a model that is not here."""
    from insource.workflows.prove.answers_file import parse_stated, read_answers
    from insource.workflows.prove.evaluate import Wanted

    said = parse_stated(stated or ())
    files = tuple(read_answers(services, path, said) for path in answers or ())
    # With a file of answers no model is asked unless it is named.
    refs = _named(services, models) if models else () if files else _models_here(services)
    return Wanted(recipes=recipes, models=refs, answers=files)


def _named(services: Services, refs: Sequence[str]) -> tuple[str, ...]:
    """Raises UnknownModel before anything is measured. A path means the file there."""
    from insource.wiring import open_models
    from insource.workflows.files.stored import find_stored

    settings = services.settings
    models = open_models(settings)
    meant = [f"file:{Path(ref).absolute()}" if Path(ref).is_file() else ref for ref in refs]
    served = {settings.model} if settings.engine_url else {""}
    for ref in meant:
        if ref not in served and served_model(ref) is None:
            find_stored(ref, models)
    return _cheapest_first(services, meant)


def _cheapest_first(services: Services, refs: Sequence[str]) -> tuple[str, ...]:
    from insource.wiring_choose import model_finder
    from insource.workflows.choose.serving_cost import cheapest_first

    return cheapest_first(refs, model_finder(services.settings)) if len(refs) > 1 else tuple(refs)


def _models_here(services: Services) -> tuple[str, ...]:
    from insource.engines.servers import find_servers
    from insource.wiring import open_models
    from insource.wiring_choose import open_fits
    from insource.workflows.files.model_stores import list_models
    from insource.workflows.files.usable_models import choose_models, usable_models

    settings = services.settings
    if settings.engine_url:
        return (settings.model,)
    listed = list_models(open_models(settings), fits=open_fits(settings))
    refs = usable_models(listed, asyncio.run(find_servers()), configured=settings.model)
    standing = {certificate.candidate_id for certificate in services.evidence.certificates()}
    certified = {each.model_ref for each in services.registry.candidates() if each.id in standing and each.model_ref}
    return choose_models(_cheapest_first(services, refs), configured=settings.model, certified=certified)
