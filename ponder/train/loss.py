"""The one loss. With p the model, b the behaviour, r a reference and q a teacher, over the wanted rows:

    L = sum_t ce_t (-log p_t) + rl_t (-S_t + kappa k3_t) + kl_t D_t

S is PPO's clipped objective or CISPO's, k3 the estimate of KL(p || r) that is unbiased and never negative, D what
`head.divergence` computes. There is no mean anywhere: the weights carry the normalisation, so that the sum over
micro-batches is the loss of the step. Pre-training and tuning have ce alone, reinforcement learning rl, distillation
kl, and any sum of them is fine.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ponder.core.errors import UserError
from ponder.train.batch import Packed

Sums = dict[str, tuple[Tensor, Tensor]]  # name -> (sum, count): what micro-batches add up and a report divides


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    surrogate: Literal["ppo", "cispo"] = "ppo"
    """ppo: min(rho A, clip(rho) A). cispo: min(rho, cap) A log p with rho detached, so that every id has a gradient."""
    ratio: Literal["token", "sequence"] = "token"
    """What rho is taken of: one id, or the mean over the ids that the model wrote in the sequence (GSPO)."""
    clip_low: float = 0.2
    """ppo: rho is at least 1 - clip_low."""
    clip_high: float = 0.28
    """ppo: rho is at most 1 + clip_high."""
    cap: float = 5.0
    """cispo: rho is at most this."""
    kappa: float = 0.0
    """Weight of k3; above 0 the samples need a reference."""
    entropy_target: float | None = None
    """Mean entropy of the ids that are learned from, nats: a bonus for entropy grows below it and goes above it."""
    entropy_rate: float = 0.01
    """How fast: what the bonus gains a step for each nat that is missing."""
    beta: float = 0.0
    """Of D: 0 is forward KL(q || p), 1 reverse KL(p || q), between them the generalised JSD."""

    def __post_init__(self) -> None:
        if not 0 <= self.clip_low < 1:
            raise UserError(f"clip_low is 0 or more and less than 1, got {self.clip_low}", param="clip_low")
        for name in ("clip_high", "kappa"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} is 0 or more, got {getattr(self, name)}", param=name)
        if not self.cap > 0:
            raise UserError(f"cap is above 0, got {self.cap}", param="cap")
        if self.entropy_rate <= 0 or not (self.entropy_target is None or self.entropy_target >= 0):
            raise UserError("entropy_target is 0 nats or more, and entropy_rate above 0", param="entropy_target")
        if not 0 <= self.beta <= 1:
            raise UserError(f"beta must be between 0 and 1, got {self.beta}", param="beta")


class Streams(NamedTuple):
    """What the loss reads of a `Packed`, as tensors: [R], and kl [Q]."""

    ce: Tensor
    rl: Tensor
    advantage: Tensor
    behaviour: Tensor
    reference: Tensor | None
    sequence: Tensor
    kl: Tensor

    @classmethod
    def of(cls, p: Packed, device: torch.device) -> "Streams":
        arrays = (p.ce, p.rl, p.advantage, p.behaviour, p.reference, p.sequence, p.kl)
        return cls(*(None if a is None else torch.from_numpy(a).to(device) for a in arrays))  # type: ignore[arg-type]


def total(
    logp: Tensor, entropy: Tensor, divergence: Tensor | None, streams: Streams, settings: LossSettings,
    entropy_weight: float = 0.0,
) -> tuple[Tensor, Sums]:  # fmt: skip
    """logp, entropy [R] of the targets; divergence [Q]. The loss, and metrics without a gradient. entropy_weight: of
    the bonus, whose mean is that of the policy term."""
    loss, sums = -(streams.ce * logp).sum(), {}
    learned = streams.ce > 0
    sums["nll"] = _sum(-logp, learned)
    sums["entropy"] = _sum(entropy, torch.ones_like(learned))
    if (streams.rl > 0).any():
        policy, more = policy_loss(logp, streams, settings)
        loss, sums = loss + policy, sums | more
        if entropy_weight:
            loss = loss - entropy_weight * (streams.rl * entropy).sum()
    if divergence is not None:
        loss = loss + (streams.kl * divergence).sum()
        sums["divergence"] = _sum(divergence, torch.ones_like(divergence, dtype=torch.bool))
    return loss, sums


def policy_loss(logp: Tensor, streams: Streams, settings: LossSettings) -> tuple[Tensor, Sums]:
    """sum_t rl_t (-S_t + kappa k3_t) over the rows where rl is not 0: elsewhere there is no behaviour to compare."""
    at = (streams.rl > 0).nonzero()[:, 0]
    logp, weight, a, behaviour = logp[at], streams.rl[at], streams.advantage[at], streams.behaviour[at]
    log_ratio = logp - behaviour
    every = torch.ones_like(at, dtype=torch.bool)
    # k3 of the behaviour against the model, at ids the behaviour drew: 0 where engine and trainer agree
    sums = {"mismatch_kl": _sum(log_ratio.expm1() - log_ratio, every)}
    if settings.ratio == "sequence":
        log_ratio = sequence_means(log_ratio, streams.sequence[at])
    ratio = log_ratio.exp()
    if settings.surrogate == "cispo":
        objective = ratio.detach().clamp(max=settings.cap) * a * logp
        clipped = (ratio > settings.cap) & (a > 0)
    else:
        low, high = 1 - settings.clip_low, 1 + settings.clip_high
        objective = torch.min(ratio * a, ratio.clamp(low, high) * a)
        clipped = ((ratio < low) & (a < 0)) | ((ratio > high) & (a > 0))
    sums["clip_share"] = _sum(clipped.float(), every)
    loss = -(weight * objective).sum()
    if settings.kappa:
        if streams.reference is None:
            raise UserError("kappa is above 0 and the samples have no reference log-probs", param="kappa")
        estimate = k3(logp, streams.reference[at])
        loss = loss + settings.kappa * (weight * estimate).sum()
        sums["reference_kl"] = _sum(estimate, every)
    return loss, sums


def k3(logp: Tensor, reference: Tensor) -> Tensor:
    """Of KL(p || reference) at ids drawn from p: unbiased, never negative (Schulman 2020)."""
    d = reference - logp
    return d.exp() - 1 - d


def sequence_means(values: Tensor, sequence: Tensor) -> Tensor:
    """[N] -> [N]: each value becomes the mean of those with the same number."""
    size = int(sequence.max()) + 1
    sums = torch.zeros(size, dtype=values.dtype, device=values.device).index_add(0, sequence, values)
    return (sums / sequence.bincount(minlength=size).clamp(min=1))[sequence]


def _sum(values: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    values = values.detach()
    return values[where].double().sum(), where.sum()
