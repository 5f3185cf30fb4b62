"""Draw the next ids of several sequences from their rows of logits, each by the rule of its own sequence.

    rule = SamplingRule(vocab=len(row), temperature=0.6, top_k=20, top_p=0.95, seed=7)
    [sampled] = sample(row[None], [rule], [position])

In C++ (csrc/sampling/sampler.cpp); `reference/sampling.py` is the same in numpy, readable. A sample inverts the
cumulative distribution at a number that is a function of (seed, choice, position) alone, so a seeded request gives
the same text alone and in any batch, one id at a time or several (DT-2).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ponder.kernels.extension import _native

Floats = NDArray[np.float32]
MASKED, NOT_NUMBERS = -1, -2  # instead of an id: every id is forbidden, or the logits are not numbers
UNUSABLE = "every id is masked, or the logits are not numbers"


class Sampled(Struct, frozen=True):
    """An id, and when asked for, its log-probability and the most likely alternatives under the model itself:
    before temperature, penalties, bias and masks, over all rows of the logits."""

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Penalties:
    """Repetition penalty (a logit of an id in prompt or answer is divided by it, below zero multiplied, as in
    transformers), presence and frequency penalty (subtracted once, and once per occurrence in the answer, as in
    OpenAI's API). `add` each id of the answer."""

    def __init__(self, repetition: float, presence: float, frequency: float, prompt: list[int]) -> None:
        self.repetition, self.presence, self.frequency = repetition, presence, frequency
        self.prompt = prompt if repetition != 1 else []
        self.added: list[int] = []
        self.native: Any = _native.Penalties(repetition, presence, frequency, self.prompt)

    def add(self, id_: int) -> None:
        self.added.append(id_)
        self.native.add(id_)


@dataclass(frozen=True, eq=False)
class SamplingRule:
    """How ids of one sequence are sampled. Made once for each phase of it, used for many samples.

    vocab: rows of the logits at or beyond belong to no id. temperature .. min_p: see core.params. seed, choice: of the
    random numbers. logprobs: how many alternatives to report, None for no log-probabilities at all.
    forbidden: never sampled. bias: added to logits. mask: one bit an id (1 allows it), uint8 [at least vocab / 8],
    little-endian bits; its owner rewrites it before each sample. fallback: ids that may come when nothing else may.
    exempt: an id whose own logit neither penalties, bias nor mask change; when it is the likeliest, it is sampled.
    ends: ids after which another rule may hold.
    """

    vocab: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    choice: int = 0
    logprobs: int | None = None
    forbidden: tuple[int, ...] = ()
    bias: dict[int, float] = field(default_factory=dict)
    penalties: Penalties | None = None
    mask: NDArray[np.uint8] | None = None
    fallback: tuple[int, ...] = ()
    exempt: int | None = None
    ends: frozenset[int] = frozenset()
    native: Any = field(init=False)

    def __post_init__(self) -> None:
        rule = _native.Rule(
            self.temperature, self.top_k, self.top_p, self.min_p, self.seed % (1 << 64), self.choice, self.vocab,
            -1 if self.logprobs is None else self.logprobs, -1 if self.exempt is None else self.exempt,
            list(self.forbidden), list(self.bias), list(self.bias.values()), list(self.fallback),
            None if self.penalties is None else self.penalties.native, self.mask,
        )  # fmt: skip
        object.__setattr__(self, "native", rule)

    @property
    def steady(self) -> bool:
        """Whether the rule is the same for the next id, whatever this one is (`ends` aside)."""
        return self.penalties is None and self.mask is None


def sample(logits: Floats, rules: list[SamplingRule], positions: list[int]) -> list[Sampled]:
    """One id for each row. logits: [R, V], C-contiguous; rows are changed. positions: [R], of the ids sampled.
    Where none can be drawn the id is MASKED or NOT_NUMBERS."""
    damaged = [bool(rule.fallback) and not _are_numbers(row[: rule.vocab]) for row, rule in zip(logits, rules)]
    drawn = _native.draw(logits, [rule.native for rule in rules], positions)
    return [
        Sampled(NOT_NUMBERS) if bad else _sampled(d, row, rule)
        for bad, d, row, rule in zip(damaged, drawn, logits, rules)
    ]


def _are_numbers(row: Floats) -> bool:
    """Asked where something may come when nothing else may: it must not hide that there was nothing to choose from."""
    best = row.max()  # with a NaN: NaN
    return bool(best < np.inf)


def _sampled(drawn: Any, row: Floats, rule: SamplingRule) -> Sampled:
    if drawn.id < 0:
        return Sampled(MASKED if row[: rule.vocab].max() == -np.inf else NOT_NUMBERS)  # a maximum with a NaN is NaN
    return Sampled(drawn.id) if rule.logprobs is None else Sampled(drawn.id, drawn.logprob, tuple(drawn.top))


def uniform(seed: int, choice: int, position: int) -> float:
    """A number in [0, 1) from Philox-4x64 with key (seed, choice) and counter (position, 0, 0, 0)."""
    return float(_native.uniform(seed % (1 << 64), choice, position))
