"""Who computes what in the next step: continuous batching, chunked prefill, admission, preemption.

One rule covers prefill, decode, the fed hand-over and the recomputation after a preemption: a running sequence has
`ids` of which `computed` are in the cache; a step computes some of the rest, and when nothing is left its last row of
logits gives the next id. In every step
* sequences that miss a single id (decode) come first, then the rest of `chunk` ids is shared evenly by the others, so
  that a long prompt delays neither running answers nor short prompts for long;
* waiting sequences are admitted when a slot is free and the pool can hold all their ids: in order of arrival, but those
  of the owner with the least running first. When an owner waits in vain, one that has two slots more gives one up, so
  none can keep the others out (SR-6);
* when a running sequence cannot grow, the youngest one gives its blocks back and waits; later it computes all its ids
  again (most are still in the cache, often) and goes on, its reader sees nothing but a pause.
The oldest sequence is never preempted, so everybody finishes (SR-3).
"""

from bisect import insort
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ponder.engine.scheduling.block_pool import BlockPool, BlockTable
from ponder.engine.scheduling.sequence import Sequence


@dataclass(frozen=True)
class Work:
    """Compute the ids start .. end of a sequence. rows: how many of the last of them want logits; 0 in the middle of a
    prompt, 1 when the next id is sampled, more with a draft. draft: ids that may follow the sequence's own, end
    included; `start` may lie among them.
    """

    sequence: Sequence
    start: int
    end: int
    rows: int
    draft: tuple[int, ...] = ()

    @property
    def ids(self) -> list[int]:
        """[end - start]"""
        own = self.sequence.ids
        return [*own[self.start : self.end], *self.draft[max(0, self.start - len(own)) :]]


@dataclass
class Counters:
    """What the scheduler did since the start. All count ids, except preemptions and restarts (sequences)."""

    prefill_ids: int = 0
    decode_ids: int = 0
    cached_ids: int = 0
    preemptions: int = 0
    drafted: int = 0  # ids that were drafted and computed
    accepted: int = 0  # of them, those that were sampled
    restarts: int = 0  # sequences that outgrew their YaRN factor


