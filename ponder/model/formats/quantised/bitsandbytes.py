"""bitsandbytes: nf4 and fp4 (a table of 16 values, one largest value for 64 weights), and int8 by rows.

Four bits: `X.weight` U8 [N K / 2, 1], the first of two weights in the high half of a byte, `X.weight.quant_map` F32
[16], `X.weight.absmax`, and `X.weight.quant_state.bitsandbytes__nf4`, JSON with shape and block size. With double
quantisation absmax is U8: codes of `X.weight.nested_quant_map` [256] times `X.weight.nested_absmax`, one for 256 of
them, plus an offset.
int8: `X.weight` I8 beside `X.SCB` F32 [N], the largest value of each row.
"""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from ponder.kernels.tensor import Floats
from ponder.model.formats.quantised.matrix import by_rows
from ponder.model.formats.quantised.parts import Parts
from ponder.model.weights.checkpoint import Source

Size = Annotated[int, Meta(ge=1, le=1 << 28)]
STATES = ("quant_state.bitsandbytes__nf4", "quant_state.bitsandbytes__fp4")


class _State(Struct):
    shape: tuple[Size, Size]
    blocksize: Size
    nested_blocksize: Size = 256
    nested_offset: float = 0.0


def four_bits(parts: Parts) -> Source:
    """parts: of base `X.weight`; the bytes are the tensor of that very name."""
    (state_name,) = [name for name in STATES if parts.has(name)]
    try:
        state = msgspec.json.decode(parts.take(state_name, "U8", dims=1).tobytes(), type=_State)
    except msgspec.DecodeError as e:
        raise parts.odd(state_name, f"cannot be read: {e}") from e
    n, k = state.shape
    raw, table = parts.whole("U8").reshape(-1), parts.floats("quant_map", dims=1)
    largest = _largest(parts, state)
    parts.expect("quant_map", table.shape, (16,))
    parts.expect("absmax", largest.shape, (-(-n * k // state.blocksize),))
    parts.expect("quant_state", raw.shape, (-(-n * k // 2),))

    def rows(first: int, end: int) -> Floats:
        start, stop = first * k, end * k
        part = raw[start // 2 : -(-stop // 2)]
        both = np.stack([part >> np.uint8(4), part & np.uint8(15)], axis=1).reshape(-1)
        values = table[both[start % 2 : start % 2 + stop - start]]
        block = start // state.blocksize
        scale = np.repeat(largest[block : -(-stop // state.blocksize)], state.blocksize)
        values *= scale[start - block * state.blocksize :][: stop - start]
        return values.reshape(end - first, k)

    return by_rows(parts.name, (n, k), parts.nbytes, "int8", rows)


def _largest(parts: Parts, state: _State) -> Floats:
    if not parts.has("nested_absmax"):
        return parts.floats("absmax", dims=1)
    codes = parts.take("absmax", "U8", dims=1)
    table, scale = parts.floats("nested_quant_map", dims=1), parts.floats("nested_absmax", dims=1)
    parts.expect("nested_quant_map", table.shape, (256,))
    parts.expect("nested_absmax", scale.shape, (-(-len(codes) // state.nested_blocksize),))
    out: Floats = table[codes] * np.repeat(scale, state.nested_blocksize)[: len(codes)]
    out += np.float32(state.nested_offset)
    return out


def int8(parts: Parts) -> Source:
    raw = parts.take("weight", "I8")
    scale = parts.floats("SCB", dims=1) / np.float32(127)
    parts.expect("SCB", scale.shape, raw.shape[:1])
    parts.without("weight_format")
    n, k = raw.shape
    return by_rows(
        parts.name, (n, k), parts.nbytes, "int8", lambda a, b: raw[a:b].astype(np.float32) * scale[a:b, None]
    )
