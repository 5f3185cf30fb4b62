"""The optimiser: AdamW, or Muon for the matrices of the layers and AdamW for the rest. Updates in place.

Parameters never move, so that an engine whose matrices are views of them needs no copy. Those that are not float32
have a float32 master here, which the optimiser updates and which is rounded back into the parameter after each step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from ponder.core.errors import UserError
from ponder.model.decoder import EMBED
from ponder.train.scale.divide import like, local, norm, parts_of

Group = Literal["decay", "plain", "muon"]


@dataclass(frozen=True, kw_only=True)
class OptimSettings:
    kind: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = 0.1
    """Times the rate; not on vectors (norms, biases) and not on the embedding."""
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    momentum: float = 0.95
    """Muon's. Its updates are scaled to the size of AdamW's (Moonlight), so that one rate serves both."""
    clip: float = 1.0
    """Longest gradient over all parameters; 0 is no limit."""

    def __post_init__(self) -> None:
        if self.kind not in ("adamw", "muon"):
            raise UserError(f"an optimiser is adamw or muon, not {self.kind!r}", param="kind")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and 0 <= self.momentum < 1):
            raise UserError("beta1, beta2 and momentum are in [0, 1)", param="beta1")
        if not (0 <= self.weight_decay < math.inf and self.clip >= 0 and self.eps > 0):  # nan is none of these
            raise UserError("weight_decay and clip are 0 or more, eps above 0", param="weight_decay")


class Piece(NamedTuple):
    """What one optimiser updates as one tensor: a parameter's float32 values, or one matrix of a stack of experts."""

    name: str
    values: torch.nn.Parameter
    source: str
    """The parameter that it is (part of)."""
    at: tuple[int | slice, ...]
    """Which part: () is all of it."""


class Optimiser:
    def __init__(self, parameters: Mapping[str, Tensor], settings: OptimSettings) -> None:
        """parameters: leaves by HF name, each once."""
        self.parameters = dict(parameters)
        self.settings = settings
        # of this process's parts; float32: the very storage
        self.masters = {n: local(p.detach()).float() for n, p in self.parameters.items()}
        self.groups: dict[Group, list[Piece]] = {"decay": [], "plain": [], "muon": []}
        for name, master in self.masters.items():
            group = group_of(name, master.dim(), settings.kind)
            parts = _matrices(name, master) if group == "muon" else {name: ()}
            self.groups[group] += [
                Piece(n, torch.nn.Parameter(part(master, at), requires_grad=False), name, at) for n, at in parts.items()
            ]
        self._optimisers = self._make()
        self._make_room()

    def _make(self) -> list[torch.optim.Optimizer]:
        s = self.settings
        betas = (s.beta1, s.beta2)
        decays = (("decay", s.weight_decay), ("plain", 0.0))
        values: dict[str, list[torch.nn.Parameter]] = {
            name: [p.values for p in pieces] for name, pieces in self.groups.items()
        }
        adam = [{"params": values[name], "weight_decay": decay} for name, decay in decays if values[name]]
        made: list[torch.optim.Optimizer] = []
        if adam:
            made.append(torch.optim.AdamW(adam, lr=0.0, betas=betas, eps=s.eps, fused=True))
        if values["muon"]:
            made.append(torch.optim.Muon(values["muon"], lr=0.0, weight_decay=s.weight_decay, momentum=s.momentum,
                                         adjust_lr_fn="match_rms_adamw"))  # fmt: skip
        return made

    def zero(self) -> None:
        for p in self.parameters.values():
            p.grad = None

    def norm(self) -> float:
        """Length of the whole gradient, before clipping."""
        if parts_of(self.parameters):
            return norm(self.parameters.values())
        return float(get_total_norm([p.grad for p in self.parameters.values() if p.grad is not None]))

    @torch.no_grad()
    def step(self, rate: float, norm: float) -> None:
        """One update with the gradients that are there, clipped; norm: theirs."""
        if self.settings.clip:
            shorter = min(1.0, self.settings.clip / (norm + 1e-6))
            for p in self.parameters.values():
                if p.grad is not None:
                    local(p.grad).mul_(shorter)
        for pieces in self.groups.values():
            for piece in pieces:
                grad = self.parameters[piece.source].grad
                piece.values.grad = None if grad is None else part(local(grad), piece.at).float()
        self._update(rate)
        for name, p in self.parameters.items():
            if p.dtype != torch.float32:
                local(p).copy_(self.masters[name])

    def _update(self, rate: float) -> None:
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
        for pieces in self.groups.values():
            for piece in pieces:
                piece.values.grad = None

    def state(self) -> dict[str, Tensor]:
        """Everything to go on from, by name: moments, counts, and masters of parameters that are not float32."""
        out = {f"master/{n}": like(p, self.masters[n]) for n, p in self.parameters.items() if p.dtype != torch.float32}
        for optimiser in self._optimisers:
            for piece in (p for pieces in self.groups.values() for p in pieces):
                for key, value in optimiser.state.get(piece.values, {}).items():
                    out[f"{key}/{piece.name}"] = value if piece.at else like(self.parameters[piece.source], value)
        return out

    @torch.no_grad()
    def _make_room(self) -> None:
        """All moments, at 0: torch makes them in the first step, and a checkpoint may be written or read before it."""
        for piece in (p for pieces in self.groups.values() for p in pieces):
            piece.values.grad = torch.zeros_like(piece.values)
        self._update(0.0)
        for moment in (m for o in self._optimisers for s in o.state.values() for m in s.values()):
            moment.zero_()


def part(value: Tensor, at: tuple[int | slice, ...]) -> Tensor:
    return value[at] if at else value


def group_of(name: str, dim: int, kind: str) -> Group:
    if dim < 2 or name == EMBED:
        return "plain"
    return "muon" if kind == "muon" and name.startswith("model.layers.") else "decay"


def _matrices(name: str, value: Tensor) -> dict[str, tuple[int | slice, ...]]:
    """A stack of experts is one matrix an expert; gate and up lie under each other and are two."""
    if value.dim() == 2:
        return {name: ()}
    halves = [slice(None)]
    if name.endswith("gate_up_proj"):
        middle = value.shape[1] // 2
        halves = [slice(0, middle), slice(middle, None)]
    return {f"{name}.{e}.{h}": (e, half) for e in range(len(value)) for h, half in enumerate(halves)}
