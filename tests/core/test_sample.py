"""core.sample: what its values refuse, each by name."""

from typing import Any

import numpy as np
import pytest

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.params import SamplingParams
from ponder.core.sample import Continuation, Problem, Rollout, Sample, Verdict
from ponder.core.token_model import TokenRequest

PROBLEM = Problem(id="1", task="letters", split="train", messages=(Message.user("How many r in strawberry?"),))
SAID = Continuation(ids=(5, 6), writers=("model", "hand_over"), logprobs=(-0.5, 0.0), finish="stop")


def test_a_rollout_is_graded_once_it_is_there() -> None:
    rollout = Rollout(problem=PROBLEM, prompt_ids=(1, 2), continuation=SAID)
    assert rollout.verdict is None
    graded = rollout.graded(Verdict(reward=1.0, ok=True, parts={"answer": 1.0}))
    assert graded.verdict is not None and graded.verdict.ok and graded.continuation is SAID


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Problem(id="", task="t", split="test", messages=PROBLEM.messages), "needs an id"),
        (lambda: Problem(id="1", task="t", split="test", messages=()), "no messages"),
        (lambda: Problem(id="1", task="t", split="test", level=-1, messages=PROBLEM.messages), "count from 0"),
        (lambda: Verdict(reward=1.5, ok=True), "between 0 and 1"),
        (lambda: Verdict(reward=float("nan"), ok=False), "between 0 and 1"),
        (lambda: Verdict(reward=0.0, ok=True, status="truncated"), "cannot be right"),
        (lambda: Continuation(ids=(1,), writers=(), finish="stop"), "1 writers"),
        (lambda: Continuation(ids=(1,), writers=("model",), logprobs=(), finish="stop"), "1 writers"),
        (lambda: Continuation(ids=(1,), writers=("model",), logprobs=(0.1,), finish="stop"), "0 or below"),
        (lambda: Continuation(ids=(1,), writers=("model",), thinking_tokens=2, finish="stop"), "2 thinking"),
        (lambda: Rollout(problem=PROBLEM, prompt_ids=(), continuation=SAID), "empty prompt"),
        (lambda: TokenRequest(prompt_ids=(), sampling=SamplingParams()), "no prompt"),
    ],
)
def test_bad_values_are_refused(make: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()


def test_a_number_fills_a_stream_but_for_the_first_id() -> None:
    sample = Sample.of([3, 4, 5], ce=0.5)
    assert sample.ce.tolist() == [0.0, 0.5, 0.5] and sample.rl.tolist() == [0.0] * 3
    assert len(sample) == 3 and sample.ce.dtype == np.float32


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        ({"ids": [1], "ce": 1.0}, "2 ids or more"),
        ({"ids": [1, -2], "ce": 1.0}, "0 or more"),
        ({"ids": [1, 2], "ce": [1.0, 1.0]}, "0 at id 0"),
        ({"ids": [1, 2], "ce": [0.0, -1.0]}, "below 0"),
        ({"ids": [1, 2], "ce": [0.0, 1.0, 1.0]}, "ce must be"),
        ({"ids": [1, 2], "ce": [0.0, np.nan]}, "ce is nan at id 1"),
        ({"ids": [1, 2]}, "teaches nothing"),
        ({"ids": [1, 2], "rl": 1.0, "behaviour": [0.0, 0.5]}, "behaviour holds log-probs"),
        ({"ids": [1, 2], "kl": 1.0, "teacher_ids": [[1], [2]]}, "belong together"),
        ({"ids": [1, 2], "kl": 1.0, "teacher_ids": [[1]], "teacher_logprobs": [[-1.0]]}, r"must be \[2, K\]"),
        ({"ids": [1, 2], "kl": 1.0, "teacher_ids": [[1, 2]] * 2, "teacher_logprobs": [[-0.1, -0.1]] * 2}, "over 1"),
        ({"ids": [1, 2], "kl": 1.0, "teacher_ids": [[1, 1]] * 2, "teacher_logprobs": [[-2.0, -2.0]] * 2}, "twice"),
    ],
)
def test_bad_streams_are_refused(streams: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Sample.of(streams.pop("ids"), **streams)
