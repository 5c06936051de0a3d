from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insource.core.errors import BadModelFile
from insource.core.ggml_types import type_layout
from insource.core.gguf import GgufArray
from insource.core.hashing import file_sha256
from insource.engines.models.catalogue import DEFAULT_MODEL
from insource.engines.models.gguf import check_gguf, read_header
from tests.fakes.gguf_writer import gguf_bytes, text, value_bytes

WHOLE = gguf_bytes()
Write = Callable[[bytes], Path]
HEADER = struct.Struct("<4sIQQ")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_bytes(data: bytes) -> Path:
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return path

    return write_bytes


def header_of(*, version: int = 3, tensors: int = 0, keys: int = 0, rest: bytes = b"") -> bytes:
    return HEADER.pack(b"GGUF", version, tensors, keys) + rest


def refusal(path: Path) -> str:
    with pytest.raises(BadModelFile) as caught:
        check_gguf(path)
    assert str(path) in caught.value.message
    assert "insource models pull" in caught.value.next_step
    return caught.value.message


@pytest.mark.parametrize("version", [2, 3])
def test_reads_what_a_user_wants_to_know(write: Write, version: int) -> None:
    header = check_gguf(write(gguf_bytes(version=version)))
    assert (header.version, header.name, header.architecture) == (version, "tiny", "llama")
    assert (header.license, header.context_tokens, header.kind) == ("apache-2.0", 512, "model")
    assert header.parameters == 256 + 64 * 2
    assert header.expected_size_bytes == header.file_size_bytes == len(WHOLE)
    assert [(row.type_name, row.tensors, row.size_bytes) for row in header.types()] == [
        ("F32", 1, 1024),
        ("Q4_1", 1, 80),
    ]


def test_keeps_short_arrays_and_only_counts_long_ones(write: Write) -> None:
    metadata = check_gguf(write(WHOLE)).metadata
    assert metadata["llama.head_count_kv"] == GgufArray(length=3, first=(1, 2, 3))
    tokens = metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, GgufArray)
    assert (tokens.length, len(tokens.first), tokens.first[1023]) == (2000, 1024, "token1023")


def test_texts_from_strangers_come_out_on_one_printable_line(write: Write) -> None:
    header = check_gguf(write(gguf_bytes({"general.name": "evil\x1b[2J\nname" + "x" * 1000})))
    assert header.name is not None
    assert header.name.isprintable()
    assert header.name.startswith("evil [2J name")
    assert len(header.name) == 200


