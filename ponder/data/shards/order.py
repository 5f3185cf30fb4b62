"""Which pieces a step reads: an order that a seed fixes, cut into steps of about equally many ids.

A step is a function of its number alone. So there is no cursor to keep, and any number of processes may share a step.
A piece that is read r times has its places spread evenly over the whole stage: copy k lies at a random place between
k/r and (k+1)/r of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.data.shards.mix import Mix
from ponder.data.shards.read import Pieces
from ponder.data.shards.write import Group

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """pieces: of all steps. order: their numbers, one after the other. bounds: [steps + 1], step s reads
    order[bounds[s] : bounds[s + 1]]."""

    pieces: Pieces
    order: Numbers
    bounds: Numbers

    @classmethod
    def of(
        cls, pieces: Pieces, groups: Sequence[Group], mix: Mix, *, steps: int, batch: int, longest: int, seed: int
    ) -> "Reading":
        """batch: ids of a step, about. longest: ids of a sequence. Raises UserError where the mixture cannot be."""
        if not len(pieces.length):
            raise UserError("the text is empty: there is nothing to learn from", param="text")
        repeats = mix.repeats(pieces, groups, steps * batch, longest)
        order = _spread(repeats, seed)
        if not len(order):
            order = np.argsort(-repeats, kind="stable")[:1]  # a budget smaller than any piece
        sizes = pieces.length[order]
        rounds = -(-(steps * batch + longest) // int(sizes.sum()))  # a draw may fall short of the budget by a little
        order = np.tile(order, max(rounds, -(-steps // len(order))))
        ends = np.cumsum(pieces.length[order])
        wanted = np.searchsorted(ends, batch * np.arange(1, steps + 1)) + 1
        least = np.arange(steps)  # a step reads one piece, at least
        bounds = np.maximum.accumulate(wanted - least) + least
        if bounds[-1] > len(order):  # every piece is longer than a step
            order = np.tile(order, -(-int(bounds[-1]) // len(order)))
        return cls(pieces, order, np.concatenate([[0], bounds]))

    def step(self, number: int) -> Numbers:
        """Numbers of pieces."""
        return self.order[self.bounds[number] : self.bounds[number + 1]]


def _spread(repeats: NDArray[np.float64], seed: int) -> Numbers:
    numbers, places = [], []
    for copy in range(int(np.ceil(repeats.max(initial=0.0)))):
        place = copy + np.random.default_rng([seed, copy]).random(len(repeats))
        number = np.flatnonzero(place < repeats)
        numbers.append(number)
        places.append(place[number] / repeats[number])
    if not numbers:
        return np.zeros(0, np.int64)
    return np.concatenate(numbers)[np.argsort(np.concatenate(places), kind="stable")]
