"""The recorded step computes what the operations compute one by one, to the bit: any model, weights, batch."""

from functools import cache as once
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import hf_oracle as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.batch import Batch
from ponder.kernels import native
from ponder.kernels.cache import Cache
from ponder.model import decoder
from ponder.model.load import load
from ponder.model.model import Model

DTYPES = ["f32", "bf16", "int8", "int4"]
BLOCK, BLOCKS = 4, 64


@once
def folder(name: str) -> Path:
    path = Path(mkdtemp())
    oracle.save(name, path)
    return path


@once
def model(name: str, dtype: str) -> Model:
    return load(folder(name), dtype=dtype, max_context=None if name == "yarn" else 4096)


def one_by_one(m: Model, ids: Any, batch: Batch, cache: Cache | None = None) -> Any:
    return decoder.forward(m.weights, m.config, m.rope, m.ops, ids, batch, cache)


def check(m: Model, ids: Any, batch: Batch, cache: Cache | None = None, other: Cache | None = None) -> None:
    np.testing.assert_array_equal(m.forward(ids, batch, cache), one_by_one(m, ids, batch, other))
    if cache is not None and other is not None:
        np.testing.assert_array_equal(cache.data, other.data)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", oracle.MODELS)
def test_packed(name: str, dtype: str) -> None:
    m, seqs = model(name, dtype), oracle.sequences(90, 1, 33, 17)
    ids = np.array([i for s in seqs for i in s], np.int32)
    for all_logits in (True, False):
        check(m, ids, Batch.packed([len(s) for s in seqs], all_logits=all_logits))


@st.composite
def steps(draw: Any) -> list[list[tuple[int, int]]]:
    """Steps of an engine: for each sequence of a step, its number and how many ids it gets."""
    sequences = draw(st.integers(1, 4))
    item = st.tuples(st.integers(0, sequences - 1), st.sampled_from([1, 1, 1, 2, 7, 20]))
    return draw(st.lists(st.lists(item, min_size=1, max_size=4, unique_by=lambda i: i[0]), min_size=1, max_size=4))


@pytest.mark.parametrize("name", oracle.MODELS)
@settings(max_examples=15, deadline=None)
@given(steps(), st.sampled_from(DTYPES), st.sampled_from(["f32", "bf16"]), st.data())
def test_prefill_beside_decode(
    name: str, plan: list[list[tuple[int, int]]], dtype: str, kv: str, data: st.DataObject
) -> None:
    """Random steps over a paged cache; any rows of logits, none at all included; two YaRN factors side by side."""
    m = model(name, dtype)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    tables = rng.permutation(BLOCKS).astype(np.int32).reshape(4, -1)
    long = [m.rope_factor(n) for n in (10, 10, 1000, 2000)] if name != "yarn" else [m.rope_factor(10)] * 4
    cache, other, done = m.new_cache(BLOCKS, BLOCK, kv), m.new_cache(BLOCKS, BLOCK, kv), [0] * 4
    for step in plan:
        step = [(b, n) for b, n in step if done[b] + n <= tables.shape[1] * BLOCK]
        if not step:
            continue
        starts = np.concatenate([[0], np.cumsum([n for _, n in step])]).astype(np.int32)
        rows = data.draw(st.sets(st.integers(0, int(starts[-1]) - 1)))
        batch = Batch(
            np.concatenate([np.arange(done[b], done[b] + n) for b, n in step]).astype(np.int32),
            starts,
            np.array(sorted(rows), np.int32),
            np.array([long[b] for b, _ in step], np.float32),
            tables[[b for b, _ in step]],
        )
        check(m, rng.integers(0, oracle.VOCAB, int(starts[-1])).astype(np.int32), batch, cache, other)
        for b, n in step:
            done[b] += n


def test_threads_and_instruction_sets() -> None:
    """A program adapts when either changes under it; the bits follow the instruction set and not the threads."""
    m, seq = model("moe", "int4"), oracle.sequences(40)[0]
    ids, batch = np.array(seq, np.int32), Batch.packed([40])
    threads, isa = native.threads(), native.isa()
    try:
        for name in native.available_isas():
            native.set_isa(name)
            native.set_threads(1)
            want = one_by_one(m, ids, batch)
            for n in (1, 2, 5):
                native.set_threads(n)
                np.testing.assert_array_equal(m.forward(ids, batch), want)
    finally:
        native.set_threads(threads)
        native.set_isa(isa)


def test_wrong_batches_are_refused() -> None:
    m = model("dense-tied", "f32")
    ids, good = np.arange(5, dtype=np.int32), Batch.packed([3, 2])
    cache = m.new_cache(4, 4, "f32")

    def changed(**fields: Any) -> Batch:
        return Batch(**{**vars(good), **fields})

    ones = np.ones(2, np.float32)
    tables = np.array([[0], [1]], np.int32)
    bad: list[tuple[Any, Batch, Cache | None, str]] = [
        (ids + 156, good, None, "embedding"),
        (ids - 1, good, None, "embedding"),
        (ids[:4], good, None, "positions"),
        (ids, changed(logit_rows=np.array([5], np.int32)), None, "logit_rows"),
        (ids, changed(logit_rows=np.array([-1], np.int32)), None, "logit_rows"),
        (ids, changed(rope_factor=ones[:1]), None, "rope_factor"),
        (ids, changed(starts=np.array([0, 9, 5], np.int32)), None, "starts"),
        (ids, changed(positions=np.array([0, 1, 2, 0, -1], np.int32)), None, "positions"),
        (ids, changed(positions=np.array([0, 1, 2, 4000, 4001], np.int32)), None, "positions"),
        (ids, changed(block_tables=tables), None, "cache"),
        (ids, changed(block_tables=tables + 3), cache, "block"),
        (ids, changed(block_tables=tables), m.ops.cache(2, 4, 4, 2, 32, "f32"), "layer"),
        (ids, changed(block_tables=tables), m.ops.cache(3, 4, 4, 1, 32, "f32"), "cache has shape"),
    ]
    for wrong_ids, batch, pool, why in bad:
        with pytest.raises(ValueError, match=why):
            m.forward(wrong_ids, batch, pool)
    check(m, ids, good)


def test_profile_counts_what_ran() -> None:
    m = model("dense-tied", "int8")
    assert m.program is not None
    m.program.profile(True)
    m.forward(np.arange(4, dtype=np.int32), Batch.packed([4]))
    spent = m.program.profile(False)
    layers = m.config.num_hidden_layers
    assert {kind: runs for kind, (runs, _) in spent.items() if runs} == {
        "embed": 1, "prepare": 4 * layers + 1, "linear": 4 * layers + 1, "heads": layers, "attend": layers,
    }  # fmt: skip
    assert all(ns > 0 for runs, ns in spent.values() if runs)
    m.forward(np.arange(4, dtype=np.int32), Batch.packed([4]))
    assert not any(runs for runs, _ in m.program.profile(False).values())
