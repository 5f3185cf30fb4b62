"""Penalties and bias on the logits of the answer (RS-5). They never see the thoughts.

In this order: repetition penalty (a logit of an id in prompt or answer is divided by it, below zero multiplied, as in
transformers), presence and frequency penalty (subtracted once, and once per occurrence in the answer, as in OpenAI's
API), logit bias (added).
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ponder.core.params import SamplingParams
from ponder.engine.sampler import Floats


class Penalties:
    """`add` each id of the answer, `apply` before each draw of the answer."""

    def __init__(self, sampling: SamplingParams, prompt_ids: Sequence[int], vocab: int) -> None:
        assert sampling.repetition_penalty is not None
        assert sampling.presence_penalty is not None and sampling.frequency_penalty is not None
        self._repetition = sampling.repetition_penalty
        self._presence = sampling.presence_penalty
        self._frequency = sampling.frequency_penalty
        self._counts: dict[int, int] = {}
        self._seen = np.zeros(vocab if self._repetition != 1 else 0, np.bool_)  # [vocab] in prompt or answer
        if self._repetition != 1:
            self._seen[_ids(i for i in prompt_ids if i < vocab)] = True
        self._bias_ids = _ids(sampling.logit_bias)
        self._bias = np.array(list(sampling.logit_bias.values()), np.float32)
        self.active = bool(self._repetition != 1 or self._presence or self._frequency or sampling.logit_bias)

    def add(self, id_: int) -> None:
        if self.active:
            self._counts[id_] = self._counts.get(id_, 0) + 1
        if self._repetition != 1:
            self._seen[id_] = True

    def apply(self, logits: Floats) -> None:
        """Change logits [V] in place."""
        if self._repetition != 1:
            ids = np.flatnonzero(self._seen)
            values = logits[ids]
            logits[ids] = np.where(values > 0, values / self._repetition, values * self._repetition)
        if self._counts and (self._presence or self._frequency):
            counts = np.fromiter(self._counts.values(), np.float32, len(self._counts))
            logits[_ids(self._counts)] -= self._presence + self._frequency * counts
        logits[self._bias_ids] += self._bias


def _ids(ids: Iterable[int]) -> NDArray[np.int64]:
    return np.array(list(ids), np.int64)
