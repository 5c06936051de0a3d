"""Which licence a local model is under, over its whole chain where lineage is known."""

from __future__ import annotations

from collections.abc import Callable

from insource.core.ecosystem import Ecosystem, EffectiveLicence
from insource.core.errors import InsourceError, UnknownModel, UsageError
from insource.core.values import SERVER_PREFIX, Model, ModelFile
from insource.engines.models.refs import parse_ref
from insource.fit.families import known_name
from insource.hub.licence_chain import chain

_ELSEWHERE = "answers:"


def licence_in_force(ref: str, *, find_model: Callable[[str], Model], ecosystem: Ecosystem) -> EffectiveLicence | None:
    """What the file itself states, or its note, counts beside what is known of the model by its name. None: nobody
    states a licence."""
    found, stated = _chain(ref, ecosystem), _stated(ref, find_model)
    if found is None:
        return chain(ref, {}, lambda _: stated) if stated else None
    if stated and stated != found.links[0].license:
        above = {link.id: link for link in found.links if link.steps or link.license}
        file = f"the file {ref}"
        licences = {id: link.license for id, link in above.items()} | {file: stated}
        by_files = {id for id, link in above.items() if link.told_by_files}
        return chain(file, {file: [*above]}, licences.get, told_by_files=by_files)
    return found if any(link.license for link in found.links) else None


def _stated(ref: str, find_model: Callable[[str], Model]) -> str | None:
    try:
        model = find_model(ref)
    except InsourceError:
        return None  # answers made elsewhere, or a file that is gone: its name may still say
    return model.license if isinstance(model, ModelFile) else None


def hub_name(ref: str) -> str | None:
    """The Hub's id of the model that a reference means: a file's, a server's, or the one that answered elsewhere. None:
    its name says nothing."""
    name = ref.removeprefix(_ELSEWHERE)
    if name.startswith(SERVER_PREFIX):
        name = name.partition("#")[2]
    try:
        parsed = parse_ref(name)
    except UsageError:
        return known_name(name) if name else None
    if parsed.scheme == "hub":
        return parsed.place
    return known_name(parsed.place) if parsed.scheme == "ollama" else None


def _chain(ref: str, ecosystem: Ecosystem) -> EffectiveLicence | None:
    name = hub_name(ref)
    for id in dict.fromkeys(id for id in (name, known_name(name) if name else None) if id):
        try:
            return ecosystem.page(id).licence
        except UnknownModel:
            continue
    return None