def test_a_text_too_long_to_keep_is_skipped(write: Write) -> None:
    header = check_gguf(write(gguf_bytes({"tokenizer.chat_template": "x" * (1 << 20 | 1)})))
    assert header.metadata["tokenizer.chat_template"] is None
    assert header.architecture == "llama"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04" + b"\0" * 64, "never unpickles"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<!doctype html><title>Sign in</title>", "web page"),
        (b"tjgg" + b"\0" * 64, "before GGUF"),
        (b"\x80\x04\x95" + b"\0" * 64, "is not a GGUF file"),
        (b"GGUF", "truncated inside its header"),
        (header_of(version=1), "version 1"),
        (header_of(version=99), "version 99"),
        (struct.pack(">4sIQQ", b"GGUF", 3, 0, 0), "big-endian"),
        (header_of(tensors=1 << 62), "tensors, which a file of"),
        (header_of(keys=1 << 62), "metadata keys, which a file of"),
        (header_of(tensors=1000), "1,000 tensors"),
        (header_of(keys=1, rest=text("k") + struct.pack("<I", 77) + b"\0" * 9), "unknown type 77"),
        (header_of(keys=1, rest=struct.pack("<Q", 1 << 40) + b"\0" * 9), "has a name of"),
        (header_of(keys=1, rest=text("k") + struct.pack("<IQ", 8, 1 << 40)), "truncated inside its header"),
        (header_of(keys=1, rest=text("k") + struct.pack("<IIQ", 9, 8, 1 << 40)), "array items"),
        (header_of(keys=1, rest=text("k") + struct.pack("<IIQ", 9, 4, 1 << 40)), "array items"),
        (header_of(keys=1, rest=text("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9), "too deeply"),
        (header_of(keys=2, rest=(text("k") + value_bytes(1)) * 2), "twice"),
        (header_of(keys=1, rest=text("general.alignment") + value_bytes(33)), "power of two"),
        (header_of(keys=1, rest=text("general.alignment") + value_bytes(0)), "power of two"),
        (header_of(tensors=1, rest=text("t") + struct.pack("<I", 9) + b"\0" * 40), "9 dimensions"),
        (header_of(tensors=1, rest=text("t") + struct.pack("<IQQIQ", 2, 1 << 62, 1 << 62, 0, 0)), "impossible size"),
        (header_of(tensors=1, rest=text("t") + struct.pack("<IQIQ", 1, 64, 0, 1 << 50)), "is truncated: it has"),
    ],
)  # fmt: skip
def test_says_what_is_wrong(write: Write, data: bytes, says: str) -> None:
    assert says in refusal(write(data))


def test_missing_data_is_truncation_only_when_the_whole_file_is_asked_for(write: Write) -> None:
    path = write(WHOLE[:-1])
    assert f"{len(WHOLE):,}" in refusal(path)
    assert read_header(path).expected_size_bytes == len(WHOLE)


def test_every_cut_is_refused(write: Write) -> None:
    for length in range(0, len(WHOLE) - 1, 397):
        refusal(write(WHOLE[:length]))


def test_a_missing_file_and_a_folder_are_bad_model_files(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.gguf")
    assert "can't be read" in refusal(tmp_path)


def test_a_tensor_type_from_the_future_is_no_error(write: Write) -> None:
    data = header_of(tensors=1, rest=text("t") + struct.pack("<IQIQ", 1, 64, 250, 0))
    header = check_gguf(write(data + b"\0" * 64))
    assert [(row.type_name, row.size_bytes) for row in header.types()] == [("type 250", 0)]


@pytest.mark.parametrize(
    ("number", "shape", "expected"),
    [
        (0, (3, 5), 60),
        (3, (64, 2), 80),
        (8, (576, 49152), 30_081_024),
        (12, (4096,), 2304),
        (1, (), 2),
        (250, (9,), None),
    ],
)
def test_tensor_sizes_follow_ggml(number: int, shape: tuple[int, ...], expected: int | None) -> None:
    assert type_layout(number).size_bytes(shape) == expected


def survives(path: Path, data: bytes) -> None:
    """Reading returns or raises BadModelFile, and allocates no more than a small multiple of the file."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        check_gguf(path)
    except BadModelFile:
        pass
    finally:
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes < 400_000 + 40 * len(data)


hostile = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@hostile
@given(rest=st.binary(max_size=400), tensors=st.integers(0, 2**64 - 1), keys=st.integers(0, 2**64 - 1))
def test_random_bytes_never_do_harm(tmp_path: Path, rest: bytes, tensors: int, keys: int) -> None:
    survives(tmp_path / "x.gguf", header_of(tensors=tensors, keys=keys, rest=rest))
    survives(tmp_path / "x.gguf", header_of(tensors=tensors % 4, keys=keys % 4, rest=rest))
    survives(tmp_path / "x.gguf", rest)


@hostile
@given(edits=st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=9)), min_size=1, max_size=4))
def test_corrupted_headers_never_do_harm(tmp_path: Path, edits: list[tuple[int, bytes]]) -> None:
    data = bytearray(gguf_bytes({"tokenizer.ggml.tokens": ["a", "b"]}))
    for position, patch in edits:
        data[position : position + len(patch)] = patch
    survives(tmp_path / "x.gguf", bytes(data))


@pytest.mark.engine
def test_the_default_model_is_what_we_say(default_model_path: Path) -> None:
    header = check_gguf(default_model_path)
    assert header.file_size_bytes == header.expected_size_bytes == DEFAULT_MODEL.size_bytes
    assert file_sha256(default_model_path) == DEFAULT_MODEL.sha256
    assert (header.architecture, header.context_tokens, header.license) == ("llama", 8192, "apache-2.0")
    assert header.types()[0].type_name == "Q4_1"
    assert header.parameters == 134_515_008
