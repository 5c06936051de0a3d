"""A model as an AI bill of materials: CycloneDX 1.7, with its model card, ancestors, licences and where it is.

What metadata does not tell is left out, never filled in. The Hub's commit is the version and part of the package URL;
it is no hash of the weights, so `hashes` is there only where somebody has hashed a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from insource.core.ecosystem import EffectiveLicence, Facts, Link
from insource.core.stored_models import StoredModel

HUB_PAGE = "https://huggingface.co/"
_SPDX_IDS = """
    Apache-2.0 MIT BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear CC0-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0
    CC-BY-SA-3.0 CC-BY-SA-4.0 CC-BY-NC-2.0 CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-2.0
    CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0 ISC AFL-3.0 ECL-2.0 MS-PL Unlicense WTFPL Zlib Artistic-2.0 NCSA BSL-1.0 PostgreSQL
    PDDL-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0 CDLA-Sharing-1.0 ODbL-1.0 OSL-3.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2
    MPL-2.0 GPL-2.0 GPL-3.0 LGPL-2.1 LGPL-3.0 AGPL-3.0"""
_SPDX: Mapping[str, str] = {id.lower(): id for id in _SPDX_IDS.split()}
"""The SPDX ids that the Hub knows, in SPDX's own spelling; the bare GNU ids leave open whether later versions count."""


def ai_bom(
    facts: Facts,
    licence: EffectiveLicence,
    *,
    made_at: datetime,
    tool_version: str,
    files: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A CycloneDX document. `made_at` is UTC; `files` are those on this machine, name -> sha256."""
    component = _component(facts.id, licence.links[0].license, version=facts.sha)
    component["modelCard"] = {"modelParameters": _model_parameters(facts)}
    ancestors = [_component(link.id, link.license, version=None) for link in licence.links[1:]]
    if ancestors:
        component["pedigree"] = {"ancestors": ancestors, "notes": _notes(licence.links[1:])}
    component["properties"] = _properties(facts, licence)
    if files:
        component["components"] = [_file(name, sha256) for name, sha256 in sorted(files.items())]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{_page(facts.id)}@{facts.sha or made_at.isoformat()}')}",
        "version": 1,
        "metadata": {
            "timestamp": made_at.isoformat(timespec="seconds"),
            "tools": {"components": [{"type": "application", "name": "insource", "version": tool_version}]},
        },
        "components": [component],
    }


def files_of(id: str, stored: Iterable[StoredModel]) -> dict[str, str]:
    """Name -> sha256 of a Hub repository's files on this machine, as far as they are hashed: those of our own cache and
    of llama.cpp's, whose layout tells the repository."""
    found: dict[str, str] = {}
    for model in stored:
        repository, _, name = model.ref.removeprefix("llamacpp:").partition(":")
        if repository.lower() == id.lower() and name and model.sha256 and model.problem is None:
            found.setdefault(name, model.sha256.lower())
    return found


def _file(name: str, sha256: str) -> dict[str, Any]:
    return {"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": sha256.lower()}]}


def _component(id: str, license: str | None, *, version: str | None) -> dict[str, Any]:
    group, _, name = id.rpartition("/")
    purl = "pkg:huggingface/" + quote(id, safe="/") + (f"@{quote(version, safe='')}" if version else "")
    component: dict[str, Any] = {"type": "machine-learning-model", "bom-ref": purl, "name": name, "purl": purl}
    component |= {"group": group} if group else {}
    component |= {"version": version} if version else {}
    component |= {"licenses": [_licence(license)]} if license else {}
    return component | {"externalReferences": [{"type": "distribution", "url": _page(id)}]}


def _page(id: str) -> str:
    return HUB_PAGE + quote(id, safe="/")


def _licence(license: str) -> dict[str, Any]:
    """By SPDX's id where it has one; an expression only where all of its parts have."""
    if license.lower() in _SPDX:
        return {"license": {"id": _SPDX[license.lower()], "acknowledgement": "declared"}}
    parts = re.split(r"(\s+(?:OR|AND)\s+)", license, flags=re.IGNORECASE)
    if len(parts) > 1 and all(part.lower() in _SPDX for part in parts[::2]):
        spelt = [part.upper() if place % 2 else _SPDX[part.lower()] for place, part in enumerate(parts)]
        return {"expression": "".join(spelt), "acknowledgement": "declared"}
    return {"license": {"name": license, "acknowledgement": "declared"}}


def _model_parameters(facts: Facts) -> dict[str, Any]:
    told = {"task": facts.task, "architectureFamily": facts.model_type}
    return {name: value for name, value in told.items() if value}


def _notes(ancestors: Iterable[Link]) -> str:
    return "; ".join(
        f"{link.id}: {link.steps} step{'s' if link.steps > 1 else ''} up"
        + (", as files tell, not declared" if link.told_by_files else "")
        for link in ancestors
    )


def _properties(facts: Facts, licence: EffectiveLicence) -> list[dict[str, str]]:
    told: list[tuple[str, object]] = [
        ("parameters", facts.size.value),
        ("parameters_method", facts.size.method),
        ("active_parameters", facts.active_parameters),
        ("context_tokens", facts.context_tokens),
        ("format", facts.format),
        ("quantization", facts.quantization),
        ("gated", facts.gated),
        ("effective_license", licence.strictest.license),
        ("effective_license_from", licence.strictest.id),
        ("effective_license_class", licence.strictest.licence_class),
        *(("license_conflict", f"{link.id}: {link.license}") for link in licence.conflicts),
        *(("duty", sentence) for sentence in licence.duties),
    ]
    return [{"name": f"insource:{name}", "value": str(value)} for name, value in told if value not in (None, "")]
