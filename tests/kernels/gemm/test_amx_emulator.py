"""The AMX emulator against numpy, instruction by instruction. On a CPU that has AMX the same tests run on the CPU."""

import signal
import subprocess
import sys
from collections.abc import Callable
from ctypes import CDLL, c_void_p
from pathlib import Path

import numpy as np
import pytest
from amx import compiled, install, needs_amx
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
pytestmark = needs_amx


@pytest.fixture
def cpu() -> CDLL:
    install()
    return compiled("amx_instructions.cpp")


def config(shapes: dict[int, tuple[int, int]], palette: int = 1) -> Bytes:
    """64 bytes for ldtilecfg; shapes: tile -> rows, bytes of a row."""
    out = np.zeros(64, np.uint8)
    out[0] = palette
    for tile, (rows, row_bytes) in shapes.items():
        out[16 + 2 * tile] = row_bytes
        out[48 + tile] = rows
    return out


def call(function: Callable[..., object], *arrays: NDArray[np.generic]) -> None:
    function(*[c_void_p(a.ctypes.data) for a in arrays])


def tile(rng: np.random.Generator) -> Bytes:
    return rng.integers(0, 256, (16, 64), np.uint8)


SHAPES = [(16, 16, 16), (16, 8, 16), (1, 1, 1), (5, 3, 7), (16, 16, 1), (1, 16, 16), (7, 2, 12)]  # rows, K / 4, columns


@pytest.mark.parametrize("name, a_type, b_type", [
    ("tdpbssd", np.int8, np.int8), ("tdpbsud", np.int8, np.uint8),
    ("tdpbusd", np.uint8, np.int8), ("tdpbuud", np.uint8, np.uint8),
])  # fmt: skip
def test_dot_products_of_bytes(cpu: CDLL, name: str, a_type: type, b_type: type) -> None:
    rng = np.random.default_rng(3)
    for m, k, n in SHAPES:
        a, b, c = tile(rng), tile(rng), tile(rng)
        before = c.copy().view(np.int32)
        call(cpu[name], config({0: (m, 4 * n), 3: (m, 4 * k), 7: (k, 4 * n)}), c, a, b)
        rows = a[:m, : 4 * k].view(a_type).astype(np.int64)
        columns = b[:k, : 4 * n].view(b_type).reshape(k, n, 4).transpose(0, 2, 1).reshape(4 * k, n).astype(np.int64)
        expected = before.copy()
        expected[:m, :n] = (before[:m, :n].astype(np.int64) + rows @ columns).astype(np.int32)  # wraps around
        assert (c.view(np.int32) == expected).all(), (m, k, n)


