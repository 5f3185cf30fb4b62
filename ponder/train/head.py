"""Divergence between two models' next-id distributions, row by row, without ever holding [Q, V].

Rows go through the head in chunks, and again in the backward pass, where the gradient of each chunk is written down
instead of kept. The teacher is either run here too, from its own hidden states and head, over the whole vocabulary,
or given by its most likely K ids; then all other ids are one further class, the tail. Without that class the sum over
K ids is no divergence: it is too small and can fall below zero.

With z the logits, p = softmax(z) and g = dD/dp, the gradient is dD/dz_v = p_v (g_v - sum_u p_u g_u). Here p·g is
computed as one number, since g alone overflows where p is nearly 0:

| beta | D | p·g |
|---|---|---|
| 0 | KL(q, p) | -q |
| 1 | KL(p, q) | p (log p - log q), up to a multiple of p that cancels |
| between | beta KL(q, m) + (1 - beta) KL(p, m), m = beta q + (1 - beta) p | (1 - beta) p (log p - log m), likewise |
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ponder.core.errors import UserError

ENTRIES = 1 << 24  # logits of one chunk: 64 MB in float32, of which about six are alive at once
LEAST_TAIL = 1e-8  # of a teacher whose K ids already sum to 1: keeps logarithms finite


class TopK(NamedTuple):
    """What a teacher said earlier or elsewhere."""

    ids: Tensor
    """[Q, K] distinct in a row"""
    logprobs: Tensor
    """[Q, K]"""


class Whole(NamedTuple):
    """A teacher at hand. Nothing here gets a gradient."""

    hidden: Tensor
    """[Q, Dt] after the final norm"""
    head: Tensor
    """[V, Dt]"""


def divergence(x: Tensor, head: Tensor, teacher: TopK | Whole, beta: float, *, rows: int | None = None) -> Tensor:
    """x [Q, D] after the final norm, head [V, D] -> D [Q] in float32 (or float64), with gradients for x and head.

    rows: of one chunk; None takes as many as `ENTRIES` allows.
    """
    if isinstance(teacher, Whole) and len(teacher.head) != len(head):
        raise UserError(
            f"the teacher knows {len(teacher.head)} ids and the student {len(head)}: distillation needs one vocabulary",
            param="teacher",
        )
    rows = rows or max(1, ENTRIES // len(head))
    result: Tensor = _Divergence.apply(x, head, isinstance(teacher, TopK), *teacher, beta, rows)  # type: ignore[no-untyped-call]
    return result


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, head: Tensor, top: bool, a: Tensor, b: Tensor, beta: float, rows: int) -> Tensor:
        ctx.save_for_backward(x, head, a, b)
        ctx.top, ctx.beta, ctx.rows = top, beta, rows
        parts = [
            _chunk(x[i : i + rows], head, top, a[i : i + rows], b[i : i + rows] if top else b, beta)[0]
            for i in range(0, len(x), rows)
        ]
        return torch.cat(parts) if parts else x.new_zeros(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, head, a, b = ctx.saved_tensors
        top, rows = ctx.top, ctx.rows
        dx = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        dhead = torch.zeros_like(head, dtype=_wide(head)) if ctx.needs_input_grad[1] else None
        for i in range(0, len(x), rows):
            _, dz = _chunk(x[i : i + rows], head, top, a[i : i + rows], b[i : i + rows] if top else b, ctx.beta)
            dz.mul_(grad[i : i + rows, None])
            if dx is not None:
                dx[i : i + rows] = dz.to(head.dtype) @ head
            if dhead is not None:
                dhead.addmm_(dz.mT, x[i : i + rows].to(dhead.dtype))
        return dx, None if dhead is None else dhead.to(head.dtype), None, None, None, None, None


def _chunk(x: Tensor, head: Tensor, top: bool, a: Tensor, b: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """x [c, D] -> D [c] and dD/dz [c, V]"""
    z = (x @ head.mT).to(_wide(x))
    if top:
        return _against_top(z, a.long(), b.to(z.dtype), beta)
    log_p, log_q = z.log_softmax(-1), (a @ b.mT).to(z.dtype).log_softmax(-1)
    d, pg = compare(log_p, log_q, beta)
    return d, pg.sub_(log_p.exp_().mul_(pg.sum(-1, keepdim=True)))


def _against_top(z: Tensor, ids: Tensor, log_q: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """The same over K + 1 classes. An id in the tail shares the gradient of its class by p_v / P_tail."""
    all_p = z.log_softmax(-1)
    rest = all_p.scatter(-1, ids, -math.inf)
    log_tail = rest.logsumexp(-1, keepdim=True)  # [c, 1]; not 1 - sum, which loses small tails
    log_p = torch.cat([all_p.gather(-1, ids), log_tail], -1)  # [c, K + 1]
    q_tail = (1 - log_q.double().exp().sum(-1, keepdim=True)).clamp(min=LEAST_TAIL)
    d, pg = compare(log_p, torch.cat([log_q, q_tail.log().to(log_q.dtype)], -1), beta)
    by_class = pg - log_p.exp() * pg.sum(-1, keepdim=True)
    dz = (rest - log_tail).exp_().mul_(by_class[:, -1:])
    return d, dz.scatter_(-1, ids, by_class[:, :-1])


def compare(log_p: Tensor, log_q: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """[c, C] each -> D [c] and p·g [c, C], see above."""
    if beta == 0:
        q = log_q.exp()
        return (q * (log_q - log_p)).sum(-1), -q
    p = log_p.exp()
    if beta == 1:
        pg = p * (log_p - log_q)
        return pg.sum(-1), pg
    log_m = torch.logaddexp(log_q + math.log(beta), log_p + math.log(1 - beta))
    pg = (1 - beta) * p * (log_p - log_m)
    return beta * (log_q.exp() * (log_q - log_m)).sum(-1) + pg.sum(-1), pg


def _wide(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32
