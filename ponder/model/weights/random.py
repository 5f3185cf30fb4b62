"""Random weights drawn as int8 or int4 at once, for shapes whose bf16 form would fit neither memory nor disk.

    checkpoint = packed_random(PRESETS["qwen3:30b-a3b"], "int4")
    model = build(checkpoint, NativeOps(), "int4", use_cache=True)      # 17 GB, drawn once, mapped from then on
    write_gguf("same.gguf", checkpoint, tokenizer, "Q4_0")         # the very same numbers for llama.cpp

Codes are uniform and scales vary about the value that gives the spread of untrained weights, so activations stay
finite. One matrix is in memory at a time; every one comes from the seed and its name.
"""

import zlib
from dataclasses import replace
from functools import partial

import numpy as np

from ponder.kernels.tensor import GROUP, LINEAR, Kind, Tensor
from ponder.model.config import ModelConfig
from ponder.model.weights.build import random_checkpoint, storage_plan
from ponder.model.weights.checkpoint import Checkpoint, Source

SCHEME = 1  # raise it when other numbers are drawn
_CODE_SPREAD = {"int8": 73.6, "int4": 4.61}  # standard deviation of the uniform codes


def packed_random(config: ModelConfig, dtype: str, *, group: int = GROUP, seed: int = 0) -> Checkpoint:
    """`random_checkpoint` with every matrix that `dtype` packs drawn packed; the others are the same."""
    plain = random_checkpoint(config, seed)
    tensors = dict(plain.tensors)
    for name, (source, kind) in storage_plan(plain, dtype).items():
        if name in tensors and kind in ("int8", "int4"):
            n, k = source.shape
            draw = partial(_draw, seed, name, (n, k), kind, group, config.initializer_range)
            nbytes = n * k // (2 if kind == "int4" else 1) + n * (k // group) * 2
            tensors[name] = Source((n, k), kind, nbytes, draw, packed=True, group=group)
    made = f"random {SCHEME} seed {seed} {dtype} {group} {config!r}"
    return replace(plain, tensors=tensors, made=made)


def _draw(seed: int, name: str, shape: tuple[int, int], kind: Kind, group: int, spread: float) -> Tensor:
    n, k = shape
    rng = np.random.Generator(np.random.SFC64([seed, zlib.crc32(name.encode())]))
    step = spread / _CODE_SPREAD[kind]
    table = (step * np.repeat([1, -1], 128) * rng.uniform(0.5, 1.5, 256)).astype(np.float16)  # both signs: no drift
    scale = table[_bytes(rng, n * (k // group))].reshape(n, k // group)
    if kind == "int4":
        return Tensor(kind, shape, _bytes(rng, n * k // 2).reshape(n, k // 2), scale, group, LINEAR)  # as in Q4_0
    codes = np.maximum(_bytes(rng, n * k).view(np.int8), np.int8(-127)).reshape(n, k)
    return Tensor(kind, shape, codes, scale, group)


def _bytes(rng: np.random.Generator, count: int) -> np.ndarray:
    words = rng.integers(0, 1 << 64, -(-count // 8), np.uint64)
    return words.view(np.uint8)[:count]
