"""Which cache block holds which ids: a pool with reference counts, and reuse of computed prefixes.

A block holds the keys and values of `block_size` consecutive ids of one sequence. A full block is known by a digest
of everything that its content depends on: the YaRN factor and every id up to its end (parent digest + own ids), so
that two prompts share a block exactly when the model would write the same numbers into it (LC-4: keys of another
factor never match). Blocks of finished sequences stay known until their memory is needed, the least recently used
first and the ends of sequences before their beginnings.

Reuse is exact to the id, not to the block: where a prompt leaves a known block half-way, that block's memory is copied
and the copy is continued. So a tool loop computes its new ids only (HC-2), and a changed prompt is computed from the
first changed id on (HC-3). A block that anybody else can see is never written.

This file is bookkeeping; the numbers themselves live in the model's cache, which only `copy` touches.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True)
class CachedBlock:
    """What a published block holds. digest is None for a block that is not full (the end of a sequence)."""

    parent: bytes
    ids: tuple[int, ...]
    digest: bytes | None


@dataclass(frozen=True)
class Match:
    """The longest known prefix: `blocks` full ones, then the first `partial` ids of block `source`."""

    blocks: tuple[int, ...]
    chain: tuple[bytes, ...]
    source: int = -1
    partial: int = 0


class BlockPool:
    """`count` blocks of `block_size` ids. Every block is in exactly one state: blank (content worthless), idle (known,
    used by nobody, may be evicted) or used by `refs` sequences."""

    def __init__(self, count: int, block_size: int, copy: Callable[[int, int], None]) -> None:
        """copy(source, target): copy a block's keys and values in all layers."""
        self.count = count
        self.block_size = block_size
        self.copy = copy
        self.refs = [0] * count
        self.blank = list(range(count))[::-1]
        self.reached = 0  # blocks from this one on were never used
        self.idle: OrderedDict[int, None] = OrderedDict()  # the first one is evicted next
        self.known: dict[int, CachedBlock] = {}
        self._by_digest: dict[bytes, int] = {}
        self._children: dict[bytes, dict[int, tuple[int, ...]]] = {}  # parent digest -> block -> its ids

    @property
    def available(self) -> int:
        """Blocks that can be had now: blank ones and those whose content may be forgotten."""
        return len(self.blank) + len(self.idle)

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.block_size)

    def take(self) -> int:
        """A block to write into. The caller has checked `available`."""
        if self.blank:
            block = self.blank.pop()
            self.reached = max(self.reached, block + 1)
        else:
            block, _ = self.idle.popitem(last=False)
            self._forget(block)
        self.refs[block] = 1
        return block

    def share(self, block: int) -> None:
        """One more user of a known block."""
        assert block in self.known, "only known blocks are shared"
        self.refs[block] += 1
        self.idle.pop(block, None)

    def release(self, block: int) -> None:
        assert self.refs[block] > 0, f"block {block} released twice"
        self.refs[block] -= 1
        if self.refs[block] == 0:
            if block in self.known:
                self.idle[block] = None
            else:
                self.blank.append(block)

    def publish(self, block: int, parent: bytes, ids: tuple[int, ...]) -> None:
        """Make a block's content findable; it is not written any more. Equal content is known only once."""
        assert block not in self.known and 0 < len(ids) <= self.block_size
        siblings = self._children.setdefault(parent, {})
        digest = None
        if len(ids) == self.block_size:
            digest = chain_digest(parent, ids)
            if digest in self._by_digest:
                return
            self._by_digest[digest] = block
        elif any(other[: len(ids)] == ids for other in siblings.values()):
            return
        self.known[block] = CachedBlock(parent, ids, digest)
        siblings[block] = ids

    def find(self, root: bytes, ids: Sequence[int]) -> Match:
        """The longest known prefix of `ids`, of which the last is left out: its logits are always computed."""
        limit, size = len(ids) - 1, self.block_size
        blocks: list[int] = []
        chain = [root]
        while (len(blocks) + 1) * size <= limit:
            digest = chain_digest(chain[-1], ids[len(blocks) * size : (len(blocks) + 1) * size])
            if digest not in self._by_digest:
                break
            blocks.append(self._by_digest[digest])
            chain.append(digest)
        rest = tuple(ids[len(blocks) * size : min(limit, (len(blocks) + 1) * size)])
        best, partial = -1, 0
        for block, held in self._children.get(chain[-1], {}).items():
            if partial == len(rest):
                break
            if held[: partial + 1] != rest[: partial + 1]:  # no longer than the best: most end here
                continue
            common = _common_prefix(held, rest)
            if common > partial:
                best, partial = block, common
        return Match(tuple(blocks), tuple(chain[1:]), best, partial)

    def cost(self, match: Match, tokens: int) -> int:
        """How many of the `available` blocks a sequence of `tokens` ids takes when it starts from `match`: the ones it
        adds and the idle ones it wakes up."""
        woken = sum(self.refs[b] == 0 for b in match.blocks)
        return self.blocks_for(tokens) - len(match.blocks) + woken

    def clear(self) -> None:
        """Forget every block that nobody uses."""
        while self.idle:
            block, _ = self.idle.popitem()
            self._forget(block)
            self.blank.append(block)

    def _forget(self, block: int) -> None:
        known = self.known.pop(block)
        if known.digest is not None:
            del self._by_digest[known.digest]
        siblings = self._children[known.parent]
        del siblings[block]
        if not siblings:
            del self._children[known.parent]

    def check(self) -> None:
        """Assert that every block is in exactly one state and every index entry points at a known block."""
        used = {b for b, n in enumerate(self.refs) if n > 0}
        states = sorted([*self.blank, *self.idle, *used])
        assert states == list(range(self.count)), "a block is lost or in two states"
        assert set(self.idle) <= set(self.known) and not set(self.blank) & set(self.known)
        assert all(self.known[b].digest == d for d, b in self._by_digest.items())
        listed = {b for siblings in self._children.values() for b in siblings}
        assert listed == set(self.known)


