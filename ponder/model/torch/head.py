"""What a loss needs from the head, without the logits of a whole batch.

    logprob, entropy = token_losses(x, head, targets)

[R, V] never exists: the rows go through the head in chunks, and the backward pass computes each chunk's logits again
(only logits that fit into one chunk are kept). For 8,192 rows and 151,936 words that is 64 MB at a time, not 5 GB.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 1 << 24  # logits that exist at a time


def token_losses(x: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """x [R, D] after the final norm, head [V, D], targets [R] -> float32 [R] each: the log-probability of the target
    and the entropy of the whole distribution, both at temperature 1, both with gradients."""
    logprob, entropy = TokenLosses.apply(x, head, targets)
    return logprob, entropy


class TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        logprob, entropy = (x.new_empty(len(x), dtype=torch.float32) for _ in range(2))
        chunks = _chunks(x, head)
        for rows in chunks:
            logp = _log_softmax(x[rows], head)  # [chunk, V]
            logprob[rows] = logp.gather(1, targets[rows, None])[:, 0]
            entropy[rows] = logp.exp().mul_(logp).sum(-1).neg_()
        kept = logp if len(chunks) == 1 else None  # a single chunk is no larger than what the others need in turn
        ctx.save_for_backward(x, head, targets, entropy, kept)
        ctx.set_materialize_grads(False)
        return logprob, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_logprob: Tensor | None, d_entropy: Tensor | None) -> tuple[Tensor | None, ...]:
        """With z the logits and H the entropy: d log p(target) / dz = onehot - p, dH / dz = -p (log p + H)."""
        x, head, targets, entropy, kept = ctx.saved_tensors
        wants_x, wants_head, _ = ctx.needs_input_grad
        dx, d_head = torch.empty_like(x) if wants_x else None, torch.zeros_like(head) if wants_head else None
        for rows in _chunks(x, head):
            logp = _log_softmax(x[rows], head) if kept is None else kept
            dz = logp.exp()
            if d_entropy is not None:
                factor = (logp + entropy[rows, None]).mul_(-d_entropy[rows, None])
                dz.mul_(factor if d_logprob is None else factor.sub_(d_logprob[rows, None]))
            elif d_logprob is not None:
                dz.mul_(-d_logprob[rows, None])
            if d_logprob is not None:
                dz.scatter_add_(1, targets[rows, None], d_logprob[rows, None])
            dz = dz.to(x.dtype)
            if dx is not None:
                dx[rows] = dz @ head
            if d_head is not None:
                d_head.addmm_(dz.T, x[rows])
        return dx, d_head, None


def _chunks(x: Tensor, head: Tensor) -> list[slice]:
    n = max(1, CHUNK // len(head))
    return [slice(i, i + n) for i in range(0, len(x), n)]


def _log_softmax(x: Tensor, head: Tensor) -> Tensor:
    return torch.log_softmax(torch.mm(x, head.T), -1, dtype=torch.float32)
