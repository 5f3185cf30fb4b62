"""Advantages and normalisations by hand."""

import numpy as np
import pytest

from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.train.rollouts.advantage import Kind, advantages, has_signal
from ponder.train.weights import kind_of, normalise


@pytest.mark.parametrize("kind", ["grpo", "batch", "dr_grpo", "leave_one_out"])
def test_equal_rewards_have_no_advantage(kind: Kind) -> None:
    got = advantages([[0.1] * 3, [1.0, 0.0, 1.0]], kind)
    assert (got[0] == 0).all() and (got[1] != 0).all()
    assert has_signal(np.array([[0.1] * 3, [1.0, 0.0, 1.0]])).tolist() == [False, True]


def test_by_hand() -> None:
    rewards = [[1.0, 0.0, 0.0, 0.0]]
    np.testing.assert_allclose(advantages(rewards, "dr_grpo"), [[0.75, -0.25, -0.25, -0.25]])
    np.testing.assert_allclose(advantages(rewards, "leave_one_out"), [[1.0, -1 / 3, -1 / 3, -1 / 3]])
    np.testing.assert_allclose(advantages(rewards, "grpo"), [[0.75 / 0.5001, *[-0.25 / 0.5001] * 3]])
    both = advantages([[1.0, 0.0], [0.0, 0.0]], "batch")  # deviation of 1, 0, 0, 0
    np.testing.assert_allclose(both, [[0.5 / 0.5001, -0.5 / 0.5001], [0, 0]])


@pytest.mark.parametrize("bad", [[[1.0], [0.0]], [1.0, 0.0], [[1.0, float("nan")]]])
def test_what_cannot_be_compared_is_refused(bad: list[object]) -> None:
    with pytest.raises(UserError):
        advantages(bad)


def test_normalisations_by_hand() -> None:
    """Two sequences of 1 and 3 ids: a token counts the same, a sequence counts the same, or all by a constant."""
    samples = [Sample.of([1, 2], rl=1.0), Sample.of([1, 2, 3, 4], rl=1.0, ce=[0, 0, 0, 1])]
    token, sequence = normalise(samples, "token"), normalise(samples, "sequence")
    constant = normalise(samples, "constant", length=5)
    assert [s.rl[1] for s in token] == [0.25, 0.25]
    assert [s.rl[1] for s in sequence] == pytest.approx([1 / 2, 1 / 6])
    assert [s.rl[1] for s in constant] == pytest.approx([1 / 10, 1 / 10])
    assert token[1].ce.tolist() == sequence[1].ce.tolist() == [0, 0, 0, 1]  # each stream by itself


def test_names() -> None:
    assert [kind_of(n) for n in ("dapo", "bnpo", "grpo", "dr_grpo", "token")] == [
        "token", "token", "sequence", "constant", "token",
    ]  # fmt: skip
    with pytest.raises(UserError, match="no normalisation is called 'mean'"):
        kind_of("mean")
    with pytest.raises(UserError, match="only there"):
        normalise([Sample.of([1, 2], ce=1.0)], "token", length=3)
