"""A sequence as the draft model sees it: the same ids, blocks in another cache, drafts at its end."""

from ponder.engine.scheduling.block_pool import BlockPool, BlockTable
from ponder.engine.scheduling.scheduler import Work
from ponder.engine.scheduling.sequence import Sequence


class DraftSequence:
    """`follow` before every draft; then `missing` ids are to be computed before the next one can be sampled."""

    def __init__(self, of: Sequence, pool: BlockPool, rope_factor: float) -> None:
        self.of = of
        self.shadow = Sequence(of.serial, list(of.ids), of.state, of.channel)
        self._sure = len(of.ids)  # ids of the shadow that are known to be those of the sequence
        table = BlockTable(pool, rope_factor)
        match = pool.find(table.root, of.ids)
        fits = pool.cost(match, len(of.ids)) <= pool.available
        self.shadow.admit(table, rope_factor, table.start(match) if fits else 0)

    @property
    def missing(self) -> int:
        return self.shadow.pending

    def follow(self) -> None:
        """Drop the drafts that were wrong, add what was sampled since; others may find what is computed and sure."""
        shadow, ids = self.shadow, self.of.ids
        while self._sure < min(len(ids), len(shadow.ids)) and ids[self._sure] == shadow.ids[self._sure]:
            self._sure += 1
        # the last id is computed again where a draft that was right, but not used, has done that: its logits are wanted
        shadow.computed = min(shadow.computed, self._sure, len(ids) - 1)
        shadow.table.publish(shadow.ids, shadow.computed)
        shadow.ids[self._sure :] = ids[self._sure :]
        self._sure = len(ids)

    def reserve(self, more: int) -> bool:
        """Room for all its ids and so many drafts."""
        return self.shadow.table.reserve(len(self.shadow.ids) + more)

    def catch_up(self, most: int) -> Work:
        """At most so many of the missing ids, and never the last, whose logits would be lost."""
        start = self.shadow.computed
        return Work(self.shadow, start, start + min(most, self.missing - 1), rows=0)

    def last(self) -> Work:
        """All that is missing, with the logits of the next id."""
        return Work(self.shadow, self.shadow.computed, len(self.shadow.ids), rows=1)

    def release(self) -> None:
        self.follow()
        self.shadow.table.release(self.shadow.ids, self.shadow.computed)
