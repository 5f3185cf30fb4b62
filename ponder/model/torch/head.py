"""What a loss needs from the head, without the logits of a whole batch.

    logprob, entropy = token_losses(x, head, targets)

[R, V] never exists: the rows go through the head in chunks, and the backward pass computes each chunk's logits again
(only logits that fit into one chunk are kept). For 8,192 rows and 151,936 words that is 64 MB at a time, not 5 GB.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from ponder.model.torch import fused
from ponder.model.torch.sizes import filler

CHUNK = 1 << 24  # logits that exist at a time


def token_losses(x: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """x [R, D] after the final norm, head [V, D], targets [R] -> float32 [R] each: the log-probability of the target
    and the entropy of the whole distribution, both at temperature 1, both with gradients."""
    rows, extra = len(x), filler(len(x)) if x.dtype == torch.bfloat16 else 0
    if extra:
        x, targets = pad(x, (0, 0, 0, extra)), pad(targets, (0, extra))
    logprob, entropy = TokenLosses.apply(x, head, targets)
    return logprob[:rows], entropy[:rows]


class TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logprob, entropy, total = (x.new_empty(len(x), dtype=torch.float32) for _ in range(3))
        chunks = _chunks(x, head)
        for rows in chunks:
            logits = torch.mm(x[rows], head.T)  # [chunk, V]
            losses = fused.row_losses if fused.fits(logits) else row_losses
            logprob[rows], entropy[rows], total[rows] = losses(logits, targets[rows])
        kept = logits if len(chunks) == 1 else None  # a single chunk is no larger than what the others need in turn
        ctx.save_for_backward(x, head, targets, entropy, total, kept)
        ctx.set_materialize_grads(False)
        return logprob, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_logprob: Tensor | None, d_entropy: Tensor | None) -> tuple[Tensor | None, ...]:
        x, head, targets, entropy, total, kept = ctx.saved_tensors
        d_logprob = torch.zeros_like(entropy) if d_logprob is None else d_logprob.contiguous()
        wants_x, wants_head, _ = ctx.needs_input_grad
        dx, d_head = torch.empty_like(x) if wants_x else None, torch.zeros_like(head) if wants_head else None
        for rows in _chunks(x, head):
            logits = torch.mm(x[rows], head.T) if kept is None else kept
            back = fused.row_losses_back if fused.fits(logits) else row_losses_back
            d = None if d_entropy is None else d_entropy.contiguous()[rows]
            dz = back(logits, targets[rows], entropy[rows], total[rows], d_logprob[rows], d)
            if dx is not None:
                dx[rows] = dz @ head
            if d_head is not None:
                d_head.addmm_(dz.T, x[rows])
        return dx, d_head, None


def row_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """logits [R, V], targets [R] -> float32 [R] each: log-probability of the target, entropy, log of the sum of exp."""
    z = logits.float()
    total = z.logsumexp(-1)
    logp = z - total[:, None]
    return logp.gather(1, targets[:, None])[:, 0], logp.exp().mul_(logp).sum(-1).neg_(), total


def row_losses_back(
    logits: Tensor, targets: Tensor, entropy: Tensor, total: Tensor, d_logprob: Tensor, d_entropy: Tensor | None
) -> Tensor:
    """The gradient of the logits, [R, V]. With z the logits and H the entropy: d log p(target) / dz = onehot - p,
    dH / dz = -p (log p + H)."""
    logp = logits.float() - total[:, None]
    factor = d_logprob[:, None]
    if d_entropy is not None:
        factor = (logp + entropy[:, None]).mul_(d_entropy[:, None]).add_(factor)
    dz = logp.exp_().mul_(factor).neg_()
    return dz.scatter_add_(1, targets[:, None], d_logprob[:, None]).to(logits.dtype)


def _chunks(x: Tensor, head: Tensor) -> list[slice]:
    n = max(1, CHUNK // len(head))
    return [slice(i, i + n) for i in range(0, len(x), n)]
