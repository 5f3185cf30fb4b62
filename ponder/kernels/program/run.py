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
from numpy.typing import NDArray

from ponder.core.batch import Batch, Ints
from ponder.kernels.cache import Cache, in_use
from ponder.kernels.cancel import CancelFlag, Cancelled
from ponder.kernels.extension import _native
from ponder.kernels.program.fuse import fuse, lower_alone
from ponder.kernels.program.record import Call, Recorder, Symbol, SymbolicBatch
from ponder.kernels.tensor import Floats

RopeTable = Callable[[float, int], tuple[Floats, Floats]]


class Program:
    """forward: a pass over ops, to be recorded; it gets the op set and what stands for batch and rope.
    rope_table: (YaRN factor, n) -> cos and sin [1024, C/2] of the positions n * 1024 ...
    """

    def __init__(self, forward: Callable[[Any, SymbolicBatch], Symbol], rope_table: RopeTable) -> None:
        recorder = Recorder()
        forward(recorder, SymbolicBatch())
        self.code, output = fuse(recorder.calls)
        self._native = _native.Program()
        for instruction in self.code:
            self._native.add(instruction)
        self._native.output(output)
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


def run_call(op: str, xs: tuple[NDArray[Any], ...], outs: tuple[NDArray[Any], ...], data: dict[str, Any]) -> None:
    """One call on arrays [T, ...], by a program of its own: for operations without a function in the extension, those
    that work row by row. outs: where the results go."""
    arrays = *xs, *outs
    symbols = tuple(Symbol(value, array.shape[1:]) for value, array in enumerate(arrays))
    code, buffers = lower_alone(Call(op, symbols[: len(xs)], symbols[len(xs) :], data))
    native = _native.Program()
    for instruction in code:
        native.add(instruction)
    for buffer, array in zip(buffers, arrays):
        native.place(buffer, array)
    native.run_alone()
