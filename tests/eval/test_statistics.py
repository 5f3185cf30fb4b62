"""Estimates against hand numbers, exact intervals and what theory says."""

import math

import numpy as np
import pytest

from ponder.eval.statistics import bootstrap_means, estimate, majority, pass_at_k


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(0, 5, 3) == 0 and pass_at_k(5, 5, 1) == 1
    assert pass_at_k(2, 4, 1) == 0.5
    assert pass_at_k(2, 4, 2) == pytest.approx(1 - 1 / 6)  # one of six pairs holds no right one
    assert pass_at_k(1, 10, 10) == 1
    assert pass_at_k(3, 200, 100) == pytest.approx(1 - math.comb(197, 100) / math.comb(200, 100))


@pytest.mark.parametrize("right", [0, 1, 3, 7])
def test_pass_at_k_is_the_mean_over_all_draws(right: int) -> None:
    rng = np.random.default_rng(0)
    answers = np.arange(7) < right
    drawn = np.mean([rng.permutation(answers)[:3].any() for _ in range(20_000)])
    assert pass_at_k(right, 7, 3) == pytest.approx(drawn, abs=0.012)


def test_majority_by_hand() -> None:
    assert majority(["3", "3", "4"], "3") == 1
    assert majority(["3", "4", "4"], "3") == 0
    assert majority(["3", "4"], "3") == 0.5
    assert majority(["3", None, None, None], "3") == 1  # what cannot be read does not vote
    assert majority([None, None], "3") == 0
    assert majority(["1", "2", "3"], "2") == pytest.approx(1 / 3)


def test_the_interval_is_that_of_the_binomial() -> None:
    """For shares the bootstrap's percentiles approach those of the binomial: 60 of 200 has 0.24 and 0.365."""
    found = estimate([1.0] * 60 + [0.0] * 140)
    assert found.value == 0.3 and found.n == 200
    deviation = math.sqrt(0.3 * 0.7 / 200)
    assert found.low == pytest.approx(0.3 - 1.96 * deviation, abs=0.01)
    assert found.high == pytest.approx(0.3 + 1.96 * deviation, abs=0.01)


def test_the_mean_of_a_small_set_has_all_its_draws() -> None:
    """Two values: the means are 0, 1/2 and 1 with 1/4, 1/2, 1/4."""
    means = bootstrap_means(np.array([0.0, 1.0]), seed=3)
    shares = [np.mean(means == m) for m in (0, 0.5, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_many_values_are_drawn_in_parts_that_are_all_there() -> None:
    means = bootstrap_means(np.linspace(0, 1, 3000), seed=0)
    assert len(means) == 4000 and means.std() == pytest.approx(math.sqrt(1 / 12 / 3000), rel=0.05)


def test_equal_values_get_the_exact_bound() -> None:
    """10 of 10: Clopper and Pearson's lower end is 0.6915; 0 of 10 the mirror image."""
    assert estimate([1.0] * 10).low == pytest.approx(0.6915, abs=1e-4)
    assert estimate([1.0] * 10).high == 1
    assert estimate([0.0] * 10).high == pytest.approx(1 - 0.6915, abs=1e-4)
    assert estimate([0.5] * 4).low == estimate([0.5] * 4).high == 0.5
    assert estimate([]).value is None


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = [(e := estimate(rng.random(80) < 0.7)).low <= 0.7 <= e.high for _ in range(300)]
    assert 0.91 <= np.mean(held) <= 0.98


def test_the_same_values_give_the_same_interval() -> None:
    assert estimate([0.0, 1.0, 1.0]) == estimate([0.0, 1.0, 1.0])
