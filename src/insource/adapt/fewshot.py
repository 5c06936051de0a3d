"""The recipe `fewshot`: the local model sees how others of its task were answered, then the request.

Its examples come from the fit part alone, and only from requests of the same tenant. A few stand at the beginning and
are the same for every request of a tenant, so that the engine computes them once (its prefix cache); then come those
that resemble this request most, the nearest last, beside the question. Nothing that the client sent is changed.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from insource.adapt.asking import artifact_header, joint_confidence, mean_confidence, read_header, whole_completion
from insource.adapt.constrained import constraint
from insource.adapt.static_embeddings import DIMENSIONS, NAME, Vectors, embed
from insource.adapt.tenant import other_than_tenants, tenant_of
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.hashing import canonical_json, input_sha256, sha256_hex
from insource.core.ports import Ask, Demand, Fitted, Learnt, Refusal
from insource.core.values import JsonObject, LocalAnswer, OutputKind, OutputProfile
from insource.wire.chat import answer_or_calls, content_text, messages, user_text

KIND = "fewshot"
MIN_EXAMPLES = 20
FIXED, NEAREST = 4, 4
"""Examples that begin every prompt of a tenant, and those chosen for the request."""
_MOST_KEPT = 4_096
"""Drawn by a hash: 2 MB of vectors."""
_LONGEST = 1_500
"""Characters of an example with its answer; longer ones teach no more than they cost."""
_MOST_CHARACTERS = 4_000
"""Of all examples in a prompt: about a thousand tokens."""
_MOST_PROMPT = 6_000
"""Characters of a request with its examples, so that a slot of 2,048 tokens holds them and the answer: examples make
room for a long request."""
_INSTRUCTIONS = ("system", "developer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """An exchange of the fit part that may be shown."""

    input_sha256: str
    cluster: str
    tenant: str
    text: str
    answer: str

    @property
    def characters(self) -> int:
        return len(self.text) + len(self.answer)

    @property
    def messages(self) -> list[JsonObject]:
        return [{"role": "user", "content": self.text}, {"role": "assistant", "content": self.answer}]


class FewshotFitted:
    def __init__(self, output: OutputProfile, shots: Sequence[Shot], ignored: Sequence[str], vectors: Vectors) -> None:
        """`ignored`: fields of the metadata that tell requests apart, not tenants. `vectors` (shots, 256), rounded to
        float16 as they are kept."""
        self._output = output
        self._added = {} if output.kind is OutputKind.TEXT else {"temperature": 0, **constraint(output)}
        self._shots = tuple(shots)
        self._ignored = frozenset(ignored)
        self._vectors = vectors
        self._cluster_of = {shot.input_sha256: shot.cluster for shot in self._shots}
        by_tenant: defaultdict[str, list[int]] = defaultdict(list)
        for at, shot in enumerate(self._shots):
            by_tenant[shot.tenant].append(at)
        self._of_tenant = {tenant: np.array(places) for tenant, places in by_tenant.items()}
        self._fixed = {tenant: self._fixed_of(places) for tenant, places in self._of_tenant.items()}

    def prepare(self, request: JsonObject) -> Ask:
        shown = [message for shot in self._shown(request) for message in shot.messages]
        held = request.get("messages")
        asked: list[Any] = held if isinstance(held, list) else []
        start = next((at for at, each in enumerate(asked) if not _instructs(each)), len(asked))
        own_format = "response_format" in request or "grammar" in request
        added = {key: value for key, value in self._added.items() if key == "temperature" or not own_format}
        return whole_completion({**request, "messages": [*asked[:start], *shown, *asked[start:]]}, **added)

    def read(self, completion: JsonObject) -> LocalAnswer:
        confidence = mean_confidence if self._output.kind is OutputKind.TEXT else joint_confidence
        text = answer_or_calls(completion) or ""
        return LocalAnswer(text=text, confidence=confidence(completion), completion=completion)

    def artifact(self) -> bytes:
        output = self._output
        header = {
            "kind": output.kind.value,
            "labels": list(output.labels),
            "json_schema": output.json_schema,
            "ignored": sorted(self._ignored),
            "static": NAME,
        }
        rows = [[s.input_sha256, s.cluster, s.tenant, s.text, s.answer] for s in self._shots]
        held = zlib.compress(canonical_json(rows), 9)
        lines = [artifact_header(KIND, {**header, "bytes": len(held)}), held + self._vectors.astype("<f2").tobytes()]
        return b"\n".join(lines)

    def _shown(self, request: JsonObject) -> list[Shot]:
        """In the order of the prompt. A request of the fit part is shown neither its own answer nor that of a
        near-duplicate: it is answered as a new one would be."""
        tenant = tenant_of(request, self._ignored)
        places = self._of_tenant.get(tenant)
        if places is None:
            return []
        own = self._cluster_of.get(input_sha256(request))
        room = min(_MOST_CHARACTERS, _MOST_PROMPT - _characters(request))
        fixed = [at for at in self._fixed[tenant] if self._shots[at].cluster != own]
        room -= sum(self._shots[at].characters for at in fixed)
        if room < 0:
            return []
        likeness = self._vectors[places] @ embed([user_text(request)])[0]
        order = places[np.argsort(-likeness, kind="stable")]
        nearest = self._take(
            order.tolist(), NEAREST, clusters={own, *(self._shots[at].cluster for at in fixed)}, room=room
        )
        return [self._shots[at] for at in (*fixed, *reversed(nearest))]

    def _take(self, order: Sequence[int], most: int, *, clusters: Collection[str | None], room: int) -> list[int]:
        """The first of an order that have room, one a cluster and none of the clusters given."""
        chosen: list[int] = []
        seen = set(clusters)
        for at in order:
            shot = self._shots[at]
            if shot.cluster in seen or shot.characters > room:
                continue
            chosen.append(at)
            seen.add(shot.cluster)
            room -= shot.characters
            if len(chosen) == most:
                break
        return chosen

    def _fixed_of(self, places: Any) -> list[int]:
        """Short ones with different answers, the most frequent answers first: they show what answers look like."""
        held: defaultdict[str, list[int]] = defaultdict(list)
        for at in places.tolist():
            held[self._shots[at].answer].append(at)
        answers = sorted(held.values(), key=lambda group: (-len(group), self._shots[group[0]].answer))
        order = [min(group, key=lambda at: (self._shots[at].characters, at)) for group in answers[:FIXED]]
        return self._take(order, FIXED, clusters=(), room=_MOST_CHARACTERS // 2)


class FewshotRecipe:
    name = KIND
    effort = 4
    learns = True
    asks_model = True
    trains = False
    streams = False
    honours: frozenset[Demand] = frozenset()

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        if output.kind is OutputKind.TOOL_CALL:
            return Refusal(reason="Tool calls are not shown as examples.")
        if examples < MIN_EXAMPLES:
            reason = f"{examples} examples to choose from are too few: {MIN_EXAMPLES} are needed."
            return Refusal(reason=reason, examples_needed=MIN_EXAMPLES)
        return None

    def fit(self, output: OutputProfile, examples: Sequence[Example], *, seed: int) -> Learnt:
        """The seed is not used: what is kept is drawn by a hash. No answer is held out: the engine is asked for those,
        and no prompt shows what resembles its own request."""
        ignored = other_than_tenants([example.request for example in examples])
        usable = sorted((e for e in examples if _alone(e)), key=lambda e: (e.input_sha256, e.exchange_id))
        kept = {
            (e.input_sha256, e.reference): Shot(
                input_sha256=e.input_sha256,
                cluster=e.cluster,
                tenant=tenant_of(e.request, ignored),
                text=user_text(e.request),
                answer=e.reference,
            )
            for e in reversed(usable)
        }
        drawn = sorted(kept.values(), key=lambda s: sha256_hex(f"{s.input_sha256} {s.answer}".encode()))[:_MOST_KEPT]
        if not drawn:
            raise BadInput(
                "None of the requests is one short question that could be shown as an example.",
                next_step="Use another recipe.",
            )
        vectors = embed([shot.text for shot in drawn]).astype("<f2").astype(np.float32)
        return Learnt(fitted=FewshotFitted(output, drawn, sorted(ignored), vectors))

    def load(self, artifact: bytes) -> Fitted:
        head, _, body = artifact.partition(b"\n")
        header = read_header(head, KIND)
        try:
            if header["static"] != NAME:
                raise ValueError(f"it was made with other embeddings, {header['static']!r}")
            rows: list[list[str]] = json.loads(zlib.decompress(body[: header["bytes"]]))
            shots = [
                Shot(input_sha256=sha256, cluster=cluster, tenant=tenant, text=text, answer=answer)
                for sha256, cluster, tenant, text, answer in rows
            ]
            vectors = np.frombuffer(body[header["bytes"] :], dtype="<f2").astype(np.float32)
            return FewshotFitted(_output(header), shots, header["ignored"], vectors.reshape(len(shots), DIMENSIONS))
        except (KeyError, TypeError, ValueError, zlib.error) as error:
            raise BadInput(
                f"This artifact of {KIND!r} is damaged: {error}.",
                next_step="Make the candidate again with `insource evaluate`.",
            ) from error


def _output(header: Mapping[str, Any]) -> OutputProfile:
    return OutputProfile(
        kind=OutputKind(header["kind"]),
        labels=tuple(str(label) for label in header["labels"]),
        json_schema=header["json_schema"],
    )


def _instructs(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in _INSTRUCTIONS


def _characters(request: JsonObject) -> int:
    return sum(len(content_text(message.get("content"))) for message in messages(request))


def _alone(example: Example) -> bool:
    """One question in words, with instructions at most: an answer in a conversation hangs on what was said before."""
    asked = [message for message in messages(example.request) if not _instructs(message)]
    if len(asked) != 1 or asked[0].get("role") != "user":
        return False
    content = asked[0].get("content")
    in_words = isinstance(content, str) or (
        isinstance(content, list) and all(isinstance(part, dict) and "text" in part for part in content)
    )
    text = content_text(content)
    return in_words and bool(text.strip()) and len(text) + len(example.reference) <= _LONGEST
