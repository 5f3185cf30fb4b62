"""The block pool against a model of memory: whatever is read through a table is what was computed for those ids.

The memory of a block is a list of marks, one per position; the mark of an id is the whole prefix up to it (and the
rope factor). So a wrong reuse, a missing copy or a write into a shared block shows as a wrong mark, not as a count.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ponder.engine.scheduling.block_pool import BlockPool, BlockTable

Mark = tuple[float, tuple[int, ...]]


class Memory:
    """Blocks of marks, with the check that nobody writes what somebody else may read."""

    def __init__(self, blocks: int, size: int) -> None:
        self.cells: list[list[Mark | None]] = [[None] * size for _ in range(blocks)]
        self.pool = BlockPool(blocks, size, self.copy)

    def copy(self, source: int, target: int) -> None:
        assert self.pool.refs[target] == 1 and target not in self.pool.known
        self.cells[target] = list(self.cells[source])

    def write(self, block: int, slot: int, mark: Mark) -> None:
        assert self.pool.refs[block] == 1, "a shared block is written"
        assert block not in self.pool.known, "a published block is written"
        self.cells[block][slot] = mark


class Holder:
    """A sequence as the scheduler would drive it."""

    def __init__(self, memory: Memory, factor: float, ids: list[int]) -> None:
        self.memory, self.factor, self.ids = memory, factor, ids
        self.table = BlockTable(memory.pool, factor)
        self.computed = 0

    def start(self) -> bool:
        pool = self.memory.pool
        match = pool.find(self.table.root, self.ids)
        if pool.cost(match, len(self.ids)) > pool.available:
            return False
        self.computed = self.table.start(match)
        assert self.computed < len(self.ids), "a hit never covers the whole prompt"
        assert self.table.reserve(len(self.ids)), "cost promised this room"
        self.check()
        return True

    def compute(self, upto: int) -> None:
        size = self.memory.pool.block_size
        for p in range(self.computed, upto):
            self.memory.write(self.table.blocks[p // size], p % size, (self.factor, tuple(self.ids[: p + 1])))
        self.computed = max(self.computed, upto)
        self.table.publish(self.ids, self.computed)

    def check(self) -> None:
        size = self.memory.pool.block_size
        for p in range(self.computed):
            mark = self.memory.cells[self.table.blocks[p // size]][p % size]
            assert mark == (self.factor, tuple(self.ids[: p + 1])), f"position {p} holds another prefix"


class PoolMachine(RuleBasedStateMachine):
    @initialize(blocks=st.integers(1, 12), size=st.integers(1, 4))
    def begin(self, blocks: int, size: int) -> None:
        self.memory = Memory(blocks, size)
        self.holders: list[Holder] = []

    @rule(
        ids=st.lists(st.integers(0, 1), min_size=1, max_size=20),
        factor=st.sampled_from([1.0, 2.0]),
        share=st.floats(0, 1),
    )
    def arrive(self, ids: list[int], factor: float, share: float) -> None:
        holder = Holder(self.memory, factor, ids)
        if holder.start():
            self.holders.append(holder)
            holder.compute(holder.computed + int(share * (len(ids) - holder.computed)))

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), more=st.integers(1, 6))
    def compute(self, data: st.DataObject, more: int) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        holder.compute(min(len(holder.ids), holder.computed + more))

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), ids=st.lists(st.integers(0, 1), min_size=1, max_size=5))
    def extend(self, data: st.DataObject, ids: list[int]) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        before = list(holder.table.blocks)
        if holder.table.reserve(len(holder.ids) + len(ids)):
            holder.ids = holder.ids + ids
        else:
            assert holder.table.blocks == before

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from(self.holders))
        self.holders.remove(holder)
        holder.table.release(holder.ids, holder.computed)
        assert holder.table.blocks == []

    @rule()
    def forget(self) -> None:
        self.memory.pool.clear()

    @invariant()
    def sound(self) -> None:
        if not hasattr(self, "memory"):
            return
        self.memory.pool.check()
        counts = [0] * self.memory.pool.count
        for holder in self.holders:
            holder.check()
            for block in holder.table.blocks:
                counts[block] += 1
        assert counts == self.memory.pool.refs

    def teardown(self) -> None:
        if hasattr(self, "memory"):
            for holder in self.holders:
                holder.table.release(holder.ids, holder.computed)
            self.memory.pool.check()
            assert self.memory.pool.available == self.memory.pool.count


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def finished(memory: Memory, ids: list[int], factor: float = 1.0, upto: int | None = None) -> Holder:
    holder = Holder(memory, factor, ids)
    assert holder.start()
    holder.compute(len(ids) if upto is None else upto)
    holder.table.release(holder.ids, holder.computed)
    return holder


@pytest.mark.parametrize(
    ("first", "second", "cached"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8], 7),  # the last id is always computed
        ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 9, 9, 9], 6),  # a finished sequence is continued, to the id
        ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 0, 0, 0], 5),  # from the first changed id on (HC-3)
        ([1, 2, 3, 4], [0, 2, 3, 4], 0),
        ([1, 2, 3], [1, 2, 3], 2),  # shorter than a block
        ([1], [1], 0),
    ],
)
def test_reuse_is_exact_to_the_id(first: list[int], second: list[int], cached: int) -> None:
    memory = Memory(8, 4)
    finished(memory, first)
    holder = Holder(memory, 1.0, second)
    assert holder.start()
    assert holder.computed == cached


def test_another_rope_factor_never_matches() -> None:
    memory = Memory(8, 4)
    finished(memory, [1] * 9, factor=1.0)
    other = Holder(memory, 2.0, [1] * 9)
    assert other.start()
    assert other.computed == 0


def test_least_recently_used_goes_first_and_ends_go_before_beginnings() -> None:
    memory = Memory(4, 2)
    finished(memory, [1, 1, 2, 2])
    finished(memory, [3, 3, 4, 4])
    assert Holder(memory, 1.0, [9, 9]).start()  # needs one block: the end of the older sequence goes
    find = memory.pool.find
    root = BlockTable(memory.pool).root
    assert len(find(root, [1, 1, 2, 2, 0]).blocks) == 1
    assert len(find(root, [3, 3, 4, 4, 0]).blocks) == 2


def test_branches_copy_the_block_they_share_halfway_and_keep_both() -> None:
    memory = Memory(8, 4)
    finished(memory, [1, 2, 3, 4, 5, 6, 7, 8])
    a, b = Holder(memory, 1.0, [1, 2, 3, 4, 5, 6, 0]), Holder(memory, 1.0, [1, 2, 3, 4, 5, 6, 7, 0])
    assert a.start() and b.start()
    assert (a.computed, b.computed) == (6, 7)
    a.compute(7), b.compute(8)
    a.check(), b.check()
    assert len(memory.pool.find(a.table.root, [1, 2, 3, 4, 5, 6, 7, 8, 9]).blocks) == 2, "the original is still known"


def test_double_release_is_caught() -> None:
    memory = Memory(2, 2)
    block = memory.pool.take()
    memory.pool.release(block)
    with pytest.raises(AssertionError, match="released twice"):
        memory.pool.release(block)
