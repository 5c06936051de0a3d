"""What the log decodes of a packed answer, and reads of a packed file: all of it, or why not."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insource.traffic.lines import LogFile
from insource.wire.encodings import MOST_BYTES, Undecodable, decode
from insource.wire.zstd import zstd

PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
packers = pytest.mark.parametrize("encoding", PACKERS)


@packers
@given(body=st.binary(min_size=1))
def test_a_body_comes_back(encoding: str, body: bytes) -> None:
    assert decode(PACKERS[encoding](body), encoding) == body


@packers
@given(body=st.binary(min_size=1), data=st.data())
def test_a_cut_body_is_not_taken_for_whole(encoding: str, body: bytes, data: st.DataObject) -> None:
    packed = PACKERS[encoding](body)
    cut = packed[: data.draw(st.integers(2, len(packed) - 1))]
    with pytest.raises(Undecodable):
        decode(cut, encoding)


@packers
def test_a_bomb_is_refused(encoding: str) -> None:
    with pytest.raises(Undecodable, match="longer than 64 MB"):
        decode(PACKERS[encoding](bytes(MOST_BYTES + 1)), encoding)


def test_several_encodings_are_undone_in_turn() -> None:
    assert decode(zstd.compress(gzip.compress(b"{}")), "gzip, zstd") == b"{}"


@given(frames=st.lists(st.lists(st.text("ab", min_size=1), min_size=1), min_size=1))
def test_a_zstandard_file_of_several_frames_is_one_file(
    tmp_path_factory: pytest.TempPathFactory, frames: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("frames") / "log.jsonl"
    path.write_bytes(b"".join(zstd.compress("".join(f"{line}\n" for line in lines).encode()) for lines in frames))
    with LogFile(path) as file:
        assert list(file) == [line.encode() for lines in frames for line in lines]
    assert file.broken is None


def test_a_cut_zstandard_file_gives_its_lines_and_says_that_it_broke_off(tmp_path: Path) -> None:
    noise = random.Random(0)
    lines = [f"{noise.getrandbits(256):x}" for _ in range(50_000)]
    packed = zstd.compress("\n".join(lines).encode())
    path = tmp_path / "log.jsonl"
    path.write_bytes(packed[: len(packed) // 2])
    with LogFile(path) as file:
        found = [line.decode() for line in file]
    assert 10_000 < len(found) < len(lines)
    assert found[:-1] == lines[: len(found) - 1]
    assert file.broken is not None


def test_zstandards_long_mode_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(zstd.compress(b"{}\n", options={zstd.CompressionParameter.window_log: 30}))
    with LogFile(path) as file:
        assert list(file) == [b"{}"]
