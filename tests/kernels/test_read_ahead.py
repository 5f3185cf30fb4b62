"""Reading the chosen experts ahead changes no bit, in a mapped file whose pages were dropped and in plain memory."""

import os
from pathlib import Path

import numpy as np
import pytest

from ponder.kernels import _native
from ponder.kernels.native import NativeOps, read_ahead_experts
from ponder.kernels.packing.panels import Panels
from ponder.kernels.tensor import Tensor

E, D, INNER = 6, 128, 96


@pytest.mark.parametrize("mapped", [True, False])
def test_results_do_not_change(mapped: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ops = NativeOps()
    shapes = {"gate": (INNER, D), "up": (INNER, D), "down": (D, INNER)}
    panels = {
        name: [Panels.pack(Tensor.quantise(rng.standard_normal(s, np.float32), "int4")) for _ in range(E)]
        for name, s in shapes.items()
    }
    if mapped:
        panels = {name: [_mapped(tmp_path / f"{name}{e}", p) for e, p in enumerate(ps)] for name, ps in panels.items()}
    x = rng.standard_normal((5, D), np.float32)
    ids, mix = ops.route(rng.standard_normal((5, E), np.float32), 2, True)

    def run() -> np.ndarray:
        gate, up, down = ([ops.weight(p) for p in panels[name]] for name in shapes)
        return ops.experts(x, ids, mix, gate, up, down)

    plain = run()
    try:
        read_ahead_experts()
        assert np.array_equal(run(), plain)
    finally:
        _native.set_read_ahead(False)


def _mapped(path: Path, panels: Panels) -> Panels:
    path.write_bytes(panels.buffer.tobytes())
    with path.open("rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return Panels(panels.kind, panels.shape, panels.group, np.asarray(np.memmap(path, np.uint8, "r")))
