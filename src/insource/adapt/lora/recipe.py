"""The recipe `lora`: an adapter of a small model, trained on the task's own exchanges (extra `adapt`).

It learns on clusters that a hash chooses and leaves the rest of the fit part unseen: gates are set on its served
answers to those. A call of a tool is learnt as its canonical JSON, so a model whose template has no place for tools
answers with calls too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from insource.adapt.asking import artifact_header, joint_confidence, read_header, whole_completion
from insource.adapt.equivalence import compare, served
from insource.adapt.files.gguf import read_gguf
from insource.adapt.lora.job import Hyperparameters, Job, Progress
from insource.adapt.lora.rows import training_rows
from insource.adapt.lora.run import train
from insource.adapt.lora.to_gguf import facts_of_gguf, write_adapter
from insource.core.answers import find_json
from insource.core.errors import BadInput
from insource.core.evidence import Example
from insource.core.hashing import unit_interval
from insource.core.ports import Ask, Demand, Fitted, Learnt, Refusal, Trained, Upstream, Workspace
from insource.core.values import JsonObject, LocalAnswer, OutputKind, OutputProfile
from insource.wire.chat import answer_text, call_completion, tool_names

MIN_EXAMPLES = 80
_MOST_EXAMPLES = 2_000
_LEARNT_SHARE = 0.8
"""Of the fit part's clusters at most; gates need the rest."""
_ROW_EPOCHS = 800
"""Of 400 examples four epochs, of 2,000 two: what the bench found, and no more than twelve minutes here."""
_MOST_EPOCHS = 6
_PROBES = 24
_WITHOUT = ("tools", "tool_choice", "parallel_tool_calls", "response_format", "functions", "function_call")
"""What the adapter has learnt, and a template may render or not."""


class LoraFitted:
    def __init__(self, *, calls: bool) -> None:
        self._calls = calls

    def prepare(self, request: JsonObject) -> Ask:
        """Raises BadInput for a request that wants an answer of the other kind."""
        if bool(tool_names(request)) is not self._calls or (self._calls and request.get("tool_choice") == "none"):
            wants, learnt = ("an answer in words", "calls of tools") if self._calls else ("tools", "answers in words")
            raise BadInput(
                f"The request asks for {wants}, and this candidate has learnt {learnt}.",
                next_step="Send it to the provider.",
            )
        ask = whole_completion(without_tools(request), temperature=0)
        return Ask(body={**ask.body, "temperature": 0})

    def read(self, completion: JsonObject) -> LocalAnswer:
        text, confidence = answer_text(completion) or "", joint_confidence(completion)
        if not self._calls:
            return LocalAnswer(text=text, confidence=confidence, completion=completion)
        calls = _calls(text)
        if calls is None:
            return LocalAnswer(text=text, confidence=0.0, completion=completion)
        usage = {"usage": completion["usage"]} if "usage" in completion else {}
        return LocalAnswer(text=text, confidence=confidence, completion={**usage, **call_completion(calls)})

    def artifact(self) -> bytes:
        return artifact_header("lora", {"calls": self._calls})


class LoraRecipe:
    name = "lora"
    effort = 10
    learns = True
    asks_model = True
    trains = True
    streams = False
    honours: frozenset[Demand] = frozenset()
    meets: frozenset[Demand] = frozenset({"tools"})

    def refusal(self, output: OutputProfile, examples: int) -> Refusal | None:
        if examples < MIN_EXAMPLES:
            reason = f"{examples} examples to learn from are too few; a training needs {MIN_EXAMPLES}."
            return Refusal(reason=reason, examples_needed=MIN_EXAMPLES)
        return None

    def fit(
        self, output: OutputProfile, examples: Sequence[Example], *, seed: int, workspace: Workspace | None = None
    ) -> Learnt:
        """Goes on from the workspace's last checkpoint. Raises UsageError without the extra."""
        if workspace is None:
            raise BadInput("The recipe 'lora' can't train here: it takes minutes.", next_step="Use `insource adapt`.")
        chosen, unseen = chosen_examples(examples, most=workspace.most_examples or _MOST_EXAMPLES)
        rows = training_rows((without_tools(example.request), example.reference) for example in chosen)
        probes = [without_tools(example.request) for example in unseen[:_PROBES]]
        job = Job(
            base=str(workspace.base.path),
            workspace=str(workspace.folder),
            rows=rows,
            probes=probes,
            settings=Hyperparameters(epochs=epochs_of(len(rows))),
            seed=seed,
            threads=workspace.threads,
            budget_seconds=workspace.budget_seconds,
        )
        done = train(job, progress=lambda told: workspace.progress(_said(told), told.step, told.steps))
        adapter = workspace.folder / "adapter.gguf"
        write_adapter(workspace.folder / done.adapter, adapter, facts_of_gguf(read_gguf(workspace.base.path)))

        async def differs(engine: Upstream) -> str | None:
            return compare(done.probes, await served(engine, probes, done.probes)).reason

        log = {key: value for key, value in asdict(done).items() if key != "adapter"}
        log |= {"settings": asdict(job.settings), "probe_requests": probes}
        return Learnt(
            fitted=LoraFitted(calls=output.kind is OutputKind.TOOL_CALL),
            trained=Trained(adapter=adapter, seen=frozenset(e.exchange_id for e in chosen), differs=differs, log=log),
        )

    def load(self, artifact: bytes) -> Fitted:
        return LoraFitted(calls=bool(read_header(artifact, "lora").get("calls")))


def chosen_examples(examples: Sequence[Example], *, most: int) -> tuple[list[Example], list[Example]]:
    """(to train on, of clusters that are not trained on), whole clusters in an order drawn by a hash. What a person
    said is wrong is in neither."""
    good = [e for e in examples if e.teaches and not any(right is False for right in e.judged.values())]
    order = sorted(good, key=lambda e: (unit_interval("lora", e.cluster), e.cluster, e.exchange_id))
    sizes = Counter(example.cluster for example in order)
    taken: set[str] = set()
    left = most
    for cluster in list(sizes)[: int(_LEARNT_SHARE * len(sizes))]:
        if sizes[cluster] > left:
            break
        taken.add(cluster)
        left -= sizes[cluster]
    chosen = [example for example in order if example.cluster in taken]
    return chosen, [example for example in order if example.cluster not in taken]


def epochs_of(rows: int) -> int:
    return min(_MOST_EPOCHS, round(2 + _ROW_EPOCHS / max(rows, 1)))


def without_tools(request: JsonObject) -> JsonObject:
    return {key: value for key, value in request.items() if key not in _WITHOUT}


def _said(progress: Progress) -> str:
    left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
    return f"training, loss {progress.loss:.3f}{left}"


def _calls(text: str) -> list[tuple[str, JsonObject]] | None:
    value: Any = find_json(text) if text.lstrip()[:1] == "[" else None
    if not isinstance(value, list) or not value:
        return None
    calls = [(one.get("name"), one.get("arguments")) if isinstance(one, dict) else (None, None) for one in value]
    if not all(isinstance(name, str) and isinstance(arguments, dict) for name, arguments in calls):
        return None
    return [(str(name), dict(arguments or {})) for name, arguments in calls]
