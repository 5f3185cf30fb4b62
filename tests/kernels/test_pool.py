"""The thread pool between operations: it must not burn the CPU, lose a worker that slept, or hang after a fork."""

import time

import numpy as np
import pytest

from ponder.kernels import native
from ponder.kernels.native import NativeOps

OPS = NativeOps()
W = OPS.weight(np.random.default_rng(0).standard_normal((640, 256), np.float32))
X = np.random.default_rng(1).standard_normal((3, 256), np.float32)


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize("threads", [2, 5])
def test_idle_workers_sleep(threads: int) -> None:
    native.set_threads(threads)
    OPS.linear(X, W)
    time.sleep(0.05)  # they spin for some milliseconds
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.02


@pytest.mark.parametrize("threads", [2, 5])
def test_workers_come_back_from_every_kind_of_pause(threads: int) -> None:
    """Spinning, yielding, falling asleep or asleep: the next operation is complete and right."""
    native.set_threads(1)
    want = OPS.linear(X, W)
    native.set_threads(threads)
    for pause in [0, 1e-5, 1e-4, 5e-4, 1.9e-3, 2e-3, 2.1e-3, 4e-3] * 12:
        time.sleep(pause)
        np.testing.assert_array_equal(OPS.linear(X, W), want)


def test_thread_count_changes_between_operations() -> None:
    want = OPS.linear(X, W)
    for threads in (1, 4, 2, 7, 1, 3) * 5:
        native.set_threads(threads)
        np.testing.assert_array_equal(OPS.linear(X, W), want)
