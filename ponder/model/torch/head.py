"""What a loss needs from the head, without the logits of a whole batch.

    logprob, entropy = token_losses(x, head, targets)

[R, V] never exists: the rows go through the head in chunks, and the backward pass computes each chunk's logits again.
For 8,192 rows and 151,936 words that is 64 MB at a time instead of 5 GB.
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
        logprob, entropy, norm = (x.new_empty(len(x), dtype=torch.float32) for _ in range(3))
        for rows in _chunks(x, head):
            z = _logits(x[rows], head)  # [chunk, V]
            norm[rows] = z.logsumexp(-1)
            logprob[rows] = z.gather(1, targets[rows, None])[:, 0] - norm[rows]
            p = torch.sub(z, norm[rows, None]).exp_()
            entropy[rows] = norm[rows] - _dot(p, z)
        ctx.save_for_backward(x, head, targets, norm, entropy)
        ctx.set_materialize_grads(False)
        return logprob, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_logprob: Tensor | None, d_entropy: Tensor | None) -> tuple[Tensor, Tensor, None]:
        x, head, targets, norm, entropy = ctx.saved_tensors
        dx, d_head = torch.empty_like(x), torch.zeros_like(head)
        for rows in _chunks(x, head):
            p = _logits(x[rows], head).sub_(norm[rows, None])  # log p
            factor = None if d_entropy is None else (p + entropy[rows, None]).mul_(-d_entropy[rows, None])
            p.exp_()
            if factor is not None and d_logprob is not None:
                factor.sub_(d_logprob[rows, None])
            dz = p.mul_(-d_logprob[rows, None] if factor is None and d_logprob is not None else factor)
            if d_logprob is not None:
                dz.scatter_add_(1, targets[rows, None], d_logprob[rows, None])
            dz = dz.to(x.dtype)
            torch.mm(dz, head, out=dx[rows])
            d_head.addmm_(dz.T, x[rows])
        return dx, d_head, None


def _chunks(x: Tensor, head: Tensor) -> list[slice]:
    n = max(1, CHUNK // len(head))
    return [slice(i, i + n) for i in range(0, len(x), n)]


def _logits(x: Tensor, head: Tensor) -> Tensor:
    return torch.mm(x, head.T).float()


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Row by row, without the array of products. [R, V] and [R, V] -> [R]"""
    return torch.bmm(a[:, None], b[:, :, None])[:, 0, 0]
