"""Mixtures of experts: all matrices of a layer as two stacks, under the names transformers has for them.

    ...mlp.experts.gate_up_proj  [E, 2 I, D]      ...mlp.experts.down_proj  [E, D, I]

Files hold every expert's three matrices by themselves (`experts.7.gate_proj.weight`). `joined` makes the stacks when a
model is built, `separate` gives the files' names back, as views: nothing is copied to save a model or to hand it over.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ponder.model.torch.low_rank import LowRank
from ponder.model.torch.packing import Scatter

GATE_UP, DOWN = "gate_up_proj", "down_proj"
_ONE = re.compile(r"(.*\.mlp\.experts\.)(\d+)\.(gate|up|down)_proj\.weight")
_STACK = re.compile(rf"(.*\.mlp\.experts\.)({GATE_UP}|{DOWN})")


def joined(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a model, each layer's experts as stacks; the rest are the same tensors."""
    out: dict[str, Tensor] = {}
    parts: dict[str, dict[tuple[int, str], Tensor]] = defaultdict(dict)
    for name, weight in weights.items():
        if match := _ONE.fullmatch(name):
            parts[match[1]][int(match[2]), match[3]] = weight
        else:
            out[name] = weight
    for prefix, part in parts.items():
        each = range(len(part) // 3)
        out[prefix + GATE_UP] = torch.stack([torch.cat([part[e, "gate"], part[e, "up"]]) for e in each])
        out[prefix + DOWN] = torch.stack([part.pop((e, "down")) for e in each])
        part.clear()
    return out


def separate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Stacks -> every expert's matrices, as views, by the names that files have."""
    out: dict[str, Tensor] = {}
    for name, weight in weights.items():
        match = _STACK.fullmatch(name)
        if match is None:
            out[name] = weight
        elif match[2] == DOWN:
            out |= {f"{match[1]}{e}.down_proj.weight": w for e, w in enumerate(weight)}
        else:
            for e, (gate, up) in enumerate(weight.view(len(weight), 2, -1, weight.shape[2])):
                out |= {f"{match[1]}{e}.gate_proj.weight": gate, f"{match[1]}{e}.up_proj.weight": up}
    return out


def mixed(
    x: Tensor, ids: Tensor, weights: Tensor, gate_up: Tensor | LowRank, down: Tensor | LowRank
) -> Tensor:  # fmt: skip
    """x [T, D], ids and weights [T, k] -> [T, D]. The T*k pairs of a token and one of its experts go sorted by expert
    through grouped products, or, on a CPU, through batched products of equal rooms: those are faster there."""
    number = len(down.weight if isinstance(down, LowRank) else down)
    (tokens, slots), experts = ids.shape, torch.arange(number, device=x.device)
    chosen, order = ids.flatten().sort(stable=True)
    ends = torch.searchsorted(chosen, experts, right=True)  # [E] of each expert's pairs among the sorted ones
    at = torch.arange(len(order), device=x.device)  # the row of each sorted pair
    room = 0 if x.is_cuda or torch.compiler.is_compiling() else _room(ends)
    if room:
        at = at + (experts * room - ends.roll(1).index_fill_(0, experts[:1], 0))[chosen]
    place = torch.empty_like(order).scatter_(0, order, at)  # the row of each pair
    source = order.new_zeros(room * number or len(order)).scatter_(0, at, order // slots)  # the token of each row
    h = Spread.apply(x, source, place, slots)
    gate, up = _times(h, gate_up, room, ends).chunk(2, -1)
    y = _times(F.silu(gate) * up, down, room, ends)
    back = Scatter.apply(y, source, place).view(tokens, slots, -1)
    return torch.bmm(weights[:, None].to(back.dtype), back)[:, 0]


def _times(x: Tensor, stack: Tensor | LowRank, room: int, ends: Tensor) -> Tensor:
    """x [rows, K], stack [E, N, K] -> [rows, N]: each row meets the matrix of its expert."""
    if isinstance(stack, LowRank):
        thin = _times(_times(x, stack.a, room, ends), stack.b, room, ends)
        return _times(x, stack.weight, room, ends) + stack.scale * thin
    stack = stack.to(x.dtype)
    if room:
        return torch.bmm(x.view(-1, room, x.shape[1]), stack.mT).flatten(0, 1)
    return grouped(x, stack, ends.int())


def _room(ends: Tensor) -> int:
    """Rows for each expert if all are to have as many as the busiest one; 0 if more than half would stay empty."""
    most = int(ends.diff(prepend=ends.new_zeros(1)).max())
    return most if most * len(ends) <= 2 * int(ends[-1]) else 0


@torch.library.custom_op("ponder::grouped", mutates_args=())
def grouped(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """x [P, K], weight [E, N, K], ends [E] -> [P, N]: rows ends[e-1] .. ends[e] meet the matrix of expert e. An
    operation of its own, because torch's cannot be traced in float32."""
    return F.grouped_mm(x, weight.mT, offs=ends)


@torch.library.custom_op("ponder::grouped_backward", mutates_args=())
def grouped_backward(grad: Tensor, x: Tensor, weight: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    return F.grouped_mm(grad, weight, offs=ends), F.grouped_mm(grad.mT, x, offs=ends)


@grouped.register_fake
def _(x: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    return x.new_empty(len(x), weight.shape[1])


@grouped_backward.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weight)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    return *grouped_backward(grad.contiguous(), *ctx.saved_tensors), None


grouped.register_autograd(_backward, setup_context=_keep)


class Spread(torch.autograd.Function):
    """x [T, D] -> [rows, D]: each token once for each of its experts; rows without one repeat token 0 and give it no
    gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor, place: Tensor, slots: int) -> Tensor:
        ctx.save_for_backward(place)
        ctx.slots = slots
        return x.index_select(0, source)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (place,) = ctx.saved_tensors
        return grad.index_select(0, place).view(-1, ctx.slots, grad.shape[1]).sum(1), None, None, None
