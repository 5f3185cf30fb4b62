"""The operations as calls, and a pass recorded as the list of its calls.

`CallOps` says once for each operation what it reads, what shape it makes and what else it needs; who derives from it
decides what becomes of a call. `Recorder` keeps it: its arrays are `Symbol`s, which know the shape of a row but not
how many rows there are, and hold no numbers. A pass that is plain Python over ops leaves the list of its calls, and
`fuse.py` makes a program of it; there is no second description of the model. `NativeOps` (ponder/kernels/native.py)
computes it at once.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ponder.kernels.ops import Array, HostOps
from ponder.kernels.tensor import Floats
from ponder.kernels.weight import Weight

Out = tuple[tuple[int, ...], type[Any]]  # the shape of a row, and what it is made of


@dataclass(frozen=True, eq=False)
class Symbol:
    """An array [T or R, *shape] that is not there yet. Reshaped, it is the same value."""

    value: int
    shape: tuple[int, ...]

    def reshape(self, *shape: int) -> "Symbol":
        assert shape[0] == -1 and prod(shape[1:]) == prod(self.shape), f"{self.shape} is recorded by rows, not {shape}"
        return Symbol(self.value, shape[1:])


@dataclass(frozen=True, eq=False)
class Call:
    """op: the name in ops.py. xs: the arrays it reads. out: those it makes (route: two). data: everything else."""

    op: str
    xs: tuple[Symbol, ...]
    out: tuple[Symbol, ...]
    data: dict[str, Any] = field(default_factory=dict)


class CallOps(HostOps):
    """See `ops.Ops`. Arrays have a row for each token; only `_calls` knows what they are."""

    def _calls(self, op: str, xs: tuple[Array, ...], *outs: Out, **data: Any) -> tuple[Array, ...]:
        raise NotImplementedError

    def _call(self, op: str, xs: tuple[Array, ...], shape: tuple[int, ...], **data: Any) -> Array:
        (out,) = self._calls(op, xs, (shape, np.float32), **data)
        return out

    def rms_norm(self, x: Array, weight: Floats, eps: float) -> Array:
        return self._call("rms_norm", (x,), row(x), weight=weight, eps=eps)

    def linear(self, x: Array, weight: Weight, bias: Floats | None = None) -> Array:
        return self._call("linear", (x,), (weight.outputs,), weight=weight, bias=bias)

    def swiglu(self, gate: Array, up: Array) -> Array:
        return self._call("swiglu", (gate, up), row(gate))

    def route(self, logits: Array, top_k: int, normalise: bool) -> tuple[Array, Array]:
        ids, weights = self._calls(
            "route", (logits,), ((top_k,), np.int32), ((top_k,), np.float32), normalise=normalise
        )  # fmt: skip
        return ids, weights

    def experts(
        self, x: Array, ids: Array, weights: Array, gate: list[Weight], up: list[Weight], down: list[Weight]
    ) -> Array:
        return self._call("experts", (x, ids, weights), row(x), gate=gate, up=up, down=down)

    def rescore(self, logits: Array, x: Array, weight: Weight, panels: int, margin: float) -> Array:
        return self._call("rescore", (logits, x), row(logits), weight=weight, panels=panels, margin=margin)


@dataclass(frozen=True)
class SymbolicBatch:
    """Stands for core.batch.Batch, and for the rotary positions that a `Rope` would look up for it."""

    logit_rows: str = "logit_rows"

    def rows(self, batch: "SymbolicBatch") -> tuple[str, str]:
        return "cos", "sin"


class Recorder(CallOps):
    """See `ops.Ops`; the weights are those of NativeOps, the arrays are symbols."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.values = 0

    def _calls(self, op: str, xs: tuple[Symbol, ...], *outs: Out, **data: Any) -> tuple[Symbol, ...]:
        out = tuple(Symbol(self.values + i, shape) for i, (shape, _) in enumerate(outs))
        self.values += len(out)
        self.calls.append(Call(op, xs, out, data))
        return out

    def embed(self, weight: Weight, ids: None) -> Array:
        return self._call("embed", (), (weight.matrix.shape[1],), weight=weight)

    def rope(self, x: Symbol, cos: str, sin: str) -> Array:
        return self._call("rope", (x,), x.shape)

    def attention(self, q: Symbol, k: Symbol, v: Symbol, batch: SymbolicBatch, cache: None, layer: int) -> Array:
        return self._call("attention", (q, k, v), (prod(q.shape),), layer=layer)

    def add(self, a: Symbol, b: Symbol) -> Array:
        return self._call("add", (a, b), a.shape)

    def gather_rows(self, x: Symbol, rows: str) -> Array:
        return self._call("gather_rows", (x,), x.shape)


def row(x: Array) -> tuple[int, ...]:
    """The shape of a row of a symbol or of an array."""
    return x.shape if isinstance(x, Symbol) else x.shape[1:]
