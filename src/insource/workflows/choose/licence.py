"""Which licence a local model is under, over its whole chain where lineage is known."""

from __future__ import annotations

from insource.core.ecosystem import Ecosystem, EffectiveLicence
from insource.core.errors import UnknownModel, UsageError
from insource.core.values import SERVER_PREFIX
from insource.engines.models.refs import parse_ref
from insource.fit.families import known_name
from insource.hub.licence_chain import chain

_ELSEWHERE = "answers:"


def licence_in_force(name: str, *, stated: str | None, ecosystem: Ecosystem) -> EffectiveLicence | None:
    """`stated`: by the file itself, or its note. It stands where the ecosystem does not know the model, or not its
    licence. None: nobody states one."""
    found = _chain(name, ecosystem)
    if found is None:
        return chain(name, {}, lambda _: stated) if stated else None
    own = found.links[0]
    if stated and not own.license:
        above = {link.id: link for link in found.links[1:]}
        licences = {id: link.license for id, link in above.items()} | {own.id: stated}
        by_files = {id for id, link in above.items() if link.told_by_files}
        return chain(own.id, {own.id: [*above]}, licences.get, told_by_files=by_files)
    return found if any(link.license for link in found.links) else None


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
