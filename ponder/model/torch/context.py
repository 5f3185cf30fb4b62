"""The tokens of a batch divided among processes (context parallelism): each computes a run of them.

What is computed of each token alone is computed where the token is. Attention needs the others: for it, every process
takes all tokens of a part of the heads, and gives them back (DeepSpeed Ulysses, arXiv 2309.14509). So its kernels, its
masks and the packing are those of one process, and the heads of keys bound the number of processes.
"""

from typing import NamedTuple

from torch import Tensor, distributed
from torch.distributed import ProcessGroup

from ponder.kernels.ops import Step
from ponder.model.torch.split import Exchange


class Context(NamedTuple):
    """sizes: how many tokens each process of the group has, in their order; rank: of this one."""

    group: ProcessGroup
    sizes: list[int]
    rank: int

    @classmethod
    def of(cls, group: ProcessGroup, tokens: int) -> "Context":
        count, rank = distributed.get_world_size(group), distributed.get_rank(group)
        return cls(group, [tokens // count + (i < tokens % count) for i in range(count)], rank)

    @property
    def own(self) -> slice:
        """The tokens of this process."""
        begin = sum(self.sizes[: self.rank])
        return slice(begin, begin + self.sizes[self.rank])

    def step(self, whole: Step) -> Step:
        """Of all tokens -> of those of this process; their sequences stay whole."""
        sequences = whole.sequences._replace(context=self)
        return whole._replace(sequences=sequences, cos=whole.cos[self.own], sin=whole.sin[self.own])

    def by_heads(self, x: Tensor) -> Tensor:
        """x [t, H, C] of the tokens of this process -> [T, H / processes, C] of its heads."""
        each, count = self.sizes[self.rank], len(self.sizes)
        parts = x.unflatten(1, (count, x.shape[1] // count)).transpose(0, 1).flatten(0, 1)  # [processes * t, ...]
        return Exchange.apply(parts, [each] * count, self.sizes, self.group)  # type: ignore[no-any-return]

    def by_tokens(self, x: Tensor) -> Tensor:
        """x [T, H / processes, C] -> [t, H, C]: the way back."""
        each, count = self.sizes[self.rank], len(self.sizes)
        parts: Tensor = Exchange.apply(x, self.sizes, [each] * count, self.group)
        return parts.unflatten(0, (count, each)).transpose(0, 1).flatten(1, 2)
