"""The GGUF header as values: metadata and tensor table of a file, bounds-checked, tensor data memory-mapped.

Lives in core because the tokenizer (text) and the weights (model) both read it. A hostile file ends in a LoadError:
every count and offset is checked against the bytes that are really there before anything is allocated (SEC-3).
Format: ggml-org/ggml docs/gguf.md, versions 2 and 3, little endian.
"""

import math
import mmap
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

from msgspec import Struct

from ponder.core.errors import LoadError
from ponder.core.fingerprint import LOOK, stand_in

_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
MAX_DIMS = 4
# Far above any real file (a Qwen file has about 40 keys, 400 tensors, 460,000 array items): a hostile header costs
# about as much time and memory as these allow, whatever the size of the file.
MAX_KEYS, MAX_TENSORS, MAX_ITEMS = 1 << 16, 1 << 18, 1 << 22

# ggml type id -> (name, elements a block, bytes a block). Only what Ponder reads and writes.
TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}
# What other programs have besides, to name it when it is refused.
_FOREIGN = {
    9: "Q8_1", 15: "Q8_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 31: "Q4_0_4_4", 32: "Q4_0_4_8",
    33: "Q4_0_8_8", 40: "NVFP4",
}  # fmt: skip


class TensorInfo(Struct, frozen=True):
    """One tensor. `shape` is row-major (the reverse of GGUF's order); `offset` counts from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    nbytes: int


class GGUF:
    """An open file: `metadata` (key -> value), `tensors` (name -> TensorInfo), `data(info)` -> memoryview.

    Raises LoadError for a file that is not a readable GGUF.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with self.path.open("rb") as f:
                self._map = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as e:  # ValueError: an empty file cannot be mapped
            raise LoadError(f"{self.path}: cannot be read as GGUF: {e}") from e
        self.size = len(self._map)
        self._at = 0
        self._items = 0
        self.metadata: dict[str, Any] = {}
        self.tensors: dict[str, TensorInfo] = {}
        try:
            self._read()
        except (struct.error, UnicodeDecodeError, OverflowError) as e:
            raise self._bad(f"damaged near byte {self._at}: {e}") from e

    def data(self, info: TensorInfo) -> memoryview:
        """The tensor's raw bytes, memory-mapped, not copied."""
        return memoryview(self._map)[info.offset : info.offset + info.nbytes]

    def _read(self) -> None:
        if self._map[:4] != b"GGUF":
            what = stand_in(bytes(self._map[:LOOK]))
            raise self._bad(f"not a GGUF file, but {what}" if what else "not a GGUF file (no GGUF magic)")
        self._at = 4
        version, n_tensors, n_keys = self._unpack("<I"), self._unpack("<Q"), self._unpack("<Q")
        if version not in (2, 3):
            raise self._bad(f"GGUF version {version}; Ponder reads 2 and 3, little endian")
        self._fits(n_keys, 13, "metadata keys", MAX_KEYS)  # an entry takes at least 8 + 4 + 1 bytes
        for _ in range(n_keys):
            key = self._string()
            if key in self.metadata:
                raise self._bad(f"metadata key {key!r} appears twice")
            self.metadata[key] = self._value(self._unpack("<I"))
        self._fits(n_tensors, 24, "tensors", MAX_TENSORS)
        infos = [self._tensor() for _ in range(n_tensors)]
        align = self.metadata.get("general.alignment", 32)
        if not isinstance(align, int) or align < 1 or align & (align - 1) or align > 1 << 20:
            raise self._bad(f"general.alignment is {align!r}, not a power of two")
        base = -(-self._at // align) * align
        spans: list[tuple[int, int, str]] = []
        for name, shape, type_, offset in infos:
            _, per_block, block_bytes = TYPES[type_]
            if shape[-1] % per_block:
                raise self._bad(f"tensor {name!r}: rows of {shape[-1]} do not divide into blocks of {per_block}")
            nbytes = math.prod(shape) // per_block * block_bytes
            start = base + offset
            if offset % align or start + nbytes > self.size:
                raise self._bad(
                    f"tensor {name!r} lies outside the file (bytes {start}..{start + nbytes} of {self.size}); "
                    "if that is a download, it is not complete"
                )
            if name in self.tensors:
                raise self._bad(f"tensor {name!r} appears twice")
            spans.append((start, start + nbytes, name))
            self.tensors[name] = TensorInfo(name, shape, TYPES[type_][0], start, nbytes)
        spans.sort()
        for (_, end, a), (start, _, b) in pairwise(spans):
            if start < end:
                raise self._bad(f"tensors {a!r} and {b!r} overlap")

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        n_dims = self._unpack("<I")
        if not 1 <= n_dims <= MAX_DIMS:
            raise self._bad(f"tensor {name!r} has {n_dims} dimensions")
        shape = tuple(self._unpack("<Q") for _ in range(n_dims))[::-1]
        type_, offset = self._unpack("<I"), self._unpack("<Q")
        if type_ not in TYPES:
            known, which = ", ".join(t[0] for t in TYPES.values()), _FOREIGN.get(type_, "unknown")
            raise self._bad(f"tensor {name!r} has ggml type {type_} ({which}); Ponder reads {known}")
        if 0 in shape or math.prod(shape) > self.size * 8:
            raise self._bad(f"tensor {name!r} has the impossible shape {shape}")
        return name, shape, type_, offset

    def _value(self, type_: int, depth: int = 0) -> Any:
        if type_ in _SCALARS:
            return self._unpack(_SCALARS[type_])
        if type_ == _STRING:
            return self._string()
        if type_ != _ARRAY or depth > 2:
            raise self._bad(f"metadata value of unknown type {type_}")
        item, count = self._unpack("<I"), self._unpack("<Q")
        scalar = _SCALARS.get(item)
        self._fits(count, struct.calcsize(scalar) if scalar else 8, "array items", MAX_ITEMS - self._items)
        self._items += count
        if scalar:
            values = struct.unpack_from(f"<{count}{scalar[1]}", self._map, self._at)
            self._at += struct.calcsize(scalar) * count
            return list(values)
        if item == _STRING:
            return self._strings(count)
        return [self._value(item, depth + 1) for _ in range(count)]

    def _string(self) -> str:
        return self._strings(1)[0]

    def _strings(self, count: int) -> list[str]:
        """The hot loop of opening a file: a vocabulary and its merges are 300,000 strings."""
        data, at, length_of, out = self._map, self._at, struct.Struct("<Q").unpack_from, []
        for _ in range(count):
            end = at + 8 + length_of(data, at)[0]
            if end > self.size:
                self._at = at
                raise self._bad("a string is longer than the file")
            out.append(data[at + 8 : end].decode("utf-8"))
            at = end
        self._at = at
        return out

    def _unpack(self, fmt: str) -> Any:
        value = struct.unpack_from(fmt, self._map, self._at)[0]
        self._at += struct.calcsize(fmt)
        return value

    def _fits(self, count: int, each: int, what: str, most: int) -> None:
        if count * each > self.size - self._at:
            raise self._bad(f"claims {count} {what}, more than the file can hold")
        if count > most:
            raise self._bad(f"claims {count} {what}, more than any real file has")

    def _bad(self, why: str) -> LoadError:
        return LoadError(f"{self.path}: {why[:500]}")  # a hostile name may be as long as the file
