"""Rollouts become samples: which ids are learned from, with what advantage, under which log-probs."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from ponder.core.errors import UserError
from ponder.core.sample import Rollout, Sample
from ponder.train.rollouts import advantage


def samples_of(
    groups: Sequence[Sequence[Rollout]],
    *,
    kind: advantage.Kind = "grpo",
    truncated: Literal["keep", "leave_out"] = "keep",
    reward: "Callable[[Rollout], float] | None" = None,
) -> list[Sample]:
    """groups: each the answers to one problem. Weights are 1 where the model wrote and 0 elsewhere: see
    `weights.normalise`.

    truncated: what an answer cut at the token limit does. "keep": it counts with its reward, and it always counts in
    the mean of its group; "leave_out": nothing is learned from it (TRL's mask_truncated_completions).
    reward: in place of the verdict's, such as `overlong`. An episode of several stretches makes a sample of each.
    """
    reward = reward or _reward
    if max(map(len, groups), default=0) < 2:
        raise UserError("advantages compare the answers of one group: give 2 or more a problem", param="group_size")
    above = advantage.of_groups([[reward(r) for r in group] for group in groups], kind)
    return [
        sample_of(stretch, float(a))
        for group, row in zip(groups, above, strict=True)
        for rollout, a in zip(group, row, strict=True)
        for stretch in rollout.stretches
        if "model" in stretch.continuation.writers
        and not (truncated == "leave_out" and rollout.continuation.finish == "length")
    ]


def sample_of(rollout: Rollout, advantage: float) -> Sample:
    said, prompt = rollout.continuation, len(rollout.prompt_ids)
    if said.logprobs is None:
        raise UserError(
            f"the rollout of problem {rollout.problem.id} has no log-probs; reinforcement learning needs an engine "
            "that reports those of the ids it draws",
            param="logprobs",
        )
    own = np.array([w == "model" for w in said.writers], np.float32)
    before = np.zeros(prompt, np.float32)
    return Sample.of(
        [*rollout.prompt_ids, *said.ids],
        rl=np.concatenate([before, own]),
        advantage=np.concatenate([before, own * np.float32(advantage)]),
        behaviour=np.concatenate([before, np.minimum(np.array(said.logprobs, np.float32), 0)]),
    )


def overlong(rollout: Rollout, most: int, room: int) -> float:
    """The reward, less what an answer takes of the last `room` of the `most` ids that it may have (DAPO): 1 less at the
    limit."""
    return _reward(rollout) - max(0.0, (len(rollout.continuation.ids) - (most - room)) / room)


def _reward(rollout: Rollout) -> float:
    if rollout.verdict is None:
        raise UserError(f"the rollout of problem {rollout.problem.id} was never graded", param="verdict")
    return rollout.verdict.reward
