"""One file of weights in the form the kernels compute with: mapped, checked, used where it lies.

    with write_cache_file(path, pieces, {"identity": "..."}) as put:
        put("lm_head.weight", buffer)                      # every piece, in the order of `pieces`
    file = CacheFile(path)
    file.value("lm_head.weight")                           # Panels, a view of the mapping

It is a safetensors file, so any tool can look into it: each matrix is one U8 tensor, the bytes of
ponder/kernels/packing/panels.py (grouped kinds) or of the row-major array (bf16, f32), padded with zeros to 64. The
metadata has kind, shape and group of each, the layout's version and what the writer wants to be known by.

The file appears under its name only when it is complete and on the disk. A reader believes nothing: sizes and offsets
must be exactly those that kinds and shapes give, so a hostile or damaged header is a LoadError, never a wild pointer.
The metadata has a sum of the bytes too. To look at all of them at each start would take longer than the start: the file
carries a time of change that its header names, and only where that differs is the sum formed.
"""

import errno
import math
import mmap
import os
import shutil
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ponder.core.atomic import replacing
from ponder.core.errors import LoadError
from ponder.kernels.packing.panels import Panels, panel_bytes
from ponder.kernels.tensor import DTYPES, Floats, Kind, Tensor, check_group
from ponder.model.weights.sums import digest, part_sums

FORMAT = "ponder-packed"
LAYOUT = 4  # raise it when the bytes of a kind change their meaning: panels, or how a matrix is quantised
ALIGN = 64
MAX_HEADER = 64 << 20  # a 30B-A3B model with 18,432 matrices of experts needs 4 MB
_MAX_SIDE = 1 << 28  # rows or columns: a product of two, and its bytes, stay far from 64 bits
RESERVE = 1 << 30  # bytes of the disk that are left to others

Bytes = NDArray[np.uint8]


