"""What a licence asks of whoever uses or passes on a model, as sentences. Summaries, not legal advice.

Beside each stands where it was checked in November 2026: `text` where the licence's own text was read, `quoted` where
a review that quotes it was, `standard` where everybody uses it and nobody read it again. What could not be checked says
so to whoever reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from insource.core.ecosystem import LicenceClass
from insource.hub.licences import licence_class

_NOT_CHECKED = " (Not checked against the licence's text.)"
_LLAMA_TEXTS = "text: meta-llama/llama-models, models/llama*/LICENSE"


@dataclass(frozen=True, slots=True)
class _Asked:
    pattern: str
    """Of licence ids in lower case; several may match one id."""
    source: str
    """"": not checked."""
    sentences: tuple[str, ...]

    def shown(self) -> tuple[str, ...]:
        return self.sentences if self.source else tuple(sentence + _NOT_CHECKED for sentence in self.sentences)


_BY_ID: tuple[_Asked, ...] = (
    _Asked(r"llama-?2\b", _LLAMA_TEXTS, (
        'Keep the notice "Llama 2 is licensed under the LLAMA 2 Community License" in a Notice file with every copy.',
        "Do not use Llama 2 or its output to improve other large language models.",
    )),
    _Asked(r"llama-?3(?![.\d])", _LLAMA_TEXTS, (
        'Show "Built with Meta Llama 3" prominently, and begin the name of a model made with it with "Llama 3".',
        'Keep the notice "Meta Llama 3 is licensed under the Meta Llama 3 Community License" with every copy.',
        "Do not use Llama 3 or its output to improve other large language models.",
    )),
    _Asked(r"llama-?(?:3\.\d|4)", _LLAMA_TEXTS, (
        'Show "Built with Llama" prominently.',
        'Begin the name of a model that was made or improved with it, or with its output, with "Llama".',
        "Keep its notice of copyright in a Notice file with every copy.",
    )),
    _Asked(r"llama-?\d", _LLAMA_TEXTS, (
        "Ask Meta for a licence of its own where your products had more than 700 million monthly users when the "
        "version was released.",
        "Keep to Meta's acceptable-use policy, and pass the licence on with every copy.",
    )),
    _Asked(r"llama-?(?:3\.[23]|4)", "text: meta-llama/llama-models, models/llama3_2 and llama3_3/USE_POLICY.md", (
        "Those based in the European Union get no right to its models that read images.",
    )),
    _Asked(r"gemma", "quoted: copies of the Gemma Terms of Use, section 3.1", (
        "Pass on Gemma's terms of use with every copy and derivative, and keep to its prohibited-use policy.",
        'Keep the notice "Gemma is provided under and subject to the Gemma Terms of Use" in a Notice file, and mark '
        "changed files.",
    )),
    _Asked(r"^(?:qwen|tongyi-qianwen)(?:-license-agreement)?$", "quoted: two reviews of model licences, 2026", (
        "Ask Alibaba Cloud for a licence of its own above 100 million monthly users.",
    )),
    _Asked(r"^(?:qwen|qwen-license-agreement|qwen-research)$", "quoted: section 4.b, by its makers on the Hub", (
        'Show "Built with Qwen" or "Improved using Qwen" where it, or its output, trains or improves another model '
        "that you pass on.",
    )),
    _Asked(r"^tongyi-qianwen-research$", "text: QwenLM/Qwen, Tongyi Qianwen RESEARCH LICENSE AGREEMENT", (
        "Do not use it or its output to improve other large language models.",
        "Pass the licence and its notice on with every copy, and mark changed files.",
    )),
    _Asked(r"^tongyi-qianwen(?:-license-agreement)?$", "", (
        "Do not use it or its output to improve other large language models.",
    )),
    _Asked(r"^lfm|^liquid-foundation", "quoted: LFM Open License v1.0, by three users of its models, 2026", (
        "Ask Liquid AI for a licence of its own where the company's revenue is 10 million USD a year or more.",
    )),
    _Asked(r"tencent-(?:hunyuan|hy)", "quoted: sections 1(l), 4 and 5(b), by a review of HunyuanImage 3.0, 2026", (
        "Ask Tencent for a licence of its own above 100 million monthly users.",
        "It gives no rights in the European Union, the United Kingdom and South Korea.",
        "Do not use it or its output to improve other AI models.",
        "Keep its notice in a Notice file with every copy.",
    )),
    _Asked(r"^hyperclovax", "quoted: section 3.1 and the limits, by two apps that ship it, 2026", (
        "Ask NAVER for a licence of its own above 10 million monthly users, or where you compete with it.",
        'Show "Powered by HyperCLOVA X", and keep its notice with every copy.',
    )),
    _Asked(r"^falcon", "quoted: the TII Falcon License, by a catalogue of licences, 2026", (
        "Say that a derived work is built with technology from the Technology Innovation Institute, in the licence's "
        "words.",
        "Keep to the acceptable-use policy, and pass it on with every copy.",
    )),
    _Asked(r"^upstage-solar", "quoted: a review of Korean models, 2026", (
        'Show "Built with Solar" prominently, and begin the name of a derived model with "Solar".',
    )),
    _Asked(r"^deepseek(?:-license)?$", "text: deepseek-ai/DeepSeek-Coder, LICENSE-MODEL", (
        "Bind all who use it or a derivative to its list of forbidden uses, and pass the licence on with every copy.",
        "Mark changed files.",
    )),
    _Asked(r"^health-ai-developer", "quoted: the HAI-DEF Terms of Use, by the card of a derivative", (
        "Pass on its terms of use, bind those who get it to its restrictions, and mark changed files.",
        "Do not use it for clinical purposes without the approval that those need.",
    )),
    _Asked(r"^polyform-small-business", "quoted: the section Small Business of version 1.0.0", (
        "It is for companies with fewer than 100 people and less than 1 million USD of revenue a year "
        "(in money of 2019).",
    )),
    _Asked(r"^nvidia-open-model", "quoted: sections 2 and 3, by a summary of September 2025", (
        'Pass on the notice "Licensed by NVIDIA Corporation under the NVIDIA Open Model License".',
        "It ends for those who bypass a safety guardrail without one that does as much.",
    )),
    _Asked(r"^cc-by", "standard", ("Name the authors and the licence, and say what you changed.",)),
    _Asked(r"^cc-by.*-nd", "standard", ("Do not pass on changed versions.",)),
    _Asked(r"^cc-by.*-sa", "standard", ("Put derivatives that you pass on under the same licence.",)),
    _Asked(r"^agpl", "standard", ("Offer the source of your version to those who use it over a network.",)),
    _Asked(r"^apache-2\.0$", "standard", (
        "Keep the licence text and the NOTICE file with copies, and mark changed files.",
    )),
    _Asked(r"^(?:mit|bsd|isc|zlib|ncsa)", "standard", ("Keep the copyright and licence notice with copies.",)),
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
    by_id = [s for asked in _BY_ID if id is not None and re.search(asked.pattern, id.lower()) for s in asked.shown()]
    kind = licence_class(id)
    if kind == "community" and by_id:
        return by_id
    return [*(() if kind == "copyleft" and any("same licence" in s for s in by_id) else _BY_CLASS[kind]), *by_id]