@dataclass
class Scheduler:
    """max_batch: sequences computed together at most. chunk: ids computed in one step at most.
    rope_factor: the YaRN factor for a sequence of so many ids (LC-4)."""

    pool: BlockPool
    max_batch: int
    chunk: int
    rope_factor: Callable[[int], float] = lambda length: 1.0
    waiting: list[Sequence] = field(default_factory=list)  # by serial, and so is
    running: list[Sequence] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        assert 0 < self.max_batch < self.chunk, "a full batch of decodes must leave room for one id of a prompt"

    @property
    def capacity(self) -> int:
        """The most ids that one sequence can ever have in this pool."""
        return self.pool.count * self.pool.block_size

    def add(self, sequence: Sequence) -> None:
        assert len(sequence.ids) < self.capacity, "the engine refuses what can never fit"
        insort(self.waiting, sequence, key=_serial)

    def remove(self, sequence: Sequence) -> None:
        """The sequence is over, for whatever reason: free its slot and its blocks now."""
        if sequence in self.running:
            self._stop(sequence)
        else:
            self.waiting.remove(sequence)

    def plan(self) -> list[Work]:
        """The work of the next step; all blocks it writes are reserved. Empty only when nobody is here."""
        self._restart_outgrown()
        if self._make_room():
            self._even_out()
            self._admit()
        assert self.running or not self.waiting, "a waiting sequence must be admitted when nothing runs"
        return self._share_chunk()

    def extend(self, work: list[Work], drafts: list[list[int]]) -> list[Work]:
        """Single ids to compute, each with a draft after it: as much of it as fits into the chunk, the pool and the
        YaRN factor of its sequence. Nobody else gives way to a draft."""
        left = self.chunk - len(work)
        extended = []
        for item, draft in zip(work, drafts):
            sequence = item.sequence
            assert item.rows == 1 and item.end - item.start == 1
            count = min(len(draft), left, self.capacity - item.end)
            fits = self.rope_factor(item.end + count) == sequence.rope_factor
            if not (fits and sequence.table.reserve(item.end + count)):
                count = 0
            left -= count
            extended.append(replace(item, end=item.end + count, rows=1 + count, draft=tuple(draft[:count])))
            self.counters.drafted += count
            sequence.timings.drafted += count
        return extended

    def done(self, work: list[Work]) -> None:
        """The work has been computed: its ids are in the cache now, full blocks can be found by others."""
        for item in work:
            sequence, size = item.sequence, item.end - item.start - len(item.draft)
            if item.start < sequence.prompt or size > 1:
                self.counters.prefill_ids += size
            else:
                self.counters.decode_ids += size
            sequence.computed = item.end - len(item.draft)  # a draft counts when its ids have been sampled
            sequence.table.publish(sequence.ids, sequence.computed)

    def advance(self, sequence: Sequence) -> None:
        """The last id of the sequence was computed before it was accepted, in a draft or in a burst."""
        sequence.computed = len(sequence.ids)
        sequence.table.publish(sequence.ids, sequence.computed)
        self.counters.decode_ids += 1

    def was_right(self, sequence: Sequence) -> None:
        """An id of its draft was sampled."""
        self.counters.accepted += 1
        sequence.timings.accepted += 1

    def reserve(self, work: list[Work], ahead: int) -> int:
        """Have room for up to `ahead` ids after the work of each sequence, as many as the pool can give without taking
        from anybody and the YaRN factors hold for; returns how many that is, 1 at least."""
        while ahead > 1 and not self._fits(work, ahead):
            ahead //= 2
        for item in work:
            item.sequence.table.reserve(item.end + ahead - 1)
        return ahead

    def _fits(self, work: list[Work], ahead: int) -> bool:
        missing = 0
        for item in work:
            if self.rope_factor(item.end + ahead) != item.sequence.rope_factor:
                return False
            missing += max(0, self.pool.blocks_for(item.end + ahead - 1) - len(item.sequence.table.blocks))
        return missing <= self.pool.available

    def _share_chunk(self) -> list[Work]:
        decodes = [s for s in self.running if s.pending == 1]
        work = [Work(s, s.computed, s.computed + 1, rows=1) for s in decodes]
        left = self.chunk - len(decodes)
        prefills = sorted((s for s in self.running if s.pending > 1), key=lambda s: s.pending)
        for i, sequence in enumerate(prefills):
            share = min(sequence.pending, left // (len(prefills) - i))
            left -= share
            if share:
                start, rows = sequence.computed, int(share == sequence.pending)
                work.append(Work(sequence, start, start + share, rows))
        return work

    def _make_room(self) -> bool:
        """Reserve the blocks that running sequences grow into, oldest first. False when that took a preemption."""
        quiet = True
        for sequence in list(self.running):
            while sequence in self.running and not sequence.table.reserve(len(sequence.ids)):
                self._preempt(self.running[-1])
                self.counters.preemptions += 1
                quiet = False
        return quiet or not self.running

    def _turns(self) -> Iterator[Sequence]:
        """Those that wait and may start, in their turn; each counts as running for the turn of the next."""
        running = Counter(s.owner for s in self.running)
        queues: dict[str, deque[Sequence]] = {}
        for sequence in self.waiting:
            if sequence.may_start:
                queues.setdefault(sequence.owner, deque()).append(sequence)
        while queues:
            owner = min(queues, key=lambda o: (running[o], queues[o][0].serial))
            yield queues[owner].popleft()
            running[owner] += 1
            if not queues[owner]:
                del queues[owner]

    def _even_out(self) -> None:
        """All slots are taken, and an owner with fewer than its share waits: the youngest of the richest goes back."""
        if len(self.running) < self.max_batch or (first := next(self._turns(), None)) is None:
            return
        [(richest, slots)] = (running := Counter(s.owner for s in self.running)).most_common(1)
        youngest = next(s for s in reversed(self.running) if s.owner == richest)
        room = self.pool.available + len(youngest.table.blocks)
        if slots > running[first.owner] + 1 and room >= self.pool.blocks_for(len(first.ids) + 1):
            self._preempt(youngest)
            self.counters.preemptions += 1

    def _admit(self) -> None:
        for sequence in self._turns():
            if len(self.running) == self.max_batch:
                return
            factor = self.rope_factor(len(sequence.ids))
            table = BlockTable(self.pool, factor)
            match = self.pool.find(table.root, sequence.ids)
            spare = 1 if self.running else 0  # the first id after the prompt should not preempt anybody at once
            if self.pool.cost(match, len(sequence.ids) + spare) > self.pool.available:
                return  # nobody overtakes: the first in the queue would starve
            sequence.admit(table, factor, table.start(match))
            self.counters.cached_ids += sequence.computed
            reserved = table.reserve(len(sequence.ids))
            assert reserved, "the cost was checked"
            self.waiting.remove(sequence)
            insort(self.running, sequence, key=_serial)

    def _restart_outgrown(self) -> None:
        """A sequence that became too long for its YaRN factor is computed again with the next one."""
        for sequence in list(self.running):
            if self.rope_factor(len(sequence.ids)) != sequence.rope_factor:
                self._preempt(sequence)
                self.counters.restarts += 1

    def _preempt(self, sequence: Sequence) -> None:
        self._stop(sequence)
        insort(self.waiting, sequence, key=_serial)

    def _stop(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        sequence.table.release(sequence.ids, sequence.computed)
        sequence.computed = 0


def _serial(sequence: Sequence) -> int:
    return sequence.serial
