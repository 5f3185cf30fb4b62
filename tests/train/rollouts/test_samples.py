"""Rollouts become samples: ids as drawn, weights where the model wrote, log-probs as reported."""

import numpy as np
import pytest

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.sample import Continuation, Problem, Rollout, Verdict
from ponder.train.rollouts.samples import samples_of

PROBLEM = Problem(id="1", task="letters", split="train", messages=(Message.user("?"),))
DRAWN = Continuation(
    ids=(7, 8, 9, 10),
    writers=("model", "hand_over", "environment", "model"),
    logprobs=(-0.5, 0.0, 0.0, -1.5),
    finish="stop",
)
CUT = Continuation(ids=(7,), writers=("model",), logprobs=(-0.5,), finish="length")


def rollout(said: Continuation, reward: float) -> Rollout:
    verdict = Verdict(reward=reward, ok=reward == 1, status="graded" if said.finish == "stop" else "truncated")
    return Rollout(problem=PROBLEM, prompt_ids=(1, 2), continuation=said, verdict=verdict)


def test_streams_of_a_rollout() -> None:
    right, _ = samples_of([[rollout(DRAWN, 1.0), rollout(CUT, 0.0)]], kind="dr_grpo")
    assert right.ids.tolist() == [1, 2, 7, 8, 9, 10]
    assert right.rl.tolist() == [0, 0, 1, 0, 0, 1]
    assert right.advantage.tolist() == [0, 0, 0.5, 0, 0, 0.5]
    np.testing.assert_array_equal(right.behaviour, np.float32([0, 0, -0.5, 0, 0, -1.5]))


def test_a_truncated_answer_counts_in_the_mean_and_is_learned_from_only_if_kept() -> None:
    group = [rollout(DRAWN, 1.0), rollout(CUT, 0.0)]
    kept, left_out = samples_of([group], kind="dr_grpo"), samples_of([group], kind="dr_grpo", truncated="leave_out")
    assert len(kept) == 2 and kept[1].advantage.tolist() == [0, 0, -0.5]
    assert len(left_out) == 1 and left_out[0].advantage[2] == 0.5


def test_what_cannot_be_learned_from_is_refused() -> None:
    ungraded = Rollout(problem=PROBLEM, prompt_ids=(1,), continuation=DRAWN)
    silent = Continuation(ids=(7,), writers=("model",), finish="stop")
    for group, said in (
        ([ungraded, ungraded], "never graded"),
        ([rollout(silent, 1.0), rollout(silent, 0.0)], "has no log-probs"),
        ([rollout(DRAWN, 1.0)], "2 or more a problem"),
    ):
        with pytest.raises(UserError, match=said):
            samples_of([group])


def test_a_group_that_lost_a_rollout_is_compared_by_itself() -> None:
    right, wrong = rollout(DRAWN, 1.0), rollout(CUT, 0.0)
    found = samples_of([[right, wrong, wrong], [right, wrong]], kind="dr_grpo")
    np.testing.assert_allclose([s.advantage[2] for s in found], [2 / 3, -1 / 3, -1 / 3, 1 / 2, -1 / 2], rtol=1e-6)
