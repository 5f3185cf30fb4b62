"""Estimates with 95 % intervals, by drawing problems again.

Problems are what varies, not answers: 8 answers to one problem say less than 1 answer to each of 8. So every figure
is a mean over problems of a value of each, and the interval is the bootstrap's over problems (percentiles of 4,000
means). Where all problems have the same value the bootstrap has no width; there the exact bound of that many equal
outcomes stands (for n of n right, 0.025^(1/n) is the lower end).
"""

from collections import Counter
from collections.abc import Sequence
from math import comb

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 4000
OUTSIDE = 0.05  # of the means lie outside the interval
CHUNK = 1 << 22  # indices drawn at a time


class Estimate(Struct, frozen=True):
    """value: a share, or None where there is nothing to take it of. low, high: the interval. n: problems."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


def pass_at_k(right: int, samples: int, k: int) -> float:
    """The chance that k answers, drawn without putting back from `samples` of which `right` are right, hold a right
    one: 1 - C(samples - right, k) / C(samples, k)."""
    assert 0 <= right <= samples and 1 <= k <= samples
    return 1 - comb(samples - right, k) / comb(samples, k)


def majority(found: Sequence[str | None], right: str) -> float:
    """Whether the most frequent answer is the right one; answers that tie share the win. What is None does not vote."""
    votes = Counter(answer for answer in found if answer is not None)
    if not votes:
        return 0.0
    most = max(votes.values())
    best = [answer for answer, count in votes.items() if count == most]
    return (right in best) / len(best)


def estimate(values: ArrayLike, seed: int = 0) -> Estimate:
    """The mean over problems of values in [0, 1], with its interval."""
    given = np.asarray(values, np.float64)
    n = len(given)
    if n == 0:
        return Estimate(None)
    mean = float(given.mean())
    if (given == given[0]).all():
        low, high = (_bound(n) if mean == 1 else mean), (1 - _bound(n) if mean == 0 else mean)
        return Estimate(mean, low, high, n)
    low, high = np.quantile(bootstrap_means(given, seed), [OUTSIDE / 2, 1 - OUTSIDE / 2])
    return Estimate(mean, float(low), float(high), n)


def difference(values: ArrayLike, seed: int = 0) -> Estimate:
    """The mean of differences in [-1, 1] of n problems. Where none differs, the interval reaches as far as the share of
    differing problems may."""
    given = np.asarray(values, np.float64)
    n = len(given)
    if (given == given[0]).all():
        room, mean = 1 - _bound(n), float(given[0])
        return Estimate(mean, max(-1.0, mean - room), min(1.0, mean + room), n)
    low, high = np.quantile(bootstrap_means(given, seed), [OUTSIDE / 2, 1 - OUTSIDE / 2])
    return Estimate(float(given.mean()), float(low), float(high), n)


def bootstrap_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """[RESAMPLES] means of as many values, drawn with putting back."""
    rng, n = np.random.default_rng(seed), len(values)
    rows = max(1, CHUNK // n)
    parts = [
        values[rng.integers(0, n, (min(rows, RESAMPLES - start), n))].mean(1) for start in range(0, RESAMPLES, rows)
    ]
    return np.concatenate(parts)


def _bound(n: int) -> float:
    return float((OUTSIDE / 2) ** (1 / n))
