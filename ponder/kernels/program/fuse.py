"""From a recorded pass to the instructions of a program: what one phase of work can do together is put together.

    norm + packing of activations, once for all matrices that read them     -> Prepare
    residual addition                                                       -> Prepare of the next norm
    q, k, v (any linears of one input)                                      -> one Linear over all their rows
    gate, up, silu(gate) * up                                               -> Linear with swiglu
    norm and rotation of the heads of q and k                               -> Heads
    the choice of logit rows                                                -> right after the last attention

Nothing here changes a result by a bit: the same kernels work on the same rows in the same order. A pass that does
something these rules do not know fails an assertion while it is recorded, not while it runs. The extension reads an
instruction by its class's name and its fields (csrc/program/instructions.cpp).
"""

from dataclasses import dataclass, field
from math import prod

from ponder.kernels.program.record import Call, Symbol
from ponder.kernels.tensor import Floats
from ponder.kernels.weight import Weight


@dataclass(eq=False)
class Buffer:
    """A row for each token, or for each wanted row of logits: `width` floats, or activations packed for `form`."""

    width: int
    wanted: bool
    form: Weight | None = None


@dataclass(eq=False)
class Embed:
    table: Weight
    out: Buffer


@dataclass(eq=False)
class Prepare:
    """x (its logit rows only, if gather), plus add -> sum, norm -> out, and packed."""

    x: Buffer
    gather: bool = False
    add: Buffer | None = None
    sum: Buffer | None = None
    norm: Floats | None = None
    eps: float = 0.0
    out: Buffer | None = None
    packed: list[Buffer] = field(default_factory=list)

    @property
    def wanted(self) -> bool:
        return self.gather or self.x.wanted


@dataclass(eq=False)
class Part:
    weight: Weight
    x: Buffer
    out: Buffer
    bias: Floats | None


@dataclass(eq=False)
class Linear:
    """The parts read the value `source`. swiglu: they are gate and up, and only silu(gate) * up is kept."""

    source: int
    parts: list[Part]
    swiglu: bool = False


@dataclass(eq=False)
class HeadPart:
    x: Buffer
    heads: int
    norm: Floats | None


@dataclass(eq=False)
class Heads:
    parts: list[HeadPart]
    head_dim: int
    eps: float


@dataclass(eq=False)
class Attend:
    q: Buffer
    k: Buffer
    v: Buffer
    out: Buffer
    layer: int
    heads: int
    kv_heads: int
    head_dim: int


@dataclass(eq=False)
class Route:
    scores: Buffer
    ids: Buffer
    weights: Buffer
    normalise: bool


@dataclass(eq=False)
class Experts:
    x: Buffer
    ids: Buffer
    weights: Buffer
    gate: list[Weight]
    up: list[Weight]
    down: list[Weight]
    out: Buffer


@dataclass(eq=False)
class Rescore:
    """The largest logits again, in place."""

    weight: Weight
    x: Buffer
    logits: Buffer
    panels: int
    margin: float


Instruction = Embed | Prepare | Linear | Heads | Attend | Route | Experts | Rescore


def fuse(calls: list[Call]) -> tuple[list[Instruction], Buffer]:
    """-> the instructions and the buffer of the result, which has the wanted rows."""
    lowering = _Lowering(gather_early(calls))
    for call in lowering.calls:
        lowering.lower(call)
    return lowering.code, lowering.buffer(lowering.calls[-1].out[0])


def lower_alone(call: Call) -> tuple[list[Instruction], list[Buffer]]:
    """One call by itself -> its instructions, and the buffers of what it reads and makes."""
    lowering = _Lowering([call])
    for x in call.xs:
        lowering.new(x, wanted=False)
    lowering.lower(call)
    return lowering.code, [lowering.buffer(symbol) for symbol in (*call.xs, *call.out)]


def gather_early(calls: list[Call]) -> list[Call]:
    """All that follows the last attention works row by row, so it is done for the wanted rows only."""
    last = max(i for i, call in enumerate(calls) if call.op == "attention")
    early, tail = calls[: last + 1], []
    now: dict[int, int] = {}  # value -> the value of its wanted rows
    values = 1 + max(out.value for call in calls for out in call.out)
    for call in calls[last + 1 :]:
        for x in call.xs:
            if x.value not in now:
                now[x.value] = values
                tail.append(Call("gather_rows", (x,), (Symbol(values, x.shape),)))
                values += 1
        if call.op == "gather_rows":
            now[call.out[0].value] = now[call.xs[0].value]
            continue
        now |= {out.value: out.value for out in call.out}
        tail.append(Call(call.op, tuple(Symbol(now[x.value], x.shape) for x in call.xs), call.out, call.data))
    assert any(call.op == "gather_rows" for call in calls[last + 1 :]), "no logit rows are taken after attention"
    return early + tail


