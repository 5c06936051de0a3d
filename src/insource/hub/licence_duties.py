"""What a licence asks of whoever uses or passes on a model, as sentences. Summaries, not legal advice.

After the texts of the vendors' community licences, the Gemma terms, Creative Commons, the GNU family and RAIL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from insource.core.ecosystem import LicenceClass
from insource.hub.licences import licence_class

_BY_ID: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"llama-?2\b", (
        "Pass on the notice that Llama 2 is licensed under the LLAMA 2 Community License.",
        "Do not use Llama 2 or its output to improve other large language models.",
    )),
    (r"llama-?3$", (
        'Show "Built with Meta Llama 3" prominently, and begin the name of a derived model with "Llama 3".',
    )),
    (r"llama-?(?:3\.\d|4)", (
        'Show "Built with Llama" prominently, and begin the name of a derived model with "Llama".',
    )),
    (r"llama-?\d", (
        "Ask Meta for a licence of its own above 700 million monthly users.",
        "Keep to Meta's acceptable-use policy, and pass the licence on with every copy.",
    )),
    (r"llama-?(?:3\.2|4)", (
        "Those based in the European Union get no right to its models that read images.",
    )),
    (r"gemma", (
        "Pass on Gemma's terms of use with every copy and derivative, and keep to its prohibited-use policy.",
    )),
    (r"^(?:qwen|tongyi-qianwen)(?:-license-agreement)?$", (
        "Ask Alibaba Cloud for a licence of its own above 100 million monthly users.",
        'Show "Built with Qwen" or "Improved using Qwen" where it trains or improves another model that you pass on.',
    )),
    (r"^(?:qwen-research|tongyi-qianwen-research)$", (
        'Show "Built with Qwen" or "Improved using Qwen" where it trains or improves another model that you pass on.',
    )),
    (r"^lfm|^liquid-foundation", (
        "Ask Liquid AI for a licence of its own where the company's revenue is 10 million USD a year or more.",
    )),
    (r"tencent-(?:hunyuan|hy)", (
        "Ask Tencent for a licence of its own above 100 million monthly users.",
        "It gives no rights in the European Union, the United Kingdom and South Korea.",
    )),
    (r"^hyperclovax", ("Ask NAVER for a licence of its own above 10 million monthly users.",)),
    (r"^falcon", (
        "Say that a derived work is built using Falcon LLM technology from the Technology Innovation Institute.",
        "Keep to the acceptable-use policy, and pass it on with every copy.",
    )),
    (r"^upstage-solar", (
        'Show "Built with Solar" prominently, and begin the name of a derived model with "Solar".',
    )),
    (r"^deepseek(?:-license)?$", ("Pass its list of forbidden uses on with every copy and derivative.",)),
    (r"^health-ai-developer", (
        "Pass on its terms of use, and do not use it for clinical purposes without the approval that those need.",
    )),
    (r"^polyform-small-business", (
        "It is for companies with fewer than 100 people and less than 1 million USD of revenue a year.",
    )),
    (r"^nvidia-(?:nemotron-)?open-model", (
        'Pass on the notice "Licensed by NVIDIA Corporation under the NVIDIA Open Model License".',
    )),
    (r"^cc-by", ("Name the authors and the licence, and say what you changed.",)),
    (r"^cc-by.*-nd", ("Do not pass on changed versions.",)),
    (r"^cc-by.*-sa", ("Put derivatives that you pass on under the same licence.",)),
    (r"^agpl", ("Offer the source of your version to those who use it over a network.",)),
    (r"^apache-2\.0$", ("Keep the licence text and the NOTICE file with copies, and mark changed files.",)),
    (r"^(?:mit|bsd|isc|zlib|ncsa)", ("Keep the copyright and licence notice with copies.",)),
)  # fmt: skip
_BY_CLASS: Mapping[LicenceClass, tuple[str, ...]] = {
    "permissive": (),
    "copyleft": ("Put derivatives that you pass on under the same licence, with their source.",),
    "open-model": ("Keep the vendor's licence and notices with copies and derivatives.",),
    "community": ("Check the licence's limits on who may use it, and its acceptable-use policy.",),
    "behavioural": ("Keep to the licence's list of forbidden uses, and pass that list on to whoever gets a copy.",),
    "non-commercial": ("Do not use it commercially.",),
    "proprietary": ("Ask its owner for a licence: none is given.",),
    "unknown": ("Find out its licence: none that is known here is stated.",),
}


def duties(licenses: Iterable[str | None]) -> tuple[str, ...]:
    """Each sentence begins with the licence that asks for it; of licences in an expression each is named."""
    found: dict[str, None] = {}
    for license in licenses:
        for id in _ids(license):
            shown = id or "no licence stated"
            found.update(dict.fromkeys(f"{shown}: {sentence}" for sentence in _of(id)))
    return tuple(found)


def _ids(license: str | None) -> list[str | None]:
    if license is None:
        return [None]
    return [part.strip("() ") for part in re.split(r"\s(?:OR|AND)\s|,", license, flags=re.IGNORECASE) if part.strip()]


@lru_cache(maxsize=4096)
def _of(id: str | None) -> Sequence[str]:
    by_id = [s for pattern, listed in _BY_ID for s in listed if id is not None and re.search(pattern, id.lower())]
    kind = licence_class(id)
    if kind == "community" and by_id:
        return by_id
    return [*(() if kind == "copyleft" and any("same licence" in s for s in by_id) else _BY_CLASS[kind]), *by_id]
