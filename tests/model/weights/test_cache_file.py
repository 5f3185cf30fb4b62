"""The file of packed weights: what is written comes back, other tools can read it, and no damaged file is believed."""

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from ponder.core.errors import LoadError
from ponder.model.weights import cache_file
from ponder.model.weights.cache_file import CacheFile, Piece, write_cache_file
from ponder.model.weights.sums import digest, part_sums

PIECES = {
    "vector": Piece("f32", (5,)),
    "plain": Piece("bf16", (3, 7)),
    "head": Piece("int8", (20, 64), 32),
    "experts.0": Piece("int4", (16, 64), 16),
}


def _write(path: Path, pieces: dict[str, Piece] = PIECES) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    buffers = {name: rng.integers(0, 256, piece.nbytes(), np.uint8) for name, piece in pieces.items()}
    with write_cache_file(path, pieces, {"identity": "abc"}) as put:
        for name, buffer in buffers.items():
            put(name, buffer)
    return buffers


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    buffers = _write(tmp_path / "a.safetensors")
    file = CacheFile(tmp_path / "a.safetensors")
    assert file.pieces == PIECES
    assert file.metadata["identity"] == "abc"
    assert file.nbytes == (tmp_path / "a.safetensors").stat().st_size
    for name, buffer in buffers.items():
        found = file.buffer(name)
        assert np.array_equal(found, buffer)
        assert found.ctypes.data % 64 == 0
        assert not found.flags.writeable


def test_other_tools_can_look_into_it(tmp_path: Path) -> None:
    buffers = _write(tmp_path / "a.safetensors")
    for name, found in load_file(tmp_path / "a.safetensors").items():
        buffer = buffers.pop(name)
        assert np.array_equal(found[: len(buffer)], buffer)
        assert not found[len(buffer) :].any()
    assert not buffers


def _header(raw: bytes) -> dict:
    return json.loads(raw[8 : 8 + struct.unpack_from("<Q", raw)[0]])


def _with_header(raw: bytes, header: dict) -> bytes:
    data = raw[8 + struct.unpack_from("<Q", raw)[0] :]
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return struct.pack("<Q", len(text)) + text + data


def _pieces(header: dict, change: str, to: str) -> None:
    meta = header["__metadata__"]
    assert change in meta["pieces"]
    meta["pieces"] = meta["pieces"].replace(change, to)


