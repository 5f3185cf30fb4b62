"""One weight matrix as it is kept in memory: float32, bfloat16, or int8 / int4 in groups along K.

Why: loaders (safetensors, GGUF), the quantiser and all op sets pass weights as this one value. bf16 and f32 data may be
a view of a memory-mapped file; nothing here copies unless it must.

Grouped kinds have one float16 scale for `group` values of a row: int8 is value = q * scale. int4 packs two codes a
byte inside each group as GGUF does: byte j holds element j in the low nibble and element j + group/2 in the high
nibble, value = grid[nibble] * scale. The grid is a property of the tensor: NORMAL, which lies denser where weights are
many, or LINEAR. So IQ4_NL, Q4_0 and Q8_0 (int8, group 32) import without loss. uint4 packs likewise, and each group has
an offset beside its scale: value = nibble * scale + offset. That is how Q4_1, Q4_K, AWQ and GPTQ keep weights.
K must be a multiple of the group, otherwise the tensor is refused: a tiny model passes a smaller even group.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError

Kind = Literal["f32", "bf16", "int8", "int4", "uint4"]
Floats = NDArray[np.float32]

FOUR_BITS = ("int4", "uint4")
DTYPES: dict[str, type[Any]] = {"f32": np.float32, "bf16": np.uint16, "int8": np.int8} | dict.fromkeys(
    FOUR_BITS, np.uint8
)
GROUP = 32
Grid = NDArray[np.int8]  # [16], rising, with both signs
LINEAR: Grid = np.arange(-8, 8, dtype=np.int8)  # GGUF's Q4_0
NORMAL: Grid = np.array(  # GGUF's IQ4_NL
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8
)
_CHUNK = 1 << 22  # values quantised at a time, so that temporaries stay near 50 MB


def to_bf16(x: NDArray[Any]) -> NDArray[np.uint16]:
    """float32 -> bfloat16 bits, round to nearest even; NaN stays NaN (quiet). Any shape."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(nan, (bits >> np.uint32(16)) | np.uint32(0x40), rounded).astype(np.uint16)


