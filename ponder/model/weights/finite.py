"""Whether weights are numbers: one NaN makes every answer of a model garbage, or an error nobody understands."""

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import LoadError
from ponder.kernels.tensor import Floats, Tensor

_CHUNK = 1 << 20  # values that stay in a core's cache for the second look
# The bits of infinity by the size of a float; above them, as integers, only NaN.
_INFINITY = {2: {"bf16": 0x7F80, "f16": 0x7C00}, 4: {"f32": 0x7F800000}}


def check_finite(where: str, name: str, value: Floats | Tensor) -> None:
    """Raises LoadError that names the tensor. Of packed values only the scales can be anything else than numbers."""
    if isinstance(value, Tensor):
        fine = all_finite(value.data, value.kind) if value.scale is None else all_finite(value.scale, "f16")
    else:
        fine = all_finite(value, "f32")
    if not fine:
        raise LoadError(f"{where}: {name} holds values that are not finite (NaN or infinity): the file is damaged")


def all_finite(values: NDArray[np.generic], kind: str) -> bool:
    """Two maxima over the bits: as signed integers positive floats are in order, as unsigned ones negative floats are
    above all positive ones, and in order too. At the speed of memory, without a copy."""
    size = values.dtype.itemsize
    infinity = _INFINITY[size][kind]
    sign = 1 << 8 * size - 1
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        if int(part.view(f"i{size}").max()) >= infinity or int(part.view(f"u{size}").max()) >= sign + infinity:
            return False
    return True
