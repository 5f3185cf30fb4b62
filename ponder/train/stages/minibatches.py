"""One draw of samples for several optimiser steps, in parts.

The later parts cannot be drawn again: the weights that wrote them are gone. So they lie on disk until a checkpoint has
come after them, and a run that goes on in the middle of a draw learns from the same bits.
"""

import random
from collections.abc import Callable
from pathlib import Path

from ponder.core.sample import Sample
from ponder.train import checkpoint
from ponder.train.stages.training import Drawn
from ponder.train.step import load_samples, save_samples


class Minibatches:
    def __init__(self, collect: Callable[[int], Drawn], parts: int, seed: int, folder: Path, checkpoints: Path) -> None:
        """collect: the samples of draw n, not normalised. folder: of the stage."""
        self._collect, self._parts, self._seed, self._checkpoints = collect, parts, seed, checkpoints
        self._folder = folder / "drawn"
        self._draw = -1
        self._samples: list[Sample] = []

    def of(self, step: int) -> Drawn:
        """Metrics come with the first part of a draw."""
        draw, part = divmod(step, self._parts)
        if part == 0:
            drawn = self._fresh(draw)
            return drawn._replace(samples=self._part(0))
        if draw != self._draw:
            self._draw, self._samples = draw, load_samples(self._path(draw))
        return Drawn(self._part(part))

    def _fresh(self, draw: int) -> Drawn:
        drawn = self._collect(draw)
        samples = list(drawn.samples)
        if self._parts > 1:
            random.Random(f"{self._seed}/parts/{draw}").shuffle(samples)  # the answers to a problem lie side by side
            self._forget()
            save_samples(self._path(draw), samples)
        self._draw, self._samples = draw, samples
        return drawn

    def _part(self, part: int) -> list[Sample]:
        """Of few samples some serve twice: a step needs one at least."""
        return self._samples[part :: self._parts] or self._samples

    def _path(self, draw: int) -> Path:
        return self._folder / f"{draw:06d}.npz"

    def _forget(self) -> None:
        """Draws of which the newest checkpoint has seen the end."""
        newest = checkpoint.latest(self._checkpoints)
        done = 0 if newest is None else int(newest.name.removeprefix("step-")) // self._parts
        for path in self._folder.glob("*.npz"):
            if int(path.stem) < done:
                path.unlink()
