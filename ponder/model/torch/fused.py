"""Pieces of a layer and the loss of a row, each one pass over memory on a CPU (csrc/training/training.h).

For float32 and bfloat16 tensors of a CPU; sums are float32. `functions.py` and `head.py` have the same as torch
operations, for other devices and for `torch.compile`, which fuses those itself.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ponder.kernels.extension import _native

_fused = _native.training


def fits(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16) and not torch.compiler.is_compiling()


def _array(x: Tensor) -> NDArray[Any]:
    """Its memory, bfloat16 as uint16."""
    x = x.detach() if x.requires_grad else x
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def _scale(weight: Tensor) -> Tensor:
    """A copy in float32: memory that numpy has seen can no longer be given back, and weights that are put together from
    several processes are given back after their layer (FSDP)."""
    return weight.detach().to(torch.float32, copy=True).contiguous()


def norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x [..., D], weight [D] -> x / rms(x) * weight, and float32 [rows]: 1 / rms of each row."""
    x, scale = x.contiguous(), _scale(weight)
    out, inverse = torch.empty_like(x), x.new_empty(x.numel() // x.shape[-1], dtype=torch.float32)
    rows, normed = (_array(t).reshape(-1, x.shape[-1]) for t in (x, out))
    _fused.norm(rows, _array(scale), eps, normed, _array(inverse), torch.get_num_threads())
    return out, inverse


def norm_back(grad: Tensor, x: Tensor, weight: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """-> the gradients of x and, float32, of weight. inverse: as `norm` gave it."""
    dx, dw = torch.empty_like(x), torch.empty_like(weight, dtype=torch.float32)
    g, a, d = (_array(t).reshape(-1, x.shape[-1]) for t in (grad.contiguous(), x.contiguous(), dx))
    scale = _scale(weight)
    _fused.norm_back(g, a, _array(scale), _array(inverse), d, _array(dw), torch.get_num_threads())
    return dx, dw


def rotate(x: Tensor, cos: Tensor, sin: Tensor, direction: int) -> Tensor:
    """x [T, H, C], cos and sin float32 [T, 1, C/2]; direction: 1 forward, -1 back"""
    x = x.contiguous()
    out = torch.empty_like(x)
    _fused.rotate(_array(x), _array(cos)[:, 0], _array(sin)[:, 0], direction, _array(out), torch.get_num_threads())
    return out


class SwiGlu(torch.autograd.Function):
    """silu(gate) * up. [T, I] each"""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        ctx.save_for_backward(gate, up)
        out = torch.empty_like(gate)
        _fused.swiglu(_array(gate), _array(up), _array(out), torch.get_num_threads())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        dgate, dup = torch.empty_like(gate), torch.empty_like(up)
        arrays = (_array(t) for t in (grad.contiguous(), gate, up, dgate, dup))
        _fused.swiglu_back(*arrays, torch.get_num_threads())
        return dgate, dup


class Attention(torch.autograd.Function):
    """Causal attention inside each sequence. q [T, H, C], k and v [T, Hk, C], starts int32 [B + 1] -> [T, H, C]"""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, starts: Tensor) -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        out, total = torch.empty_like(q), q.new_empty(q.shape[:2], dtype=torch.float32)
        _fused.attention(*(_array(t) for t in (q, k, v, starts, out, total)), torch.get_num_threads())
        ctx.save_for_backward(q, k, v, starts, out, total)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        saved = ctx.saved_tensors
        gradients = dq, dk, dv = [torch.empty_like(t) for t in saved[:3]]
        arrays = (_array(t) for t in (grad.contiguous(), *saved, *gradients))
        _fused.attention_back(*arrays, torch.get_num_threads())
        return dq, dk, dv, None


def row_losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """logits [R, V], targets [R] -> float32 [R] each: log-probability of the target, entropy, log of the sum of exp."""
    logprob, entropy, total = (logits.new_empty(len(logits), dtype=torch.float32) for _ in range(3))
    arrays = (_array(t) for t in (logits, targets, logprob, entropy, total))
    _fused.losses(*arrays, torch.get_num_threads())
    return logprob, entropy, total


def row_losses_back(
    logits: Tensor, targets: Tensor, entropy: Tensor, total: Tensor, d_logprob: Tensor, d_entropy: Tensor | None
) -> Tensor:
    """-> the gradient of the logits, [R, V] in their dtype."""
    out = torch.empty_like(logits)
    arrays = (_array(t) for t in (logits, targets, entropy, total, d_logprob))
    last = None if d_entropy is None else _array(d_entropy)
    _fused.losses_back(*arrays, last, _array(out), torch.get_num_threads())
    return out
