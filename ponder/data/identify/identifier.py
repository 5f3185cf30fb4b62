"""From a text to its language."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ponder.core.atomic import replacing
from ponder.data.linear.grams import Grams, grams
from ponder.data.linear.model import Floats, softmax
from ponder.data.steps.characters import words_apart

LONGEST, BITS = 5, 17
SPARSE = 0.12
"""Weights are kept in steps of this: most become 0, and the file small."""
PIECES, PIECE = 3, 200
"""Of a long text so many pieces of so many characters are looked at."""


class Guess(NamedTuple):
    language: str
    """FLORES-200 code; empty for a text without letters."""
    probability: float


class Identifier:
    def __init__(self, codes: Sequence[str], weights: NDArray[np.int8], bias: Floats, step: float) -> None:
        self.codes = tuple(codes)
        self.numbers = {code: n for n, code in enumerate(self.codes)}
        self._weights, self._bias, self._step = weights, bias, np.float32(step)

    def identity(self) -> str:
        """Another for a model that says anything else."""
        return hashlib.sha256(self._weights.tobytes() + self._bias.tobytes() + self._step.tobytes()).hexdigest()

    @classmethod
    @cache
    def packaged(cls) -> "Identifier":
        with as_file(files("ponder.data.identify").joinpath("languages.npz")) as path:
            return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> "Identifier":
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["codes"].tolist(), arrays["weights"], arrays["bias"], float(arrays["step"]))

    @classmethod
    def quantised(cls, codes: Sequence[str], weights: Floats, bias: Floats) -> "Identifier":
        return cls(codes, np.clip(np.rint(weights / SPARSE), -127, 127).astype(np.int8), bias, SPARSE)

    def save(self, path: Path) -> None:
        with replacing(path) as file:
            np.savez_compressed(
                file, codes=np.array(self.codes), weights=self._weights, bias=self._bias, step=self._step
            )

    def guess(self, text: str) -> Guess:
        found = self.probabilities(text)
        if found is None:
            return Guess("", 0.0)
        best = int(found.argmax())
        return Guess(self.codes[best], float(found[best]))

    def probabilities(self, text: str) -> Floats | None:
        """Of each of `codes`; None for a text without letters."""
        found = self.scores(text)
        return None if found is None else softmax(found)

    def scores(self, text: str) -> Floats | None:
        """The logarithms of probabilities, but for a constant; None for a text without letters."""
        found = features(_some(text))
        if len(found.buckets) <= 1:
            return None
        scores: Floats = found.values @ self._weights[found.buckets] * self._step + self._bias
        return scores

    def scaled(self, factor: float) -> "Identifier":
        """The same guesses, with probabilities further from (above 1) or nearer to each other."""
        bias: Floats = self._bias * np.float32(factor)
        return Identifier(self.codes, self._weights, bias, float(self._step) * factor)


def features(text: str) -> Grams:
    """Letters alone, so that neither digits nor markup say anything."""
    return grams(words_apart(text, "LM"), LONGEST, BITS)


def _some(text: str) -> str:
    if len(text) <= PIECES * PIECE:
        return text
    apart = (len(text) - PIECE) // (PIECES - 1)
    return "\n".join(text[n * apart : n * apart + PIECE] for n in range(PIECES))
