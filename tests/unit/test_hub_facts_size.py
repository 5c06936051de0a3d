"""Parameters of a model: the rules, one definition in two languages, and how often real ones come out wrong."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench.build_catalogue import row_of

from insource.fit.catalogue_spec import spec_of_row
from insource.hub.duck import connect
from insource.hub.facts import catalogue_row, facts_of
from insource.hub.sizes import SizeSources, active_parameters, named_sizes, parameters
from insource.hub.sizes_sql import SIZES_SQL
from insource.hub.snapshot import SnapshotCatalogue, row_reader
from insource.hub.sources.read import read_file
from tests.hub_rows import real_models


@pytest.mark.parametrize(
    ("row", "value", "method"),
    [
        (SizeSources(id="a/Cydonia-24B", stated=41, by_type={"BF16": 23_572_403_200}), 23_572_403_200, "safetensors"),
        (
            SizeSources(
                id="mlx-community/EXAONE-Deep-32B-4bit",
                stated=5_001_057_280,
                by_type={"F16": 1_000_739_840, "U32": 4_000_317_440},
                tags=("mlx", "4-bit"),
            ),
            33_003_279_360,
            "safetensors unpacked",
        ),
        (SizeSources(id="a/neox-20b", stated=20_739, by_type={"F16": 20_554, "U8": 185}), 20_739, "safetensors"),
        (
            SizeSources(id="a/X-8B-AWQ", stated=8 * 10**9, by_type={"I32": 7 * 10**9, "F16": 10**9}, tags=("awq",)),
            8 * 10**9,
            "safetensors",
        ),
        (SizeSources(id="a/Ghost-7B-bf16", stated=102_714), 7_000_000_000, "name"),
        (SizeSources(id="a/Real-7B", stated=1_777_088_000), 1_777_088_000, "safetensors"),
        (SizeSources(id="a/Llama-8B-lora", stated=20_971_520, adapter=True), 20_971_520, "safetensors"),
        (SizeSources(id="a/Llama-8B-lora", adapter=True), None, "none"),
        (SizeSources(id="a/Qwen3.8-27B-DFlash", stated=1_924_404_480, tags=("gptq",)), 1_924_404_480, "safetensors"),
        (SizeSources(id="a/Gpt-oss-20b-dflare", stated=766_896_312), 766_896_312, "safetensors"),
        (SizeSources(id="a/t5gemma-2-1b-1b"), 2_000_000_000, "name"),
        (SizeSources(id="a/Mixtral-8x7B", gguf=46_702_792_704), 46_702_792_704, "gguf"),
        (SizeSources(id="a/Mixtral-8x7B"), 56_000_000_000, "name"),
        (SizeSources(id="a/Flash-Next-JANG_4M", stated=180 * 10**9), 180 * 10**9, "safetensors"),
        (SizeSources(id="a/Nano-3B-JANG_4M", stated=903_060_480), 3 * 10**9, "name"),
        (SizeSources(id="a/Llama-4-Scout-17B-16E"), None, "none"),
        (SizeSources(id="a/X-31B-9bit", stated=10 * 10**9), 31 * 10**9, "name"),
        (SizeSources(id="a/llama-3-8b-dpo-beta-1e-0", stated=266_240), 8 * 10**9, "name"),
        (
            SizeSources(id="a/gemma-4-31B-it-assistant-4bit", stated=469_518_596, model_type="gemma4_assistant"),
            469_518_596,
            "safetensors",
        ),
        (
            SizeSources(id="a/llama3-8b-law-assistant-4bit", stated=1_254_956_032, model_type="llama"),
            8_000_000_000,
            "name",
        ),
        (
            SizeSources(id="a/Qwen3.6-27B-MTP-5bit", stated=79_652_352, model_type="qwen3_5_mtp"),
            79_652_352,
            "safetensors",
        ),
        (SizeSources(id="a/plain"), None, "none"),
    ],
)  # fmt: skip
def test_rules(row: SizeSources, value: int | None, method: str) -> None:
    size = parameters(row)
    assert (size.value, size.method) == (value, method)


@pytest.mark.parametrize("word", ["eagle3", "dflash", "dflare", "domino", "dspark", "vispec"])
def test_a_draft_or_a_part_for_another_model_has_not_its_size(word: str) -> None:
    assert parameters(SizeSources(id=f"a/x-{word}-8B-4bit", stated=400_000_000)).value == 400_000_000
    assert parameters(SizeSources(id="a/VAD_for_Qwen3.5-8B-4bit", stated=1_250_000_000)).value == 8_000_000_000


def test_names() -> None:
    assert named_sizes("Qwen/Qwen3.6-35B-A3B") == (35e9,)
    assert named_sizes("mistralai/Mixtral-8x7B-Instruct-v0.1") == (56e9,)
    assert named_sizes("a/x_S-Qwen2.5-3B_T-Qwen2-7B") == (3e9, 7e9)
    assert named_sizes("microsoft/phi-4") == named_sizes("a/v1.5b2") == ()
    assert named_sizes("a/Qwen2.5-7B-Instruct-1M") == (7e9,)
    assert named_sizes("a/stablelm-2-1_6b") == (1.6e9, 6e9)
    assert named_sizes("a/SmolLM2-135M") == (135e6,)
    assert named_sizes("a/TinyStories-1M") == (1e6,)
    assert named_sizes("a/TinyMixtral-4x248M-MoE") == (992e6,)
    assert named_sizes("google/t5gemma-2b-2b-ul2") == (4e9,), "an encoder and a decoder"
    assert named_sizes("google/t5gemma_9b_9b") == (18e9,)
    assert named_sizes("a/t5-2b-2b-from-7b") == (4e9, 7e9)
    assert named_sizes("a/2b-base-2b") == (2e9,)
    assert named_sizes("a/rwkv7-380M-15B") == (380e6, 15e9), "either may be its size"
    assert named_sizes("a/Kimi-0.40B-CPT-59M") == (0.4e9,), "so few are a context or a data set"
    assert named_sizes("a/Flash-Next-JANG_4M") == (), "a level of quantisation"
    assert named_sizes("a/Qwen3-8B-LoRA") == (8e9,), "whose size it is, is another question"
    assert named_sizes("a/" + "9" * 400 + "b") == ()
    assert active_parameters("a/Qwen3-30B-A3B-Instruct") == 3_000_000_000
    assert active_parameters("a/Llama-4-Scout-17B-16E") == 17_000_000_000
    assert active_parameters("a/Qwen3-8B") is None


def test_of_active_parameters_a_published_figure_is_finer_than_a_name() -> None:
    """The shipped catalogue keeps published ones alone, no estimates of its source (bench/build_catalogue.py)."""
    rows = {model.id: catalogue_row(model) for model in SnapshotCatalogue().models()}
    assert facts_of(rows["Qwen/Qwen3-30B-A3B"]).active_parameters == 3_300_000_000
    assert facts_of(rows["Qwen/Qwen3-30B-A3B-Instruct-2507"]).active_parameters == 3_000_000_000


def test_sources_that_contradict_each_other_are_told() -> None:
    assert parameters(SizeSources(id="a/x-7b", stated=7_000_000_000, gguf=7_100_000_000)).agreement == "agree"
    assert parameters(SizeSources(id="a/x-7b", stated=1_777_088_000)).agreement == "differ"
    assert parameters(SizeSources(id="a/x", stated=1_777_088_000)).agreement == "one source"


_ODD = (
    ("a/x-7b-4bit", 1_100_000_000, {"U32": 900_000_000, "BF16": 200_000_000}, None, ["4-bit", "mlx"], [], "llama"),
    ("a/x-int4", 10, {"I32": 2**40, "F16": 3}, None, None, None, None),
    ("a/x-3_78b-q3", None, None, 78_000_000_000, [], [], ""),
    ("b", None, {}, -5, [], [], None),
    ("a/x-7b-8b-awq", 1_000_000_000, None, None, ["awq"], [], None),
    ("a/8x7B-lora", 5, None, None, [], [{"relation": "adapter", "id": "a/b"}], None),
    ("a/0b-fp8", 7, {"U8": -3, "I8": 0}, 0, [], [], None),
    ("a/x-JANG_4M", 180_000_000_000, None, None, ["mlx"], [], None),
    ("a/x-3b-jang_4m-1m", 900_000_000, None, None, ["mlx"], [], None),
    ("a/x-2x60m-1m-int4", None, None, None, None, None, None),
    ("a/x-380M-15B-int4", 50_000_000, None, None, None, None, None),
    ("a/gemma-4-31B-4bit", 470_000_000, None, None, ["mlx"], [], "gemma4_assistant"),
    ("a/x-27B-4bit", 66_000_000, None, None, ["mlx"], [], "qwen3_5_mtp"),
    ("google/t5gemma_2b_2b-it", None, None, None, None, None, None),
    ("a/t5-1_1b-1b-4bit", 900_000_000, None, None, None, None, None),
    ("a/1b-2b-2b", None, None, None, None, None, None),
    ("a/t5-2b-2b-from-7b", None, None, None, None, None, None),
    ("a/jang-4m 4m-mtp", None, None, None, None, None, None),
    ("a/x-27B-4bit-mtp", 66_000_000, None, None, ["mlx"], [], "mtp_qwen"),
)


def _rows(connection: Any) -> list[SizeSources]:
    columns = "id, parameters_stated, parameters_by_type, gguf_parameters, tags, base_models, model_type"
    return [
        SizeSources(
            id=id,
            stated=stated,
            by_type=by_type,
            gguf=gguf,
            tags=tags or (),
            adapter=any(base["relation"] == "adapter" for base in bases or ()),
            model_type=model_type,
        )
        for id, stated, by_type, gguf, tags, bases, model_type in connection.execute(
            f"SELECT {columns} FROM models"
        ).fetchall()
    ]


def _same(connection: Any) -> int:
    told = {row[0]: row[1:] for row in connection.execute(SIZES_SQL).fetchall()}
    for row in _rows(connection):
        size = parameters(row)
        assert told[row.id] == (size.value, size.method, size.agreement), row
    return len(told)


def test_odd_rows_are_read_alike_in_sql_and_python() -> None:
    import duckdb

    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE models (id VARCHAR, parameters_stated BIGINT, parameters_by_type MAP(VARCHAR, BIGINT),"
        " gguf_parameters BIGINT, tags VARCHAR[], base_models STRUCT(relation VARCHAR, id VARCHAR)[],"
        " model_type VARCHAR)"
    )
    connection.executemany("INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, ?)", [list(row) for row in _ODD])
    assert _same(connection) == len(_ODD)


@pytest.mark.data
def test_real_rows_are_read_alike_in_sql_and_python(shared_data: Path, tmp_path: Path) -> None:
    assert _same(real_models(shared_data)) == 4_167
    with connect() as october:
        read_file(october, shared_data / "hub" / "models_2026-10.json.gz", scratch=tmp_path)
        october.execute("CREATE TEMP VIEW models AS FROM incoming")
        assert _same(october) == 16_849


# ------------------------------------------------------------------------------- how often it is wrong


_SERVES = r"lora|adapter|draft|eagle|medusa|dflash|dflare|dspark|domino|vispec|speculator|-assistant|\d+e\b"
_FIGURE = r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])"


def _stated(row: SizeSources) -> set[float]:
    """What a name states, by design/2026-11-28-what-a-name-states.md, with a parser of its own."""
    name = row.id.rpartition("/")[2].lower()
    if re.search(_SERVES, name) or re.search("_(assistant|mtp)$", row.model_type or ""):
        return set()
    own = re.split("[-_](?:for|from)[-_]", name)[0]
    pointed = re.sub(r"_(?=\d+[bm](?![a-z0-9]))", ".", own)
    sizes = {size for spelling in (own, pointed) for size in _figures(spelling.replace("_", "-"))}
    return {size for size in sizes if size >= 100e6 or max(sizes) < 100e6}


def _figures(name: str) -> list[float]:
    twins = re.sub(rf"{_FIGURE}-\2\3(?![a-z0-9])", r"2x\2\3", name)
    found = [(times, re.sub(r"^0(\d+)$", r"0.\1", number), unit) for times, number, unit in re.findall(_FIGURE, twins)]
    return [
        float(times or 1) * float(number) * (1e9 if unit == "b" else 1e6)
        for times, number, unit in found
        if float(number)
    ]


def _wrong(rows: Sequence[SizeSources], of: Callable[[SizeSources], int | None]) -> tuple[list[str], int]:
    """Ids that come out twice too big or small against every size in their name, and how many state one at all."""
    wrong, count = list[str](), 0
    for row in rows:
        sizes = _stated(row)
        if row.adapter or not sizes or not (row.stated or row.gguf):
            continue
        count += 1
        value = of(row)
        if not value or all(not 0.5 < value / size < 2 for size in sizes):
            wrong.append(row.id)
    return wrong, count


def _raw(row: SizeSources) -> int | None:
    return row.stated or row.gguf


@pytest.mark.data
def test_real_rows_with_counts_by_type(shared_data: Path) -> None:
    """Nearly all of these repositories are unquantised, so the raw field is good here too; the name changes nothing."""
    rows = _rows(real_models(shared_data))
    wrong, count = _wrong(rows, lambda row: parameters(row).value)
    without, _ = _wrong(rows, lambda row: parameters(row, use_name=False).value)
    raw, _ = _wrong(rows, _raw)
    assert count > 2_500
    assert len(wrong) / count <= 0.005, "the criterion, which October's bare totals miss"
    assert without == wrong
    assert set(wrong) < set(raw)
    # What is left: merges and mixtures called by the size of a part, and names whose `pythia2-8b` means 2.8.
    assert set(wrong) == {
        "L-RAGE/3_PRYMMAL-ECE-7B-SLERP-V1", "YeonwooSung/Llama-3.1-8B-pythonic-passthrough-merge", "ehristoforu/ud-14b",
        "BenevolenceMessiah/Yi-Coder-9B-Chat-Instruct-TIES-MoE-v1.0", "Sakalti/SakaMoe-3x1.6B-Instruct",
        "Supichi/BBAI_78B_Calme_3_1_Ties", "ibivibiv/multimaster-7b-v6", "ContextualAI/archangel_sft-dpo_pythia1-4b",
        "ContextualAI/archangel_sft-dpo_pythia2-8b", "ContextualAI/archangel_sft-kto_pythia1-4b",
        "ContextualAI/archangel_sft-kto_pythia2-8b",
    }  # fmt: skip


def _records(shared_data: Path) -> list[dict[str, Any]]:
    with gzip.open(shared_data / "hub" / "models_2026-10.json.gz") as file:
        return json.load(file)


def _october(shared_data: Path) -> list[SizeSources]:
    tag = {"mlx": "mlx", "awq": "awq", "gptq": "gptq", "autoround": "auto-round"}
    return [
        SizeSources(
            id=record["name"],
            stated=record["parameters_raw"] or None,
            tags=(tag[record["format"]],) if record["format"] in tag else (),
            model_type=record["architecture"],
        )
        for record in _records(shared_data)
        if record.get("format")
    ]


_NAMED_OTHERWISE: Mapping[str, tuple[str, ...]] = {
    "trained on so many tokens or pictures": (
        "allenai/Emo_1b14b_130B", "allenai/StdMoE_1b14b_130B", "allenai/StdMoE_1b4b_130B",
        "DedeProGames/NanoDex-Test-500K-200M", "hakim77/trocr-captcha-v4-massive-2.4M",
    ),
    "a context of so many tokens": (
        "abhaymin/Ornith-1.5-Cyclos-1M-Uncensored", "LongSafari/hyenadna-large-1m-seqlen-hf",
    ),
    "a level of quantisation": (
        "dealignai/Gemma-4-E4B-it-qat-JANG_4M-CRACK", "dealignai/Qwen3.8-Flash-Next-CRACK-JANG_4M",
        "JANGQ-AI/Qwen3.8-Flash-Next-JANG_4M",
    ),
    "word vectors: 500,000 and 250,000 words of 300 dimensions, over so many billion tokens": (
        "BorisTM/natasha_navec_hudlit_v1_12B_500K_300d_100q", "BorisTM/natasha_navec_news_v1_1B_250K_300d_100q",
    ),
    "a module for the model that is named; its config has few layers, or its type or name says so": (
        "EximiusLabs/fusion-embedding-2-2b-preview", "marksverdhei/Qwen3-Voice-Embedding-12Hz-1.7B",
        "nvidia/Nemotron-3-Super-120B-A12B-BF16-MTPv2",
    ),
    "active (a mixture) or effective (Gemma 4 E2B) parameters": (
        "Flink-ddd/MoE-Pilot-Align-2.7B", "Xiaoye08/HRM-MoE-0.6B", "MirilAI/Miril-Drone-2B-1",
        "MirilAI/Miril-Drone-2B-1-bnb4", "MirilAI/Miril-DroneVLM-2B-2", "klei1/bleta-sq-2b", "nphearum/PsarAI-2B",
        "Quazim0t0/Byrne-86M-Base", "Quazim0t0/Escarda-86M-Base", "Quazim0t0/Escarda-86M-Identity",
    ),
    "one of the parts: two towers, six experts, a language model beside a codec, what stitches two models together": (
        "nvidia/Nemotron-Labs-TwoTower-30B-A3B-Base-BF16", "ibivibiv/multimaster-7b-v6", "HumeAI/tada-1b",
        "inclusionAI/Ming-omni-tts-0.5B", "microsoft/VibeVoice-Realtime-0.5B", "vibevoice/VibeVoice-Realtime-0.5B",
        "valarauca1/qwen3-vl-25m-stitched-8bL16-to-32bL29",
    ),
    "not what is there: the counts are exactly those of GPT-2, Qwen2.5-0.5B and -1.5B, Qwen3-4B and BLIP, or of the "
    "layers, widths and vocabulary in the config (a cut vocabulary, a second embedding, no experts)": (
        "joaosollatori/small-agentic-model-1.5B", "ali-arshiya/meoinGTS1.5-1.5B", "Rzkoohi/Qwen2.5-4B-CCNA",
        "Jun-y00/Qwen3-1.7B-ClinicalQA-Distilled", "Spatiallysaying/blip2-opt-2.7b-aviation-50iter",
        "ItsnotAilabs/GHOST-2.7B", "ItsnotAilabs/HIM-3B", "alphaedge-ai/gemma-3-270m-it-fas-16384",
        "alphaedge-ai/gemma-3-270m-it-kor-32768", "skypro1111/gemma-3-270m-uk-verbalizer",
        "FrontiersMind/Nandi-Mini-150M", "FrontiersMind/Nandi-Mini-150M-Instruct",
        "FrontiersMind/Nandi-Mini-150M-Tool-Calling", "LGTEAMai/Nano-1.0-8M", "yiwenX/MiniMind-MoE-640-120M",
    ),
}  # fmt: skip
"""October's rows that differ from a figure in the name, which is no size of what the repository holds. Each was looked
at, beside the layers, widths and types of its config where the record has them."""


@pytest.mark.data
def test_real_rows_with_a_bare_total(shared_data: Path) -> None:
    """The October records hold no counts by type: nothing but the name can tell packed from small. 0.69 % of the sizes
    differ from what the names state; in two thirds of those the name states something else, so that 0.24 % are wrong.
    Where the name decides, this can't judge it; what can is `test_the_config_is_a_third_witness`."""
    rows = _october(shared_data)
    raw, count = _wrong(rows, _raw)
    differ, _ = _wrong(rows, lambda row: parameters(row).value)
    without, _ = _wrong(rows, lambda row: parameters(row, use_name=False).value)
    mlx = [row for row in rows if "mlx" in row.tags]
    raw_mlx, count_mlx = _wrong(mlx, _raw)
    differ_mlx, _ = _wrong(mlx, lambda row: parameters(row).value)
    assert count > 10_000
    assert 0.03 < len(raw) / count < 0.05
    assert 0.11 < len(raw_mlx) / count_mlx < 0.14
    assert without == raw, "without the name a bare total stays as it is"
    assert set(differ) < set(raw)
    assert len(differ) / count < 0.007
    named_otherwise = {id for ids in _NAMED_OTHERWISE.values() for id in ids}
    assert named_otherwise < set(differ)
    assert len(set(differ) - named_otherwise) / count < 0.0025, "the criterion is 0.5 %"
    assert not differ_mlx


