"""Matrices as they lie in files -> Tensor, by the C++ extension: no float32 copy of a matrix on the way.

    convert("Q6_K", raw, (n, k), "int8")       # raw: uint8 [N, bytes of a row], may be a mapped file
    from_rows(chunks_of_float32_rows, (n, k), "int4")

One row at a time is decoded to float32 and packed. Equal, bit for bit, to the readable versions in numpy:
ponder/model/formats/ggml_blocks.py for a whole matrix, then `Tensor.quantise`, or `scale_search.search` for int4. Codes
that Ponder's kinds hold exactly are copied: Q8_0 and Q5_0 to int8, IQ4_NL and Q4_0 to int4, in groups of 32. So are
those of Q4_1 and Q4_K to uint4, whose scales and offsets are rounded to float16; nothing else becomes uint4.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.kernels.extension import _native
from ponder.kernels.tensor import DTYPES, FOUR_BITS, GROUP, LINEAR, NORMAL, Floats, Grid, Kind, Tensor, check_group

Bytes = NDArray[np.uint8]

_AS_IT_IS = {("F32", "f32"): "<f4", ("BF16", "bf16"): "<u2"}
_NOT_FINITE, _TOO_LARGE = 1, 2


def convert(
    format: str, raw: Bytes, shape: tuple[int, int], kind: Kind, group: int = GROUP, *, mapped: bool = False
) -> Tensor:
    """raw: the bytes of a matrix [N, K] in a type of `ponder.core.gguf.TYPES`. F32 as f32 and BF16 as bf16 are views.

    mapped: raw is a read-only mapping of a file; its pages leave this process's memory as soon as they are converted.
    Raises UserError for rows that do not divide into groups, for values that are not finite (except between plain
    float types) or too large.
    """
    raw = raw.reshape(shape[0], -1)
    if same := _AS_IT_IS.get((format, kind)):
        return Tensor(kind, shape, raw.view(same))
    grid = LINEAR if format == "Q4_0" and group == GROUP else NORMAL
    out = _empty(shape, kind, group, grid)
    scale = None if out.scale is None else out.scale.reshape(shape[0], -1)
    _check(_native.convert(format, raw, kind, out.group, out.data, scale, *_weighing(out, None), mapped))
    return out


def from_rows(
    parts: Iterable[Floats], shape: tuple[int, int], kind: Kind, group: int = GROUP, importance: Floats | None = None,
    grid: Grid = NORMAL,
) -> Tensor:  # fmt: skip
    """parts: float32 [rows, K], all rows in order. For int4: importance [K] >= 0, how much errors of a column count,
    and the grid.

    Raises UserError as `Tensor.quantise` does.
    """
    out, at = _empty(shape, kind, group, grid), 0
    for part in parts:
        rows = slice(at, at + len(part))
        scale = None if out.scale is None else out.scale[rows]
        raw = np.ascontiguousarray(part, np.float32).view(np.uint8)
        _check(_native.convert("F32", raw, kind, out.group, out.data[rows], scale, *_weighing(out, importance), False))
        at = rows.stop
    assert at == shape[0], f"{at} rows for a matrix of {shape}"
    return out


def _empty(shape: tuple[int, int], kind: Kind, group: int, grid: Grid) -> Tensor:
    n, k = shape
    scale = None
    if kind in ("int8", *FOUR_BITS):
        check_group(kind, k, group)
        scale = np.empty((n, k // group, 2) if kind == "uint4" else (n, k // group), np.float16)
    data: NDArray[Any] = np.empty((n, k // 2 if kind in FOUR_BITS else k), DTYPES[kind])
    return Tensor(kind, shape, data, scale, 0 if scale is None else group, grid if kind == "int4" else None)


def _weighing(out: Tensor, importance: Floats | None) -> tuple[Floats, Grid] | tuple[None, None]:
    if out.grid is None:
        return None, None
    return np.ones(out.shape[1], np.float32) if importance is None else importance, out.grid


def _check(flags: int) -> None:
    if flags & _NOT_FINITE:
        raise UserError("The tensor holds values that are not finite: the checkpoint is damaged.")
    if flags & _TOO_LARGE:
        raise UserError("The tensor's values are too large for float16 scales.")
