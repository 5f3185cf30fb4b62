"""SR-3: random arrivals, lengths, tiny pools, preemptions, fed runs and aborts: everybody finishes, nothing leaks."""

import random

import pytest

from ponder.engine.scheduling.block_pool import BlockPool
from ponder.engine.scheduling.scheduler import Scheduler, Work
from ponder.engine.scheduling.sequence import Sequence

SLOW_LIMIT = 4_000  # steps that anybody may take from arrival to the end in the worlds below


class World:
    """A scheduler and the part of the engine that it needs: sequences that want `goal` ids and then stop."""

    def __init__(
        self, seed: int, *, blocks: int, size: int, batch: int, chunk: int, alphabet: int = 3, owners: str = "-"
    ) -> None:
        self.random = random.Random(seed)
        self.memory: dict[tuple[int, int], int] = {}  # (block, slot) -> hash of the prefix computed there
        self.size = size
        self.pool = BlockPool(blocks, size, self.copy)
        self.scheduler = Scheduler(self.pool, batch, chunk, rope_factor=lambda n: 1.0 if n <= 40 else 2.0)
        self.alphabet = alphabet
        self.owners = owners
        self.goals: dict[Sequence, int] = {}
        self.arrived_at: dict[Sequence, int] = {}
        self.serial = self.steps = self.finished = self.aborted = 0

    def copy(self, source: int, target: int) -> None:
        for slot in range(self.size):
            self.memory[target, slot] = self.memory.get((source, slot), 0)

    def arrive(self) -> Sequence:
        room = self.scheduler.capacity
        prompt = self.random.randint(1, max(1, min(60, room - 1)))
        ids = [self.random.randrange(self.alphabet) for _ in range(prompt)]
        choices = self.random.choice([1, 1, 1, 3])
        goal = self.random.randint(1, min(30, room - prompt)) if room > prompt else 0
        leader, owner = None, self.owners[self.serial % len(self.owners)]
        for _ in range(choices):
            sequence = Sequence(self.serial, list(ids), None, None, 0, leader, owner)
            leader = leader or sequence
            self.serial += 1
            self.goals[sequence] = prompt + goal
            self.arrived_at[sequence] = self.steps
            self.scheduler.add(sequence)
        return sequence

    def step(self) -> list[Work]:
        had = len(self.scheduler.waiting) + len(self.scheduler.running)
        work = self.scheduler.plan()
        self.check(work)
        assert bool(work) == bool(had), "with anybody here, something is computed"
        for item in work:
            self.compute(item)
        self.scheduler.done(work)
        for item in work:
            if item.rows:
                self.advance(item.sequence)
        self.steps += 1
        return work

    def check(self, work: list[Work]) -> None:
        scheduler = self.scheduler
        assert sum(w.end - w.start for w in work) <= scheduler.chunk
        assert len(scheduler.running) <= scheduler.max_batch
        assert len({w.sequence for w in work}) == len(work)
        assert all(w.start == w.sequence.computed < w.end <= len(w.sequence.ids) for w in work)
        decodes = {s for s in scheduler.running if s.pending == 1}
        assert decodes <= {w.sequence for w in work}, "no running answer is left out of a step"

    def compute(self, item: Work) -> None:
        """Like attention: read every earlier position of the sequence, write the new ones."""
        ids, table = item.sequence.ids, item.sequence.table
        for p in range(item.start, item.end):
            before = hash(item.sequence.rope_factor)
            if p:
                before = self.memory[table.blocks[(p - 1) // self.size], (p - 1) % self.size]
            block = table.blocks[p // self.size]
            assert self.pool.refs[block] == 1 and block not in self.pool.known, "a shared block is written"
            self.memory[block, p % self.size] = hash((before, ids[p]))

    def expected(self, sequence: Sequence) -> int:
        value = hash(sequence.rope_factor)
        for id_ in sequence.ids[: sequence.computed]:
            value = hash((value, id_))
        return value

    def advance(self, sequence: Sequence) -> None:
        last = sequence.computed - 1
        assert self.memory[sequence.table.blocks[last // self.size], last % self.size] == self.expected(sequence)
        if len(sequence.ids) >= self.goals[sequence]:
            self.end(sequence)
            self.finished += 1
            return
        forced = self.random.randint(2, 12) if self.random.random() < 0.05 else 1
        for _ in range(min(forced, self.goals[sequence] - len(sequence.ids))):
            sequence.ids.append(self.random.randrange(self.alphabet))

    def end(self, sequence: Sequence) -> None:
        self.scheduler.remove(sequence)
        sequence.finished = True
        assert self.steps - self.arrived_at.pop(sequence) < SLOW_LIMIT, "starved"
        del self.goals[sequence]

    def abort(self) -> None:
        victim = self.random.choice(list(self.goals))
        self.end(victim)
        self.aborted += 1

    def drain(self) -> None:
        while self.goals:
            self.step()
        self.pool.check()
        assert self.pool.available == self.pool.count, "every block is back"
        assert not self.scheduler.waiting and not self.scheduler.running


SHAPES = [
    {"blocks": 1, "size": 16, "batch": 4, "chunk": 8},
    {"blocks": 6, "size": 4, "batch": 3, "chunk": 4},
    {"blocks": 24, "size": 4, "batch": 8, "chunk": 16},
    {"blocks": 40, "size": 3, "batch": 16, "chunk": 64},
    {"blocks": 200, "size": 1, "batch": 5, "chunk": 7},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_everybody_finishes_and_nothing_leaks(shape: dict[str, int]) -> None:
    world = World(7, **shape)
    for step in range(20_000):  # five shapes: 10^5 steps
        if len(world.goals) < 12 and world.random.random() < 0.3:
            world.arrive()
        if world.goals and world.random.random() < 0.02:
            world.abort()
        world.step()
        if step % 100 == 0:
            world.pool.check()
    world.drain()
    counters = world.scheduler.counters
    assert world.finished > 500 and world.aborted > 50
    if shape["blocks"] in (24, 40):
        assert counters.preemptions > 100 and counters.restarts > 100 and counters.cached_ids > 1000


@pytest.mark.parametrize("shape", SHAPES[1:4], ids=str)
def test_everybody_finishes_whoever_they_belong_to(shape: dict[str, int]) -> None:
    world = World(11, owners="aaabbc", **shape)
    for _ in range(6_000):
        if len(world.goals) < 12 and world.random.random() < 0.3:
            world.arrive()
        world.step()
    world.drain()
    assert world.finished > 150


def newcomer(world: World, length: int, goal: int, owner: str = "") -> Sequence:
    """A prompt of its own (nothing to share) that wants `goal` ids in all."""
    sequence = Sequence(world.serial, [1000 + world.serial] * length, None, None, owner=owner)
    world.serial += 1
    world.goals[sequence], world.arrived_at[sequence] = goal, world.steps
    world.scheduler.add(sequence)
    return sequence


def test_the_youngest_gives_way_and_comes_back_in_its_turn() -> None:
    world = World(0, blocks=10, size=4, batch=4, chunk=64)
    first, second = newcomer(world, 15, 36), newcomer(world, 15, 36)
    while second in world.scheduler.running or world.steps == 0:
        assert first in world.scheduler.running or world.steps == 0
        world.step()
    third = newcomer(world, 2, 10)
    assert world.scheduler.waiting == [second, third]
    while first in world.goals:
        world.step()
        assert first not in world.scheduler.waiting, "the oldest is never preempted"
    world.drain()


def test_nobody_overtakes_the_first_in_the_queue() -> None:
    world = World(0, blocks=10, size=4, batch=4, chunk=64)
    newcomer(world, 20, 38)
    world.step()
    big, small = newcomer(world, 35, 38), newcomer(world, 1, 30)
    world.step()
    assert world.scheduler.waiting == [big, small], "room for the small one, but the big one would starve"
    world.drain()


def test_owners_share_the_slots() -> None:
    """Who floods has all slots while it is alone, and gives up what others want: first half, then a third (SR-6)."""
    world = World(0, blocks=400, size=4, batch=6, chunk=64)
    flood = [newcomer(world, 5, 200, "flood") for _ in range(20)]
    world.step()
    assert world.scheduler.running == flood[:6]
    late = newcomer(world, 5, 20, "late")
    world.step()
    assert late in world.scheduler.running and world.scheduler.running[:5] == flood[:5]
    more = [newcomer(world, 5, 200, "late") for _ in range(20)]
    for _ in range(10):
        world.step()
    assert [s.owner for s in world.scheduler.running].count("late") == 3
    third = [newcomer(world, 5, 30, "third") for _ in range(2)]
    for _ in range(5):
        world.step()
    assert all(s in world.scheduler.running for s in third)
    assert flood[0] in world.scheduler.running, "the oldest is never preempted"
    for _ in range(60):
        world.step()
    assert not set(third) & set(world.goals) and late not in world.goals and len(more) == 20
    world.drain()


def test_who_cannot_fit_takes_nobody_elses_slot() -> None:
    world = World(0, blocks=10, size=4, batch=3, chunk=64)
    mine = [newcomer(world, 4, 20, "a") for _ in range(3)]
    world.step()
    big = newcomer(world, 39, 40, "b")
    world.step()
    assert set(world.scheduler.running) <= set(mine) and world.scheduler.waiting == [big]
    assert world.scheduler.counters.preemptions == 0
    world.drain()


def test_decodes_come_first_and_prefills_share_the_rest_evenly() -> None:
    world = World(0, blocks=400, size=4, batch=8, chunk=20)

    answering = newcomer(world, 3, 10_000)
    world.step()
    long, short = newcomer(world, 300, 10_000), newcomer(world, 5, 10_000)
    sizes = {w.sequence: w.end - w.start for w in world.step()}
    assert sizes == {answering: 1, short: 5, long: 14}, "a short prompt is not stuck behind a long one"


def test_cancel_frees_slot_and_blocks_at_once() -> None:
    world = World(1, blocks=10, size=4, batch=2, chunk=8)
    world.arrive()
    world.step()
    assert world.pool.available < world.pool.count
    for sequence in list(world.goals):
        world.end(sequence)
    assert world.pool.available == world.pool.count


def test_choices_of_one_request_compute_their_prompt_once() -> None:
    world = World(2, blocks=100, size=4, batch=8, chunk=64)
    leader = None
    for serial in range(4):
        sequence = Sequence(serial, [1] * 33, None, None, 0, leader)
        leader = leader or sequence
        world.goals[sequence], world.arrived_at[sequence] = 40, 0
        world.scheduler.add(sequence)
    world.drain()
    assert world.scheduler.counters.cached_ids >= 3 * 32
