"""Pieces of a layer as autograd functions: fewer passes over memory than their formulas written out.

On a CPU a small model spends more time in these than in matrix products. Each backward pass is tested against the
formula (tests/model/torch/test_functions.py).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class RmsNorm(torch.autograd.Function):
    """x / rms(x) * weight over the last dimension."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = size.square().mul_(1 / x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).to(x.dtype).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """The gradient of a layer norm whose mean is 0 lacks only the term that its mean would have given."""
        x, weight, inverse = ctx.saved_tensors
        d = x.shape[-1]
        g, rows, inverse = grad.reshape(-1, d), x.reshape(-1, d), inverse.view(-1, 1)
        scale = weight.float()
        dx, dw, _ = torch.ops.aten.native_layer_norm_backward(
            g, rows, [d], torch.zeros_like(inverse), inverse, scale, None, [True, True, False]
        )
        mean = torch.mv(g, weight).float().mul_(1 / d).mul_(inverse[:, 0])
        return dx.add_(mean[:, None]).view_as(x), dw.to(weight.dtype), None


class Rope(torch.autograd.Function):
    """Rotate the pairs (i, i + C/2). x [T, H, C], cos and sin [T, 1, C/2]"""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotate(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _rotate(grad, *ctx.saved_tensors, -1), None, None


def _rotate(x: Tensor, cos: Tensor, sin: Tensor, way: int) -> Tensor:
    """way: 1 forward, -1 back"""
    (a, b), y = x.chunk(2, -1), torch.empty_like(x)
    for out, main, other, sign in zip(y.chunk(2, -1), (a, b), (b, a), (-way, way)):
        torch.mul(main, cos, out=out)
        out.addcmul_(other, sin, value=sign)
    return y


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up; keeps no third array for the backward pass."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return torch.nn.functional.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        d_up = torch.nn.functional.silu(gate).mul_(grad)
        return torch.ops.aten.silu_backward(grad * up, gate), d_up
