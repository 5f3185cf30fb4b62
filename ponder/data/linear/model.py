"""Softmax regression, learned one text at a time."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ponder.data.linear.grams import Grams

Floats = NDArray[np.float32]


class Example(NamedTuple):
    grams: Grams
    label: int
    """The number of its class."""


class Linear:
    def __init__(self, weights: Floats, bias: Floats) -> None:
        """weights: (buckets, classes)."""
        self.weights, self.bias = weights, bias

    @classmethod
    def zeros(cls, bits: int, classes: int) -> "Linear":
        return cls(np.zeros((1 << bits, classes), np.float32), np.zeros(classes, np.float32))

    def probabilities(self, grams: Grams) -> Floats:
        return softmax(grams.values @ self.weights[grams.buckets] + self.bias)

    def learn(self, examples: Iterable[Example], count: int, rate: float) -> float:
        """One pass over `count` examples, the rate falling to zero; the mean loss. A bucket that has seen little
        moves fast, one that has seen much slowly (Adagrad, with one number a bucket)."""
        seen = np.full(len(self.weights), 1e-3, np.float32)
        loss = 0.0
        for n, (grams, label) in enumerate(examples):
            error = self.probabilities(grams)
            loss -= float(np.log(max(float(error[label]), 1e-30)))
            error[label] -= 1
            seen[grams.buckets] += grams.values**2 * np.float32(error @ error)
            step = np.float32(rate * (1 - n / count)) * grams.values / np.sqrt(seen[grams.buckets])
            self.weights[grams.buckets] -= step[:, None] * error
        return loss / max(count, 1)


def softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max())
    out: Floats = raised / raised.sum()
    return out