class Piece(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One tensor: a matrix of a kind, or a float32 vector. group is 0 for f32 and bf16."""

    kind: Kind
    shape: tuple[int, ...]
    group: int = 0

    def nbytes(self) -> int:
        """Raises ValueError for a shape or group that cannot be."""
        if not 1 <= len(self.shape) <= 2 or min(self.shape) < 1 or max(self.shape) > _MAX_SIDE:
            raise ValueError(f"shape {self.shape}")
        if self.kind == "int8" or self.kind == "int4" or self.kind == "uint4":
            n, k = self.shape
            check_group(self.kind, k, self.group)
            return panel_bytes(self.kind, (n, k), self.group)
        if self.group or (len(self.shape) == 1 and self.kind != "f32"):
            raise ValueError(f"{self.kind} {self.shape} in groups of {self.group}")
        return math.prod(self.shape) * np.dtype(DTYPES[self.kind]).itemsize


class Put(Protocol):
    def __call__(self, name: str, buffer: Bytes) -> None: ...


@contextmanager
def write_cache_file(path: Path, pieces: Mapping[str, Piece], metadata: Mapping[str, str]) -> Iterator[Put]:
    """The body puts every piece in order. Raises OSError when the disk has no room, before anything is written."""
    about = {**metadata, "written": str(int(time.time())), "sum": "0" * 64}
    header = _header(pieces, about)
    total = len(header) + sum(_padded(piece) for piece in pieces.values())
    if shutil.disk_usage(path.parent).free < total + RESERVE:
        raise OSError(errno.ENOSPC, f"{total >> 20} MB of packed weights do not fit the disk", str(path.parent))
    left = iter(pieces.items())
    sums: list[bytes] = []
    with replacing(path) as file:
        file.write(header)

        def put(name: str, buffer: Bytes) -> None:
            expected, piece = next(left)
            assert (name, buffer.nbytes) == (expected, piece.nbytes()), f"{name} where {expected} should be"
            file.write(buffer.data)
            file.write(bytes(_padded(piece) - buffer.nbytes))
            sums.append(part_sums(buffer))

        yield put
        assert next(left, None) is None, "a piece is missing"
        file.seek(0)
        file.write(_header(pieces, about | {"sum": digest(sums)}))
    seconds = int(about["written"])
    os.utime(path, (seconds, seconds))


class CacheFile:
    """pieces: what is in it. metadata: as written. nbytes: of the file. Raises LoadError for anything else than a
    whole file of this layout."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as f:
                self._map = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
                changed = os.fstat(f.fileno()).st_mtime_ns
            self._read()
            self._check_bytes(changed)
        except (OSError, ValueError, struct.error, RecursionError) as e:  # msgspec's errors are ValueErrors
            raise LoadError(f"{path}: not a file of packed weights: {str(e)[:300]}") from e

    @property
    def nbytes(self) -> int:
        return len(self._map)

    def value(self, name: str) -> Floats | Tensor | Panels:
        """A vector, a bf16 or f32 matrix, or panels: all of them views of the mapping."""
        piece, raw = self.pieces[name], self.buffer(name)
        if len(piece.shape) == 1:
            return raw.view(np.float32)
        n, k = piece.shape
        if piece.kind == "int8" or piece.kind == "int4" or piece.kind == "uint4":
            return Panels(piece.kind, (n, k), piece.group, raw)
        return Tensor(piece.kind, (n, k), raw.view(DTYPES[piece.kind]).reshape(n, k))

    def buffer(self, name: str) -> Bytes:
        """The bytes of a piece: a view of the mapping, aligned to 64."""
        at = self._offsets[name]
        return self._bytes[at : at + self.pieces[name].nbytes()]

    def _read(self) -> None:
        size = len(self._map)
        (length,) = struct.unpack_from("<Q", self._map)
        if length > min(size - 8, MAX_HEADER) or (8 + length) % ALIGN:
            raise ValueError("the length of the header is impossible")
        raw = msgspec.json.decode(self._map[8 : 8 + length], type=dict[str, msgspec.Raw])
        self.metadata = msgspec.json.decode(raw.pop("__metadata__", b"{}"), type=dict[str, str])
        if (self.metadata.get("format"), self.metadata.get("layout")) != (FORMAT, str(LAYOUT)):
            raise ValueError("another format or layout")
        self.pieces = msgspec.json.decode(self.metadata.get("pieces", ""), type=dict[str, Piece])
        if self.pieces.keys() != raw.keys():
            raise ValueError("tensors and their description differ")
        self._offsets: dict[str, int] = {}
        at = 0
        for name, piece in self.pieces.items():  # in file order, without gaps
            entry = msgspec.json.decode(raw[name], type=_Entry)
            end = at + _padded(piece)
            if entry != _Entry("U8", (end - at,), (at, end)):
                raise ValueError(f"{name[:100]} does not lie where it must")
            self._offsets[name] = 8 + length + at
            at = end
        if 8 + length + at != size:
            raise ValueError(f"{size} bytes instead of {8 + length + at}")
        self._bytes: Bytes = np.frombuffer(self._map, np.uint8)

    def _check_bytes(self, changed: int) -> None:
        """changed: when the file was, in ns."""
        written = int(self.metadata.get("written", ""))
        if changed == written * 10**9:
            return
        if self.metadata.get("sum") != digest([part_sums(self.buffer(name)) for name in self.pieces]):
            raise ValueError("the bytes are not those that were written: the file is damaged")
        with suppress(OSError):  # a copy, or not ours: the next start looks again
            os.utime(self.path, (written, written))


def bytes_of(value: Floats | Tensor) -> Bytes:
    """What a file holds of a vector or matrix."""
    if not isinstance(value, Tensor):
        return np.ascontiguousarray(value, np.float32).reshape(-1).view(np.uint8)
    return Panels.pack(value).buffer if value.group else value.data.reshape(-1).view(np.uint8)


class _Entry(Struct, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def _padded(piece: Piece) -> int:
    return -(-piece.nbytes() // ALIGN) * ALIGN


def _header(pieces: Mapping[str, Piece], metadata: Mapping[str, str]) -> bytes:
    described = msgspec.json.encode(dict(pieces)).decode()
    known = {"format": FORMAT, "layout": str(LAYOUT), **metadata, "pieces": described}
    entries: dict[str, Any] = {"__metadata__": known}
    at = 0
    for name, piece in pieces.items():
        end = at + _padded(piece)
        entries[name] = _Entry("U8", (end - at,), (at, end))
        at = end
    text = msgspec.json.encode(entries)
    text += b" " * (-(8 + len(text)) % ALIGN)
    return struct.pack("<Q", len(text)) + text
