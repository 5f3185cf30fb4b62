"""Panels: the layout as documented, exact both ways, for any group and any number of rows; refusals."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ponder.kernels.native import NativeOps
from ponder.kernels.packing.panels import ALIGNMENT, Panels, arena, panel_bytes
from ponder.kernels.reference.scale_search import search
from ponder.kernels.tensor import FOUR_BITS, LINEAR, Kind, Tensor, unpack_int4

OPS = NativeOps()
SHAPES = [
    (1, 1, 32),
    (16, 2, 32),
    (17, 3, 64),
    (70, 5, 16),
    (33, 1, 128),
    (5, 7, 2),
    (19, 3, 6),
    (40, 2, 20),
    (16, 1, 1),
]


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def written_out(tensor: Tensor) -> NDArray[np.uint8]:
    """The buffer by the words of panels.py, value by value."""
    (n, k), group = tensor.shape, tensor.group
    assert tensor.scale is not None
    panels, padded = -(-n // 16), -(-group // 8) * 8
    four = tensor.kind in FOUR_BITS
    q = unpack_int4(tensor.data, group).astype(np.int32) if four else tensor.data.astype(np.int32) + 128
    values = np.full((panels * 16, k // group, padded), 0 if four else 128, np.int32)  # the filling is of value 0
    values[:n, :, :group] = q.reshape(n, k // group, group)
    values = values.reshape(panels, 16, -1)
    if four:
        eights = values.reshape(panels, 16, -1, 2, 4)
        values = eights[..., 0, :] | eights[..., 1, :] << 4
    codes = values.reshape(panels, 16, -1, 4).transpose(0, 2, 1, 3).astype(np.uint8)
    codes[-1, :, (n - 1) % 16 + 1 :] = 0  # rows that are not there: any code would do, their scale is 0
    scale = np.zeros((panels * 16, *tensor.scale.shape[1:]), np.float16)
    scale[:n] = tensor.scale
    scales = np.ascontiguousarray(scale.reshape(panels, 16, -1).transpose(0, 2, 1))  # of uint4 in pairs
    grid = np.uint8([]) if tensor.grid is None else (tensor.grid.astype(np.int64) + 128).astype(np.uint8)
    return np.concatenate([codes.reshape(-1), scales.view(np.uint8).reshape(-1), grid])


@pytest.mark.parametrize("kind", ["int8", "int4", "uint4"])
@pytest.mark.parametrize("n, groups, group", SHAPES)
def test_layout_and_back(kind: Kind, n: int, groups: int, group: int) -> None:
    if kind in FOUR_BITS and group % 2:
        return
    x = normal(n, groups * group, seed=n)
    tensor = search(x, group) if kind == "int4" else Tensor.quantise(x, kind, group)
    panels = Panels.pack(tensor)
    assert (panels.buffer == written_out(tensor)).all()
    assert panels.nbytes == panel_bytes(panels.kind, tensor.shape, group)
    back = panels.tensor()
    assert back.scale is not None and tensor.scale is not None
    assert (back.data == tensor.data).all() and (back.scale == tensor.scale).all()
    assert np.array_equal(back.grid, tensor.grid) if kind == "int4" else back.grid is None  # type: ignore[arg-type]
    ids = np.ascontiguousarray(np.arange(n, dtype=np.int32)[::-1])
    assert (OPS.embed(OPS.weight(panels), ids) == tensor.rows(ids)).all()


def test_every_code_survives() -> None:
    """-128 too, which files of others may hold."""
    data = np.arange(-128, 128).astype(np.int8).reshape(8, 32)
    tensor = Tensor("int8", (8, 32), data, np.ones((8, 1), np.float16), 32)
    assert (Panels.pack(tensor).tensor().data == data).all()
    nibbles = np.arange(256).astype(np.uint8).reshape(16, 16)
    four = Tensor("int4", (16, 32), nibbles, np.ones((16, 1), np.float16), 32, LINEAR)
    assert (Panels.pack(four).tensor().data == nibbles).all()
    plain = Tensor("uint4", (16, 32), nibbles, np.ones((16, 1, 2), np.float16), 32)
    assert (Panels.pack(plain).tensor().data == nibbles).all()


def test_a_mapped_buffer_is_used_where_it_lies() -> None:
    tensor = Tensor.quantise(normal(48, 64), "int4")
    packed = Panels.pack(tensor)
    room = arena.allocate(packed.nbytes + ALIGNMENT)
    room[ALIGNMENT:] = packed.buffer
    room.setflags(write=False)
    weight = OPS.weight(Panels("int4", (48, 64), 32, room[ALIGNMENT:]))
    x = normal(3, 64)
    assert weight.matrix.buffer.base is not None and not weight.matrix.buffer.flags.writeable
    assert (OPS.linear(x, weight) == OPS.linear(x, OPS.weight(tensor))).all()


def test_refusals() -> None:
    packed = Panels.pack(Tensor.quantise(normal(16, 64), "int8"))
    with pytest.raises(AssertionError, match="bytes"):
        Panels("int8", (16, 64), 32, packed.buffer[:-64])
    with pytest.raises(AssertionError, match="aligned"):
        Panels("int8", (16, 64), 32, arena.allocate(packed.nbytes + 1)[1:])
    with pytest.raises(AssertionError, match="no panels"):
        Panels.pack(Tensor.quantise(normal(16, 64), "bf16"))
    with pytest.raises(ValueError, match="bad group"):
        panel_bytes("int8", (16, 64), 48)


@pytest.mark.parametrize("kind", ["int8", "int4", "uint4"])
def test_a_row_is_the_same_behind_any_number_of_rows(kind: Kind) -> None:
    """Two panels and every count up to 140: a last piece of few tokens once left the second panel out."""
    rng = np.random.default_rng(0)
    weight = NativeOps().weight(Tensor.quantise(rng.standard_normal((96, 128)).astype(np.float32), kind))
    x = rng.standard_normal((140, 128)).astype(np.float32)
    alone = np.concatenate([NativeOps().linear(x[i : i + 1], weight) for i in range(len(x))])
    for count in range(1, len(x) + 1):
        np.testing.assert_array_equal(NativeOps().linear(x[:count], weight), alone[:count])
