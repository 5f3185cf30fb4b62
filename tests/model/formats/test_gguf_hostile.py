"""Damaged and hostile GGUF files always end in a LoadError: quickly, in little memory, never as a crash (SEC-3)."""

import resource
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from gguf_tiny import CONFIGS, random_checkpoint, tiny_tokenizer

from ponder.core.errors import LoadError
from ponder.core.gguf import GGUF
from ponder.model.formats.gguf_read import read_gguf
from ponder.model.formats.gguf_write import write_gguf


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "good.gguf"
    write_gguf(path, random_checkpoint(CONFIGS["moe"]), tiny_tokenizer(path.parent), "Q8_0")
    return path.read_bytes()


def header_size(raw: bytes, path: Path) -> int:
    path.write_bytes(raw)
    return min(t.offset for t in GGUF(path).tensors.values())


def load(raw: bytes, path: Path) -> bool:
    """Whether the file loads, every tensor read. Anything but success or a LoadError fails the test."""
    path.write_bytes(raw)
    start = time.thread_time()
    try:
        with np.errstate(all="ignore"):
            for source in read_gguf(path).tensors.values():
                source.read()
        loaded = True
    except LoadError as e:
        assert str(path) in str(e) and len(str(e)) < 2000
        loaded = False
    assert time.thread_time() - start < 2
    return loaded


def test_truncations(good: bytes, tmp_path: Path) -> None:
    assert load(good, tmp_path / "m.gguf")
    rng = np.random.default_rng(0)
    lengths = {0, 1, 3, 4, 8, 23, 24, len(good) - 33, *rng.integers(0, len(good) - 32, 200).tolist()}
    for length in lengths:
        assert not load(good[:length], tmp_path / "m.gguf"), length


def test_bit_flips_and_wild_bytes_in_the_header(good: bytes, tmp_path: Path) -> None:
    size, rng, refused = header_size(good, tmp_path / "m.gguf"), np.random.default_rng(1), 0
    for _ in range(1500):
        raw = bytearray(good)
        for at in rng.integers(0, size, rng.integers(1, 4)):
            raw[at] = raw[at] ^ (1 << int(rng.integers(8))) if rng.random() < 0.5 else int(rng.integers(256))
        refused += not load(bytes(raw), tmp_path / "m.gguf")
    assert refused > 300  # the others only changed the text of a token, or a number that may be anything


def test_wild_counts_everywhere(good: bytes, tmp_path: Path) -> None:
    """Eight bytes of the header at a time become 2^63, 2^64 - 1, 0 or 1 000 000."""
    size = header_size(good, tmp_path / "m.gguf")
    for at in [*np.random.default_rng(2).integers(4, size - 8, 300).tolist(), 8, 16]:
        for count in (1 << 63, (1 << 64) - 1, 0, 1_000_000):
            load(good[:at] + struct.pack("<Q", count) + good[at + 8 :], tmp_path / "m.gguf")


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def head(tensors: int, keys: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys)


def tensor(name: str, dims: tuple[int, ...], offset: int, type_: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, type_, offset)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "cannot be read"),
        (b"PK\x03\x04" + bytes(60), "no GGUF magic"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 4683073952\n", "the note that Git keeps"),
        (b"<!DOCTYPE html><html><body>Access denied</body></html>", "a web page"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "version"),
        (head(1 << 62, 0), "more than the file can hold"),
        (head(0, 1 << 62), "more than the file can hold"),
        (head(300_000, 0) + bytes(24 * 300_000), "more than any real file"),
        (head(0, 1) + string("a") + struct.pack("<IIQ", 9, 0, 1 << 23) + bytes(1 << 23), "more than any real file"),
        (head(0, 1) + string("a") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9, "unknown type 9"),
        (head(0, 2) + (string("a") + struct.pack("<IB", 0, 1)) * 2, "twice"),
        (head(2, 0) + tensor("a", (8,), 0) + tensor("b", (8,), 0) + bytes(200), "overlap"),
        (head(2, 0) + tensor("a", (8,), 0) + tensor("a", (8,), 32) + bytes(200), "twice"),
        (head(1, 0) + tensor("a", (1 << 32, 1 << 32), 0) + bytes(200), "impossible shape"),
        (head(1, 0) + tensor("a", (8, 0), 0) + bytes(200), "impossible shape"),
        (head(1, 0) + tensor("a", (8,), 1 << 63) + bytes(200), "outside the file.*it is not complete"),
        (head(1, 0) + tensor("a", (8,), 8) + bytes(200), "outside the file"),
        (head(1, 0) + tensor("a", (33,), 0, 8) + bytes(200), "do not divide"),
        (head(1, 0) + tensor("a", (64,), 0, 40) + bytes(200), r"ggml type 40 \(NVFP4\)"),
        (head(1, 0) + tensor("a", (1,) * 9, 0) + bytes(200), "9 dimensions"),
    ],
)  # fmt: skip
def test_hand_made(raw: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(raw)
    with pytest.raises(LoadError, match=message):
        read_gguf(tmp_path / "m.gguf")


def test_memory_stays_small(tmp_path: Path) -> None:
    """64 MB of metadata that claims to be many small things is refused without growing by a few times that."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    body = struct.pack("<IIQ", 9, 8, (1 << 26) // 8) + bytes(1 << 26)  # 8 million empty strings
    (tmp_path / "m.gguf").write_bytes(head(0, 1) + string("a") + body)
    with pytest.raises(LoadError, match="more than any real file"):
        read_gguf(tmp_path / "m.gguf")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 4 << 26
