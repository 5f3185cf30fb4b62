"""The engine's side of a model: turn a list of work into one batch, run it, return the logits that are wanted.

Two runners exist: `ModelRunner` (a real model, with the cache's memory) and `scripted.ScriptedRunner`. The scheduler,
the cache bookkeeping and RequestState see no difference.
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.engine.scheduling.burst import Burst
from ponder.engine.scheduling.memory import cache_tokens, free_beside
from ponder.engine.scheduling.scheduler import Work
from ponder.kernels.sampling import Sampled, sample
from ponder.model.config import ModelConfig
from ponder.model.model import Model

TOUCHED_AHEAD = 512 << 20  # bytes of the cache
TOUCHED_AT_ONCE = 2 << 20  # a few milliseconds where the system is slow; the size of a huge page
BLOCK_SIZE = 32  # ids; reuse is exact to the id whatever the size, so this only trades table length against waste


class Runner(ABC):
    """What the engine asks of a model. Here is what holds for one without memory behind its blocks."""

    context: int
    """The most ids a sequence may have."""
    blocks: int
    """Of the cache."""
    block_size: int
    """Ids in one of them."""

    @abstractmethod
    def run(self, work: list[Work]) -> NDArray[np.float32]:
        """Compute the work; returns logits [R, V], the rows that each item wants, in order. Running the same item again
        is harmless: the same values go to the same places."""

    def decode(self, work: list[Work], burst: Burst) -> list[list[Sampled]]:
        """Compute the work, sample one id for each item that wants a row; then feed these and sample again, until the
        burst is over. Returns the ids of each such item, equally many. An id of -1 could not be sampled. May raise
        Cancelled."""
        sampled: list[list[Sampled]] = [[] for _ in burst.rules]
        while True:
            logits = self.run(work)
            positions = [item.end for item in work if item.rows]
            for ids, one in zip(sampled, sample(logits, burst.rules, positions)):
                ids.append(one)
            if burst.over(sampled):
                return sampled
            work = [
                Work(item.sequence, item.end, item.end + 1, rows=1, draft=tuple(s.id for s in ids))
                for item, ids in zip(work, sampled)
            ]

    def copy_block(self, source: int, target: int) -> None:
        """The same keys and values in another block."""
        return  # there are none

    def touch(self, used: int) -> bool:
        """Have the system hand out a piece of the memory that will be written to next: of blocks after the first
        `used` ones, which were never in use. False when enough of it is there."""
        return False

    def rope_factor(self, length: int) -> float:
        """The YaRN factor for a sequence of so many ids."""
        return 1.0


def cache_blocks(
    config: ModelConfig, context: int, *, max_batch: int, blocks: int | None, kv_memory: int | None, kv_dtype: str,
    free: int | None, block_size: int = BLOCK_SIZE,
) -> int:  # fmt: skip
    """Blocks of the cache: as many as given, or as fit into kv_memory bytes, or `memory.cache_tokens` of the free
    memory. Raises UserError when that is none."""
    per_token = config.kv_bytes_per_token(kv_dtype)
    if blocks is None:
        if kv_memory is None:
            blocks = -(-cache_tokens(per_token, context, max_batch, free) // block_size)
        else:
            blocks = kv_memory // (per_token * block_size)
    if blocks < 1:
        raise UserError(
            f"the key/value cache has no room for {block_size} tokens of {per_token} bytes each; "
            "give it more memory, or use a smaller model",
            param="kv_memory",
        )
    return blocks


class ModelRunner(Runner):
    """A model and the memory of its cache. The memory is handed out by the system as it is first written."""

    def __init__(
        self,
        model: Model,
        *,
        max_batch: int,
        blocks: int | None = None,
        kv_memory: int | None = None,
        kv_dtype: str = "bf16",
        block_size: int = BLOCK_SIZE,
    ) -> None:
        """kv_memory, blocks: see `cache_blocks`."""
        self.model = model
        self.block_size = block_size
        blocks = cache_blocks(
            model.config, model.max_context, max_batch=max_batch, blocks=blocks, kv_memory=kv_memory,
            kv_dtype=kv_dtype, block_size=block_size, free=free_beside(model.nbytes),
        )  # fmt: skip
        self.blocks = blocks
        self.kv_dtype = kv_dtype
        self.context = min(model.max_context, blocks * block_size)
        try:
            self.cache = model.new_cache(blocks, block_size, kv_dtype)
        except MemoryError as e:
            raise UserError(f"the key/value cache: {e}", param="kv_memory" if kv_memory else "kv_blocks") from e
        self._touched = 0  # blocks, in all layers
        self._layer = 0  # those before it have a few more

    def run(self, work: list[Work]) -> NDArray[np.float32]:
        ids, batch = assemble(work)
        return np.asarray(self.model.forward(ids, batch, self.cache), np.float32)

    def decode(self, work: list[Work], burst: Burst) -> list[list[Sampled]]:
        """As above, with one batch that is assembled once."""
        ids, batch = assemble(work)
        positions = [item.end for item in work if item.rows]
        sampled: list[list[Sampled]] = [[] for _ in burst.rules]
        while True:
            logits = np.asarray(self.model.forward(ids, batch, self.cache, burst.cancelled), np.float32)
            for row, (found, one) in enumerate(zip(sampled, sample(logits, burst.rules, positions))):
                found.append(one)
                positions[row] += 1
            if burst.over(sampled):
                return sampled
            ids[:] = [found[-1].id for found in sampled]
            batch.positions[:] += 1

    def copy_block(self, source: int, target: int) -> None:
        self.cache.copy_block(source, target)

    def touch(self, used: int) -> bool:
        layers, blocks, size = self.cache.data.shape
        more = max(1, TOUCHED_AT_ONCE // size)
        if used >= self._touched + more:  # requests were faster
            self._touched, self._layer = used, 0
        if self._touched >= min(blocks, used + TOUCHED_AHEAD // (layers * size)):
            return False
        end = min(blocks, self._touched + more)
        self.cache.touch(self._layer, max(self._touched, used), end)
        self._layer += 1
        if self._layer == layers:
            self._touched, self._layer = end, 0
        return True

    def rope_factor(self, length: int) -> float:
        return self.model.rope_factor(length)


def assemble(work: list[Work]) -> tuple[NDArray[np.int32], Batch]:
    """ids [T] and the batch that places them."""
    lengths = [w.end - w.start for w in work]
    ends = np.cumsum(lengths, dtype=np.int32)
    tables: NDArray[np.int32] = np.full((len(work), max(len(w.sequence.table.blocks) for w in work)), -1, np.int32)
    for row, item in zip(tables, work):
        row[: len(item.sequence.table.blocks)] = item.sequence.table.blocks
    ids: list[int] = [i for w in work for i in w.ids]
    batch = Batch(
        positions=np.concatenate([np.arange(w.start, w.end, dtype=np.int32) for w in work]),
        starts=np.concatenate([np.zeros(1, np.int32), ends]),
        logit_rows=np.array([row for end, w in zip(ends, work) for row in range(end - w.rows, end)], np.int32),
        rope_factor=np.array([w.sequence.rope_factor for w in work], np.float32),
        block_tables=tables,
    )
    return np.array(ids, np.int32), batch
