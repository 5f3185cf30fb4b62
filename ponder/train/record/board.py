"""TensorBoard's files beside `metrics.jsonl`, where the package is installed; nothing where it is not.

tensorboard --logdir runs/train/tiny
"""

from importlib.util import find_spec
from pathlib import Path

from ponder.train.record.metrics import Line

FOLDER = "tensorboard"


class Board:
    """first: the step that a run goes on from; what was written of it and later ones before is taken back."""

    def __init__(self, folder: Path, first: int) -> None:
        self._writer = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(folder / FOLDER, purge_step=first)

    def write(self, line: Line) -> None:
        """Its numbers, by name, at its step."""
        if self._writer is not None:
            for name, value in line.items():
                if name != "step" and not isinstance(value, str):
                    self._writer.add_scalar(name, value, int(line["step"]))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
