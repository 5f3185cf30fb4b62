"""Learns an annotator from labelled documents, and tells how well it agrees with the teacher where it never looked."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ponder.core.errors import UserError
from ponder.data.label.annotator import BITS, Annotator, chosen, features
from ponder.data.label.labels import VALUES, Labels
from ponder.data.linear.grams import Grams
from ponder.data.linear.model import Example, Linear

PASSES, RATE = 12, 0.3
FEWEST = 20
"""Labelled documents from which anything can be learned."""


class Agreement(NamedTuple):
    """Of a label, on documents that were held out."""

    label: str
    documents: int
    right: float
    """Share in which annotator and teacher say the same."""
    usual: float
    """That share for one who always says what is said most often."""
    kappa: float
    """Cohen's, 0 for chance, 1 for perfect; numbers are weighed by the square of how far they are apart."""


def learn(labelled: Iterable[tuple[str, Labels]], seed: int = 0) -> tuple[Annotator, list[Agreement]]:
    """labelled: (text, its labels). A fifth, by the hash of the text, is held out. Raises UserError for too few."""
    train: list[tuple[Grams, dict[str, str | float]]] = []
    held_out: list[tuple[Grams, dict[str, str | float]]] = []
    for text, labels in labelled:
        aside = hashlib.sha256(text.encode()).digest()[0] < 51
        (held_out if aside else train).append((features(text), labels.of_document()))
    if len(train) < FEWEST or not held_out:
        raise UserError(
            f"{len(train) + len(held_out)} labelled documents are too few to learn from: take a larger --sample",
            param="sample",
        )
    heads = {}
    for name, values in VALUES.items():
        head, rng = Linear.zeros(BITS, len(values)), random.Random(seed)
        examples = [Example(grams, values.index(labels[name])) for grams, labels in train]
        for n in range(PASSES):
            rng.shuffle(examples)
            head.learn(examples, len(examples), RATE / (n + 1))
        heads[name] = head
    return Annotator.of(heads), [_agreement(name, head, held_out) for name, head in heads.items()]


def _agreement(name: str, head: Linear, held_out: Sequence[tuple[Grams, dict[str, str | float]]]) -> Agreement:
    values = VALUES[name]
    said = [labels[name] for _, labels in held_out]
    guessed = [chosen(values, head.probabilities(grams)) for grams, _ in held_out]
    n = len(said)
    return Agreement(name, n, sum(a == b for a, b in zip(said, guessed)) / n, Counter(said).most_common(1)[0][1] / n,
                     kappa(said, guessed, values))  # fmt: skip


def kappa(a: Sequence[str | float], b: Sequence[str | float], values: Sequence[str | float]) -> float:
    """1 where both always say the same one value: there is nothing to disagree about."""
    numbers = {value: n for n, value in enumerate(values)}
    both = np.zeros((len(values), len(values)))
    for x, y in zip(a, b, strict=True):
        both[numbers[x], numbers[y]] += 1
    far = np.abs(np.subtract.outer(np.arange(len(values)), np.arange(len(values)))).astype(float) ** 2
    if isinstance(values[0], str):
        far = (far > 0).astype(float)
    chance = np.outer(both.sum(1), both.sum(0)) / max(both.sum(), 1)
    return 1.0 if not (far * chance).sum() else float(1 - (far * both).sum() / (far * chance).sum())
