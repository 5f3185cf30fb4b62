"""Advantages of a group of answers to one problem, from their rewards alone: no value network.

| kind | advantage | where |
|---|---|---|
| grpo | (r - mean) / (deviation of the group + 1e-4) | DeepSeekMath; TRL scale_rewards="group" |
| batch | (r - mean) / (deviation of the whole batch + 1e-4) | TRL scale_rewards="batch" |
| dr_grpo | r - mean | Dr. GRPO; TRL scale_rewards="none" |
| leave_one_out | r - mean of the others | RLOO |
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ponder.core.errors import UserError

Kind = Literal["grpo", "batch", "dr_grpo", "leave_one_out"]
EPSILON = 1e-4  # TRL's


def advantages(rewards: ArrayLike, kind: Kind = "grpo") -> NDArray[np.float64]:
    """rewards [groups, G] -> the same shape. A group whose rewards are all equal gets exactly 0."""
    r = np.asarray(rewards, np.float64)
    if r.ndim != 2 or r.shape[1] < 2:
        raise UserError(
            f"advantages compare the answers of one group: give 2 or more a problem, got shape {r.shape}",
            param="group_size",
        )
    if not np.isfinite(r).all():
        raise UserError("a reward is not a number; a verifier that fails must raise", param="rewards")
    above = np.where(has_signal(r)[:, None], r - r.mean(1, keepdims=True), 0.0)
    if kind == "grpo":
        above /= r.std(1, ddof=1, keepdims=True) + EPSILON
    elif kind == "batch":
        above /= r.std(ddof=1) + EPSILON
    elif kind == "leave_one_out":
        above *= r.shape[1] / (r.shape[1] - 1)
    return above


def of_groups(groups: Sequence[Sequence[float]], kind: Kind = "grpo") -> list[NDArray[np.float64]]:
    """The same for groups of different sizes, of which rollouts were dropped. An answer that is alone gets 0."""
    own: Kind = "dr_grpo" if kind == "batch" else kind
    above = [advantages([group], own)[0] if len(group) > 1 else np.zeros(len(group)) for group in groups]
    if kind == "batch":
        spread = np.concatenate([np.asarray(group, np.float64) for group in groups]).std(ddof=1) + EPSILON
        above = [a / spread for a in above]
    return above


def has_signal(rewards: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[groups] whether the answers of a group differ in reward at all. By comparison: a mean is rounded."""
    differ: NDArray[np.bool_] = np.any(rewards != rewards[:, :1], axis=1)
    return differ
