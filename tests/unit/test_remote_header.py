"""What a repository on the Hub holds, by the real client against a Hub on loopback."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from insource.core.errors import BadModelFile, DownloadFailed, UnknownModel
from insource.engines.models.gguf import parse_header
from insource.engines.models.remote import read_remote
from tests.fakes.gguf_writer import gguf_bytes
from tests.fakes.hub import COMMIT, FakeHub, FakeRepo, running_hub

CONFIG = {"model_type": "llama", "hidden_size": 8}


def safetensors(tensors: dict[str, tuple[str, list[int], int]], *, header: bytes | None = None) -> bytes:
    """Name -> dtype, shape, bytes."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape, size) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(entries).encode() if header is None else header
    return struct.pack("<Q", len(text)) + text + bytes(end)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with running_hub(FakeHub(repos={})) as running:
        yield running


def test_a_gguf_header_takes_one_request_of_its_beginning(hub: FakeHub) -> None:
    data = gguf_bytes({"general.license": "mit"})
    big = data + bytes(40 << 20)
    hub.repos["org/tiny-GGUF"] = FakeRepo(files={"tiny-Q4_K_M.gguf": big, "tiny-Q8_0.gguf": big, "README.md": b"#"})
    found = read_remote("org/tiny-GGUF", hub_url=hub.url)
    assert found.id == "org/tiny-GGUF:tiny-Q4_K_M.gguf"
    assert found.commit == COMMIT
    assert found.license == "apache-2.0", "the card's, which people read"
    assert found.header is not None
    assert found.header.architecture == "llama"
    assert [tensor.name for tensor in found.header.tensors] == ["output_norm.weight", "blk.0.weight"]
    assert found.header.file_size_bytes == len(big)
    assert found.header.data_start_bytes < len(data)
    assert [file.size_bytes for file in found.files] == [len(big)]
    assert hub.ranges() == ["bytes=0-67108863"]


def test_a_server_without_ranges_is_left_as_soon_as_the_header_is_there(hub: FakeHub) -> None:
    hub.ignore_range = True
    hub.repos["org/a"] = FakeRepo(files={"a.gguf": gguf_bytes() + bytes(100 << 20)})
    found = read_remote("org/a", hub_url=hub.url)
    assert found.header is not None
    assert len(found.header.tensors) == 2


def test_the_header_comes_as_it_is_and_the_projector_is_named(hub: FakeHub) -> None:
    data = gguf_bytes()
    files = {"a-Q4_K_M.gguf": data + bytes(1 << 20), "mmproj-F32.gguf": bytes(300), "mmproj-F16.gguf": bytes(200)}
    hub.repos["org/a"] = FakeRepo(files=files)
    found = read_remote("org/a", hub_url=hub.url)
    assert found.header is not None
    (kept,) = found.header_files
    assert kept.data == data[: found.header.data_start_bytes]
    assert kept.size_bytes == len(files["a-Q4_K_M.gguf"])
    assert found.projector is not None
    assert (found.projector.name, found.projector.size_bytes) == ("mmproj-F16.gguf", 200)


def test_a_quantisation_and_a_file_can_be_asked_for(hub: FakeHub) -> None:
    hub.repos["org/a"] = FakeRepo(
        files={"a-Q4_K_M.gguf": gguf_bytes(), "a-Q8_0.gguf": gguf_bytes({"general.name": "8"})}
    )
    assert read_remote("org/a:Q8_0", hub_url=hub.url).id == "org/a:a-Q8_0.gguf"
    assert read_remote("org/a:a-Q4_K_M.gguf", hub_url=hub.url).id == "org/a:a-Q4_K_M.gguf"
    with pytest.raises(UnknownModel, match="no file for 'Q2_K'"):
        read_remote("org/a:Q2_K", hub_url=hub.url)


