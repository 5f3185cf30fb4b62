"""Normalisation by name, written into the streams: the loss of a step is then a plain sum over its samples.

The weights that come in are relative, mostly a mask of zeros and ones. Each stream is normalised by itself, over the
samples of one whole optimiser step, so that neither micro-batches nor padding nor processes can change it.

| kind | an id of sequence i weighs | TRL's name |
|---|---|---|
| token | w / sum of all w | dapo, bnpo, cispo (bnpo over a micro-batch there) |
| sequence | w / sum of w in i / number of sequences | grpo |
| constant | w / length / number of sequences | dr_grpo |
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ponder.core.errors import UserError
from ponder.core.sample import Floats, Sample

Kind = Literal["token", "sequence", "constant"]
TRL: dict[str, Kind] = {
    "dapo": "token",
    "bnpo": "token",
    "cispo": "token",
    "grpo": "sequence",
    "dr_grpo": "constant",
}
WEIGHTS = ("ce", "rl", "kl")


def kind_of(name: str) -> Kind:
    """One of our three names, or TRL's for the same."""
    for kind in ("token", "sequence", "constant"):
        if name == kind:
            return kind
    if name not in TRL:
        raise UserError(
            f"no normalisation is called {name!r}; take token, sequence or constant, or TRL's {', '.join(TRL)}",
            param="normalisation",
        )
    return TRL[name]


def normalise(samples: Sequence[Sample], kind: Kind, *, length: int | None = None) -> list[Sample]:
    """All samples of one step. length: the constant of "constant", mostly the longest completion allowed.

    The number of sequences counts those with any weight in the stream, so that samples of several stages may share
    a step.
    """
    if (kind == "constant") != (length is not None):
        raise UserError('a length belongs to the normalisation "constant", and only there', param="length")
    divisors = {name: _divisors([s.__dict__[name] for s in samples], kind, length) for name in WEIGHTS}
    return [
        replace(sample, **{name: (sample.__dict__[name] / divisors[name][i]).astype(np.float32) for name in WEIGHTS})
        for i, sample in enumerate(samples)
    ]


def _divisors(streams: list[Floats], kind: Kind, length: int | None) -> list[float]:
    sums = [float(w.sum(dtype=np.float64)) for w in streams]
    sequences = sum(s > 0 for s in sums)
    if kind == "token":
        return [sum(sums) or 1.0] * len(sums)
    if kind == "sequence":
        return [s * sequences or 1.0 for s in sums]
    assert length is not None
    return [float(length * sequences) or 1.0] * len(sums)
