"""Speed of the native attention on the shape of Qwen3-0.6B (16 heads, 8 of keys and values, size 128).

    python bench/attention.py [--kv int8,bf16,f32] [--only decode,prefill] [--isa NAME] [--threads N] [--seconds S]

decode: one token for each of B sequences at a context, over so many layers that their caches exceed 256 MB; gb_s counts
each byte of the cache once a call, `read` is what this machine reads at that moment. prefill: the last chunk of a
prompt (512 tokens) at a context, and the sum over all chunks of a prompt from that; gmac_s counts each pair of a query
and a key it sees, in both products. One JSON line a measurement, the fastest of many calls.
"""

import argparse
import json

import numpy as np
from kernels import measured

from ponder.core.batch import Batch
from ponder.kernels import native
from ponder.kernels.cache import Cache, bytes_per_token
from ponder.kernels.cpu import read_bandwidth
from ponder.kernels.native import NativeOps
from ponder.kernels.tensor import Floats

HEADS, KV_HEADS, C, LAYERS, BLOCK = 16, 8, 128, 28, 32
CHUNK = 512
OPS = NativeOps()


def batch(sequences: int, first: int, tokens: int) -> Batch:
    """`tokens` tokens from position `first` on for each sequence, blocks dealt out in turn."""
    blocks = -(-(first + tokens) // BLOCK)
    tables = np.arange(blocks * sequences, dtype=np.int32).reshape(blocks, sequences).T
    return Batch(
        positions=np.tile(np.arange(first, first + tokens, dtype=np.int32), sequences),
        starts=np.arange(sequences + 1, dtype=np.int32) * tokens,
        logit_rows=np.zeros(0, np.int32),
        rope_factor=np.ones(sequences, np.float32),
        block_tables=np.ascontiguousarray(tables),
    )


def filled(layers: int, blocks: int, kv: str) -> Cache:
    """Random keys and values; layers after the first repeat it."""
    cache = OPS.cache(layers, blocks, BLOCK, KV_HEADS, C, kv)
    rng = np.random.default_rng(0)
    tokens = min(blocks * BLOCK, 2048)
    k, v = (rng.standard_normal((tokens, KV_HEADS, C), np.float32) for _ in "kv")
    at = np.arange(tokens, dtype=np.int32)
    cache.write(0, at // BLOCK, at % BLOCK, k, v)
    part = tokens // BLOCK
    for first in range(0, blocks, part):
        cache.data[0, first : first + part] = cache.data[0, : min(part, blocks - first)]
    cache.data[1:] = cache.data[0]
    return cache


def rows(tokens: int) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(1)
    return tuple(rng.standard_normal((tokens, h, C), np.float32) for h in (HEADS, KV_HEADS, KV_HEADS))  # type: ignore[return-value]


def decode(kv: str, sequences: int, context: int, seconds: float) -> dict[str, float]:
    b = batch(sequences, context - 1, 1)
    assert b.block_tables is not None
    nbytes = context * sequences * bytes_per_token(KV_HEADS, C, kv)
    layers = max(1, (256 << 20) // nbytes)
    cache = filled(layers, b.block_tables.size, kv)
    q, k, v = rows(sequences)
    best = min(measured(lambda i: OPS.attention(q, k, v, b, cache, i % layers), seconds))
    return {
        "us_layer": round(best * 1e6),
        "gb_s": round(nbytes / best / 1e9, 1),
        "ms_step": round(best * LAYERS * 1e3, 2),
    }


def prefill(kv: str, context: int, seconds: float) -> dict[str, float]:
    tokens = min(CHUNK, context)
    b = batch(1, context - tokens, tokens)
    assert b.block_tables is not None
    cache = filled(1, b.block_tables.size, kv)
    q, k, v = rows(tokens)
    best = min(measured(lambda _: OPS.attention(q, k, v, b, cache, 0), seconds))
    macs = sum(range(context - tokens + 1, context + 1)) * HEADS * C * 2
    whole = context * (context + 1) / 2 * HEADS * C * 2 * LAYERS / (macs / best)
    return {"ms_layer": round(best * 1e3, 2), "gmac_s": round(macs / best / 1e9, 1), "prompt_s": round(whole, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kv", default="int8,bf16,f32")
    parser.add_argument("--only", default="decode,prefill")
    parser.add_argument("--isa", choices=native.available_isas(), default=native.isa())
    parser.add_argument("--threads", type=int, help="default: the CPUs this process may use")
    parser.add_argument("--seconds", type=float, default=0.3, help="least time for each measurement")
    args = parser.parse_args()
    setting = {"isa": native.set_isa(args.isa), "threads": native.set_threads(args.threads)}
    for kv in args.kv.split(","):
        if "decode" in args.only:
            for sequences, context in ((1, 512), (1, 8192), (1, 32768), (16, 640), (16, 2048)):
                line = {"op": "decode", "kv": kv, "sequences": sequences, "context": context, **setting}
                read = round(read_bandwidth() / 1e9, 1)
                print(json.dumps({**line, **decode(kv, sequences, context, args.seconds), "read": read}), flush=True)
        if "prefill" in args.only:
            for context in (512, 2048, 8192, 32768):
                line = {"op": "prefill", "kv": kv, "context": context, **setting}
                print(json.dumps({**line, **prefill(kv, context, args.seconds)}), flush=True)


if __name__ == "__main__":
    main()
