"""Experts that are used alike: the balance loss of a mixture, and how uneven its loads are.

With E experts, f_e the share of all choices that fell on expert e (sums to 1) and p_e the mean probability that the
router gave it, a layer's loss is E * sum_e f_e p_e, and that of the model the mean over its layers: exactly 1 where all
probabilities are equal, E / k at worst. The gradient flows through p only. Of which ids f is taken is the choice:

| kind | f is taken of | why |
|---|---|---|
| global | this step's ids so far, in all processes (Qwen3) | may specialise: text of one kind need not use all |
| micro | one micro-batch | the classic; every micro-batch is to use all experts |
| none | no loss | for comparison; loads are counted all the same |

p is always that of the ids at hand, weighted by their number, so that a step in parts has the loss of the whole. Only
positions with a target count: neither prompts nor text that nobody learns from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup

from ponder.core.errors import UserError
from ponder.model.torch.ops import TorchOps
from ponder.train import parallel

Kind = Literal["global", "micro", "none"]
KINDS = ("global", "micro", "none")


@dataclass(frozen=True, kw_only=True)
class BalanceSettings:
    kind: Kind = "global"
    weight: float = 0.001
    """Of the balance loss beside the others; `router_aux_loss_coef` of the released models."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"a balance is global, micro or none, not {self.kind!r}", param="balance")
        if not self.weight >= 0:
            raise UserError(f"balance_weight must be 0 or more, got {self.weight}", param="balance_weight")


class Balance:
    """Of one step: every micro-batch of it goes through `loss`, in each process as often as in the others."""

    def __init__(
        self, settings: BalanceSettings, ops: TorchOps, top_k: int, rows: int, *, together: bool,
        context: ProcessGroup | None = None,
    ) -> None:  # fmt: skip
        """rows: positions with a target in the whole step. together: with other processes; context: those that have
        other tokens of the same micro-batches."""
        self.settings, self.ops, self.top_k, self.rows, self.together = settings, ops, top_k, rows, together
        self.context = context
        self.counts: Tensor | None = None
        """[L, E] choices of the step so far, in all processes."""

    def loss(self, scores: Sequence[Tensor], rows: Tensor) -> Tensor:
        """scores [T, E] of each layer with a router, rows [R] with a target -> this micro-batch's part, not yet
        multiplied by `settings.weight`."""
        logits = torch.stack([s.index_select(0, rows) for s in scores])  # [L, R, E]
        own = choices(self.ops, logits, self.top_k)
        if self.context is not None:
            distributed.all_reduce(own, group=self.context)
        whole = parallel.summed(own) if self.together else own
        self.counts = whole if self.counts is None else self.counts + whole
        if self.settings.kind == "none":
            return logits.new_zeros((), dtype=torch.float32)
        return balance(self.counts if self.settings.kind == "global" else own, logits) / self.rows

    def loads(self) -> list[float]:
        """Of each layer: how often the busiest expert was chosen, in units of the mean."""
        assert self.counts is not None, "no micro-batch was there"
        mean = self.counts.mean(1).clamp(min=1e-9)
        return [float(load) for load in self.counts.amax(1) / mean]


def balance(counts: Tensor, logits: Tensor) -> Tensor:
    """counts [L, E], logits [L, R, E] -> the sum over rows of E * sum_e f_e p_e, the mean over layers."""
    f = (counts / counts.sum(1, keepdim=True).clamp(min=1)).float()
    p = logits.softmax(-1, dtype=torch.float32).sum(1)  # [L, E]
    return logits.shape[2] * (f * p).sum(1).mean()


def choices(ops: TorchOps, logits: Tensor, top_k: int) -> Tensor:
    """logits [L, R, E] -> [L, E] how often each expert is among the chosen, as the layers choose them."""
    layers, rows, experts = logits.shape
    ids, _ = ops.route(logits.detach().flatten(0, 1), top_k, False)
    at = ids.reshape(layers, rows * top_k) + experts * torch.arange(layers, device=ids.device)[:, None]
    return torch.bincount(at.flatten(), minlength=layers * experts).view(layers, experts).double()
