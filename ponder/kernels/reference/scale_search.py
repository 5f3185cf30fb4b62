"""int4 with scales that minimise the weighted squared error, in numpy: csrc/packing/search.cpp's oracle, bit for bit.

    search(weights, 32, importance)   # [N, K] float32 -> Tensor; what loading does, by `pack.convert`

Why: round-to-nearest ties the scale of a group to its largest value. Here some scales around that are tried; for each
one the values take their nearest codes q, and the scale that then fits best, sum(p x q) / sum(p q q), leaves the error
sum(p x x) - sum(p x q)^2 / sum(p q q). The best is kept as float16, unless plain rounding is better after all.
How much the error of a value counts, p, is sqrt(2 mean of the row's x x + x x), as in llama.cpp: with p = 1 the largest
values are cut off to please the many small ones, and a model gains next to nothing (docs/weights.md).
Times the importance of the column, the mean square of that input, where a text tells it.
"""

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.kernels.tensor import GROUP, NORMAL, Floats, Grid, Tensor, check_group, pack_int4

# Multiples of the plain scale's inverse that are tried, for the largest value at either end of the codes. Twice as many
# gain another 0.7 % of the squared error of normal numbers.
FACTORS = np.array([0.84, 0.91, 0.98, 1.05, 1.12, 1.19], np.float32)
_LARGEST = np.float32(65504)  # of float16


def search(array: Floats, group: int = GROUP, importance: Floats | None = None, grid: Grid = NORMAL) -> Tensor:
    """array [N, K] float32, importance [K] >= 0 (ones when None) -> int4 Tensor.

    Raises UserError as `Tensor.quantise` does.
    """
    n, k = array.shape
    check_group("int4", k, group)
    if not np.isfinite(array).all():
        raise UserError("The tensor holds values that are not finite: the checkpoint is damaged.")
    x = array.reshape(n, k // group, group)
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=2)[:, :, None], axis=2)[:, :, 0]  # the first of equals
    first, last = np.float32(grid[0]), np.float32(grid[-1])
    if np.abs(largest / first).max(initial=0) > _LARGEST:
        raise UserError(f"The tensor's values are too large for float16 scales (up to {np.abs(largest).max():g}).")
    base = _sum(np.square(array).reshape(n, 1, k)) / np.float32(k) * np.float32(2)  # [N, 1]
    p = np.sqrt(base + np.square(array))
    p = (p if importance is None else importance * p).reshape(x.shape)
    plain = (largest / first).astype(np.float16)
    best, fitted = np.zeros_like(largest), np.zeros_like(plain)
    with np.errstate(all="ignore"):  # groups of zeros
        for end in (first, last):
            for factor in FACTORS:
                inverse = np.where(plain != 0, end * factor / largest, np.float32(0))[:, :, None]
                q = grid[nearest(grid)[slots(x * inverse)]].astype(np.float32)
                pxq, pqq = _sum(p * x * q), _sum(p * q * q)
                gain, scale = pxq * pxq / pqq, pxq / pqq
                better = (gain > best) & (np.abs(scale) <= _LARGEST)
                best[better], fitted[better] = gain[better], scale[better].astype(np.float16)
    better = _error(x, p, fitted, grid) < _error(x, p, plain, grid)
    scale16 = np.where(better & (plain != 0), fitted, plain)
    codes = _codes(x, scale16, grid).reshape(n, k)
    return Tensor("int4", (n, k), pack_int4(codes, group), scale16, group, grid)


def nearest(grid: Grid) -> NDArray[np.uint8]:
    """[256]: for the integers -128..127 the code of the nearest value, the lower one of two."""
    distance = np.abs(np.arange(-128, 128)[:, None] - grid.astype(np.int64))
    codes: NDArray[np.uint8] = distance.argmin(axis=1).astype(np.uint8)
    return codes


def slots(x: Floats) -> NDArray[np.int64]:
    """Nearest integers, limited to -128..127 and counted from 0."""
    return np.rint(np.clip(x, -128, 127)).astype(np.int64) + 128


def _codes(x: Floats, scale: NDArray[np.float16], grid: Grid) -> NDArray[np.uint8]:
    """[n, G, group] -> 0..15 of each value."""
    step = scale.astype(np.float32)[:, :, None]
    return nearest(grid)[slots(np.divide(x, step, out=np.zeros_like(x), where=step != 0))]


def _error(x: Floats, p: Floats, scale: NDArray[np.float16], grid: Grid) -> Floats:
    """[n, G]; infinite for a scale of 0."""
    off = x - grid[_codes(x, scale, grid)].astype(np.float32) * scale.astype(np.float32)[:, :, None]
    return np.where(scale == 0, np.float32(np.inf), _sum(p * off * off))


def _sum(x: Floats) -> Floats:
    """[n, G, group] -> [n, G], in the order of the kernels: 16 lanes, then halves."""
    n, groups, size = x.shape
    x = np.concatenate([x, np.zeros((n, groups, -size % 16), np.float32)], axis=2).reshape(n, groups, -1, 16)
    lanes = np.zeros((n, groups, 16), np.float32)
    for i in range(x.shape[2]):
        lanes = lanes + x[:, :, i]
    while lanes.shape[2] > 1:
        half = lanes.shape[2] // 2
        lanes = lanes[:, :, :half] + lanes[:, :, half:]
    out: Floats = lanes[:, :, 0]
    return out
