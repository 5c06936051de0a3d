"""What a model is for, as far as its row tells: whether it can answer requests at all, and whether it is specialised.

The pipeline tag is the maker's word; where it is missing, what most models of the same type state stands in for it.
Whether a model was trained to follow instructions is stated nowhere: names tell, and siblings do (where
`org/X-Instruct` exists, `org/X` is what it was made from).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from insource.core.altered_models import is_altered
from insource.core.catalogue import CatalogueModel
from insource.hub.names import CHAT_WORDS, model_key, words

TEXT_PIPELINES = frozenset({"text-generation", "image-text-to-text", "any-to-any"})
"""That answer a text request with text."""
EMBEDDING_PIPELINES = frozenset({"feature-extraction", "sentence-similarity"})
IMAGE_PIPELINES = frozenset({"image-text-to-text", "any-to-any"})

_OTHER_WORK: Mapping[str, str] = {
    "embeddings": "embed embedding embeddings embedder retriever colbert splade bge e5",
    "ranking or judging": "rerank reranker reward rm prm orm judge verifier critic classifier detector scorer",
    "guarding": "guard guardian shield safeguard moderation guardrail",
    "drafting for another model": "draft drafter eagle eagle3 medusa dspark dflash dflash2 mtp speculator speculators",
    "reading pages": "ocr docling mineru ocr2 olmocr",
    "speech": "tts asr speech whisper audio voice stt omni",
    "acting on screens or robots": "vla gui ui tars computer robot",
    "parts of a model": "sae lora adapter tokenizer projector encoder decoder vae clip",
    "diffusion": "diffusion dream llada",
}
_SPECIALISED: Mapping[str, str] = {
    "code": "code coder coding codellama starcoder sql devstral codestral swe kernel fim verilog",
    "mathematics": "math maths mathstral prover lean theorem",
    "medicine": "med medical medgemma meditron clinical bio health healthcare",
    "law or finance": "law legal finance fin financial",
    "translation": "translate translation translator mt nmt madlad",
    "roleplay or fiction": "roleplay rp story writer fiction novel waifu nsfw erotic",
}
_WORK_OF: Mapping[str, str] = {word: work for work, listed in _OTHER_WORK.items() for word in listed.split()}
_FIELD_OF: Mapping[str, str] = {word: field for field, listed in _SPECIALISED.items() for word in listed.split()}
_PARTS_OF_NAMES: Mapping[str, str] = {
    "ocr": "reading pages",
    "docling": "reading pages",
    "mineru": "reading pages",
    "guard": "guarding",
    "embed": "embeddings",
    "rerank": "ranking or judging",
}
"""That also tell inside of a word (`LightOnOCR`, `SmolDocling`, `Qwen3Guard`)."""
_BASE_WORDS = frozenset({"base", "pt", "pretrain", "pretrained", "foundation"})
_COMPLETION_TYPES = frozenset(
    "gpt2 gpt_neo gpt_neox gptj opt bloom xglm ctrl xlnet codegen gpt_bigcode mpt rwkv mamba openelm t5 mt5".split()  # noqa: SIM905
)
"""Families that were published for continuing texts; their chat models say so by name."""
_DIFFUSION_TYPES = frozenset({"dream", "llada", "llada_moe", "diffusion_gemma"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    pipeline: str
    """Stated, or what most of its type state; "" when that is not known either."""
    refusal: str | None
    """Why it can't answer requests, in a few words; None when it can."""
    field: str | None
    """What it is specialised in."""
    images: bool
    """Takes images."""
    tools: bool
    """Stated to call tools. Not stated is not the same as can't."""
    embeddings: bool = False
    """Turns texts into vectors."""


class Purposes:
    """Of the models of one catalogue, which is read for what types and siblings tell."""

    def __init__(self, models: Iterable[CatalogueModel]) -> None:
        stated: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._chat_bases = set[tuple[str, str]]()
        for model in models:
            if model.pipeline_tag and model.model_type:
                stated[model.model_type][model.pipeline_tag] += 1
            key = model_key(model.id).split("-")
            if not CHAT_WORDS.isdisjoint(key):
                rest = "-".join(word for word in key if word not in CHAT_WORDS)
                self._chat_bases.add((_owner(model.id), rest))
        self._usual = {kind: counts.most_common(1)[0][0] for kind, counts in stated.items()}

    def of(self, model: CatalogueModel) -> Purpose:
        pipeline = model.pipeline_tag or self._usual.get(model.model_type, "")
        said = words(model.id)
        return Purpose(
            pipeline=pipeline,
            refusal=self._refusal(model, pipeline, said),
            field=next((_FIELD_OF[word] for word in said if word in _FIELD_OF), None),
            images=pipeline in IMAGE_PIPELINES or "vision" in model.capabilities,
            tools="tool_use" in model.capabilities,
            embeddings=pipeline in EMBEDDING_PIPELINES and self._other_work(said) in (None, "embeddings"),
        )

    def _refusal(self, model: CatalogueModel, pipeline: str, said: tuple[str, ...]) -> str | None:
        if pipeline not in TEXT_PIPELINES:
            return f"made for {pipeline}" if pipeline else "what it is made for is not stated"
        other = self._other_work(said)
        if other is None and model.model_type.lower() in _DIFFUSION_TYPES:
            other = "diffusion"
        if other is not None:
            return f"made for {other}"
        if is_altered(model.id):
            return "altered copy whose original is not in the catalogue"
        return "base model, continues texts only" if self._is_base(model, said) else None

    @staticmethod
    def _other_work(said: tuple[str, ...]) -> str | None:
        other = next((_WORK_OF[word] for word in said if word in _WORK_OF), None)
        if other is not None:
            return other
        return next((work for part, work in _PARTS_OF_NAMES.items() if part in "-".join(said)), None)

    def _is_base(self, model: CatalogueModel, said: tuple[str, ...]) -> bool:
        if not _BASE_WORDS.isdisjoint(said):
            return True
        if not CHAT_WORDS.isdisjoint(said):
            return False
        return model.model_type in _COMPLETION_TYPES or (_owner(model.id), model_key(model.id)) in self._chat_bases


def _owner(id: str) -> str:
    return id.partition("/")[0].lower()
