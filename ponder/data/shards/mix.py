"""How often each document is read: weights of sources, languages and labels, limits, and more of small languages.

    [stage.mix]
    temperature = 0.7                        # of languages: 1 as they are, 0 all alike
    epochs = 4.0                             # how often a document is read, at most
    [stage.mix.language_epochs]
    swh_Latn = 8.0
    [stage.mix.weights]                      # relative; a document has the product of all that fit it
    "field:stem" = 3.0
    "educational:4.0" = 2.0
    "source:docs" = 0.5

A weight counts epochs, not shares: with 3 a document is read three times as often as one with 1, however many there are
of its kind. So a mixture can weigh each document by what is known about it, and not only by where it is from.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.data.sections import unknown
from ponder.data.shards.read import Pieces
from ponder.data.shards.write import Group

Floats = NDArray[np.float64]
MIDDLE = 8  # the shorter of long documents have an eighth of a sequence, at least


class Mix(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    weights: dict[str, float] = field(default_factory=dict)
    """By `source:NAME`, `language:CODE` or `LABEL:VALUE`; 0 leaves out."""
    temperature: float = 1.0
    """A language with the share p of the ids is read as if it had p to the power of this."""
    epochs: float | None = None
    language_epochs: dict[str, float] = field(default_factory=dict)
    """In place of `epochs`, by FLORES-200 code."""
    long: float | None = None
    """Only documents of an eighth of a sequence or more, this share of the ids from those of half of one or more. Qwen3
    has 0.75."""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 1:
            raise UserError(f"temperature is 0 to 1, not {self.temperature}", param="temperature")
        if any(not 0 <= w < float("inf") for w in self.weights.values()):
            raise UserError("weights are numbers from 0 on", param="weights")
        if any(e <= 0 for e in (*self.language_epochs.values(), 1 if self.epochs is None else self.epochs)):
            raise UserError("limits of epochs are above 0", param="epochs")
        if self.long is not None and not 0 <= self.long <= 1:
            raise UserError(f"long is a share: 0 to 1, not {self.long}", param="long")

    def repeats(self, pieces: Pieces, groups: Sequence[Group], budget: float, longest: int) -> Floats:
        """How often each piece is read on the way to `budget` ids. longest: ids of a sequence. Raises UserError where
        the limits leave too little, or a weight is of nothing that there is."""
        if self.long is None:
            return self._repeats(pieces, groups, budget)
        found = np.zeros(len(pieces.length))
        half, eighth = pieces.length * 2 >= longest, pieces.length * MIDDLE >= longest
        parts = (self.long, half, "half of"), (1 - self.long, eighth & ~half, "an eighth to half of")
        for share, which, words in parts:
            if share and not which.any():
                raise UserError(
                    f"no document has {words} a sequence of {longest} ids: take longer documents, or a shorter "
                    "sequence",
                    param="long",
                )
            found[which] = self._repeats(pieces.only(which), groups, share * budget) if share else 0
        return found

    def _repeats(self, pieces: Pieces, groups: Sequence[Group], budget: float) -> Floats:
        ids = np.bincount(pieces.group, pieces.length, len(groups)).astype(np.float64)  # [G]
        often: Floats = _filled(ids, self._weights(groups, ids), self._limits(groups), budget)[pieces.group]
        return often

    def _weights(self, groups: Sequence[Group], ids: Floats) -> Floats:
        known = {key for group in groups for key in group.names()}
        for key in self.weights:
            if key not in known:
                raise UserError(unknown("kind of document", key, sorted(known)), param="weights")
        own = [np.prod([self.weights.get(key, 1.0) for key in group.names()]) for group in groups]
        languages = [group.language for group in groups]
        of = {code: ids[[name == code for name in languages]].sum() for code in set(languages)}
        scale = [(of[code] / ids.sum()) ** (self.temperature - 1) if of[code] else 0.0 for code in languages]
        weights: Floats = np.array(own) * np.array(scale)
        return weights

    def _limits(self, groups: Sequence[Group]) -> Floats:
        usual = np.inf if self.epochs is None else self.epochs
        return np.array([self.language_epochs.get(group.language, usual) for group in groups])


def _filled(ids: Floats, weights: Floats, limits: Floats, budget: float) -> Floats:
    """Epochs of each group, in the ratio of the weights; who reaches its limit leaves the rest to the others."""
    often, open_ = np.zeros(len(ids)), (weights > 0) & (ids > 0)
    if not open_.any():
        raise UserError("all weights are 0: nothing is left to learn from", param="weights")
    left = budget
    while open_.any():
        scale = left / (weights * ids)[open_].sum()
        full = open_ & (weights * scale >= limits)
        if not full.any():
            often[open_] = weights[open_] * scale
            return often
        often[full] = limits[full]
        left = budget - (often * ids).sum()
        open_ &= ~full
    if left > 0.01 * budget:
        raise UserError(
            f"the limits of epochs leave {budget - left:,.0f} of {budget:,.0f} ids: take fewer steps, more text, or "
            "higher limits",
            param="epochs",
        )
    return often
