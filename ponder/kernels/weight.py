"""A weight matrix as the extension holds it."""

from dataclasses import dataclass
from typing import Any

from ponder.kernels.packing.panels import Panels
from ponder.kernels.tensor import Tensor


@dataclass(frozen=True, eq=False)
class Weight:
    """A matrix [N, K] and its handle in the extension; the data is used where it lies (mapped files stay mapped).

    matrix: a Tensor for f32 and bf16, Panels for the grouped kinds.
    """

    matrix: Tensor | Panels
    handle: Any

    @property
    def outputs(self) -> int:
        return self.matrix.shape[0]

    @property
    def nbytes(self) -> int:
        return self.matrix.nbytes

    @property
    def form(self) -> tuple[str, int, int]:
        """Matrices of one form read the same packed activations."""
        return self.matrix.kind, self.matrix.group, self.matrix.shape[1]