def test_shards_are_read_as_one_model(hub: FakeHub) -> None:
    names = [f"big-Q4_K_M-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    files = {name: gguf_bytes({"general.name": name}, values=256 * (i + 1)) for i, name in enumerate(names)}
    hub.repos["org/big"] = FakeRepo(files=dict(files))
    found = read_remote("org/big", hub_url=hub.url)
    assert found.header is not None
    assert found.header.name == names[0]
    assert len(found.header.tensors) == 6
    assert [file.name for file in found.files] == names
    assert found.header.file_size_bytes == sum(map(len, files.values()))
    del hub.repos["org/big"].files[names[1]]
    with pytest.raises(UnknownModel, match="only 2 are there"):
        read_remote("org/big", hub_url=hub.url)


def test_safetensors_give_their_configuration_and_every_tensor(hub: FakeHub) -> None:
    one = safetensors({"model.embed_tokens.weight": ("BF16", [10, 8], 160), "lm_head.weight": ("BF16", [10, 8], 160)})
    two = safetensors({"model.layers.0.mlp.up_proj.weight": ("F8_E4M3", [16, 8], 128)})
    index = {"metadata": {"total_size": 448}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
    hub.repos["org/st"] = FakeRepo(
        files={
            "config.json": json.dumps(CONFIG).encode(),
            "model.safetensors.index.json": json.dumps(index).encode(),
            "m-1.safetensors": one,
            "m-2.safetensors": two,
            "consolidated.safetensors": one,
        },
        without_lfs=frozenset({"config.json", "model.safetensors.index.json"}),
        parameters={"BF16": 160, "F8_E4M3": 128},
    )
    found = read_remote("org/st", hub_url=hub.url)
    assert found.header is None
    assert found.config == CONFIG
    assert {tensor.name: (tensor.type_name, tensor.size_bytes) for tensor in found.tensors} == {
        "model.embed_tokens.weight": ("BF16", 160),
        "lm_head.weight": ("BF16", 160),
        "model.layers.0.mlp.up_proj.weight": ("F8_E4M3", 128),
    }
    assert [file.name for file in found.files] == ["m-1.safetensors", "m-2.safetensors"]
    assert found.parameters == 288, "the sum by type, where the record's own total is wrong"
    with pytest.raises(UnknownModel, match="no GGUF file"):
        read_remote("org/st:Q8_0", hub_url=hub.url)


def test_without_an_index_the_root_files_count_but_no_adapters(hub: FakeHub) -> None:
    data = safetensors({"a.weight": ("F32", [2, 2], 16)})
    hub.repos["org/one"] = FakeRepo(
        files={
            "config.json": b"{}",
            "model.safetensors": data,
            "adapter_model.safetensors": data,
            "x/y.safetensors": data,
        }
    )
    assert [file.name for file in read_remote("org/one", hub_url=hub.url).files] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (struct.pack("<Q", 1 << 40) + b"{}", "claims a header of 1,099,511,627,776 bytes"),
        (b"\x01", "claims a header of 0 bytes"),
        (safetensors({}, header=b"[1, 2]"), "no JSON object"),
        (safetensors({}, header=b'{"a": 3}'), "in an unknown way"),
        (safetensors({}, header=b"[" * 200_000), "no JSON object"),
        (
            safetensors({}, header=b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 99]}}'),
            "larger than its data",
        ),
        (
            safetensors({}, header=b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 0]}}'),
            "larger than its data",
        ),
        (safetensors({}, header=b'{"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 0]}}'), "an unknown way"),
    ],
)
def test_a_hostile_safetensors_header_is_refused(hub: FakeHub, file: bytes, says: str) -> None:
    hub.repos["org/bad"] = FakeRepo(files={"config.json": b"{}", "model.safetensors": file})
    with pytest.raises(BadModelFile, match=says):
        read_remote("org/bad", hub_url=hub.url)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "missing.safetensors", "a\\..\\b"])
def test_an_index_can_name_no_file_outside_of_the_repository(hub: FakeHub, name: str) -> None:
    index = json.dumps({"weight_map": {"a": name}}).encode()
    hub.repos["org/bad"] = FakeRepo(files={"config.json": b"{}", "model.safetensors.index.json": index})
    with pytest.raises(BadModelFile, match="not in the repository"):
        read_remote("org/bad", hub_url=hub.url)
    assert not any("passwd" in path for _, path, _ in hub.requests)


@pytest.mark.parametrize("data", [b"<html>", b"GGUF" + bytes(20), gguf_bytes()[:200]])
def test_a_damaged_gguf_is_refused(hub: FakeHub, data: bytes) -> None:
    hub.repos["org/bad"] = FakeRepo(files={"a.gguf": data})
    with pytest.raises(BadModelFile, match=r"org/bad:a\.gguf"):
        read_remote("org/bad", hub_url=hub.url)


def test_a_header_without_end_is_not_read_for_ever(hub: FakeHub) -> None:
    """A text of 60 GB in a file that states to be larger still: the reader stops at its own limit."""
    start = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
    endless = start + struct.pack("<IQ", 8, 60 << 30) + bytes(1 << 20)
    hub.repos["org/bad"] = FakeRepo(files={"a.gguf": endless}, stated_sizes={"a.gguf": 80 << 30})
    with pytest.raises(BadModelFile):
        read_remote("org/bad", hub_url=hub.url)


def test_a_connection_that_drops_is_said(hub: FakeHub) -> None:
    hub.repos["org/a"] = FakeRepo(files={"a.gguf": gguf_bytes()})
    hub.drops = [100]
    with pytest.raises(DownloadFailed, match=r"did not let 'org/a:a\.gguf' be read"):
        read_remote("org/a", hub_url=hub.url)


def test_refusals_say_what_to_do(hub: FakeHub) -> None:
    hub.repos["org/gated"] = FakeRepo(files={"a.gguf": gguf_bytes()}, gated=True)
    with pytest.raises(DownloadFailed, match="accepted its terms") as gated:
        read_remote("org/gated", hub_url=hub.url)
    assert "hf auth login" in gated.value.next_step
    with pytest.raises(UnknownModel, match="no model repository 'org/none'"):
        read_remote("org/none", hub_url=hub.url)
    hub.repos["org/data"] = FakeRepo(files={"README.md": b"#"})
    with pytest.raises(UnknownModel, match="neither a GGUF file nor a config"):
        read_remote("org/data", hub_url=hub.url)
    hub.repos["org/bin"] = FakeRepo(files={"config.json": b"{}", "pytorch_model.bin": b"PK"})
    with pytest.raises(UnknownModel, match="0 safetensors files"):
        read_remote("org/bin", hub_url=hub.url)
    hub.broken_status = 500
    with pytest.raises(DownloadFailed, match="answered 500"):
        read_remote("org/gated", hub_url=hub.url)


def test_offline_is_one_sentence() -> None:
    with pytest.raises(DownloadFailed) as offline:
        read_remote("org/a", hub_url="http://127.0.0.1:9", timeout_seconds=2)
    assert "--offline" in offline.value.next_step
    with pytest.raises(UnknownModel, match="not on the Hub"):
        read_remote("file:/tmp/x.gguf")


def test_the_same_parser_reads_a_file_and_a_body() -> None:
    import io

    data = gguf_bytes()
    assert parse_header(io.BytesIO(data), len(data), name="x").parameters == 256 + 128
