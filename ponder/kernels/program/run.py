"""A whole forward step without Python: record a pass once, fuse it, run it natively for any batch.

    program = Program(lambda ops, batch: forward(weights, config, batch, ops, None, batch), rope.table)
    logits = program.run(ids, batch, cache)

The recorded pass is the only description of the model (record.py, fuse.py); csrc/program/program.cpp runs the
instructions with the GIL released, over buffers that are allocated once for the largest batch seen. Results are those
of NativeOps, bit for bit.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ponder.core.batch import Batch, Ints
from ponder.kernels.cache import Cache, in_use
from ponder.kernels.cancel import CancelFlag, Cancelled
from ponder.kernels.extension import _native
from ponder.kernels.program.fuse import (
    Attend,
    Buffer,
    Embed,
    Experts,
    Heads,
    Instruction,
    Linear,
    Prepare,
    Rescore,
    Route,
    fuse,
)
from ponder.kernels.program.record import Recorder, Symbol, SymbolicBatch
from ponder.kernels.tensor import Floats

RopeTable = Callable[[float, int], tuple[Floats, Floats]]


class Program:
    """forward: a pass over ops, to be recorded; it gets the op set and what stands for batch and rope.
    rope_table: (YaRN factor, n) -> cos and sin [1024, C/2] of the positions n * 1024 ...
    """

    def __init__(self, forward: Callable[[Any, SymbolicBatch], Symbol], rope_table: RopeTable) -> None:
        recorder = Recorder()
        result = forward(recorder, SymbolicBatch())
        self.code, output = fuse(recorder.calls, result)
        self._native = _Builder(self.code).build(output)
        self._rope_table = rope_table
        self._words = output.width

    def run(self, ids: Ints, batch: Batch, cache: Cache | None, cancelled: CancelFlag | None = None) -> Floats:
        """ids [T] int32 -> logits [R, V]. Raises ValueError for a batch that cannot be, and Cancelled soon after
        `cancelled` was set."""
        positions, starts, factor = batch.positions, batch.starts, batch.rope_factor
        for sequence, chunk in self._native.missing_rope(positions, starts, factor):
            one = float(factor[sequence])
            self._native.set_rope(one, chunk, *self._rope_table(one, chunk))
        logits = np.empty((len(batch.logit_rows), self._words), np.float32)
        complete = self._native.run(
            ids, positions, starts, batch.logit_rows, factor, batch.block_tables, *in_use(batch, cache), logits,
            cancelled and cancelled.handle,
        )  # fmt: skip
        if not complete:
            raise Cancelled
        return logits

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the buffers between instructions, as the largest batch so far needed them."""
        held: int = self._native.buffer_bytes
        return held

    def profile(self, on: bool) -> dict[str, tuple[int, int]]:
        """Switch measuring on or off; returns what was measured since the last call: kind of instruction -> how many
        ran, nanoseconds in all."""
        self._native.profiling = on
        spent: dict[str, tuple[int, int]] = self._native.spent()
        return spent


class _Builder:
    """Numbers the buffers and writes the native table."""

    def __init__(self, code: list[Instruction]) -> None:
        self.code = code
        self.native = _native.Program()
        self.numbers: dict[Buffer, int] = {}

    def build(self, output: Buffer) -> Any:
        for instruction in self.code:
            self.emit(instruction)
        self.native.output(self.number(output))
        return self.native

    def number(self, buffer: Buffer | None) -> int:
        if buffer is None:
            return -1
        if buffer not in self.numbers:
            self.numbers[buffer] = (
                self.native.buffer(buffer.width, buffer.wanted)
                if buffer.form is None
                else self.native.packed(buffer.form.handle, buffer.wanted)
            )
        return self.numbers[buffer]

    def emit(self, i: Instruction) -> None:
        number, native = self.number, self.native
        match i:
            case Embed():
                native.embed(i.table.handle, number(i.out))
            case Prepare():
                native.prepare(
                    number(i.x), i.gather, number(i.add), number(i.sum), i.norm, i.eps, number(i.out),
                    [number(p) for p in i.packed],
                )  # fmt: skip
            case Linear(parts=parts):
                native.linear(
                    [p.weight.handle for p in parts], [number(p.x) for p in parts], [number(p.out) for p in parts],
                    [p.bias for p in parts], i.swiglu,
                )  # fmt: skip
            case Heads(parts=heads):
                native.heads(
                    [number(p.x) for p in heads], [p.heads for p in heads], [p.norm for p in heads], i.head_dim, i.eps
                )
            case Attend():
                native.attend(
                    number(i.q), number(i.k), number(i.v), number(i.out), i.layer, i.heads, i.kv_heads, i.head_dim
                )
            case Route():
                native.route(number(i.scores), i.normalise, number(i.ids), number(i.weights))
            case Experts():
                gate, up, down = ([w.handle for w in part] for part in (i.gate, i.up, i.down))
                native.experts(number(i.x), number(i.ids), number(i.weights), gate, up, down, number(i.out))
            case Rescore():
                native.rescore(i.weight.handle, number(i.x), number(i.logits), i.panels, i.margin)
