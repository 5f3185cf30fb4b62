"""The native op set: the contract of `ops.py` over numpy float32 arrays, computed by the C++ extension.

The instruction set and the thread count belong to the process: `set_isa`, `set_threads`. Neither changes the result of
a thread count; the instruction sets differ from each other in the last bits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.kernels.cache import Cache, in_use
from ponder.kernels.cpu import usable_cpus
from ponder.kernels.extension import _native
from ponder.kernels.packing.panels import Panels
from ponder.kernels.program.record import CallOps, Out
from ponder.kernels.program.run import run_call
from ponder.kernels.tensor import Floats, Tensor
from ponder.kernels.weight import Weight

Ints = NDArray[np.int32]


def isa() -> str:
    """The instruction set in force: scalar; avx2, avxvnni, avx512, avx512bf16 or amx; neon, dotprod or i8mm."""
    return str(_native.isa())


def available_isas() -> list[str]:
    """What this CPU and build can run, from plain to best (the default)."""
    return list(_native.isas())


def set_isa(name: str) -> str:
    """Force an instruction set for the whole process; returns the one in force. ValueError if this CPU lacks it."""
    _native.set_isa(name)
    return isa()


def threads() -> int:
    return int(_native.threads())


def set_threads(n: int | None = None) -> int:
    """Threads of every operation in the process; None: the CPUs this process may use. Returns the number."""
    _native.set_threads(usable_cpus() if n is None else n)
    return threads()


set_threads()


def read_ahead_experts() -> None:
    """From now on the pages of the experts that a router chose are asked for before they are computed with: for
    weights mapped from a file that may not all be in memory (Linux; nothing elsewhere). Results do not change."""
    _native.set_read_ahead(True)


def normal(seed: int, first_row: int, spread: float, out: Floats) -> None:
    """Fill out [n, k] with normal numbers of deviation `spread`: rows first_row.. of what seed (64 bits) names.
    The same numbers on every instruction set and for any number of threads."""
    _native.normal(seed, first_row, spread, out)


# Calls that the extension has a function for: its arguments are what the call reads, needs and makes, in this order.
DIRECT: dict[str, Callable[..., None]] = {
    "linear": _native.linear,
    "swiglu": _native.swiglu,
    "experts": _native.experts,
}


class NativeOps(CallOps):
    """See `ops.Ops`. Activations are C-contiguous float32 arrays, ids and positions int32."""

    def weight(self, value: Tensor | Panels | Floats) -> Any:
        """A Weight for a matrix [N, K], the array itself for a vector. Grouped kinds are packed into panels."""
        if isinstance(value, np.ndarray):
            if value.ndim == 1:  # a norm or a bias is used as it is
                return np.ascontiguousarray(value, np.float32)
            value = Tensor.quantise(value, "f32")
        if isinstance(value, Tensor) and value.group:
            value = Panels.pack(value)
        if isinstance(value, Panels):
            data: NDArray[Any] = value.buffer
        else:
            data = np.require(value.data, requirements=("C", "A"))  # a file may hold it at an odd address
        return Weight(value, _native.Weight(value.kind, *value.shape, value.group, data))

    def _calls(self, op: str, xs: tuple[NDArray[Any], ...], *outs: Out, **data: Any) -> tuple[NDArray[Any], ...]:
        made = tuple(np.empty((len(xs[0]), *shape), dtype) for shape, dtype in outs)
        if op in DIRECT:
            DIRECT[op](*xs, *map(_native_value, data.values()), *made)
        else:
            run_call(op, xs, made, data)
        return made

    def embed(self, weight: Weight, ids: Ints) -> Floats:
        out = np.empty((len(ids), weight.matrix.shape[1]), np.float32)
        _native.embed(weight.handle, ids, out)
        return out

    def rms_norm(self, x: Floats, weight: Floats, eps: float) -> Floats:
        out = np.empty_like(x)
        n = x.shape[-1]
        _native.rms_norm(x.reshape(-1, n), weight, eps, out.reshape(-1, n))
        return out

    def rope(self, x: Floats, cos: Floats, sin: Floats) -> Floats:
        out = np.empty_like(x)
        _native.rope(x, cos, sin, out)
        return out

    def attention(self, q: Floats, k: Floats, v: Floats, batch: Batch, cache: Cache | None, layer: int) -> Floats:
        out = np.empty((q.shape[0], q.shape[1] * q.shape[2]), np.float32)
        where = batch.positions, batch.starts, batch.block_tables
        _native.attention(q, k, v, *where, *in_use(batch, cache), layer, out)
        return out

    def add(self, a: Floats, b: Floats) -> Floats:
        return np.add(a, b)

    def gather_rows(self, x: Floats, rows: Ints) -> Floats:
        return np.take(x, rows, axis=0)

    def rescore(self, logits: Floats, x: Floats, weight: Weight, panels: int, margin: float) -> Floats:
        out = logits.copy()
        _native.rescore(out, x, weight.handle, panels, margin)
        return out

    def cache(self, layers: int, blocks: int, block_size: int, heads: int, head_dim: int, dtype: str) -> Cache:
        return Cache.empty(layers, blocks, block_size, heads, head_dim, dtype)


def _native_value(value: Any) -> Any:
    """As the extension takes it: handles instead of weights."""
    if isinstance(value, list):
        return [_native_value(v) for v in value]
    return value.handle if isinstance(value, Weight) else value
