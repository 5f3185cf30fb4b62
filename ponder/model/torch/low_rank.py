"""LoRA: a frozen weight W and two thin factors that are trained beside it, W + scale B A, never put together in a step.

    factors(layer, ["q_proj", "down_proj"], rank=8, generator)   # a layer of Decoder; B is 0, so nothing changes yet
    low_rank(dict(layer.named_parameters()), scale)              # name -> Tensor or LowRank, for the op set

A stack of experts has a factor pair for each of its matrices. What the stack holds as one (gate and up) shares an A.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

A, B = "_lora_a", "_lora_b"  # after the name of the weight
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ROUTER = "gate"
_STACKED = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}


class LowRank(NamedTuple):
    """[N, K] with factors [r, K] and [N, r], or stacks of those."""

    weight: Tensor
    a: Tensor
    b: Tensor
    scale: float

    def merged(self) -> Tensor:
        return self.weight + (self.scale * (self.b @ self.a)).to(self.weight.dtype)


def factors(layer: nn.Module, targets: Sequence[str], rank: int, generator: torch.Generator) -> list[str]:
    """Adds them to a layer, for each matrix that is meant; names of those matrices."""
    meant = [(name, w) for name, w in layer.named_parameters() if w.dim() > 1 and _meant(name, targets)]
    for name, weight in meant:
        *stack, n, k = weight.shape
        a = torch.empty(*stack, rank, k).uniform_(-1 / math.sqrt(k), 1 / math.sqrt(k), generator=generator)
        path, _, last = name.rpartition(".")
        place = layer.get_submodule(path)
        place.register_parameter(last + A, nn.Parameter(a.to(weight.device)))
        place.register_parameter(last + B, nn.Parameter(torch.zeros(*stack, n, rank, device=weight.device)))
    return [name for name, _ in meant]


def _meant(name: str, targets: Sequence[str]) -> bool:
    """`self_attn.q_proj.weight`, `mlp.experts.gate_up_proj`"""
    last = name.removesuffix(".weight").rpartition(".")[2]
    return all(part in targets for part in _STACKED.get(last, (last,)))


def low_rank(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor | LowRank]:
    """Each weight with factors as a LowRank, which the op set multiplies by; the others as they are."""
    pairs = {name.removesuffix(A) for name in weights if name.endswith(A)}
    plain = {name: w for name, w in weights.items() if not name.endswith((A, B))}
    return {
        name: LowRank(w, weights[name + A], weights[name + B], scale) if name in pairs else w
        for name, w in plain.items()
    }
