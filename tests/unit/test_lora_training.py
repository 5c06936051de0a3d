"""The training process itself, on a model of a few thousand weights. Skipped without the extra `adapt`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from insource.adapt.files.safetensors import read_safetensors
from insource.adapt.lora.job import BUDGET_USED, Hyperparameters, Job, Progress, Row, Trained, as_json
from insource.adapt.lora.run import train
from insource.adapt.lora.to_gguf import facts_of_config, write_adapter
from insource.adapt.quantize.importance import measure_importance, read_importance
from insource.core.errors import BadInput, InsourceError
from tests.tiny_chat_model import write_tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
_WORDS = ("red", "green", "blue", "grey")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


def asked(text: str) -> dict[str, Any]:
    rules = {"role": "system", "content": "Say the colour of the thing that is named."}
    return {"messages": [rules, {"role": "user", "content": text}]}


def job(base: Path, workspace: Path, **changes: Any) -> Job:
    rows = [Row(request=asked(f"thing {at % 4}"), answer=_WORDS[at % 4]) for at in range(48)]
    settings = Hyperparameters(rank=4, alpha=8, learning_rate=0.02, epochs=3, batch=8)
    given: dict[str, Any] = {"precision": "float32", "checkpoint_seconds": 0.0, "settings": settings, **changes}
    return Job(base=str(base), workspace=str(workspace), rows=rows, **given)


def adapter_bytes(trained: Trained) -> bytes:
    return (Path(trained.adapter) / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    probes = [asked(f"thing {at}") for at in range(4)]
    return train(job(base, tmp_path_factory.mktemp("whole"), probes=probes))


def test_a_training_learns_and_says_what_it_took(whole: Trained) -> None:
    assert whole.steps == whole.planned_steps == 18
    assert (whole.rows, whole.held, whole.too_long) == (44, 4, 0)
    assert whole.losses == sorted(whole.losses, reverse=True)  # random weights: little more can be learnt
    assert whole.held_losses[whole.best_epoch - 1] == min(whole.held_losses)
    assert whole.compute.flops > 0
    assert whole.compute.watts is None
    assert set(whole.versions) == {"torch", "transformers", "peft", "tokenizers"}
    assert [probe.prompt.endswith("<|assistant|>") for probe in whole.probes] == [True] * 4
    assert all(probe.logprob < 0 for probe in whole.probes)


def test_its_adapter_can_be_written_for_the_engine(whole: Trained, base: Path, tmp_path: Path) -> None:
    facts = facts_of_config(json.loads((base / "config.json").read_text()))
    write_adapter(Path(whole.adapter), tmp_path / "adapter.gguf", facts)
    parts = read_safetensors(Path(whole.adapter) / "adapter_model.safetensors")
    assert any(abs(values).max() > 0 for name, values in parts.items() if "lora_B" in name)


def test_a_killed_training_goes_on_to_the_same_adapter(whole: Trained, base: Path, tmp_path: Path) -> None:
    given = job(base, tmp_path)
    command = [sys.executable, "-m", "insource.adapt.lora.trainer.main"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(as_json(given).encode() + b"\n")
    process.stdin.flush()
    saved = 0
    for line in process.stdout:
        saved += b'"checkpoint"' in line
        if saved == 8:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    seen: list[Progress] = []
    resumed = train(given, progress=seen.append)
    assert min(progress.step for progress in seen) >= 8
    assert adapter_bytes(resumed) == adapter_bytes(whole)
    assert (resumed.losses, resumed.held_losses) == (whole.losses, whole.held_losses)


def test_an_interrupt_ends_the_process_and_keeps_its_checkpoint(base: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job(base, tmp_path), progress=stop)
    assert (tmp_path / "checkpoints" / "current").is_file()


def test_a_budget_cuts_the_plan_and_a_larger_one_does_not_keep_the_cut(
    whole: Trained, base: Path, tmp_path: Path
) -> None:
    short = train(job(base, tmp_path, budget_seconds=0.001))
    assert short.steps == short.planned_steps == 4
    assert short.ended == BUDGET_USED
    again = train(job(base, tmp_path, budget_seconds=3600.0))
    assert again.steps == again.planned_steps == 18
    assert adapter_bytes(again) == adapter_bytes(whole)


def test_a_job_without_a_row_that_fits_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="short enough"):
        train(job(base, tmp_path, settings=Hyperparameters(most_tokens=4)))


def test_a_process_that_breaks_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(InsourceError, match="no_such_folder"):
        train(job(tmp_path / "no_such_folder", tmp_path / "w"))


def test_the_prompt_counts_for_nothing_and_the_end_for_something(base: Path) -> None:
    from insource.adapt.lora.trainer.base import load_tokenizer
    from insource.adapt.lora.trainer.render import Renderer

    tokenizer, ends = load_tokenizer(base)
    renderer = Renderer(tokenizer, ends)
    row = renderer.row(asked("thing 1"), "green", weight=1.0)
    told = tokenizer.decode(list(row.ids))
    assert told.endswith("<|user|>thing 1<|end|><|assistant|>green<|end|>")
    assert renderer.text(row.ids[row.prompt : -1]) == "green"
    assert row.ids[-1] == renderer.end == 1


@pytest.mark.parametrize("lengths", [(5, 9, 7), (3,)])
def test_a_shared_beginning_changes_neither_loss_nor_gradient(
    lengths: Sequence[int], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from insource.adapt.lora.trainer import loop
    from insource.adapt.lora.trainer.adapters import with_adapter
    from insource.adapt.lora.trainer.libraries import torch
    from insource.adapt.lora.trainer.render import Rendered

    _, model = with_adapter(base, base, Hyperparameters(rank=4), seed=0)
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    with torch.no_grad():
        for value in parameters.values():
            value.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    learner = loop.Learner(model=model, parameters=parameters, pad=0, device="cpu")
    rows = [Rendered(ids=tuple(range(5, 25 + n)), prompt=22) for n in lengths]
    found: list[tuple[float, Any]] = []
    for worth in (16, 1000):
        monkeypatch.setattr(loop, "_WORTH_SHARING", worth)
        model.zero_grad()
        loss = learner.loss(rows, "float32")
        loss.backward()
        found.append((float(loss), [value.grad.clone() for value in parameters.values()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert torch.allclose(one, other, atol=1e-5)


class _Unsloth(types.ModuleType):
    """The two calls that are made of it, with its real parameters, on the processor."""

    def __init__(self) -> None:
        super().__init__("unsloth")
        self.called: list[str] = []
        outer = self

        class FastLanguageModel:
            @staticmethod
            def from_pretrained(
                model_name: str, max_seq_length: int, dtype: Any = None, load_in_4bit: bool = True
            ) -> tuple[Any, Any]:
                import transformers  # pyright: ignore[reportMissingImports]

                assert not load_in_4bit
                outer.called.append(model_name)
                load: Any = transformers.AutoModelForCausalLM.from_pretrained
                return load(model_name), None

            @staticmethod
            def get_peft_model(
                model: Any,
                r: int = 16,
                target_modules: Sequence[str] = (),
                lora_alpha: int = 16,
                lora_dropout: float = 0.0,
                bias: str = "none",
                use_gradient_checkpointing: Any = "unsloth",
                random_state: int = 3407,
            ) -> Any:
                import peft  # pyright: ignore[reportMissingImports]

                config: Any = peft.LoraConfig(
                    r=r, lora_alpha=lora_alpha, lora_dropout=lora_dropout, target_modules=list(target_modules)
                )
                wrap: Any = peft.get_peft_model
                return wrap(model, config)

        self.FastLanguageModel = FastLanguageModel


def test_where_there_is_a_gpu_the_same_recipe_goes_through_unsloth(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from insource.adapt.lora.trainer import adapters
    from insource.adapt.lora.trainer.loop import Learner
    from insource.adapt.lora.trainer.render import Renderer

    stand_in = _Unsloth()
    monkeypatch.setitem(sys.modules, "unsloth", stand_in)
    monkeypatch.setattr(adapters, "device_here", lambda: "cuda")
    monkeypatch.setattr(adapters, "has_unsloth", lambda: True)
    loaded, model = adapters.with_adapter(base, tmp_path, Hyperparameters(rank=4), seed=0)
    assert stand_in.called == [str(base)]
    renderer = Renderer(loaded.tokenizer, loaded.end_tokens)
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    assert len(parameters) == 2 * 2 * len(adapters.MODULES)
    learner = Learner(model=model, parameters=parameters, pad=renderer.end, device="cpu")
    learner.loss([renderer.row(asked("x"), "red", weight=1.0)] * 2, "float32").backward()
    assert all(value.grad is not None for value in parameters.values())


def test_another_seed_starts_anew_in_the_same_folder(whole: Trained, base: Path) -> None:
    before = adapter_bytes(whole)
    other = train(replace(job(base, Path(whole.adapter).parent), seed=1))
    assert other.steps == 18
    assert adapter_bytes(other) != before


def test_importance_is_what_flows_into_each_matrix(base: Path, tmp_path: Path) -> None:
    rows = [Row(request=asked(f"thing {at}"), answer="red") for at in range(3)]
    measure_importance(base, rows, tmp_path / "task.gguf")
    found = read_importance(tmp_path / "task.gguf")
    assert len(found) == 14
    for layer in range(2):
        q, k, v = (found[f"blk.{layer}.attn_{one}.weight"] for one in "qkv")
        assert q.mean() == pytest.approx(1, abs=0.05)  # behind a norm whose weights are 1
        assert (q == k).all()
        assert (q == v).all()
        assert q.shape == (32,)
        assert found[f"blk.{layer}.ffn_down.weight"].shape == (48,)
