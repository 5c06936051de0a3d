"""The recipe `span`, without its port: slots of a message by a conditional random field. Seconds to fit, a fraction of
a millisecond an answer, no model.

Lafferty, McCallum & Pereira (2001), by CRFsuite (Okazaki 2007). One tagger finds the values that stand in the message;
each field whose values come from a short list has a tagger of its own that reads the message as one item, which is
multinomial logistic regression. Artifact: a line of canonical JSON (fields, sizes), then CRFsuite's model bytes: it
holds no code.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from insource.adapt.asking import artifact_header, read_header
from insource.adapt.slots import (
    SlotField,
    Token,
    Unlearnable,
    aligned,
    as_number,
    assembled,
    fields_of,
    leaves,
    spans_of,
    tags,
    tokens,
)
from insource.core.errors import BadInput
from insource.core.hashing import canonical_json
from insource.core.values import JsonObject

MIN_EXAMPLES = 40
_SETTINGS: Mapping[str, Any] = {"c1": 0.1, "c2": 0.1, "max_iterations": 100, "feature.possible_transitions": True}
"""L1 and L2. On restaurant8k's fit part six pairs give the same F1 within a point; this one's confidence is honest (ECE
.03; half as strong .07) and its artifact small (.2 MB; without L1 1.6 MB)."""
_NONE = "-"
"""The choice of a field that the message says nothing of."""
_MOST_CHARACTERS = 8_192
"""Of a message: longer ones are tagged to here. CRFsuite's time grows with the length alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An answer with how sure it is."""

    answer: JsonObject
    confidence: float
    """Probability of the whole: of the best sequence of tags times that of each choice."""
    by_field: Mapping[str, float]
    """Least probability of a tag in the field's value, or of the choice; only fields that have a value."""


class SpanFitted:
    """Safe to use from several threads: CRFsuite's taggers keep the sentence they are at, so they take turns."""

    def __init__(self, fields: Sequence[SlotField], models: Mapping[str, bytes]) -> None:
        """`models`: `spans`, and the place of a choice's field -> CRFsuite's bytes."""
        self.fields = tuple(fields)
        self._models = dict(models)
        self._taggers = {name: _tagger(model) for name, model in models.items()}
        self._turn = threading.Lock()

    def find(self, text: str) -> Found:
        found = tokens(text[:_MOST_CHARACTERS])
        values: dict[int, Any] = {}
        sure: dict[int, float] = {}
        confidence = 1.0
        with self._turn:
            if found and "spans" in self._taggers:
                confidence = self._spans(text, found, values, sure=sure)
            for at, field in enumerate(self.fields):
                if field.kind == "choice":
                    confidence *= self._choice(at, found, values, sure=sure)
        by_field = {self.fields[at].name: sure[at] for at in sorted(sure)}
        return Found(answer=assembled(self.fields, values), confidence=confidence, by_field=by_field)

    def artifact(self) -> bytes:
        sizes = {name: len(model) for name, model in self._models.items()}
        header = artifact_header("span", {"fields": [asdict(field) for field in self.fields], "sizes": sizes})
        return b"\n".join([header, b"".join(self._models[name] for name in sorted(sizes))])

    def _spans(self, text: str, found: Sequence[Token], values: dict[int, Any], *, sure: dict[int, float]) -> float:
        """Fills in the values; returns the probability of the sequence."""
        tagger = self._taggers["spans"]
        tagger.set(features(found))
        told: list[str] = tagger.tag()
        for span in spans_of(found, told):
            field = self.fields[span.field]
            place = [at for at, token in enumerate(found) if span.start <= token.start < span.end]
            marginal = min(float(tagger.marginal(told[at], at)) for at in place)
            value: Any = text[span.start : span.end]
            value = as_number(value) if field.number else value
            if field.many:
                values.setdefault(span.field, []).append(value)
                sure[span.field] = min(marginal, sure.get(span.field, 1.0))
            elif marginal > sure.get(span.field, 0.0):  # of two values for one place the surer
                values[span.field], sure[span.field] = value, marginal
        return float(tagger.probability(told))

    def _choice(self, at: int, found: Sequence[Token], values: dict[int, Any], *, sure: dict[int, float]) -> float:
        tagger = self._taggers[str(at)]
        tagger.set([whole(found)])
        (label,) = tagger.tag()
        probability = float(tagger.marginal(label, 0))
        if label != _NONE:
            values[at], sure[at] = json.loads(label), probability
        return probability


def refusal(texts: Sequence[str], answers: Sequence[JsonObject]) -> str | None:
    """Why a tagger can't learn these answers; None: it can."""
    if len(texts) < MIN_EXAMPLES:
        return f"{len(texts)} examples are too few; a tagger needs {MIN_EXAMPLES}."
    fields, unknown = fields_of(texts, answers)
    if unknown:
        return " ".join(_told(one) for one in unknown[:3])
    return None if fields else "No answer holds a value."


def _told(field: Unlearnable) -> str:
    return (
        f"The values of {field.name!r} stand in the message in {field.standing} of {field.values} answers, and are too "
        f"many to choose from."
    )


