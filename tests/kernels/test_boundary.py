"""Wrong input ends in an error, never in a crash; threads and processes; what is found at import."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ponder.core.batch import Batch
from ponder.kernels import native
from ponder.kernels.cpu import usable_cpus
from ponder.kernels.native import NativeOps
from ponder.kernels.tensor import Tensor

OPS = NativeOps()


def zeros(*shape: int, dtype: Any = np.float32) -> Any:
    return np.zeros(shape, dtype)


def batch(positions: list[int], starts: list[int], tables: list[list[int]] | None = None) -> Batch:
    sequences = len(starts) - 1
    t = None if tables is None else np.int32(tables).reshape(sequences, -1)
    return Batch(np.int32(positions), np.int32(starts), np.int32([]), np.ones(sequences, np.float32), t)


W = OPS.weight(Tensor.quantise(np.ones((4, 32), np.float32), "int8"))
ODD = OPS.weight(np.ones((4, 31), np.float32))


@pytest.mark.parametrize(
    "call",
    [
        lambda: OPS.linear(zeros(2, 31), W),
        lambda: OPS.linear(zeros(2, 32, dtype=np.float64), W),
        lambda: OPS.linear(zeros(32, 2).T, W),
        lambda: OPS.linear(zeros(32), W),
        lambda: OPS.linear(zeros(2, 32), W, zeros(3)),
        lambda: OPS.weight(zeros(0, 32)),
        lambda: OPS.embed(W, np.int32([4])),
        lambda: OPS.rms_norm(zeros(2, 32), zeros(31), 1e-6),
        lambda: OPS.rope(zeros(2, 1, 7), zeros(2, 3), zeros(2, 3)),
        lambda: OPS.rope(zeros(2, 1, 8), zeros(2, 3), zeros(2, 4)),
        lambda: OPS.swiglu(zeros(2, 8), zeros(2, 7)),
        lambda: OPS.route(zeros(2, 4), 5, True),
        lambda: OPS.route(zeros(2, 4), 0, True),
        lambda: OPS.experts(zeros(1, 32), np.int32([[1]]), zeros(1, 1), [W], [W], [ODD]),
        lambda: OPS.experts(zeros(1, 32), np.int32([[1]]), zeros(1, 1), [], [], []),
        lambda: OPS.gather_rows(zeros(2, 3), np.int32([2])),
        lambda: OPS.cache(1, 1, 1, 1, 8, "fp8"),
        lambda: native.set_isa("mmx"),
        lambda: native.set_threads(0),
    ],
)
def test_wrong_arguments(call: Callable[[], object]) -> None:
    with pytest.raises((ValueError, TypeError, IndexError)):
        call()


def test_expert_id_out_of_range() -> None:
    square = OPS.weight(np.ones((32, 32), np.float32))
    for bad in (-1, 2):
        with pytest.raises(ValueError, match="expert id"):
            OPS.experts(zeros(1, 32), np.int32([[bad]]), zeros(1, 1), [square] * 2, [square] * 2, [square] * 2)


@pytest.mark.parametrize(
    "bad, why",
    [
        (batch([0, 1], [0, 2]), "expected"),  # three tokens in q, two positions
        (batch([0, 1, 2], [0, 2]), "starts"),
        (batch([0, 1, 2], [1, 3]), "starts"),
        (batch([0, 1, 2], [0, 4, 3]), "decrease"),
        (batch([0, 2, 3], [0, 3]), "0, 1, 2"),
        (batch([1, 2, 3], [0, 3]), "0, 1, 2"),
        (batch([5, 6, 8], [0, 3], [[0, 1, 2, 3]]), "consecutive"),
        (batch([-1, 0, 1], [0, 3], [[0]]), "negative"),
        (batch([6, 7, 8], [0, 3], [[0, 1]]), "longer than its block table"),
        (batch([3, 4, 5], [0, 3], [[0, -1]]), "block -1"),
        (batch([3, 4, 5], [0, 3], [[5, 0]]), "block 5"),
    ],
)
def test_wrong_batches(bad: Batch, why: str) -> None:
    cache = OPS.cache(1, 5, 4, 1, 16, "f32") if bad.block_tables is not None else None
    with pytest.raises(ValueError, match=why):
        OPS.attention(zeros(3, 2, 16), zeros(3, 1, 16), zeros(3, 1, 16), bad, cache, 0)


def test_wrong_cache() -> None:
    b, q, k = batch([0], [0, 1], [[0]]), zeros(1, 2, 16), zeros(1, 1, 16)
    for layer in (-1, 1):
        with pytest.raises(ValueError, match="layer"):
            OPS.attention(q, k, k, b, OPS.cache(1, 1, 4, 1, 16, "f32"), layer)
    for other in (OPS.cache(1, 1, 4, 2, 16, "f32"), OPS.cache(1, 1, 4, 1, 40, "f32")):
        with pytest.raises(ValueError, match="cache has shape"):
            OPS.attention(q, k, k, b, other, 0)
    with pytest.raises(ValueError, match="need a cache"):
        OPS.attention(q, k, k, b, None, 0)
    with pytest.raises(ValueError, match="multiple"):
        OPS.attention(zeros(1, 3, 16), zeros(1, 2, 16), zeros(1, 2, 16), batch([0], [0, 1]), None, 0)


def test_mapped_file_is_used_in_place_even_at_an_odd_address(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((6, 64), np.float32)
    (tmp_path / "w").write_bytes(b"x" + values.tobytes())
    mapped = np.memmap(tmp_path / "w", np.uint8, "r")
    w = OPS.weight(Tensor("f32", (6, 64), mapped[1:].view(np.float32).reshape(6, 64)))
    x = np.ones((2, 64), np.float32)
    assert (OPS.linear(x, w) == OPS.linear(x, OPS.weight(values))).all()


def test_weight_keeps_its_memory_alive() -> None:
    w = OPS.weight(Tensor.quantise(np.ones((512, 512), np.float32), "bf16")).handle
    junk = [np.full((512, 512), 7, np.uint16) for _ in range(50)]
    out = zeros(1, 512)
    native._native.linear(np.ones((1, 512), np.float32), w, None, out)
    assert (out == 512).all() and len(junk) == 50


def test_many_python_threads_at_once() -> None:
    x, w = np.random.default_rng(0).standard_normal((5, 256), np.float32), OPS.weight(np.ones((300, 256), np.float32))
    right, wrong = OPS.linear(x, w), []

    def work() -> None:
        for _ in range(200):
            if not (OPS.linear(x, w) == right).all():
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_child_computes() -> None:
    code = """
import os, numpy as np
from ponder.kernels import native
native.set_threads(3)
ops = native.NativeOps()
w, x = ops.weight(np.ones((500, 64), np.float32)), np.ones((4, 64), np.float32)
ops.linear(x, w)
child = os.fork()
if child == 0:
    os._exit(0 if (ops.linear(x, w) == 64).all() else 1)
raise SystemExit(os.waitpid(child, 0)[1])
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_missing_extension_says_how_to_build_it() -> None:
    code = """
import sys
sys.modules["ponder.kernels._native"] = None
try:
    import ponder.kernels.native
except ValueError as e:
    print(type(e).__name__, e)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    assert out.startswith("UserError") and "pip install" in out and "g++" in out


def test_cpus_from_control_groups(tmp_path: Path) -> None:
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert usable_cpus(tmp_path) == most
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cpus(tmp_path) == most
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert usable_cpus(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cpus(tmp_path) == 1
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert usable_cpus(tmp_path) == 1
