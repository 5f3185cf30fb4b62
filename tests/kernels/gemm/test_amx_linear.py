"""Linear by AMX tiles: the bits of the vector kernels for int8 and int4, the same bits in any batch for bf16, and the
table is refused where the CPU has no AMX. test_linear.py compares it with the oracle, as every instruction set."""

import ctypes
import mmap

import numpy as np
import pytest
from amx import CPU_HAS_AMX, needs_amx
from numpy.typing import NDArray

from ponder.kernels import _native, native
from ponder.kernels.native import NativeOps
from ponder.kernels.tensor import Kind, Tensor

OPS = NativeOps()
Floats = NDArray[np.float32]


def normal(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.skipif(CPU_HAS_AMX, reason="this CPU has AMX")
def test_refused_without_amx() -> None:
    assert "amx" not in native.available_isas()
    with pytest.raises(ValueError, match="not 'amx'"):
        native.set_isa("amx")


@needs_amx
@pytest.mark.parametrize("isa", ["amx"], indirect=True)
class TestOnAmx:
    @pytest.mark.skipif(CPU_HAS_AMX, reason="this CPU has AMX")
    def test_emulation_ends(self, isa: str) -> None:
        assert native.isa() == isa and native.available_isas()[-1] == isa
        _native.emulate_amx(True)  # once more changes nothing
        assert native.available_isas().count("amx") == 1
        _native.emulate_amx(False)
        assert "amx" not in native.available_isas() and native.isa() == native.available_isas()[-1]

    @pytest.mark.parametrize("kind", ["int8", "int4"])
    @pytest.mark.parametrize("n, k, group", [
        (1, 32, 32), (16, 1024, 32), (33, 1056, 32), (50, 2112, 64), (17, 1152, 96), (31, 1536, 512), (9, 3072, 1024),
        (18, 4096, 2048), (18, 80, 16),
    ])  # fmt: skip
    def test_bits_of_the_vector_kernel(self, isa: str, kind: Kind, n: int, k: int, group: int) -> None:
        """Whole and broken tiles of tokens, chunks of K and panels; and the groups that tiles do not take."""
        weight = OPS.weight(Tensor.quantise(normal(n, k, seed=k), kind, group))
        x, bias = normal(70, k, seed=n), normal(n, seed=3)
        x[3] *= 1e-20
        native.set_isa("avx512bf16")
        plain, biased = OPS.linear(x, weight), OPS.linear(x, weight, bias)
        native.set_isa(isa)
        for tokens in (1, 7, 8, 9, 12, 13, 15, 16, 17, 20, 31, 32, 33, 47, 70):
            assert (OPS.linear(x[:tokens], weight) == plain[:tokens]).all(), tokens
        assert (OPS.linear(x, weight, bias) == biased).all()

    def test_every_number_of_rows(self, isa: str) -> None:
        weights = [OPS.weight(Tensor.quantise(normal(33, 96, seed=2), kind)) for kind in ("bf16", "int8", "int4")]
        x = normal(70, 96)
        for weight in weights:
            whole = OPS.linear(x, weight)
            assert OPS.linear(x[:0], weight).shape == (0, 33)
            for tokens in range(1, 71):
                assert (OPS.linear(x[-tokens:], weight) == whole[-tokens:]).all(), tokens

    @pytest.mark.parametrize("n, k", [(1, 1), (31, 511), (32, 512), (33, 513), (16, 1100)])
    def test_bf16_by_chunks(self, isa: str, n: int, k: int) -> None:
        w, x, bias = Tensor.quantise(normal(n, k, seed=k), "bf16"), normal(37, k, seed=1), normal(n, seed=3)
        weight = OPS.weight(w)
        expected = x.astype(np.float64) @ w.dequantise().T.astype(np.float64)
        out = OPS.linear(x, weight)
        assert (np.abs(out - expected) <= 2.0**-17 * (np.abs(x) @ np.abs(w.dequantise()).T)).all()
        assert (OPS.linear(x, weight, bias) == out + bias).all()
        for tokens in (1, 16, 17, 32):
            assert (OPS.linear(x[:tokens], weight) == out[:tokens]).all(), tokens

    @pytest.mark.parametrize("kind", ["bf16", "int8"])
    def test_experts_whose_rows_lie_apart(self, isa: str, kind: Kind) -> None:
        rng = np.random.default_rng(4)
        count, d, inner = 3, 1056, 64
        shapes = [(inner, d), (inner, d), (d, inner)]
        sets = [[OPS.weight(Tensor.quantise(normal(*s, seed=e) / 8, kind)) for e in range(count)] for s in shapes]
        x, weights = normal(40, d), rng.random((40, 2), np.float32)
        ids = np.argsort(rng.random((40, count)), axis=1)[:, :2].astype(np.int32)
        out = OPS.experts(x, ids, weights, *sets)
        for t in (0, 17, 39):
            assert (OPS.experts(x[t : t + 1], ids[t : t + 1], weights[t : t + 1], *sets) == out[t]).all()
        if kind == "int8":
            native.set_isa("avx512bf16")
            assert (OPS.experts(x, ids, weights, *sets) == out).all()

    def test_a_matrix_at_the_end_of_memory(self, isa: str) -> None:
        """A mapped file's last matrix: no tile reads further, for the page after it is closed."""
        n, k = 17, 168
        w, page = Tensor.quantise(normal(n, k), "bf16"), mmap.PAGESIZE
        room = mmap.mmap(-1, -(-w.nbytes // page) * page + page)
        end = len(room) - page
        start = ctypes.addressof(ctypes.c_char.from_buffer(room))
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + end), page, 0) == 0
        data = np.frombuffer(room, w.data.dtype, n * k, end - w.nbytes).reshape(n, k)
        data[:] = w.data
        x = normal(18, k)
        assert (OPS.linear(x, OPS.weight(Tensor("bf16", (n, k), data))) == OPS.linear(x, OPS.weight(w))).all()