class _Lowering:
    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.code: list[Instruction] = []
        self.buffers: dict[int, Buffer] = {}  # of values that exist
        self.waiting: dict[int, Call] = {}  # norms, sums and takes that their first reader will do
        self.prepared: dict[int, Prepare] = {}  # by the value that was normed or packed
        self.last_use = {x.value: at for at, call in enumerate(calls) for x in call.xs}

    def lower(self, call: Call) -> None:
        out, data = call.out[0], call.data
        match call.op:
            case "embed":
                self.code.append(Embed(data["weight"], self.new(out, wanted=False)))
            case "rms_norm" | "add" | "gather_rows":
                self.waiting[out.value] = call
            case "linear":
                self.linear(call.xs[0], out, data["weight"], data["bias"])
            case "swiglu":
                linear = self.code[-1]
                assert isinstance(linear, Linear) and len(linear.parts) == 2, "swiglu wants gate and up just before it"
                assert [p.out for p in linear.parts] == [self.buffers[x.value] for x in call.xs]
                assert linear.parts[0].weight.outputs == linear.parts[1].weight.outputs
                linear.swiglu = True
                self.buffers[out.value] = linear.parts[0].out
            case "rope":
                self.rope(call.xs[0], out)
            case "attention":
                heads, head_dim = call.xs[0].shape
                q, k, v = map(self.buffer, call.xs)
                kv_heads, attended = call.xs[1].shape[0], self.new(out, wanted=False)
                self.code.append(Attend(q, k, v, attended, data["layer"], heads, kv_heads, head_dim))
            case "route":
                scores = self.buffer(call.xs[0])
                ids, weights = (self.new(o, scores.wanted) for o in call.out)
                self.code.append(Route(scores, ids, weights, data["normalise"]))
            case "experts":
                packed = self.pack(call.xs[0], data["gate"][0])
                ids, weights = map(self.buffer, call.xs[1:])
                self.code.append(Experts(packed, ids, weights, **data, out=self.new(out, packed.wanted)))
            case "rescore":
                logits, x = call.xs
                assert self.calls[self.last_use[logits.value]] is call, "logits are rescored in place"
                self.buffers[out.value] = self.buffer(logits)
                packed = self.pack(x, data["weight"])
                self.code.append(Rescore(**data, x=packed, logits=self.buffers[out.value]))
            case _:
                raise AssertionError(f"a program cannot do {call.op} yet")

    def new(self, symbol: Symbol, wanted: bool) -> Buffer:
        self.buffers[symbol.value] = Buffer(prod(symbol.shape), wanted)
        return self.buffers[symbol.value]

    def buffer(self, symbol: Symbol) -> Buffer:
        """Where the value is; what was still waiting to be computed is computed."""
        if symbol.value not in self.buffers:
            prepare = self.prepare(symbol)
            if symbol.value not in self.buffers:
                prepare.out = self.new(symbol, prepare.wanted)
        return self.buffers[symbol.value]

    def linear(self, x: Symbol, out: Symbol, weight: Weight, bias: Floats | None) -> None:
        packed = self.pack(x, weight)
        part = Part(weight, packed, self.new(out, packed.wanted), bias)
        last = self.code[-1]
        if isinstance(last, Linear) and last.source == x.value and not last.swiglu:
            last.parts.append(part)
        else:
            self.code.append(Linear(x.value, [part]))

    def pack(self, x: Symbol, weight: Weight) -> Buffer:
        """The value packed for matrices like this one."""
        prepare = self.prepare(x)
        for found in prepare.packed:
            assert found.form is not None
            if found.form.form == weight.form:
                return found
        prepare.packed.append(Buffer(0, prepare.wanted, weight))
        return prepare.packed[-1]

    def prepare(self, x: Symbol) -> Prepare:
        """The one instruction that norms or packs this value; what it reads is done by it where possible."""
        if x.value in self.prepared:
            return self.prepared[x.value]
        call = self.waiting.pop(x.value, None)
        if call is None:
            prepare = Prepare(self.buffers[x.value])
        elif call.op == "rms_norm":
            assert len(x.shape) == 1, "norms of heads belong to a rotation"
            prepare = self.sum_of(call.xs[0])
            prepare.norm, prepare.eps = call.data["weight"], call.data["eps"]
        else:
            self.waiting[x.value] = call
            prepare = self.sum_of(x)
        self.prepared[x.value] = prepare
        self.code.append(prepare)
        return prepare

    def sum_of(self, x: Symbol) -> Prepare:
        """The beginning of a Prepare that reads x, adds up what x is the sum of, or takes rows."""
        call = self.waiting.pop(x.value, None)
        if call is None:
            return Prepare(self.buffers[x.value])
        if call.op == "gather_rows":
            return Prepare(self.buffer(call.xs[0]), gather=True)
        assert call.op == "add"
        a, b = call.xs
        prepare = Prepare(self.buffer(a), add=self.buffer(b)) if a.value in self.buffers else self.sum_of(a)
        prepare.add = self.buffer(b)
        in_place = not prepare.gather and self.calls[self.last_use[a.value]] is call
        prepare.sum = self.buffers[x.value] = prepare.x if in_place else Buffer(prod(x.shape), prepare.wanted)
        return prepare

    def rope(self, x: Symbol, out: Symbol) -> None:
        """In place, with the norm of the heads that leads to it, together with the other rotations of this layer."""
        heads, head_dim = x.shape
        norm = self.waiting.pop(x.value, None)
        source = x if norm is None else norm.xs[0]
        part = HeadPart(self.buffers[source.value], heads, None if norm is None else norm.data["weight"])
        eps = 0.0 if norm is None else norm.data["eps"]
        self.buffers[out.value] = part.x
        last = self.code[-1]
        if isinstance(last, Heads) and (last.head_dim, last.eps) == (head_dim, eps):
            last.parts.append(part)
        else:
            self.code.append(Heads([part], head_dim, eps))