class BlockTable:
    """The blocks of one sequence in order. `chain[i]` is the digest of block i once it is full and published."""

    def __init__(self, pool: BlockPool, rope_factor: float = 1.0) -> None:
        self.pool = pool
        self.blocks: list[int] = []
        self.root = root_digest(rope_factor)
        self.chain: list[bytes] = []

    def start(self, match: Match) -> int:
        """Take over a known prefix; returns how many ids need no computing. The caller has checked `cost`."""
        assert not self.blocks
        for block in match.blocks:
            self.pool.share(block)
        self.blocks = list(match.blocks)
        self.chain = list(match.chain)
        cached = len(self.blocks) * self.pool.block_size
        if match.partial and match.source in self.pool.known:
            self.pool.share(match.source)  # so that `take` cannot evict it
            if self.pool.available:
                self.blocks.append(self.pool.take())
                self.pool.copy(match.source, self.blocks[-1])
                cached += match.partial
            self.pool.release(match.source)
        return cached

    def reserve(self, tokens: int) -> bool:
        """Have room for `tokens` ids in all. False, and nothing changed, when the pool cannot give that much."""
        missing = self.pool.blocks_for(tokens) - len(self.blocks)
        if missing > self.pool.available:
            return False
        self.blocks += [self.pool.take() for _ in range(missing)]
        return True

    def publish(self, ids: Sequence[int], computed: int) -> None:
        """Make the blocks that became full findable. The first `computed` of `ids` have been computed."""
        size = self.pool.block_size
        for i in range(len(self.chain), computed // size):
            self._publish(i, tuple(ids[i * size : (i + 1) * size]))

    def release(self, ids: Sequence[int], computed: int) -> None:
        """Give every block back; what was computed stays findable, the unfinished last block included."""
        size = self.pool.block_size
        full = computed // size
        assert len(self.chain) == full, "publish what was computed first"
        if computed % size:
            self._publish(full, tuple(ids[full * size : computed]))
        for block in reversed(self.blocks):  # so that the end is evicted before the beginning
            self.pool.release(block)
        self.blocks, self.chain = [], []

    def _publish(self, index: int, ids: tuple[int, ...]) -> None:
        parent = self.chain[index - 1] if index else self.root
        self.pool.publish(self.blocks[index], parent, ids)
        if len(ids) == self.pool.block_size:
            self.chain.append(chain_digest(parent, ids))


def root_digest(rope_factor: float) -> bytes:
    return blake2b(f"rope {rope_factor:.6f}".encode(), digest_size=16).digest()


def chain_digest(parent: bytes, ids: Sequence[int]) -> bytes:
    """Identity of a full block. Cryptographic, because a collision would show one user another user's cache."""
    return blake2b(parent + array("i", ids).tobytes(), digest_size=16).digest()


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    n = 0
    for x, y in zip(a, b):
        if x != y:
            break
        n += 1
    return n
