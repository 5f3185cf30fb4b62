"""The peak loops: plausible, for every kind of weight, and limited by the threads in force."""

import pytest
from amx import CPU_HAS_AMX, needs_amx

from ponder.kernels import _native
from ponder.kernels.cpu import compute_peak, read_bandwidth, steady_bandwidth


@pytest.mark.parametrize("kind", ["f32", "bf16", "int8", "int4"])
def test_compute_peak_is_that_of_a_real_cpu(kind: str) -> None:
    assert 1e8 < compute_peak(kind, 4) < 1e15  # from one slow scalar core to a large server with tiles


@needs_amx
@pytest.mark.parametrize("isa", ["amx"], indirect=True)
def test_loops_of_tiles_run(isa: str) -> None:
    """With an emulator they are slow; the CPU's own vectors would be beyond its upper end."""
    for kind in ("bf16", "int8", "int4"):
        peak = compute_peak(kind, 1)
        assert 1e8 < peak < (1e15 if CPU_HAS_AMX else 5e10), (kind, peak)


def test_whole_numbers_multiply_faster_than_floats() -> None:
    ratios = [compute_peak("int8", 4) / compute_peak("f32", 4) for _ in range(5)]
    assert max(ratios) > 0.9  # never slower on any instruction set; the best of five, since other work disturbs


def test_read_bandwidth_is_that_of_real_memory() -> None:
    assert 1e8 < read_bandwidth(64 << 20, 4) < 1e13


def test_bad_arguments() -> None:
    for call in (
        lambda: _native.read_bandwidth(0, 1), lambda: _native.read_bandwidth(1 << 40, 1),
        lambda: _native.read_bandwidth(1, 0), lambda: _native.compute_peak("int8", 0),
        lambda: _native.compute_peak("int3", 1),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            call()


@pytest.mark.parametrize(
    ("probes", "best", "asked"),
    [([10, 10.1, 50], 10.1, 2), ([2, 10, 9.9], 10, 3), ([9.9, 3, 10, 1], 10, 3), ([1, 2, 4, 8, 16, 32], 16, 5)],
)
def test_a_busy_moment_does_not_count(probes: list[float], best: float, asked: int) -> None:
    left = list(probes)
    assert steady_bandwidth(lambda: left.pop(0), pause=0) == best and len(probes) - len(left) == asked
