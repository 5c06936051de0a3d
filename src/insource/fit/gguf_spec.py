"""A model as `fit/` needs it, understood from the header of its GGUF. Pure.

Sizes come from the tensors, the layout of the cache from the metadata and from what llama.cpp (build b11549) makes of
it (`gguf_layouts.py`; `llama_model_base::load_hparams`, `llama_hparams`). A header is text from strangers: what is
missing or contradicts itself becomes a sentence in `Architecture.unknown`, or BadModelFile where it is no model at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from insource.core.architecture import Architecture, Experts, Layer, LayerKind, ModelSpec, Weights
from insource.core.errors import BadModelFile
from insource.core.gguf import GgufHeader
from insource.fit.gguf_keys import MOST_LAYERS, Keys
from insource.fit.gguf_layouts import ENCODERS, INTERVAL, MIXERS, PLAIN, SHARED_FROM, WINDOWS
from insource.fit.gguf_mixers import mixer_of
from insource.fit.gguf_tensors import Tensors


def spec_of_gguf(header: GgufHeader, *, name: str) -> ModelSpec:
    """Raises BadModelFile for a file that is no language model."""
    architecture = header.architecture
    if header.kind != "model" or architecture in (None, "clip"):
        held = header.kind if header.kind != "model" else architecture or "nothing known"
        raise BadModelFile(
            f"The model file of {name!r} holds {held!r}, not a language model.",
            next_step="Name the model's own GGUF file; a projector or an adapter is loaded beside it.",
        )
    keys = Keys(header.metadata, architecture or "")
    stated = keys.number("block_count") or 0
    if not 0 < stated <= MOST_LAYERS:
        raise BadModelFile(
            f"The model file of {name!r} states {stated:,} layers, which no model has.",
            next_step="Get the file again, or name another one.",
        )
    count = max(1, stated - (keys.number("nextn_predict_layers") or 0))  # those only help to guess ahead; not loaded
    tensors = Tensors.read(header.tensors, count)
    reading = _Reading(architecture or "", keys, tensors, count)
    layers = reading.layers()
    experts = reading.experts()
    resting = tensors.expert_elements * (experts.count - experts.used) // experts.count if experts else 0
    return ModelSpec(
        name=name,
        architecture=Architecture(
            name=architecture or "",
            layers=layers,
            embedding_width=reading.width,
            vocabulary=tensors.vocabulary,
            sliding_window_tokens=reading.window if any(layer.kind == "sliding" for layer in layers) else None,
            experts=experts,
            context_tokens=keys.number("context_length"),
            head_width=layers[0].key_width // reading.kv_heads[0] if reading.kv_heads[0] else None,
            tied_embeddings=not tensors.has_output,
            per_layer_width=(keys.number("embedding_length_per_layer_input") or 0) * count,
            streams=tensors.streams,
            unknown=tuple(reading.unknown),
        ),
        weights=Weights(
            layer_bytes=tensors.layer_bytes,
            input_bytes=tensors.input_bytes,
            output_bytes=tensors.output_bytes,
            layer_expert_bytes=tensors.layer_expert_bytes,
            largest_bytes=tensors.largest_bytes,
            embedding_bytes=tensors.embedding_bytes,
            quantization=max(header.types(), key=lambda row: row.size_bytes).type_name if header.tensors else "",
        ),
        source="header",
        parameters=header.parameters,
        active_parameters=header.parameters - resting,
        license=header.license,
        not_counted=_ahead(tensors, stated - count),
    )


def _ahead(tensors: Tensors, layers: int) -> tuple[str, ...]:
    """Layers for multi-token prediction."""
    if not tensors.ahead_bytes:
        return ()
    size = f"{tensors.ahead_bytes / 2**30:.2f} GiB"
    return (f"its {layers} layers for multi-token prediction ({size} and their cache), which only guess ahead",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Widths:
    """Of one head."""

    key: int
    value: int


class _Reading:
    """The metadata made into layers; `unknown` collects what could not be made sense of."""

    def __init__(self, architecture: str, keys: Keys, tensors: Tensors, count: int) -> None:
        self._architecture, self._keys, self._tensors, self._count = architecture, keys, tensors, count
        self.unknown = list(tensors.unknown)
        self.width = keys.number("embedding_length") or tensors.width
        self.heads = keys.numbers("attention.head_count", count) or (0,) * count
        self.kv_heads = keys.numbers("attention.head_count_kv", count) or self.heads
        self.window = self._window()
        if not self.width or not tensors.vocabulary:
            self.unknown.append("The file has no token embedding, so its width or its vocabulary is not known.")
        elif tensors.width and tensors.width != self.width:
            self.unknown.append(f"It states a width of {self.width} and stores an embedding of {tensors.width}.")
        known = PLAIN | ENCODERS | WINDOWS.keys() | MIXERS.keys()
        if architecture not in known:
            self.unknown.append(
                f"insource does not know how llama.cpp's architecture {architecture[:60]!r} keeps its context: "
                "its layers were taken as plain attention."
            )
        elif architecture in ENCODERS:
            self.unknown.append(
                "It is run in one pass, as embedding and diffusion models are; what that takes is not known."
            )

    def layers(self) -> tuple[Layer, ...]:
        """Equal ones are one object."""
        found: dict[Layer, Layer] = {}
        layers = [self._layer(index) for index in range(self._count)]
        return tuple(found.setdefault(layer, layer) for layer in layers)

    def experts(self) -> Experts | None:
        shapes = [tensors for tensors in self._tensors.layers if tensors.experts]
        if not shapes:
            return None
        count = max(tensors.experts for tensors in shapes)
        used = self._keys.numbers("expert_used_count", self._count) or (0,)
        if not 0 < max(used) <= count:
            self.unknown.append(f"It has {count} experts and states that {max(used)} are used.")
        width = max(tensors.expert_width for tensors in shapes)
        return Experts(count=count, used=min(max(1, *used), count), width=width, layers=len(shapes))

    def _layer(self, index: int) -> Layer:
        tensors, kind = self._tensors.layers[index], self._kind(index)
        mixer, state = None, 0
        if kind == "recurrent" or self._architecture == "falcon-h1":
            mixer, state = mixer_of(MIXERS[self._architecture], self._keys, self.width)
            if not state:
                self._complain("The file does not state the sizes of its recurrent layers' state.")
        layer = Layer(
            kind=kind,
            state_values=state,
            mixer=mixer,
            feed_forward_width=tensors.feed_forward_width,
            expert_width=tensors.expert_width,
            gated=tensors.gated,
        )
        if kind in ("recurrent", "none"):
            return layer
        return self._attention(layer, index)

    def _attention(self, layer: Layer, index: int) -> Layer:
        head, heads, kv_heads = self._head(layer.kind, index), self.heads[index], self.kv_heads[index]
        if not heads or not head.key:
            self._complain("The file does not state its attention heads.")
            return layer
        latent = self._keys.number("attention.kv_lora_rank") if self._keys.number("attention.key_length_mla") else None
        if latent and latent >= head.key * kv_heads:
            self._complain(f"Its latent of {latent} values does not fit in keys of {head.key * kv_heads}.")
            latent = None
        query = heads * ((self._keys.number("attention.key_length_mla") or head.key) if latent else head.key)
        shared = layer.kind == "shared"
        return replace(
            layer,
            key_width=0 if shared else head.key * kv_heads,
            value_width=0 if shared or latent else head.value * kv_heads,
            query_heads=heads,
            query_width=query,
            latent_width=latent or 0,
            indexer_width=(self._keys.number("attention.indexer.key_length") or 0) if latent else 0,
        )

    def _head(self, kind: LayerKind, index: int) -> _Widths:
        """Sliding layers may have heads of another width; a shared one has those of the layer whose cache it uses."""
        keys, default = self._keys, self.width // self.heads[0] if self.heads[0] else 0
        key = keys.number("attention.key_length") or default
        value = keys.number("attention.value_length") or default
        if kind == "sliding" or (kind == "shared" and self._slides(index)):
            key = keys.number("attention.key_length_swa") or key
            value = keys.number("attention.value_length_swa") or value
        return _Widths(key=key, value=value)

    def _kind(self, index: int) -> LayerKind:
        architecture = self._architecture
        if architecture in ENCODERS:
            return "none"
        mixer = MIXERS.get(architecture)
        if mixer is not None and architecture != "falcon-h1":
            return self._hybrid_kind(index)
        first_shared = SHARED_FROM.get(
            architecture, self._count - (self._keys.number("attention.shared_kv_layers") or 0)
        )
        if index >= first_shared and architecture in ("gemma3n", "gemma4"):
            return "shared"
        return "sliding" if self._slides(index) else "full"

    def _hybrid_kind(self, index: int) -> LayerKind:
        architecture = self._architecture
        if architecture in INTERVAL:
            listed = self._keys.numbers("attention.recurrent_layers", self._count)
            interval = self._keys.number("full_attention_interval") or 4
            recurrent = bool(listed[index]) if listed else (index + 1) % interval != 0
            return "recurrent" if recurrent else "full"
        if self.kv_heads[index]:
            return "sliding" if self.window and architecture.startswith("lfm2") else "full"
        widths = self._keys.numbers("feed_forward_length", self._count)
        does_nothing_else = architecture.startswith("nemotron_h") and widths and widths[index]
        return "none" if does_nothing_else else "recurrent"

    def _slides(self, index: int) -> bool:
        window = WINDOWS.get(self._architecture)
        if window is None or not self.window:
            return False
        listed = self._keys.numbers("attention.sliding_window_pattern", self._count, only_array=True)
        if listed:
            return bool(listed[index])
        period = self._keys.number("attention.sliding_window_pattern") or window.period
        if not period:
            self._complain("The file does not list which of its layers slide.")
            return False
        return index % period != (0 if window.dense_first else period - 1)

    def _window(self) -> int:
        """Tokens; 0: none."""
        stated = self._keys.number("attention.sliding_window")
        window = WINDOWS.get(self._architecture)
        if window is None:
            return (stated or 0) if self._architecture.startswith("lfm2") else 0
        if window.only_with_layers not in (None, self._count) or stated == 0:
            return 0
        return (window.tokens or 0) if window.fixed or stated is None else stated

    def _complain(self, sentence: str) -> None:
        if sentence not in self.unknown:
            self.unknown.append(sentence)
