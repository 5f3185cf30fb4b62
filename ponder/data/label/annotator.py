"""A linear model of each label: it says of every document what the teacher would probably have said."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.label.labels import VALUES
from ponder.data.linear.grams import Grams, grams
from ponder.data.linear.model import Floats, Linear, softmax
from ponder.data.steps.characters import BLANK, PLANE, kinds, points_of

LONGEST, BITS = 5, 16
PIECES, PIECE = 3, 500
"""Of a long text so many pieces of so many characters are looked at."""

Values = tuple[str, ...] | tuple[float, ...]


class Annotator:
    def __init__(self, names: Sequence[str], weights: Floats, bias: Floats) -> None:
        """names: of labels; the classes of weights and bias are their VALUES, one label after the other."""
        self.names, self._weights, self._bias = tuple(names), weights, bias
        self._ends = np.cumsum([len(VALUES[name]) for name in names])[:-1]

    @classmethod
    def of(cls, heads: Mapping[str, Linear]) -> "Annotator":
        """heads: a model of each label."""
        weights = np.concatenate([head.weights for head in heads.values()], axis=1)
        return cls(tuple(heads), weights, np.concatenate([head.bias for head in heads.values()]))

    def labels(self, text: str) -> dict[str, str | float]:
        found = features(text)
        scores = np.split(found.values @ self._weights[found.buckets] + self._bias, self._ends)
        return {name: chosen(VALUES[name], softmax(each)) for name, each in zip(self.names, scores, strict=True)}

    def save(self, path: Path) -> None:
        values = json.dumps({name: VALUES[name] for name in self.names})
        with replacing(path) as file:
            np.savez_compressed(
                file, values=np.array(values), weights=self._weights.astype(np.float16), bias=self._bias
            )

    @classmethod
    def load(cls, path: Path) -> "Annotator":
        """Raises UserError for what is no annotator of these labels."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                values = json.loads(str(arrays["values"]))
                weights, bias = arrays["weights"].astype(np.float32), arrays["bias"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
            raise UserError(f"{path} is no annotator that `ponder data label` wrote: {e}", param="annotator") from e
        if any(list(VALUES.get(name, ())) != known for name, known in values.items()):
            raise UserError(f"{path} was made for other labels: make it again", param="annotator")
        return cls(tuple(values), weights, bias)


def chosen(values: Values, probabilities: Floats) -> str | float:
    """Of words the likeliest; of numbers the one next to the mean."""
    best = values[int(probabilities.argmax())]
    if isinstance(best, str):
        return best
    mean = float(probabilities @ np.array(values, np.float32))
    return min((float(value) for value in values), key=lambda value: abs(value - mean))


def features(text: str) -> Grams:
    """All characters count, since markup and symbols tell much here; digits are alike."""
    points = points_of(_some(text.lower()))
    kind = np.minimum(points, PLANE)
    points = np.where(kinds("N")[kind], np.uint32(ord("0")), points)
    blank = (points == BLANK) | (points == ord("\t"))
    return grams(points[~(blank & np.roll(blank, 1))], LONGEST, BITS)


def _some(text: str) -> str:
    if len(text) <= PIECES * PIECE:
        return text
    apart = (len(text) - PIECE) // (PIECES - 1)
    return "\n".join(text[n * apart : n * apart + PIECE] for n in range(PIECES))