LIES = {
    "offset outside": lambda h: h["head"].update(data_offsets=[1 << 40, (1 << 40) + h["head"]["shape"][0]]),
    "negative offset": lambda h: h["head"].update(data_offsets=[-64, 0]),
    "overlap": lambda h: h["head"].update(data_offsets=h["plain"]["data_offsets"]),
    "another type": lambda h: h["head"].update(dtype="I8"),
    "size unlike offsets": lambda h: h["head"].update(shape=[64]),
    "a tensor less": lambda h: h.pop("plain"),
    "a tensor more": lambda h: h.update(more={"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}),
    "no metadata": lambda h: h.pop("__metadata__"),
    "metadata of numbers": lambda h: h.update(__metadata__={"format": 1}),
    "another layout": lambda h: h["__metadata__"].update(layout="0"),
    "no pieces": lambda h: h["__metadata__"].pop("pieces"),
    "more rows": lambda h: _pieces(h, "[20,64]", "[40,64]"),
    "huge rows": lambda h: _pieces(h, "[20,64]", "[4611686018427387904,64]"),
    "2^64 bytes in all": lambda h: _pieces(h, "[20,64]", "[288230376151711744,64]"),
    "negative rows": lambda h: _pieces(h, "[20,64]", "[-20,-64]"),
    "no rows": lambda h: _pieces(h, "[20,64]", "[0,64]"),
    "no group": lambda h: _pieces(h, '"int8",[20,64],32', '"int8",[20,64],0'),
    "a group that does not divide": lambda h: _pieces(h, '"int8",[20,64],32', '"int8",[20,64],48'),
    "a negative group": lambda h: _pieces(h, '"int8",[20,64],32', '"int8",[20,64],-32'),
    "an unknown kind": lambda h: _pieces(h, '"int8"', '"int2"'),
    "a packed vector": lambda h: _pieces(h, '"f32",[5],0', '"int8",[5],5'),
    "a cube": lambda h: _pieces(h, "[20,64]", "[20,8,8]"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(lie: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    _write(path)
    header = _header(path.read_bytes())
    LIES[lie](header)
    path.write_bytes(_with_header(path.read_bytes(), header))
    with pytest.raises(LoadError, match=r"a\.safetensors: not a file of packed weights"):
        CacheFile(path)


@pytest.mark.parametrize("length", [0, 7, 8, 9, 100, -64, -1])
def test_a_cut_file_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    _write(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(LoadError):
        CacheFile(path)


def test_a_longer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    _write(path)
    path.write_bytes(path.read_bytes() + bytes(64))
    with pytest.raises(LoadError):
        CacheFile(path)


def test_damaged_bytes_are_seen(tmp_path: Path) -> None:
    """Whichever byte of a piece changes. A copy is looked at once, and then has the time its header names."""
    path = tmp_path / "a.safetensors"
    buffers = _write(path)
    raw = path.read_bytes()
    start = len(raw) - sum(-(-piece.nbytes() // 64) * 64 for piece in PIECES.values())
    for buffer in buffers.values():
        for place in (0, buffer.size // 2, buffer.size - 1):
            damaged = bytearray(raw)
            damaged[raw.index(buffer.tobytes(), start) + place] ^= 0x10
            path.write_bytes(damaged)
            with pytest.raises(LoadError, match="bytes are not those that were written"):
                CacheFile(path)
    path.write_bytes(raw)
    now = path.stat().st_mtime_ns
    assert CacheFile(path).metadata["written"] == str(path.stat().st_mtime_ns // 10**9)
    assert path.stat().st_mtime_ns != now and path.stat().st_mtime_ns % 10**9 == 0


def test_parts_that_change_places_are_seen() -> None:
    parts = np.random.default_rng(0).integers(0, 256, (3, 1 << 20), np.uint8)
    whole = np.concatenate([*parts, parts[0][:5]])
    assert digest([part_sums(whole)]) == digest([part_sums(whole.copy())])
    assert part_sums(whole) != part_sums(np.concatenate([parts[1], parts[0], parts[2], parts[0][:5]]))
    assert digest([b"a", b"b"]) != digest([b"ab", b""])


def test_a_huge_header_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", (1 << 62) + 56) + bytes(1000))
    with pytest.raises(LoadError):
        CacheFile(path)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_flipped_header_is_an_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "flip.safetensors"
    _write(path)
    raw = bytearray(path.read_bytes())
    end = 8 + struct.unpack_from("<Q", raw)[0]
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        file = CacheFile(path)
    except LoadError:
        return
    for name, piece in file.pieces.items():  # whatever it claims now lies inside the file
        assert len(file.buffer(name)) == piece.nbytes()


def test_what_raises_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), write_cache_file(tmp_path / "a.safetensors", PIECES, {}) as put:
        put("vector", np.zeros(20, np.uint8))
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_no_room_is_an_error_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_file, "RESERVE", 1 << 60)
    with (
        pytest.raises(OSError, match="do not fit"),
        write_cache_file(tmp_path / "a.safetensors", PIECES, {}) as put,
    ):
        put("vector", np.zeros(20, np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_no_file_under_the_name(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
import numpy as np
from ponder.model.weights.cache_file import Piece, write_cache_file
with write_cache_file(Path(sys.argv[1]), {"x": Piece("f32", (1 << 20,)), "y": Piece("f32", (4,))}, {}) as put:
    put("x", np.zeros(4 << 20, np.uint8))
    print("half", flush=True)
    time.sleep(60)
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a.safetensors")], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None and writer.stdout.readline() == "half\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert not (tmp_path / "a.safetensors").exists()
