"""How rate, batch and loss follow from size and tokens: a law fitted to many small runs, kept with them.

    law = fit(runs)
    law.rate(parameters, tokens), law.batch(tokens), law.loss(parameters, tokens)

Runs of one size and one number of tokens differ in rate and batch. A parabola over the logarithm of each finds what
would have been best there; the law is a power of size and tokens through these optima, and for the loss Chinchilla's
sum of what no model can foresee, what this one is too small for and what it has not read: E + A N^-alpha + B D^-beta.
Parameters are those without embeddings that one id uses; a batch is ids of a step.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ponder.core.atomic import replacing
from ponder.core.errors import UserError

Floats = NDArray[np.float64]
POWERS = np.linspace(0.05, 1.5, 59)  # of size and tokens that are tried


class Run(Struct, frozen=True, kw_only=True):
    """What one training came to."""

    parameters: int
    tokens: int
    rate: float
    batch: int
    loss: float
    """Of text that it did not read, nats an id."""


class Law(Struct, frozen=True, kw_only=True):
    rate_of: tuple[float, float, float]
    """ln rate = a + b ln parameters + c ln tokens"""
    batch_of: tuple[float, float]
    """ln batch = a + b ln tokens"""
    loss_of: tuple[float, float, float, float, float]
    """E, A, alpha, B, beta"""
    error: float
    """Of the loss over the runs that it was fitted to: the largest, as a share."""
    runs: tuple[Run, ...]

    def rate(self, parameters: int, tokens: int) -> float:
        a, b, c = self.rate_of
        return float(np.exp(a + b * np.log(parameters) + c * np.log(tokens)))

    def batch(self, tokens: int) -> int:
        a, b = self.batch_of
        return max(1, round(float(np.exp(a + b * np.log(tokens)))))

    def loss(self, parameters: int, tokens: int) -> float:
        e, a, alpha, b, beta = self.loss_of
        return float(e + a * parameters**-alpha + b * tokens**-beta)

    def save(self, path: Path) -> None:
        with replacing(path) as file:
            file.write(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def read_law(path: Path) -> Law:
    """Raises UserError where there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Law)
    except (OSError, msgspec.DecodeError) as e:
        raise UserError(f"{path} holds no law: {e}. `ponder train ladder` makes one", param="law") from e


def fit(runs: Sequence[Run]) -> Law:
    """Raises UserError where the runs cannot tell size from tokens."""
    points: dict[tuple[int, int], list[Run]] = defaultdict(list)
    for run in runs:
        points[run.parameters, run.tokens].append(run)
    sizes, tokens = (np.log([point[i] for point in points]) for i in (0, 1))
    if len(set(sizes)) < 3 or len(set(tokens)) < 3 or len(points) < 5:
        raise UserError(
            f"a law needs five runs of three sizes and three numbers of tokens, and there are {len(points)} of "
            f"{len(set(sizes))} and {len(set(tokens))}",
            param="ladder",
        )
    best = [best_of(own) for own in points.values()]
    ones = np.ones(len(points))
    rate_of = _line(np.stack([ones, sizes, tokens], 1), np.log([b.rate for b in best]))
    batch_of = _line(np.stack([ones, tokens], 1), np.log([b.batch for b in best]))
    losses = np.array([b.loss for b in best])
    loss_of = _losses(sizes, tokens, losses)
    law = Law(rate_of=rate_of, batch_of=batch_of, loss_of=loss_of, error=0.0, runs=tuple(runs))  # type: ignore[arg-type]
    error = max(abs(law.loss(n, d) / loss - 1) for (n, d), loss in zip(points, losses, strict=True))
    return msgspec.structs.replace(law, error=float(error))


def best_of(runs: Sequence[Run]) -> Run:
    """Of one size and one number of tokens: the rate and the batch at the bottom of the parabolas through the runs that
    share the best one's batch, and its rate; the loss is the lowest that was measured."""
    best = min(runs, key=lambda run: run.loss)
    rate = bottom([(run.rate, run.loss) for run in runs if run.batch == best.batch])
    batch = bottom([(run.batch, run.loss) for run in runs if run.rate == best.rate])
    return msgspec.structs.replace(best, rate=rate, batch=round(batch))


def bottom(measured: Sequence[tuple[float, float]]) -> float:
    """Of (x, loss): where a parabola over ln x through the best and its neighbours is lowest, never beyond them."""
    measured = sorted(measured)
    at = min(range(len(measured)), key=lambda i: measured[i][1])
    near = measured[max(0, at - 1) : at + 2]
    if len(near) < 3:
        return measured[at][0]
    x, y = np.log([m[0] for m in near]), np.array([m[1] for m in near])
    a, b, _ = np.polyfit(x, y, 2)
    return float(np.exp(np.clip(-b / (2 * a), x[0], x[-1]))) if a > 0 else measured[at][0]


def _line(columns: Floats, values: Floats) -> tuple[float, ...]:
    return tuple(float(c) for c in np.linalg.lstsq(columns, values, rcond=None)[0])


def _losses(sizes: Floats, tokens: Floats, losses: Floats) -> tuple[float, float, float, float, float]:
    """The two powers by trying all; for each pair E, A and B follow from least squares of relative errors."""
    found: tuple[float, tuple[float, ...]] = np.inf, ()
    x, y = np.exp(-np.outer(POWERS, sizes - sizes[0])), np.exp(-np.outer(POWERS, tokens - tokens[0]))
    for alpha, of_size in zip(POWERS, x, strict=True):
        for beta, of_tokens in zip(POWERS, y, strict=True):
            columns = np.stack([np.ones(len(losses)), of_size, of_tokens], 1) / losses[:, None]
            left, (e, a, b) = _not_negative(columns)
            if left < found[0]:
                a, b = a * np.exp(alpha * sizes[0]), b * np.exp(beta * tokens[0])
                found = left, (e, a, alpha, b, beta)
    e, a, alpha, b, beta = (float(v) for v in found[1])
    return e, a, alpha, b, beta


def _not_negative(columns: Floats) -> tuple[float, Floats]:
    """The weights of the columns, none below 0, whose sum is nearest to 1 everywhere; and how far it is."""
    best = np.inf, np.zeros(3)
    for count in (3, 2, 1):
        for chosen in combinations(range(3), count):
            part = columns[:, chosen]
            weights = np.linalg.lstsq(part, np.ones(len(part)), rcond=None)[0]
            left = float(((part @ weights - 1) ** 2).sum())
            if (weights >= 0).all() and left < best[0]:
                whole = np.zeros(3)
                whole[list(chosen)] = weights
                best = left, whole
        if np.isfinite(best[0]):
            return best
    return best
