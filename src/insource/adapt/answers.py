"""The recipe `answers`: what a model that is not here said, looked up by the request. It can be measured, not served:
new requests have no answer in it, and one without an answer counts as wrong, because nobody can ask again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence

from insource.adapt.asking import artifact_header, read_header
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.hashing import canonical_json, input_sha256
from insource.core.ports import Demand, Fitted, Learnt, Refusal
from insource.core.values import JsonObject, LocalAnswer, OutputProfile

MISSING = LocalAnswer(text="", confidence=1.0)
"""Wrong, and surest of all: the worst that it could have been, so that a bound stays a bound."""


class AnswersFitted:
    def __init__(self, answers: Mapping[str, LocalAnswer]) -> None:
        """By `input_sha256` of the request. Where no answer has a confidence all are 0: there is no gate."""
        self._answers = answers

    def prepare(self, request: JsonObject) -> LocalAnswer:
        return self._answers.get(input_sha256(request), MISSING)

    def read(self, completion: JsonObject) -> LocalAnswer:
        raise BadInput("The recipe 'answers' asks no model.", next_step="Take the answer that `prepare` gave.")

    def artifact(self) -> bytes:
        rows = {key: [answer.text, answer.confidence] for key, answer in self._answers.items()}
        return artifact_header("answers", {}) + b"\n" + zlib.compress(canonical_json(rows), 9)


class AnswersRecipe:
    name = "answers"
    effort = 9
    learns = False
    asks_model = False
    trains = False
    streams = False
    honours: frozenset[Demand] = frozenset({"tools"})

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        return Refusal(reason="It needs a file of answers that were made elsewhere: `--answers FILE`.")

    def fit(self, output: OutputProfile, examples: Sequence[Example], *, seed: int) -> Learnt:
        raise BadInput("Answers made elsewhere are not fitted.", next_step="Give the file: `--answers FILE`.")

    def load(self, artifact: bytes) -> Fitted:
        head, _, body = artifact.partition(b"\n")
        read_header(head, "answers")
        try:
            rows: dict[str, list[str | float]] = json.loads(zlib.decompress(body))
            answers = {key: LocalAnswer(text=str(text), confidence=float(sure)) for key, (text, sure) in rows.items()}
        except (zlib.error, ValueError, TypeError, AttributeError) as error:
            raise BadInput(
                f"These kept answers are damaged: {error}.", next_step="Measure the file again with `--answers FILE`."
            ) from error
        return AnswersFitted(answers)
