"""Records one run of a forward pass: which operations, on which values, with which weights.

`Recorder` is an op set (ops.py) whose arrays are `Symbol`s: they know the shape of a row but not how many rows there
are, and hold no numbers. A pass that is plain Python over ops leaves the list of its calls, and `fuse.py` makes a
program of it; there is no second description of the model.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

from ponder.kernels.native import Weight
from ponder.kernels.ops import HostOps
from ponder.kernels.tensor import Floats

Rows = Literal["token", "wanted"]  # a row for each token of the batch, or for each row of logits


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
    """op: the name in ops.py. xs: the symbols it reads. out: the one it makes (route: two). data: everything else."""

    op: str
    xs: tuple[Symbol, ...]
    out: tuple[Symbol, ...]
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SymbolicBatch:
    """Stands for core.batch.Batch, and for the rotary positions that a `Rope` would look up for it."""

    logit_rows: str = "logit_rows"

    def rows(self, batch: "SymbolicBatch") -> tuple[str, str]:
        return "cos", "sin"


class Recorder(HostOps):
    """See `ops.Ops`; the weights are those of NativeOps."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.values = 0

    def _call(self, op: str, xs: tuple[Symbol, ...], shape: tuple[int, ...], **data: Any) -> Symbol:
        out = Symbol(self.values, shape)
        self.values += 1
        self.calls.append(Call(op, xs, (out,), data))
        return out

    def embed(self, weight: Weight, ids: None) -> Symbol:
        return self._call("embed", (), (weight.matrix.shape[1],), weight=weight)

    def rms_norm(self, x: Symbol, weight: Floats, eps: float) -> Symbol:
        return self._call("rms_norm", (x,), x.shape, weight=weight, eps=eps)

    def linear(self, x: Symbol, weight: Weight, bias: Floats | None = None) -> Symbol:
        return self._call("linear", (x,), (weight.outputs,), weight=weight, bias=bias)

    def rope(self, x: Symbol, cos: str, sin: str) -> Symbol:
        return self._call("rope", (x,), x.shape)

    def attention(self, q: Symbol, k: Symbol, v: Symbol, batch: SymbolicBatch, cache: None, layer: int) -> Symbol:
        return self._call("attention", (q, k, v), (prod(q.shape),), layer=layer)

    def swiglu(self, gate: Symbol, up: Symbol) -> Symbol:
        return self._call("swiglu", (gate, up), gate.shape)

    def add(self, a: Symbol, b: Symbol) -> Symbol:
        return self._call("add", (a, b), a.shape)

    def gather_rows(self, x: Symbol, rows: str) -> Symbol:
        return self._call("gather_rows", (x,), x.shape)

    def route(self, logits: Symbol, top_k: int, normalise: bool) -> tuple[Symbol, Symbol]:
        ids, weights = Symbol(self.values, (top_k,)), Symbol(self.values + 1, (top_k,))
        self.values += 2
        self.calls.append(Call("route", (logits,), (ids, weights), {"normalise": normalise}))
        return ids, weights

    def rescore(self, logits: Symbol, x: Symbol, weight: Weight, panels: int, margin: float) -> Symbol:
        return self._call("rescore", (logits, x), logits.shape, weight=weight, panels=panels, margin=margin)

    def experts(
        self, x: Symbol, ids: Symbol, weights: Symbol, gate: list[Weight], up: list[Weight], down: list[Weight]
    ) -> Symbol:
        return self._call("experts", (x, ids, weights), x.shape, gate=gate, up=up, down=down)