def from_bf16(bits: NDArray[np.uint16]) -> Floats:
    """bfloat16 bits -> float32, exact. Any shape."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A matrix [N, K].

    data: float32 [N, K] | uint16 [N, K] (bf16 bits) | int8 [N, K] | uint8 [N, K/2], C-contiguous.
    scale: float16 [N, K/group] for int8 and int4, [N, K/group, 2] for uint4, scale and offset; else None. group: values
    a scale covers; 0 for f32 and bf16.
    grid: for int4, else None.
    """

    kind: Kind
    shape: tuple[int, int]
    data: NDArray[Any]
    scale: NDArray[np.float16] | None = None
    group: int = 0
    grid: Grid | None = None

    def __post_init__(self) -> None:
        assert self.kind in DTYPES, f"unknown kind {self.kind!r}"
        n, k = self.shape
        assert (self.grid is not None) == (self.kind == "int4"), "int4 and nothing else has a grid"
        width = k // 2 if self.kind in FOUR_BITS else k
        assert self.data.dtype == DTYPES[self.kind], f"{self.kind} data has dtype {self.data.dtype}"
        assert self.data.shape == (n, width), f"{self.kind} data of {self.shape} has shape {self.data.shape}"
        assert self.data.flags.c_contiguous, "weight data must be C-contiguous"
        if self.kind in ("f32", "bf16"):
            assert self.scale is None and self.group == 0, f"{self.kind} has no scale"
            return
        check_group(self.kind, k, self.group)
        assert self.scale is not None and self.scale.dtype == np.float16, f"{self.kind} needs float16 scales"
        pair = (2,) if self.kind == "uint4" else ()
        assert self.scale.shape == (n, k // self.group, *pair), f"scale has shape {self.scale.shape}"
        assert self.scale.flags.c_contiguous, "scales must be C-contiguous"

    @property
    def nbytes(self) -> int:
        """Bytes of data and scales; a grid's 16 do not count."""
        return self.data.nbytes + (0 if self.scale is None else self.scale.nbytes)

    def dequantise(self) -> Floats:
        """-> float32 [N, K]; for f32 the data itself, not a copy."""
        if self.kind == "f32":
            return self.data
        if self.kind == "bf16":
            return from_bf16(self.data)
        assert self.scale is not None
        n, k = self.shape
        groups = self.integers().reshape(n, k // self.group, self.group).astype(np.float32)
        scale, offset = self.scales()
        groups *= scale[:, :, None]
        if offset is not None:
            groups += offset[:, :, None]
        return groups.reshape(n, k)

    def scales(self) -> tuple[Floats, Floats | None]:
        """Of a grouped kind: scales [N, K/group], and the offsets of uint4."""
        assert self.scale is not None
        scale = self.scale.astype(np.float32)
        return (scale[:, :, 0], scale[:, :, 1]) if self.kind == "uint4" else (scale, None)

    def integers(self) -> NDArray[np.int8]:
        """Of a grouped kind: what the scales multiply, int8 [N, K]."""
        if self.kind == "int8":
            return self.data
        codes = unpack_int4(self.data, self.group)
        return codes.view(np.int8) if self.grid is None else self.grid[codes]

    def rows(self, ids: NDArray[Any]) -> Floats:
        """Rows `ids` [R] as float32 [R, K]: what an embedding needs. Raises ValueError for an id out of range."""
        if ids.size and not (int(ids.min()) >= 0 and int(ids.max()) < self.shape[0]):
            raise ValueError(f"row ids must lie in 0..{self.shape[0] - 1}, got {ids.min()}..{ids.max()}")
        scale = None if self.scale is None else self.scale[ids]
        return Tensor(self.kind, (len(ids), self.shape[1]), self.data[ids], scale, self.group, self.grid).dequantise()

    @classmethod
    def quantise(cls, array: NDArray[Any], kind: Kind, group: int = GROUP) -> Self:
        """float array [N, K] -> Tensor; round to nearest with the scale as float16 holds it. `group`: of grouped kinds.
        int4 is on the grid LINEAR; what models are packed with is `scale_search.search`. uint4 is from the least value
        of a group to the largest.

        Raises UserError for values that are not finite, too large, or rows that do not divide into groups.
        """
        n, k = array.shape
        if kind == "f32":
            return cls(kind, (n, k), np.ascontiguousarray(array, np.float32))
        if kind == "bf16":
            data = np.empty((n, k), np.uint16)
            for rows in _chunks(n, k):
                data[rows] = to_bf16(array[rows])
            return cls(kind, (n, k), data)
        check_group(kind, k, group)
        if kind == "uint4":
            return cls(kind, (n, k), *_between(np.asarray(array, np.float32), group), group)
        data = np.empty((n, k // 2), np.uint8) if kind == "int4" else np.empty((n, k), np.int8)
        scale = np.empty((n, k // group), np.float16)
        for rows in _chunks(n, k):
            part = np.asarray(array[rows], np.float32).reshape(-1, k // group, group)
            scale[rows] = _scales(part, kind)
            low, high = (-8, 7) if kind == "int4" else (-127, 127)
            step = scale[rows].astype(np.float32)[:, :, None]
            q = np.divide(part, step, out=np.zeros_like(part), where=step != 0)
            q = np.clip(np.rint(q), low, high).astype(np.int8).reshape(-1, k)
            data[rows] = pack_int4((q + np.int8(8)).view(np.uint8), group) if kind == "int4" else q
        return cls(kind, (n, k), data, scale, group, LINEAR if kind == "int4" else None)


def check_group(kind: str, k: int, group: int) -> None:
    """Raises UserError unless rows of k divide into groups (even ones for int4)."""
    if group < 1 or k % group or (kind in FOUR_BITS and group % 2):
        raise UserError(
            f"Rows of {k} values do not divide into {kind} groups of {group}: keep this tensor bf16, "
            f"or choose {'an even' if kind in FOUR_BITS else 'a'} group that divides {k}."
        )


def pack_int4(codes: NDArray[np.uint8], group: int) -> NDArray[np.uint8]:
    """Codes 0..15 [N, K] -> bytes [N, K/2], in the layout of the module's docstring."""
    n, k = codes.shape
    halves = codes.reshape(n, k // group, 2, group // 2)
    return (halves[:, :, 0] | (halves[:, :, 1] << np.uint8(4))).reshape(n, k // 2)


def unpack_int4(data: NDArray[np.uint8], group: int) -> NDArray[np.uint8]:
    """Bytes [N, K/2] -> codes 0..15 [N, K]."""
    n, half_k = data.shape
    packed = data.reshape(n, 2 * half_k // group, 1, group // 2)
    return np.concatenate([packed & np.uint8(15), packed >> np.uint8(4)], axis=2).reshape(n, 2 * half_k)


def _between(array: Floats, group: int) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """[N, K] -> data and scale of uint4."""
    n, k = array.shape
    part = array.reshape(n, k // group, group)
    _finite(part)
    low, high = part.min(axis=2), part.max(axis=2)
    scale = np.stack([(high - low) / np.float32(15), low], axis=2).astype(np.float16)
    step, offset = scale[:, :, :1].astype(np.float32), scale[:, :, 1:].astype(np.float32)
    q = np.divide(part - offset, step, out=np.zeros_like(part), where=step != 0)
    return pack_int4(np.clip(np.rint(q), 0, 15).astype(np.uint8).reshape(n, k), group), scale


def _finite(part: Floats) -> None:
    if not np.isfinite(part).all():
        raise UserError("The tensor holds values that are not finite: the checkpoint is damaged.")


def _scales(part: Floats, kind: str) -> NDArray[np.float16]:
    """[n, G, group] -> [n, G]. int4 lets the largest value hit -8, the end with one more step (as Q4_0 does)."""
    _finite(part)
    if kind == "int8":
        scale = np.abs(part).max(axis=2) / np.float32(127)
    else:
        where = np.abs(part).argmax(axis=2)[:, :, None]
        scale = np.take_along_axis(part, where, axis=2)[:, :, 0] / np.float32(-8)
    if np.abs(scale).max(initial=0) > np.finfo(np.float16).max:
        raise UserError(f"The tensor's values are too large for float16 scales (up to {np.abs(part).max():g}).")
    halves: NDArray[np.float16] = scale.astype(np.float16)
    return halves


def _chunks(n: int, k: int) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, k))
    return (slice(i, i + step) for i in range(0, n, step))
