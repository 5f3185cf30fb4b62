"""A text as hashed n-grams of its characters: what every linear model of `ponder data` looks at."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ponder.data.steps.characters import Points


class Grams(NamedTuple):
    buckets: NDArray[np.int64]
    """Each once, in rising order."""
    values: NDArray[np.float32]
    """How much each counts: the root of how often it stands there; their squares add up to 1."""


def grams(points: Points, longest: int, bits: int) -> Grams:
    """n-grams of 1 to `longest` characters in 2**bits buckets."""
    hashes = np.zeros(len(points), np.uint32)
    found = []
    for n in range(min(longest, len(points))):
        hashes = (hashes[: len(points) - n] * np.uint32(0x01000193)) ^ (points[n:] + np.uint32(n << 24))
        found.append((hashes * np.uint32(0x9E3779B1)) >> np.uint32(32 - bits))
    buckets, counts = np.unique(np.concatenate(found or [np.zeros(0, np.uint32)]), return_counts=True)
    values = np.sqrt(counts / max(counts.sum(), 1))
    return Grams(buckets.astype(np.int64), values.astype(np.float32))
