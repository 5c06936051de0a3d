"""Requests and answers as the token ids that the served model would see, by the model's own chat template.

The prompt and the answer are tokenised apart, because at run time the prompt's tokens are fixed before the first one
of the answer is drawn. The answer ends with the token that the template writes after it, inside the loss: without it a
model never learns to stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from insource.core.errors import BadInput
from insource.core.values import JsonObject
from insource.wire.chat import content_text, messages

_ANSWER = "\u241f"
"""Stands for an answer while the template's own end of a turn is looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One row as ids; the loss counts `ids[prompt:]`."""

    ids: tuple[int, ...]
    prompt: int
    weight: float = 1.0


class Renderer:
    """Pure: the same request gives the same ids."""

    def __init__(self, tokenizer: Any, end_tokens: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._ends = end_tokens
        self.end = self._end_of_turn()

    def prompt(self, request: JsonObject) -> str:
        return self._rendered(_turns(request), request.get("tools"), begin=True)

    def prompt_ids(self, prompt: str) -> list[int]:
        """The template may write the beginning-of-text token itself; the engine then adds no second one."""
        ids: list[int] = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        first = self._tokenizer.bos_token_id
        adds = bool(getattr(self._tokenizer, "add_bos_token", False))
        return [first, *ids] if adds and first is not None and ids[:1] != [first] else ids

    def answer_ids(self, answer: str) -> list[int]:
        ids: list[int] = self._tokenizer(answer, add_special_tokens=False)["input_ids"]
        return [*ids, self.end]

    def row(self, request: JsonObject, answer: str, *, weight: float) -> Rendered:
        prompt = self.prompt_ids(self.prompt(request))
        return Rendered(ids=(*prompt, *self.answer_ids(answer)), prompt=len(prompt), weight=weight)

    def text(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _end_of_turn(self) -> int:
        """The first token behind an answer, in the template's words, that ends it; else the model's own end."""
        turns: list[JsonObject] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}]
        behind = self._rendered(turns, None, begin=False).rpartition(_ANSWER)[2]
        ids = self._tokenizer(behind, add_special_tokens=False)["input_ids"]
        return next((token for token in ids if token in self._ends), min(self._ends))

    def _rendered(self, turns: Sequence[JsonObject], tools: Any, *, begin: bool) -> str:
        try:
            return self._tokenizer.apply_chat_template(
                list(turns), tools=tools, tokenize=False, add_generation_prompt=begin
            )
        except Exception as error:  # a template is a program of the model's author, and may raise what it likes
            raise BadInput(
                f"The model's chat template can't render a request: {error}.",
                next_step="Leave that request out, or choose a model whose template accepts it.",
            ) from error


def _turns(request: JsonObject) -> list[JsonObject]:
    """Messages with plain texts: parts of a message are joined as the engine joins them."""
    return [{**one, "content": content_text(one["content"])} if "content" in one else one for one in messages(request)]
