"""A GGUF matrix -> ponder.kernels.tensor.Tensor, without loss where the formats allow it.

Q8_0 and Q5_0 become int8 and Q4_0 becomes int4, groups of 32, value for value. Q4_1, Q5_1 and the K-quants have
offsets or groups of 16, which Ponder's kernels do not: they are requantised to int8 in groups of 32. That adds an error
below 1/254 of the group's largest weight, a small part of what the 4- to 6-bit format already lost (docs/weights.md).
F16 becomes bf16 when every value survives that, and f32 otherwise.
Big matrices are worked through in row chunks, so peak memory stays near the final size.
"""

from collections.abc import Iterator

import numpy as np

from ponder.core.errors import LoadError
from ponder.kernels.tensor import GROUP, Tensor, from_bf16, to_bf16
from ponder.model.ggml_blocks import BLOCK, Bytes, codes, dequantise

LOSSLESS = ("F32", "BF16", "F16", "Q8_0", "Q5_0", "Q4_0")  # types that `matrix` keeps value for value
_CHUNK = 1 << 18  # values at a time: the temporaries of a chunk stay in the second-level cache


def matrix(type_: str, raw: Bytes, shape: tuple[int, int]) -> Tensor:
    """raw: the bytes of a matrix [N, K] in a GGUF type. Raises LoadError for scales that are not finite."""
    n, k = shape
    elements, nbytes = BLOCK[type_]
    rows = raw.reshape(n, k // elements * nbytes)
    if type_ == "F32":
        return Tensor("f32", shape, rows.view("<f4"))
    if type_ == "BF16":
        return Tensor("bf16", shape, rows.view("<u2"))
    if type_ == "F16":
        return _half(rows.view("<f2"), shape)
    if type_ == "Q4_0":
        return _q4_0(rows, shape)
    return _int8(type_, rows, shape)


def _half(values: np.ndarray, shape: tuple[int, int]) -> Tensor:
    bits = np.empty(shape, np.uint16)
    for part in _chunks(shape):
        exact = values[part].astype(np.float32)
        bits[part] = to_bf16(exact)
        if not np.array_equal(from_bf16(bits[part]), exact):
            return Tensor("f32", shape, values.astype(np.float32))
    return Tensor("bf16", shape, bits)


def _q4_0(rows: Bytes, shape: tuple[int, int]) -> Tensor:
    n, k = shape
    blocks = rows.reshape(n, k // GROUP, 18)  # 2 bytes scale, 16 bytes nibbles in the very order of Tensor's int4
    scale = np.ascontiguousarray(blocks[:, :, :2]).view("<f2")[:, :, 0]
    return Tensor("int4", shape, np.ascontiguousarray(blocks[:, :, 2:]).reshape(n, k // 2), _finite(scale), GROUP)


def _int8(type_: str, rows: Bytes, shape: tuple[int, int]) -> Tensor:
    n, k = shape
    data, scale = np.empty(shape, np.int8), np.empty((n, k // GROUP), np.float16)
    for part in _chunks(shape):
        if type_ in LOSSLESS:
            q, exact, _ = codes(type_, rows[part])
            data[part], scale[part] = q.reshape(-1, k), exact.reshape(-1, k // GROUP)
        else:
            _requantise(dequantise(type_, rows[part]).reshape(-1, GROUP), data[part], scale[part])
    return Tensor("int8", shape, data, _finite(scale), GROUP)


def _requantise(groups: np.ndarray, data: np.ndarray, scale: np.ndarray) -> None:
    """float32 [n, 32] -> int8 and scales, written into `data` and `scale`; overwrites `groups`."""
    largest = np.maximum(groups.max(axis=1), -groups.min(axis=1))
    steps = (largest / np.float32(127)).astype(np.float16)
    scale[...] = steps.reshape(scale.shape)
    steps = steps.astype(np.float32)
    groups *= np.divide(1, steps, out=np.zeros_like(steps), where=steps != 0)[:, None]
    np.rint(groups, out=groups)
    np.clip(groups, -127, 127, out=groups)
    data[...] = groups.reshape(data.shape)


def _finite(scale: np.ndarray) -> np.ndarray:
    if not np.isfinite(scale).all():
        raise LoadError("a scale is not a finite number: the file is damaged")
    return scale


def _chunks(shape: tuple[int, int]) -> Iterator[slice]:
    step = max(1, _CHUNK // shape[1])
    return (slice(i, i + step) for i in range(0, shape[0], step))
