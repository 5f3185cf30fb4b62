"""Native attention against the oracle, and the oracle against torch; same bits for every chunking and batch (DT-1)."""

import numpy as np
import pytest
from amx import needs_amx
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.kernels import native
from ponder.kernels.cache import Cache
from ponder.kernels.native import NativeOps
from ponder.kernels.reference.ops import ReferenceOps
from ponder.kernels.tensor import from_bf16, to_bf16

OPS, REF = NativeOps(), ReferenceOps()
Floats = NDArray[np.float32]


class World:
    """Sequences with their whole q, k, v, and a cache with shuffled blocks; `run` feeds any pieces of them."""

    def __init__(self, lengths: list[int], ratio: int, kv_heads: int, c: int, block_size: int, dtype: str, seed: int):
        rng = np.random.default_rng(seed)
        # queries that bf16 holds exactly, as some instruction sets round them to it
        self.q = [from_bf16(to_bf16(rng.standard_normal((n, ratio * kv_heads, c), np.float32))) for n in lengths]
        self.k = [rng.standard_normal((n, kv_heads, c), np.float32) * 2 for n in lengths]
        self.v = [rng.standard_normal((n, kv_heads, c), np.float32) for n in lengths]
        width = max(-(-n // block_size) for n in lengths)
        blocks = sum(-(-n // block_size) for n in lengths) + 2
        self.tables = np.full((len(lengths), width), -1, np.int32)
        free = list(rng.permutation(blocks))
        for b, n in enumerate(lengths):
            self.tables[b, : -(-n // block_size)] = [free.pop() for _ in range(-(-n // block_size))]
        self.shape = (2, blocks, block_size, kv_heads, c, dtype)

    def cache(self) -> Cache:
        """Filled with NaN, so that reading a position that was never written shows."""
        cache = OPS.cache(*self.shape)
        cache.data[...] = 0xFF  # NaN as float32, bfloat16 and as the scales of int8
        return cache

    def run(self, ops: NativeOps | ReferenceOps, pieces: list[tuple[int, int, int]], cache: Cache | None) -> Floats:
        """pieces: (sequence, from position, to position), one batch."""
        q, k, v = (np.concatenate([a[b][i:j] for b, i, j in pieces]) for a in (self.q, self.k, self.v))
        positions = np.concatenate([np.arange(i, j, dtype=np.int32) for _, i, j in pieces])
        starts = np.concatenate([[0], np.cumsum([j - i for _, i, j in pieces])]).astype(np.int32)
        tables = np.ascontiguousarray(self.tables[[b for b, _, _ in pieces]]) if cache is not None else None
        batch = Batch(positions, starts, starts[1:] - 1, np.ones(len(pieces), np.float32), tables)
        return ops.attention(q, k, v, batch, cache, 1 if cache is not None else 0)


def close(a: Floats, b: Floats, dtype: str = "f32") -> bool:
    """Outputs are averages of values around 1 in size. Float32 loses about 1e-6 of them. With an int8 cache weights are
    rounded to 16 bits of the largest of a span, on avx512bf16, amx and i8mm those of a bf16 cache to bf16 (8 bits of
    their own); the oracle rounds keys, values and queries alike, but not weights."""
    rounds = dtype == "bf16" and native.isa() in ("avx512bf16", "amx", "i8mm")
    limit = 1e-3 if dtype == "int8" else 1e-2 if rounds else 1e-5
    return bool(np.abs(a - b).max() < limit)


def test_oracle_equals_torch() -> None:
    import torch

    w = World([23], 3, 2, 32, 8, "f32", 0)
    q, k, v = (torch.from_numpy(a[0]).transpose(0, 1)[None] for a in (w.q, w.k, w.v))
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    assert close(w.run(REF, [(0, 0, 23)], None), theirs[0].transpose(0, 1).reshape(23, -1).numpy())


@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
@pytest.mark.parametrize("ratio", [1, 2, 5, 16])
@pytest.mark.parametrize("c", [16, 24, 64, 128])
def test_shapes(isa: str, dtype: str, ratio: int, c: int) -> None:
    for block_size, lengths in ((1, [33]), (5, [70, 1, 33]), (32, [70, 1, 33]), (64, [300, 64])):
        w = World(lengths, ratio, 2, c, block_size, dtype, seed=c)
        whole = [(b, 0, n) for b, n in enumerate(lengths)]
        ours, oracle = w.cache(), w.cache()
        assert close(w.run(OPS, whole, ours), w.run(REF, whole, oracle), dtype)
        for b, n in enumerate(lengths):
            at = np.arange(n, dtype=np.int32)
            stored = ours.read(1, w.tables[b, at // block_size], at % block_size)
            expected = oracle.read(1, w.tables[b, at // block_size], at % block_size)
            assert all(np.array_equal(mine, theirs) for mine, theirs in zip(stored, expected))
        assert close(w.run(OPS, whole, None), w.run(REF, whole, None))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_split_gives_the_same_bits(data: st.DataObject) -> None:
    """Prefill chunks and decode steps of several sequences in random company equal the whole sequences at once."""
    draw = data.draw
    longest = draw(st.sampled_from([90, 90, 600]), label="longest")
    lengths = draw(st.lists(st.integers(1, longest), min_size=1, max_size=4), label="lengths")
    w = World(
        lengths, draw(st.integers(1, 8), label="ratio"), draw(st.integers(1, 3), label="kv heads"),
        draw(st.sampled_from([16, 20, 32, 64, 128]), label="c"),
        draw(st.sampled_from([1, 5, 32, 32, 96]), label="block size"),
        draw(st.sampled_from(["f32", "bf16", "int8"]), label="dtype"), draw(st.integers(0, 1000), label="seed"),
    )  # fmt: skip
    before = native.isa()
    native.set_isa(draw(st.sampled_from(native.available_isas()), label="isa"))
    try:
        native.set_threads(draw(st.sampled_from([1, 2, 3]), label="threads"))
        whole = [w.run(OPS, [(b, 0, n)], w.cache()) for b, n in enumerate(lengths)]
        if w.shape[-1] == "f32":
            packed = w.run(OPS, [(b, 0, n) for b, n in enumerate(lengths)], None)
            assert (packed == np.concatenate(whole)).all()
        cache, done = w.cache(), [0] * len(lengths)
        parts: list[list[Floats]] = [[] for _ in lengths]
        while any(d < n for d, n in zip(done, lengths)):
            left = [b for b, n in enumerate(lengths) if done[b] < n]
            chosen = draw(st.permutations(left).map(lambda p: p[: max(1, len(p) - 1)]))
            steps = [draw(st.one_of(st.just(1), st.integers(1, lengths[b] - done[b]))) for b in chosen]
            out = w.run(OPS, [(b, done[b], done[b] + s) for b, s in zip(chosen, steps)], cache)
            for b, piece in zip(chosen, np.split(out, np.cumsum(steps)[:-1])):
                parts[b].append(piece)
                done[b] += len(piece)
        for b in range(len(lengths)):
            assert (np.concatenate(parts[b]) == whole[b]).all()
    finally:
        native.set_isa(before)


@needs_amx
@pytest.mark.parametrize("isa", ["amx"], indirect=True)
@pytest.mark.parametrize("dtype", ["bf16", "int8"])
@pytest.mark.parametrize("c", [24, 64, 96])
def test_tiles_whole_and_cut(isa: str, dtype: str, c: int) -> None:
    """More than a span, a last tile of keys that is not full, one row and many; int8 has the vectors' bits."""
    w = World([291, 37], 3, 1, c, 32, dtype, 2)
    cache, pieces = w.cache(), [[(0, 0, 100), (1, 0, 5)], [(0, 100, 290), (1, 5, 6)], [(0, 290, 291), (1, 6, 37)]]
    parts = [w.run(OPS, piece, cache) for piece in pieces]
    first = [parts[0][:100], parts[1][:190], parts[2][:1]]
    second = [parts[0][100:], parts[1][190:], parts[2][1:]]
    whole = w.run(OPS, [(0, 0, 291), (1, 0, 37)], w.cache())
    assert (np.concatenate(first + second) == whole).all()
    assert close(whole, w.run(REF, [(0, 0, 291), (1, 0, 37)], w.cache()), dtype)
    if dtype == "int8":
        native.set_isa("avx512bf16")
        assert (w.run(OPS, [(0, 0, 291), (1, 0, 37)], w.cache()) == whole).all()


def test_balance_of_an_int8_cache(isa: str) -> None:
    """Keys with a few huge channels: as the oracle does it, and far nearer to the truth than without."""
    w = World([200], 2, 2, 64, 32, "int8", 9)
    w.k[0][:, :, 5] += 300
    w.q[0][:, :, 5] /= 128  # so that the scores stay in reach
    exact = w.run(REF, [(0, 0, 200)], None)
    plain, ours, oracle = w.cache(), w.cache(), w.cache()
    for cache in (ours, oracle):
        cache.balance[1, 0, :, 5], cache.balance[1, 1, :, 5] = 64, 1 / 64
    out = w.run(OPS, [(0, 0, 200)], ours)
    assert close(out, w.run(REF, [(0, 0, 200)], oracle), "int8")
    assert np.abs(out - exact).max() < 0.2 * np.abs(w.run(OPS, [(0, 0, 200)], plain) - exact).max()


@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
def test_long_sequence_decode(isa: str, dtype: str) -> None:
    w = World([1500], 2, 2, 64, 32, dtype, 3)
    ours, oracle = w.cache(), w.cache()
    for pieces in ([(0, 0, 700)], [(0, 700, 1499)], [(0, 1499, 1500)]):
        assert close(w.run(OPS, pieces, ours), w.run(REF, pieces, oracle), dtype)


@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
def test_decode_of_a_long_sequence_is_split_without_a_trace(isa: str, dtype: str) -> None:
    """One token of one sequence: threads share its keys; alone, in company and inside a chunk the bits are the same."""
    w = World([1290, 40], 4, 1, 64, 32, dtype, 8)
    cache = w.cache()
    w.run(OPS, [(0, 0, 1286), (1, 0, 39)], cache)
    native.set_threads(1)
    one = w.run(OPS, [(0, 1286, 1287)], cache)
    for threads in (2, 3, 5):
        native.set_threads(threads)
        assert (w.run(OPS, [(0, 1286, 1287)], cache) == one).all()
        assert (w.run(OPS, [(1, 39, 40), (0, 1286, 1287)], cache)[1:] == one).all()
        assert (w.run(OPS, [(0, 1280, 1290)], cache)[6:7] == one).all()


def test_a_value_that_is_not_finite_stays_in_its_sequence(isa: str) -> None:
    for dtype in ("f32", "bf16", "int8"):
        for part in ("q", "k", "v"):
            w = World([50, 50], 2, 1, 32, 32, dtype, 6)
            expected = w.run(OPS, [(1, 0, 50)], w.cache())
            getattr(w, part)[0][10, 0, 3] = np.nan
            out = w.run(OPS, [(0, 0, 50), (1, 0, 50)], w.cache())
            assert (out[50:] == expected).all() and (part == "v" or np.isfinite(out[:10]).all())
            assert not np.isfinite(out[10]).all() and (part == "q" or not np.isfinite(out[11:50]).all())


def test_large_scores_do_not_overflow(isa: str) -> None:
    w = World([40], 2, 1, 64, 8, "f32", 4)
    w.k[0] *= 100
    # scores reach some thousand, so float32 leaves an error near 1e-3 in each exponent
    assert np.abs(w.run(OPS, [(0, 0, 40)], None) - w.run(REF, [(0, 0, 40)], None)).max() < 0.01


def test_empty_sequence_and_empty_batch() -> None:
    w = World([5], 1, 1, 16, 4, "f32", 5)
    with_empty = Batch(np.arange(5, dtype=np.int32), np.int32([0, 0, 5]), np.int32([4]), np.ones(2, np.float32))
    out = OPS.attention(w.q[0], w.k[0], w.v[0], with_empty, None, 0)
    assert (out == w.run(OPS, [(0, 0, 5)], None)).all()
    nothing = Batch(np.zeros(0, np.int32), np.int32([0]), np.zeros(0, np.int32), np.ones(0, np.float32))
    assert OPS.attention(w.q[0][:0], w.k[0][:0], w.v[0][:0], nothing, None, 0).shape == (0, 16)
