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

from ponder.model.torch.attention import Gather
from ponder.model.torch.functions import SwiGlu

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


def mixed(x: Tensor, ids: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """x [T, D], ids and weights [T, k] -> [T, D]. The T*k pairs of a token and one of its experts are sorted by expert;
    how many each expert gets is never asked for by the host."""
    tokens, slots = ids.shape
    chosen, order = ids.flatten().sort(stable=True)
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=x.device))  # of each pair
    ends = torch.searchsorted(chosen, torch.arange(len(down), device=x.device), right=True).int()  # [E]
    h = Spread.apply(x, order, place, slots)  # [T*k, D]
    gate, up = F.grouped_mm(h, gate_up.to(x.dtype).mT, offs=ends).chunk(2, -1)  # [T*k, I]
    y = F.grouped_mm(SwiGlu.apply(gate, up), down.to(x.dtype).mT, offs=ends)  # [T*k, D]
    back = Gather.apply(y, place, order).view(tokens, slots, -1)
    return torch.bmm(weights[:, None], back)[:, 0]


class Spread(torch.autograd.Function):
    """x [T, D] -> [T*k, D]: each token once for each of its experts, sorted by expert."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, place: Tensor, slots: int) -> Tensor:
        ctx.save_for_backward(place)
        ctx.slots = slots
        return x.index_select(0, order // slots)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (place,) = ctx.saved_tensors
        return grad.index_select(0, place).view(-1, ctx.slots, grad.shape[1]).sum(1), None, None, None
