"""Groups without signal are dropped or replaced, and counted; a run without any stops and says what to do."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from ponder.core.errors import UserError
from ponder.core.sample import Continuation, Rollout, Sample, Verdict
from ponder.model.torch.modules import Decoder
from ponder.train.rollouts.groups import DRY, REFILLS, GroupSource, advice
from ponder.train.rollouts.reference import with_reference
from tests.train.thinker import Digit, logprobs
from tests.train.tiny import model, samples

SAID = Continuation(ids=(1, 2), writers=("model", "model"), logprobs=(-1.0, -1.0), finish="stop")


def group(*rewards: float, level: int = 0) -> list[Rollout]:
    problem = replace(Digit().problem("0001", 0, "train"), level=level)
    return [
        Rollout(problem=problem, prompt_ids=(1,), continuation=SAID).graded(Verdict(reward=r, ok=r == 1))
        for r in rewards
    ]


def draws(*turns: Sequence[list[Rollout]]) -> tuple[Callable[[int, int, int], Sequence[list[Rollout]]], list[int]]:
    asked: list[int] = []

    def draw(step: int, turn: int, count: int) -> Sequence[list[Rollout]]:
        asked.append(count)
        return turns[min(len(asked), len(turns)) - 1]

    return draw, asked


def test_dropped_groups_are_counted() -> None:
    draw, asked = draws([group(0, 1), group(1, 1), group(0, 0), group(0.5, 0.5)])
    kept, metrics = GroupSource(draw, 4, "drop").collect(0)
    assert len(kept) == 1 and asked == [4]
    assert metrics["no_signal"] == 0.75 and metrics["reward"] == 0.5 and metrics["accuracy"] == 3 / 8


def test_refilled_until_there_are_enough_but_not_for_ever() -> None:
    draw, asked = draws([group(0, 1), group(1, 1)], [group(0, 0)], [group(1, 0)])
    kept, metrics = GroupSource(draw, 2, "refill").collect(0)
    assert len(kept) == 2 and asked == [2, 1, 1] and metrics["no_signal"] == 0.5
    draw, asked = draws([group(0, 1), group(1, 1)], [group(0, 0)])
    kept, _ = GroupSource(draw, 2, "refill").collect(0)
    assert len(kept) == 1 and len(asked) == REFILLS


def test_ten_draws_without_signal_stop_the_run_over_steps_too() -> None:
    dry = [group(1, 1, level=0), group(0, 0, level=3)]
    draw, asked = draws(dry)
    with pytest.raises(UserError, match=r"take higher levels than digit 0; take lower levels than digit 3") as error:
        GroupSource(draw, 2, "drop").collect(0)
    assert len(asked) == DRY and error.value.code == "no_signal"
    draw, asked = draws(dry, dry, [group(0, 1)], dry)
    source = GroupSource(draw, 2, "drop")
    source.collect(0)
    with pytest.raises(UserError):
        source.collect(1)
    assert len(asked) == 3 + DRY, "a signal starts the count anew"


def test_equal_rewards_in_between_ask_for_a_larger_group() -> None:
    assert "take a larger group" in advice({("digit", 0): 0.5})


def test_reference_log_probs_are_those_of_the_reference() -> None:
    torch.set_num_threads(1)
    reference = Decoder(model(seed=3))
    given = [replace(s, reference=None) for s in samples([5, 9, 2, 30])]
    for scored, sample in zip(with_reference(given, reference, 16), given, strict=True):
        assert isinstance(scored, Sample) and scored.reference is not None and scored.reference[0] == 0
        np.testing.assert_array_equal(scored.ids, sample.ids)
        expected = logprobs(reference, sample.ids.tolist(), len(sample) - 1)
        np.testing.assert_allclose(scored.reference[1:], expected, atol=1e-5)
