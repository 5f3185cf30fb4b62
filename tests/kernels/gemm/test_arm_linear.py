"""`linear` of every ARM instruction set, cross-compiled and emulated, against the oracle; instructions counted."""

import arm
import numpy as np
import pytest
from test_linear import bound, expected

from ponder.kernels.reference.scale_search import search
from ponder.kernels.tensor import Kind, Tensor

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(arm.QEMU is None or arm.zig() is None, reason="needs qemu-user and Zig (tests/kernels/arm.py)"),
]
ISAS = list(arm.isas())


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", ["f32", "bf16", "int8", "int4", "uint4"])
def test_equals_oracle(isa: str, kind: Kind) -> None:
    for n, k, tokens in [(1, 32, 1), (5, 96, 2), (16, 160, 3), (19, 1056, 4), (33, 64, 5), (67, 96, 17)]:
        w, x = arm.example(kind, n, k, tokens)
        if kind == "int4":
            w = search(w.dequantise())
        assert (np.abs(arm.product(isa, w, x) - expected(x, w)) <= bound(x, w)).all(), (n, k, tokens)


@pytest.mark.parametrize("kind", ["int8", "int4", "uint4"])
def test_integers_at_their_limits_and_any_company(kind: Kind) -> None:
    """Codes of -128 beside activations of 127 do not overflow; every set gives a token the same bits, alone or not."""
    w, x = arm.example(kind, 35, 96, 9)
    if kind == "int8":
        w = Tensor(kind, w.shape, np.where(np.arange(96) % 2, np.int8(-128), w.data), w.scale, w.group)
    x[0] = 1
    together = [arm.product(isa, w, x) for isa in ISAS[1:]]
    assert (np.abs(together[0] - expected(x, w)) <= bound(x, w)).all()
    for isa, whole in zip(ISAS[1:], together, strict=True):
        assert (whole == together[0]).all(), isa
        for t in (0, 4, 8):
            assert (arm.product(isa, w, x[t : t + 1]) == whole[t]).all(), (isa, t)


@pytest.mark.parametrize("kind, least", [("int8", (2.5, 6)), ("int4", (8, 18)), ("uint4", (3, 8))])
def test_fewer_instructions_than_the_portable_kernels(kind: Kind, least: tuple[float, float]) -> None:
    """Of which the compiler makes vectors, too. `neon` has four instructions for 16 products, dot products one."""
    w, x = arm.example(kind, 16, 256, 4)
    portable, *taken = (arm.instructions(isa, w, x) for isa in ISAS)
    assert taken == sorted(taken, reverse=True)
    for most, fewer in zip(least, taken, strict=False):
        assert portable >= most * fewer, (portable, taken)