def as_float(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    wide = (bits.astype(np.uint32) << 16).view(np.float32)
    return flushed(wide)


def flushed(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.abs(x) < np.float32(2.0**-126), np.copysign(np.float32(0), x), x)


def dot_bf16(c: NDArray[np.float32], a: NDArray[np.uint16], b: NDArray[np.uint16]) -> NDArray[np.float32]:
    """c [m, n], a [m, 2k], b [k, n, 2]: even and odd values summed apart by fused multiply-adds, in order. A product of
    two bf16 has 16 bits, so float64 holds product and sum together exactly enough to round once (checked below)."""
    pair = np.zeros((2, *c.shape), np.float32)
    for k in range(b.shape[0]):
        for i in range(2):
            product = as_float(a[:, 2 * k + i]).astype(np.float64)[:, None] * as_float(b[k, :, i])
            pair[i] = flushed((pair[i] + product).astype(np.float32))
    return flushed(flushed(c) + flushed(pair[0] + pair[1]))


@pytest.mark.parametrize("spread", [0, 3, 60])
def test_dot_products_of_bf16(cpu: CDLL, spread: int) -> None:
    """Values over many powers of two, so that another order of sums or another rounding shows."""
    rng = np.random.default_rng(spread)

    def bf16(*shape: int) -> NDArray[np.uint16]:
        x = rng.standard_normal(shape) * 2.0 ** rng.integers(-spread, spread + 1, shape)
        return (np.float32(x).view(np.uint32) >> 16).astype(np.uint16)

    for m, k, n in SHAPES:
        a, b, c = bf16(16, 32), bf16(16, 32), np.float32(rng.standard_normal((16, 16)))
        expected = c.copy()
        expected[:m, :n] = dot_bf16(c[:m, :n], a[:m, : 2 * k], b[:k, : 2 * n].reshape(k, n, 2))
        call(cpu.tdpbf16ps, config({0: (m, 4 * n), 3: (m, 4 * k), 7: (k, 4 * n)}), c, a, b)
        assert (c.view(np.uint32) == expected.view(np.uint32)).all(), (m, k, n)


def test_bf16_rounds_to_even_and_knows_no_denormals(cpu: CDLL) -> None:
    shape = config({0: (1, 4), 3: (1, 4), 7: (1, 4)})

    def one(c: float, a: tuple[float, float], b: tuple[float, float]) -> float:
        def bits(pair: tuple[float, float]) -> NDArray[np.uint16]:
            return (np.float32(np.resize(pair, 512)).view(np.uint32) >> 16).astype(np.uint16)

        out = np.full((16, 16), c, np.float32)
        call(cpu.tdpbf16ps, shape, out, bits(a), bits(b))
        return float(out[0, 0])

    ulp = 2.0**-23
    assert one(1, (0.5 * ulp, 0), (1, 0)) == 1  # half way: to even
    assert one(1 + ulp, (0.5 * ulp, 0), (1, 0)) == 1 + 2 * ulp
    assert one(1, (0.5 * ulp, 0.5 * ulp), (1, 1)) == 1 + ulp  # the two halves are added first
    assert one(0, (2.0**-127, 0), (2.0**100, 0)) == 0  # a denormal factor
    assert one(2.0**-127, (0, 0), (0, 0)) == 0  # a denormal in the sum
    assert one(0, (2.0**-100, 0), (2.0**-30, 0)) == 0  # a denormal product
    assert one(0, (2.0**-100, 0), (2.0**-26, 0)) == 2.0**-126
    assert np.isnan(one(0, (np.inf, 0), (0, 0))) and one(0, (np.inf, 1), (1, 1)) == np.inf


def test_addresses(cpu: CDLL) -> None:
    rng = np.random.default_rng(0)
    memory = rng.integers(0, 256, (32, 64), np.uint8)
    out = np.zeros((6, 16, 64), np.uint8)
    call(cpu.addresses, config(dict.fromkeys(range(6), (16, 64))), memory, out)
    assert (out[0] == memory[:16]).all() and (out[1] == memory[16:]).all() and (out[2] == memory[:16]).all()
    assert (out[3] == memory[0]).all() and (out[4] == memory[15::-1]).all() and (out[5] == 0).all()


def test_only_configured_rows_and_bytes_move(cpu: CDLL) -> None:
    rng = np.random.default_rng(0)
    for rows, row_bytes in [(1, 4), (3, 8), (5, 60), (16, 64), (2, 64), (16, 4)]:
        memory, out = tile(rng), np.full((16, 64), 7, np.uint8)
        call(cpu.copy, config({6: (rows, row_bytes)}), memory, out)
        expected = np.full((16, 64), 7, np.uint8)
        expected[:rows, :row_bytes] = memory[:rows, :row_bytes]
        assert (out == expected).all()


def test_configuration_comes_back_and_goes(cpu: CDLL) -> None:
    wanted, out = config({0: (3, 8), 5: (16, 64)}), np.full((3, 64), 9, np.uint8)
    call(cpu.configurations, wanted, out)
    assert (out[0] == 0).all() and (out[1] == wanted).all() and (out[2] == 0).all()


FAULT = """
import sys
from ctypes import c_char_p
sys.path.insert(0, sys.argv[1])
from amx import compiled, install
install()
compiled("amx_instructions.cpp")[sys.argv[2]](c_char_p(bytes.fromhex(sys.argv[3])))
"""


def ends_with(function: str, shape: Bytes) -> int:
    """The exit status of a process that calls one of amx_instructions.cpp's functions."""
    arguments = [str(Path(__file__).parents[1]), function, shape.tobytes().hex()]
    done = subprocess.run([sys.executable, "-c", FAULT, *arguments], capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


@pytest.mark.slow
@pytest.mark.parametrize("function, bad, death", [
    ("same_tile_twice", config({0: (16, 64), 1: (16, 64)}), "SIGILL"),
    ("without_configuration", config({}), "SIGILL"),
    ("only_configure", config({}, palette=2), "SIGSEGV"),
    ("only_configure", config({0: (17, 64)}), "SIGSEGV"),
    ("only_configure", config({0: (16, 65)}), "SIGSEGV"),
    ("only_configure", config({0: (16, 0)}), "SIGSEGV"),
    ("only_configure", config({8: (1, 4)}), "SIGSEGV"),
    ("only_load", config({6: (3, 5)}), "SIGILL"),
    ("only_load_t1", config({6: (1, 2)}), "SIGILL"),
    ("only_store", config({6: (16, 63)}), "SIGILL"),
])  # fmt: skip
def test_wrong_use_ends_the_process(function: str, bad: Bytes, death: str) -> None:
    assert ends_with(function, bad) == -signal.Signals[death]


@pytest.mark.slow
@pytest.mark.parametrize("function, row_bytes", [
    ("only_load", 8), ("only_load_t1", 8), ("only_store", 8), ("only_zero", 8), ("only_zero", 5), ("only_configure", 5),
])  # fmt: skip
def test_rows_of_any_bytes_are_configured_and_zeroed(function: str, row_bytes: int) -> None:
    """Only what moves or multiplies wants whole groups of four bytes."""
    assert ends_with(function, config({6: (3, row_bytes)})) == 0
