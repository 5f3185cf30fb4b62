"""Pieces of a layer as autograd functions: fewer passes over memory than their formulas written out.

On a CPU a small model spends more time in these than in matrix products, so there `fused` has one pass for each; what
stands here as torch operations is for other devices and for `torch.compile`. Each backward pass is tested against the
formula (tests/model/torch/test_functions.py).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ponder.model.torch import fused


class RmsNorm(torch.autograd.Function):
    """x / rms(x) * weight over the last dimension."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        out, inverse = fused.norm(x, weight, eps) if fused.fits(x) else _norm(x, weight, eps)
        ctx.save_for_backward(x, weight, inverse)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, inverse = ctx.saved_tensors
        back = fused.norm_back if fused.fits(grad) else _norm_back
        dx, dw = back(grad, x, weight, inverse)
        return dx, dw.to(weight.dtype), None


def _norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    inverse = size.square().mul_(1 / x.shape[-1]).add_(eps).rsqrt_()
    return (x * inverse).to(x.dtype).mul_(weight), inverse


def _norm_back(grad: Tensor, x: Tensor, weight: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient of a layer norm whose mean is 0 lacks only the term that its mean would have given."""
    d = x.shape[-1]
    g, rows, inverse = grad.reshape(-1, d), x.reshape(-1, d), inverse.view(-1, 1)
    dx, dw, _ = torch.ops.aten.native_layer_norm_backward(
        g, rows, [d], torch.zeros_like(inverse), inverse, weight.float(), None, [True, True, False]
    )
    mean = torch.mv(g, weight).float().mul_(1 / d).mul_(inverse[:, 0])
    return dx.add_(mean[:, None]).view_as(x), dw


class Rope(torch.autograd.Function):
    """Rotate the pairs (i, i + C/2). x [T, H, C], cos and sin [T, 1, C/2] float32"""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotate(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _rotate(grad, *ctx.saved_tensors, -1), None, None


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    """direction: 1 forward, -1 back"""
    if fused.fits(x):
        return fused.rotate(x, cos, sin, direction)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    a, b = x.chunk(2, -1)
    turned = torch.addcmul(a * cos, b, sin, value=-direction), torch.addcmul(b * cos, a, sin, value=direction)
    return torch.cat(turned, -1)