def fit(texts: Sequence[str], answers: Sequence[JsonObject]) -> SpanFitted:
    """The same for the same examples in any order. Raises BadInput where `refusal` has a reason, or where hardly any
    example could be aligned."""
    reason = refusal(texts, answers)
    if reason is not None:
        raise BadInput(reason, next_step="Use another recipe for this task.")
    rows = _distinct(texts, answers)
    fields, _ = fields_of([text for text, _ in rows], [answer for _, answer in rows])
    models: dict[str, bytes] = {}
    if any(field.kind == "span" for field in fields):
        models["spans"] = _trained(_tagged(rows, fields))
    for at, field in enumerate(fields):
        if field.kind == "choice":
            models[str(at)] = _trained([([whole(tokens(text))], [_label(answer, field)]) for text, answer in rows])
    return SpanFitted(fields, models)


def _distinct(texts: Sequence[str], answers: Sequence[JsonObject]) -> list[tuple[str, JsonObject]]:
    """Once each, in an order of their own, with the keys as they were written."""
    told: dict[tuple[str, bytes], str] = {}
    for text, answer in zip(texts, answers, strict=True):
        key, written = (text[:_MOST_CHARACTERS], canonical_json(answer)), json.dumps(answer)
        told[key] = min(told.get(key, written), written)
    return [(text, json.loads(written)) for (text, _), written in sorted(told.items())]


def load(artifact: bytes) -> SpanFitted:
    head, _, body = artifact.partition(b"\n")
    header = read_header(head, "span")
    try:
        fields = [_field(told) for told in header["fields"]]
        models: dict[str, bytes] = {}
        at = 0
        for name, size in sorted(header["sizes"].items()):
            models[name] = body[at : at + size]
            at += size
        if at != len(body):
            raise ValueError("it is truncated")
        return SpanFitted(fields, models)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"This artifact of 'span' is damaged: {error}.", next_step="Make the candidate again with `insource adapt`."
        ) from error


def _field(told: Mapping[str, Any]) -> SlotField:
    named: dict[str, Any] = {**told, "path": tuple(told["path"])}
    return SlotField(**named)


def _tagged(rows: Sequence[tuple[str, JsonObject]], fields: Sequence[SlotField]) -> list[tuple[Any, list[str]]]:
    """Messages whose values all stand there; another answer would teach that they are none."""
    kept: list[tuple[Any, list[str]]] = []
    for text, answer in rows:
        spans, found = aligned(text, answer, fields), tokens(text)
        if spans is not None and found:
            kept.append((features(found), tags(found, spans)))
    if 2 * len(kept) < len(rows):
        raise BadInput(
            f"Only {len(kept)} of {len(rows)} answers could be found in their messages.",
            next_step="Use another recipe for this task.",
        )
    return kept


def _label(answer: JsonObject, field: SlotField) -> str:
    value = next((value for path, value in leaves(answer) if path == field.path), None)
    return _NONE if value in (None, "", [], {}) else canonical_json(value).decode()


def _trained(sequences: Sequence[tuple[Any, list[str]]]) -> bytes:
    import pycrfsuite  # late: serving other recipes never needs it

    library: Any = pycrfsuite
    trainer = library.Trainer(algorithm="lbfgs", verbose=False)
    for items, told in sequences:
        trainer.append(items, told)
    trainer.set_params(dict(_SETTINGS))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        trainer.train(str(path))
        return path.read_bytes()


def _tagger(model: bytes) -> Any:
    import pycrfsuite

    library: Any = pycrfsuite
    tagger = library.Tagger()
    tagger.open_inmemory(model)
    return tagger


# --------------------------------------------------------------------------------------------------- features


def features(found: Sequence[Token]) -> list[list[str]]:
    """Of each token: itself, its shape and ends, and its neighbours two to each side."""
    own = [_own(token.text) for token in found]
    rows: list[list[str]] = []
    for at, token in enumerate(found):
        row = ["bias", *(f"0{feature}" for feature in own[at])]
        for offset in (-2, -1, 1, 2):
            place = at + offset
            row += [f"{offset}{feature}" for feature in own[place]] if 0 <= place < len(found) else [f"{offset}end"]
        if at > 0:
            row.append(f"-10w={own[at - 1][0]}|{own[at][0]}")
            row.append("glued" if found[at - 1].end == token.start else "apart")
        if at + 1 < len(found):
            row.append(f"01w={own[at][0]}|{own[at + 1][0]}")
        row += [f"near={other}" for other in {o[0] for o in own[max(0, at - 5) : at + 6]}]
        rows.append(row)
    return rows


def whole(found: Sequence[Token]) -> list[str]:
    """Of a message: its words, their ends, and the pairs of neighbours."""
    words = [token.text.casefold() for token in found]
    ends = [f"s={word[-4:]}" for word in words if len(word) > 4]
    pairs = [f"{one}|{other}" for one, other in pairwise(words)]
    return ["bias", *sorted({*words, *ends, *pairs})]


def _own(word: str) -> list[str]:
    lower = word.casefold()
    kind = "digits" if word.isdigit() else "Aa" if word[:1].isupper() else "a" if word.isalpha() else "sign"
    told = [f"w={lower}", f"k={kind}"]
    if kind == "digits":
        return [*told, f"n={len(word)}"]
    return [*told, f"p={lower[:3]}", f"s={lower[-3:]}", f"s2={lower[-2:]}", f"x={_shape(word)}"]


def _shape(word: str) -> str:
    """`Xx` for a capitalised word, `X` for capitals, `x` for small ones."""
    told = ["X" if c.isupper() else "x" if c.isalpha() else "." for c in word]
    return "".join(c for at, c in enumerate(told) if at == 0 or told[at - 1] != c)