@pytest.mark.data
def test_the_config_is_a_third_witness(shared_data: Path) -> None:
    """Of the rows where the name decided: their layers and widths, read by what estimates memory, which knows neither
    the name nor the total. Only shapes that give the same count whichever total is given can bear witness."""
    with gzip.open(shared_data / "hub" / "models_2026-10.json.gz") as file:
        records = {record["name"]: record for record in json.load(file)}
    decided = [
        (row, size) for row in _october(shared_data) if (size := parameters(row)).method == "name" and row.stated
    ]
    ours, theirs, witnesses = 0, list[str](), 0
    for row, size in decided:
        told = _by_config(records[row.id], (size.value or 0, row.stated or 0))
        if told is None:
            continue
        witnesses += 1
        ours += 0.5 < told / (size.value or 1) < 2
        if 0.5 < told / (row.stated or 1) < 2 and not 0.5 < told / (size.value or 1) < 2:
            theirs.append(row.id)
    assert len(decided) < 310
    assert witnesses > 80
    assert ours / witnesses > 0.95
    # 8b for 8 bits, and a model of which half of the experts were taken out.
    assert set(theirs) == {"lamianlbe/Qwen3.6-uncensored-mlx-8b", "bryanvine/gpt-oss-120b-reap-48"}


def _by_config(record: dict[str, Any], totals: Sequence[int]) -> int | None:
    row = row_reader()(row_of(record))
    told = {
        spec.parameters
        for total in totals
        if (spec := spec_of_row(replace(row, parameters=total), quantization="Q4_K_M")).architecture.layers
    }
    return told.pop() if len(told) == 1 else None
