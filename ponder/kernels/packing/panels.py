"""An int8, int4 or uint4 matrix as the native kernels read it: panels of 16 output rows in one buffer.

    panels = Panels.pack(tensor)        # all threads; exact
    panels.tensor()                     # and back, bit for bit
    Panels("int8", (n, k), 32, buffer)  # a buffer that lies in a mapped file

The buffer is the same for every instruction set and has no header: codes, scales, grid (csrc/packing/panels.h):

    int8 codes  [N/16][K/4][16 rows][4 k]      uint8, value + 128
    int4 codes  [N/16][K/8][16 rows][4 bytes]  low nibbles hold k 0..3 of the 8, high nibbles k 4..7
    uint4 codes, as those of int4
    scales      [N/16][K/group][16 rows]       float16; of uint4 [N/16][K/group][2][16 rows], scales and offsets
    int4 grid   [16]                           uint8, the value of each code + 128

N is rounded up (rows of scale 0), and each group to a multiple of 8 codes (of any value). Why this layout: a slice of
64 bytes is one vector of 16 outputs times 4 (8) values of K, so nothing is summed across lanes, one activation is
broadcast to all, and a slice is also one row of an AMX tile. Row-major `Tensor` stays the form of files and exchange.
"""

import mmap
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ponder.kernels.extension import _native
from ponder.kernels.tensor import DTYPES, FOUR_BITS, Tensor

ALIGNMENT = 64
_PAGE = 2 << 20  # a huge page
_SLAB = 32 << 20


PanelKind = Literal["int8", "int4", "uint4"]


def panel_bytes(kind: PanelKind, shape: tuple[int, int], group: int) -> int:
    """Bytes of the buffer. Raises ValueError for a shape that does not divide into groups."""
    return int(_native.panel_bytes(kind, *shape, group))


@dataclass(frozen=True, eq=False)
class Panels:
    """A matrix [N, K]. buffer: uint8 [panel_bytes], C-contiguous, aligned to 64 bytes; only read."""

    kind: PanelKind
    shape: tuple[int, int]
    group: int
    buffer: NDArray[np.uint8]

    def __post_init__(self) -> None:
        assert self.kind in ("int8", *FOUR_BITS), f"{self.kind} has no panels"
        needed = panel_bytes(self.kind, self.shape, self.group)
        assert self.buffer.dtype == np.uint8 and self.buffer.shape == (needed,), f"the buffer needs {needed} bytes"
        assert self.buffer.ctypes.data % ALIGNMENT == 0, f"the buffer is not aligned to {ALIGNMENT} bytes"

    @classmethod
    def pack(cls, tensor: Tensor) -> Self:
        """Of kind int8 or int4."""
        kind = tensor.kind
        assert kind == "int8" or kind == "int4" or kind == "uint4", f"{kind} has no panels"
        assert tensor.scale is not None
        buffer = arena.allocate(panel_bytes(kind, tensor.shape, tensor.group))
        # a mapped file may hold them at odd addresses
        rows = tensor.scale.reshape(len(tensor.scale), -1)
        data, scale = (np.require(a, requirements=("C", "A")) for a in (tensor.data, rows))
        _native.to_panels(kind, tensor.group, data, scale, tensor.grid, buffer)
        return cls(kind, tensor.shape, tensor.group, buffer)

    def tensor(self) -> Tensor:
        n, k = self.shape
        data: NDArray[Any] = np.empty((n, k // 2 if self.kind in FOUR_BITS else k), DTYPES[self.kind])
        pair = (2,) if self.kind == "uint4" else ()
        scale = np.empty((n, k // self.group, *pair), np.float16)
        grid = np.empty(16, np.int8) if self.kind == "int4" else None
        _native.from_panels(self.kind, self.group, data, scale.reshape(n, -1), grid, self.buffer)
        return Tensor(self.kind, self.shape, data, scale, self.group, grid)

    @property
    def nbytes(self) -> int:
        return self.buffer.nbytes


class Arena:
    """Room for weights in pages of 2 MB, many matrices to a slab: reading them is a quarter faster than in small pages
    (39 against 31 GB/s with one Zen 5 core). A slab lives as long as any array in it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slab: NDArray[np.uint8] = np.empty(0, np.uint8)  # what is left of the newest one

    def allocate(self, nbytes: int) -> NDArray[np.uint8]:
        """Uninitialised bytes at an address that is a multiple of 64."""
        with self._lock:
            if len(self._slab) < nbytes:
                if nbytes > _SLAB // 2:
                    return _huge_pages(nbytes)[:nbytes]
                self._slab = _huge_pages(_SLAB)
            out, self._slab = self._slab[:nbytes], self._slab[-(-nbytes // ALIGNMENT) * ALIGNMENT :]
            return out


def _huge_pages(nbytes: int) -> NDArray[np.uint8]:
    """At least nbytes from a multiple of _PAGE on (not on Linux: of ALIGNMENT); memory counts once it is written."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):  # only Linux has them for the asking
        raw = np.empty(nbytes + ALIGNMENT, np.uint8)
        return raw[-raw.ctypes.data % ALIGNMENT :]
    room = mmap.mmap(-1, nbytes + _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    room.madvise(mmap.MADV_HUGEPAGE)
    raw = np.frombuffer(room, np.uint8)
    return raw[-raw.ctypes.data % _PAGE :]


arena = Arena()
