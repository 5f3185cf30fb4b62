"""Speed of the native linear op on the shapes of Qwen3-0.6B, beside the memory bandwidth of this machine.

    python bench/kernels.py [--threads N] [--isa NAME] [--seconds S]

One JSON line a measurement: GB/s counts each weight byte once a call, GFLOP/s counts 2*T*N*K; the median call.
Every kind runs over enough copies of its matrix (256 MB) that weights come from memory, not from a cache.
The reference: op "read", one thread that only reads 1 GB, and "read_f32_kernel", all threads through our f32 kernel.
op "layers" adds up the matrices of all layers: tokens/s of a model whose other work costs nothing.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np

from ponder.kernels import native
from ponder.kernels.native import NativeOps
from ponder.kernels.tensor import Tensor

# name: (N, K, matrices of this shape in one layer); the output matrix is cut to a tenth to save time
SHAPES = {
    "q": (2048, 1024, 1),
    "kv": (1024, 1024, 2),
    "o": (1024, 2048, 1),
    "gate_up": (3072, 1024, 2),
    "down": (1024, 3072, 1),
    "head/10": (15194, 1024, 0),
}
LAYERS = 28
BYTES = 256 << 20


def measured(call: Callable[[int], object], seconds: float) -> list[float]:
    """Seconds of each call(i), for at least `seconds` in all and five times, after one to warm up."""
    call(0)
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        start = time.perf_counter()
        call(len(times))
        times.append(time.perf_counter() - start)
    return times


def median_seconds(call: Callable[[int], object], seconds: float) -> float:
    return median(measured(call, seconds))


def read_bandwidth(seconds: float) -> float:
    """GB/s of all threads: the f32 kernel with one row of activations over a matrix of 1 GB."""
    ops = NativeOps()
    big = ops.weight(np.ones((65536, 4096), np.float32))
    x = np.ones((1, 4096), np.float32)
    nbytes: int = big.nbytes
    return nbytes / median_seconds(lambda _: ops.linear(x, big), seconds) / 1e9


def numpy_read_bandwidth(seconds: float) -> float:
    """GB/s of a plain loop over 1 GB by one thread: numpy's maximum, which does next to nothing but load."""
    data = np.ones(1 << 28, np.float32)
    return data.nbytes / median_seconds(lambda _: data.max(), seconds) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--threads", type=int, help="default: the CPUs this process may use")
    parser.add_argument("--isa", choices=native.available_isas(), default=native.isa())
    parser.add_argument("--seconds", type=float, default=0.3, help="least time for each measurement")
    args = parser.parse_args()
    setting = {"isa": native.set_isa(args.isa), "threads": native.set_threads(args.threads)}
    print(json.dumps({"op": "read", **setting, "threads": 1, "gb_s": round(numpy_read_bandwidth(args.seconds), 1)}))
    print(json.dumps({"op": "read_f32_kernel", **setting, "gb_s": round(read_bandwidth(args.seconds), 1)}), flush=True)
    ops, rng = NativeOps(), np.random.default_rng(0)
    for kind in ("f32", "bf16", "int8", "int4"):
        layer: dict[int, float] = {}
        for name, (n, k, count) in SHAPES.items():
            tensor = Tensor.quantise(rng.standard_normal((n, k), np.float32), kind)
            copies = [
                ops.weight(replace(tensor, data=tensor.data.copy())) for _ in range(max(1, BYTES // tensor.nbytes))
            ]
            for t in (1, 8, 16, 512):
                x = rng.standard_normal((t, k), np.float32)
                seconds = median_seconds(lambda i: ops.linear(x, copies[i % len(copies)]), args.seconds)  # noqa: B023
                layer[t] = layer.get(t, 0) + seconds * count
                gb_s, gflop_s = round(tensor.nbytes / seconds / 1e9, 2), round(2 * t * n * k / seconds / 1e9)
                line = {"op": "linear", "kind": kind, "shape": name, "n": n, "k": k, "t": t, **setting}
                print(json.dumps({**line, "us": round(seconds * 1e6), "gb_s": gb_s, "gflop_s": gflop_s}), flush=True)
        for t, seconds in layer.items():
            rate = round(t / (LAYERS * seconds), 1)
            print(json.dumps({"op": "layers", "kind": kind, "t": t, **setting, "tokens_s": rate}), flush=True)


if __name__ == "__main__":
    main()
