"""The batch that work becomes, the size of the cache, and copying a block of real keys and values."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.errors import UserError
from ponder.engine.scheduling import runner as runner_module
from ponder.engine.scheduling.block_pool import BlockPool, BlockTable
from ponder.engine.scheduling.memory import cache_tokens, free_memory
from ponder.engine.scheduling.runner import ModelRunner, assemble
from ponder.engine.scheduling.scheduler import Work
from ponder.engine.scheduling.sequence import Sequence
from ponder.kernels.native import NativeOps
from ponder.model.config import PRESETS
from ponder.model.model import Model
from ponder.model.weights.build import build, random_checkpoint


@pytest.fixture(scope="module")
def model() -> Model:
    config = msgspec.structs.replace(PRESETS["tiny"], initializer_range=0.3)
    return build(random_checkpoint(config), NativeOps(), "f32")


def sequence(pool: BlockPool, serial: int, ids: list[int], computed: int, factor: float = 1.0) -> Sequence:
    made = Sequence(serial, ids, None, None)
    made.admit(BlockTable(pool, factor), factor, computed)
    assert made.table.reserve(len(ids))
    return made


def test_assemble_places_every_id() -> None:
    pool = BlockPool(10, 4, lambda s, t: None)
    a, b = sequence(pool, 0, [5, 6, 7, 8, 9], 3), sequence(pool, 1, [1, 2], 0, factor=2.0)
    c = sequence(pool, 2, [4] * 9, 0)
    ids, batch = assemble([Work(a, 3, 5, rows=1), Work(c, 0, 6, rows=0), Work(b, 0, 2, rows=1)])
    assert ids.tolist() == [8, 9, *[4] * 6, 1, 2] and ids.dtype == np.int32
    assert batch.positions.tolist() == [3, 4, *range(6), 0, 1]
    assert batch.starts.tolist() == [0, 2, 8, 10]
    assert batch.logit_rows.tolist() == [1, 9], "the unfinished prompt needs no logits"
    assert batch.rope_factor.tolist() == [1, 1, 2]
    assert batch.block_tables is not None
    assert batch.block_tables.tolist() == [[*a.table.blocks, -1], c.table.blocks, [*b.table.blocks, -1, -1]]


@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
def test_a_copied_block_continues_like_the_original(model: Model, dtype: str) -> None:
    runner = ModelRunner(model, max_batch=2, blocks=8, block_size=4, kv_dtype=dtype)
    pool = BlockPool(8, 4, runner.copy_block)
    ids = [3, 1, 4, 1, 5, 9, 2]
    whole = sequence(pool, 0, ids, 0)
    (expected,) = runner.run([Work(whole, 0, 7, rows=1)])
    whole.table.publish(ids, 7)
    whole.table.release(ids, 7)
    second = Sequence(1, [*ids[:6], 2], None, None)
    table = BlockTable(pool)
    second.admit(table, 1.0, table.start(pool.find(table.root, second.ids)))
    assert second.computed == 6 and table.reserve(7)
    (got,) = runner.run([Work(second, 6, 7, rows=1)])
    assert np.array_equal(got, expected)
    assert not np.array_equal(runner.run([Work(sequence(pool, 2, [7, *ids[1:]], 0), 0, 7, rows=1)])[0], expected)


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_the_rows_of_a_draft_are_those_of_single_steps(model: Model, dtype: str) -> None:
    runner = ModelRunner(model, max_batch=2, blocks=8, block_size=4, kv_dtype=dtype)
    pool = BlockPool(8, 4, runner.copy_block)
    ids = [3, 1, 4, 1, 5, 9, 2, 6]
    whole = sequence(pool, 0, ids, 0)
    alone = [runner.run([Work(whole, n, n + 1, rows=1)])[0] for n in range(8)]
    drafted, other = sequence(pool, 1, ids[:4], 0), sequence(pool, 2, [7, 7], 0)
    assert drafted.table.reserve(8)
    runner.run([Work(drafted, 0, 3, rows=0)])
    rows = runner.run([Work(other, 0, 2, rows=1), Work(drafted, 3, 8, rows=5, draft=tuple(ids[4:]))])
    assert np.array_equal(rows[1:], alone[3:])


def test_nothing_wanted_gives_no_rows(model: Model) -> None:
    runner = ModelRunner(model, max_batch=2, blocks=8, block_size=4)
    pool = BlockPool(8, 4, runner.copy_block)
    assert runner.run([Work(sequence(pool, 0, [1, 2, 3], 0), 0, 2, rows=0)]).shape == (0, 256)


def test_size_of_the_cache(model: Model) -> None:
    per_token = model.config.kv_bytes_per_token("bf16")
    runner = ModelRunner(model, max_batch=4, kv_memory=100 * 32 * per_token)
    assert (runner.blocks, runner.context) == (100, 512)
    assert ModelRunner(model, max_batch=4, blocks=3).context == 96
    assert ModelRunner(model, max_batch=4).blocks == 4 * 512 // 32  # all of a full batch: it is small
    with pytest.raises(UserError, match="cache"):
        ModelRunner(model, max_batch=4, kv_memory=1000)


def test_share_of_the_memory() -> None:
    assert cache_tokens(1000, context=100, max_batch=4, free=1 << 30) == 400
    assert cache_tokens(1000, context=10_000, max_batch=32, free=40_000_000) == 10_000  # a quarter
    assert cache_tokens(1000, context=15_000, max_batch=32, free=40_000_000) == 15_000  # one context, up to a half
    assert cache_tokens(1000, context=50_000, max_batch=32, free=40_000_000) == 20_000


def test_free_memory_heeds_a_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 100 kB\nMemAvailable:   64 kB\n")
    assert free_memory(meminfo, tmp_path) == 64 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(meminfo, tmp_path) == 64 * 1024
    (tmp_path / "memory.max").write_text("50000\n")
    (tmp_path / "memory.current").write_text("20000\n")
    assert free_memory(meminfo, tmp_path) == 30000
    assert free_memory(tmp_path / "none", tmp_path / "none") is None


@given(turns=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=12), at_once=st.integers(1, 5))
def test_memory_is_touched_ahead_of_use_and_never_in_use(
    model: Model, turns: list[tuple[int, int]], at_once: int
) -> None:
    """Some blocks are taken, some pieces touched, and so on: what was written stays, the blocks ahead get touched."""
    runner = ModelRunner(model, max_batch=2, blocks=20, block_size=4)
    layers, blocks, size = runner.cache.data.shape
    runner.cache.data[:] = 99  # what no touch has seen
    pool = BlockPool(blocks, 4, runner.copy_block)
    taken: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner_module, "TOUCHED_AHEAD", 6 * layers * size)
        patch.setattr(runner_module, "TOUCHED_AT_ONCE", at_once * size)
        for blocks_now, pieces in turns:
            for _ in range(min(blocks_now, pool.available)):
                taken.append(pool.take())
                runner.cache.data[:, taken[-1]] = taken[-1] + 1
            for _ in range(pieces):
                runner.touch(pool.reached)
        pieces = 0
        while runner.touch(pool.reached):
            pieces += 1
    assert pieces <= layers * 20
    assert taken == list(range(pool.reached)), "unused blocks are handed out in order"
    for block in taken:
        assert (runner.cache.data[:, block] == block + 1).all()
    ahead = min(blocks, pool.reached + 6)
    assert not runner.cache.data[:, pool.reached : ahead].any()
